"""`secured unbias`: how a model that learns from a release treats groups of people, and rows that make it fairer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table as Grid

from flows.commands.terminal import JsonOption, PolicyOption, QuietOption, bar, console, require_output, write_json
from flows.commands.terminal import write_table as write
from tasks.common import policy_file, reading
from tasks.common.errors import PolicyError
from tasks.common.table import file_hash, open_table

if TYPE_CHECKING:
    from tasks.common.policy import Policy
    from tasks.fairness.measure import Bias
    from tasks.fairness.unbias import Fairness


def unbias(
    release: Annotated[Path, typer.Argument(help="The anonymized rows.", show_default=False)],
    policy: PolicyOption,
    test: Annotated[
        Path,
        typer.Option(help="People the release was not made from, as they are or in its labels.", show_default=False),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Where to write rows with origin and weight, .parquet or .csv.", show_default=False
        ),
    ],
    pool: Annotated[
        Path | None,
        typer.Option(help="Synthetic rows to draw from for balance; see [bold]synthesize[/].", show_default=False),
    ] = None,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Measure how a model that learns from a release treats the groups that the policy protects, and mend it.

    The policy's [bold]downstream:[/] says what the model predicts, [bold]fairness:[/] which columns are protected and
    what may be done. Groups of fewer than 30 people among those held out are left out. Thresholds by group, where the
    policy asks for them, are in the JSON.

    Example: [bold]secured unbias release.csv -p patients.yaml --test heldout.csv -o fair.csv --json bias.json[/]
    """
    require_output(out)
    with bar(quiet) as progress:
        rules = policy_file.read(policy)
        _require_question(rules, policy)
        progress.say("reading")
        from tasks.fairness import heldout
        from tasks.fairness import unbias as unbiasing

        rows = reading.read_release(open_table(release), rules)
        rows = rows.select([name for name in rows.column_names if name in rules.released])
        people = heldout.read(open_table(test), rows, rules)
        nothing = rows.schema.empty_table()
        drawn = (
            heldout.like(reading.read_release(open_table(pool), rules), rows, "--pool: the rows") if pool else nothing
        )
        k = rules.criteria.k
        unbiasing.require(rows, people, rules, k=k)
        progress.say("measuring, mitigating, measuring again")
        made = unbiasing.unbias(rows, nothing, drawn, people, rules, k=k, seed=rules.seed)
        write(made.table, out)
    account = made.account
    write_json(json, {"out": str(out), "sha256": file_hash(out), **account.model_dump(mode="json")})
    _show(account, made.table.num_rows, out, quiet=quiet)


def _require_question(rules: Policy, path: Path) -> None:
    """Raises: PolicyError: the policy does not say what is predicted, or whom it protects."""
    if rules.fairness is None:
        raise PolicyError(
            f"{path} protects nobody; add `downstream: {{target: COLUMN, positive: VALUE}}` and "
            "`fairness: {protected: [COLUMN]}`"
        )


def _show(account: Fairness, rows: int, out: Path, *, quiet: bool) -> None:
    from tasks.hub import bias as words

    if not quiet:
        console.print(
            f"wrote {rows:,} rows to {escape(str(out))}: {words.done(account) or 'unchanged.'}", soft_wrap=True
        )
    if account.labels == "biased":
        console.print(f"[yellow]{escape(words.TRUST)}[/]", soft_wrap=True)
    for before, after in zip(account.before, account.after, strict=True):
        tone, tag = words.STANDINGS[account.standing(after)]
        colour = {"good": "green", "bad": "red"}.get(tone, "yellow")
        console.print(f"\n[bold]{escape(before.column)}[/] [{colour}]{tag}[/]")
        console.print(words.sentence(before, after), soft_wrap=True)
        console.print(_grid(before, after))
        if before.left_out:
            console.print(f"[dim]fewer than 30 people: {escape(', '.join(before.left_out))}[/]", soft_wrap=True)
    console.print(f"\n{words.cost(account)}", soft_wrap=True)
    for advice in words.advice(account):
        console.print(f"[yellow]{escape(advice)}[/]", soft_wrap=True)


def _grid(before: Bias, after: Bias) -> Grid:
    """Figures of each group before and after, one below the other."""
    from tasks.hub import bias as words

    grid = Grid(box=None, header_style="dim")
    for title in ("group", "people", ""):
        grid.add_column(title, justify="right" if title == "people" else "left")
    for title in words.HEADS:
        grid.add_column(title, justify="right")
    for was, now in zip(before.groups, after.groups, strict=True):
        name, people = escape(was.group), f"{was.people:,}"
        grid.add_row(name, people, "[dim]before[/]", *(cell.value for cell in words.cells(was)))
        grid.add_row("", "", "[dim]after[/]", *(cell.value for cell in words.cells(now)))
    return grid
