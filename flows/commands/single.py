"""Single steps of the data flow as commands, for people who use parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pyarrow as pa
import pyarrow.csv as pa_csv
import typer
from rich.markup import escape
from rich.table import Table as Grid

from flows.commands.terminal import (
    JsonOption,
    PolicyOption,
    QuietOption,
    TableArgument,
    bar,
    console,
    require_output,
    write_json,
)
from tasks.common import key_file, policy_file, reading
from tasks.common.errors import Inconclusive, ThresholdNotReached
from tasks.common.seeds import derive, generator
from tasks.common.store import atomic, write_parquet
from tasks.common.streaming import InFile, person_codes
from tasks.common.table import file_hash, open_table

if TYPE_CHECKING:
    from tasks.anonymization.account import Anonymization
    from tasks.attacks.assess import People
    from tasks.attacks.score import Scorecard
    from tasks.common.policy import Policy
    from tasks.common.table import Table

OutOption = Annotated[
    Path, typer.Option("--out", "-o", help="Where to write it, .parquet or .csv.", show_default=False)
]


def anonymize(
    table: TableArgument,
    policy: PolicyOption,
    out: OutOption,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            "-k",
            help="The owner's key file, where the policy has pseudonyms or shifted dates.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Anonymize a table by the policy's criteria. Says nothing about risk: attack the result with [bold]assess[/].

    Direct identifiers are removed, quasi-identifiers generalized as little as the criteria allow, rows that still stand
    out suppressed within the policy's limit.

    Example: [bold]secured anonymize patients.csv -p patients.yaml -o release.parquet[/]
    """
    from tasks.anonymization import anonymizer
    from tasks.anonymization.plan import first_plan
    from tasks.validation import expectations

    require_output(out)
    with bar(quiet) as progress:
        rules, source = policy_file.read(policy), open_table(table)
        progress.say("checking the table")
        expectations.validate(source, rules).require()
        progress.say("counting")
        original = InFile(source, rules)
        rows = anonymizer.source(original, rules, key_file.read(key) if key else None)
        counted = anonymizer.count(rows, person_codes(original, rules.person), rules.criteria.secrets)
        progress.say("searching for the best generalization, and writing")
        rng = generator(rules.seed, "anonymize")
        account = anonymizer.write(rows, counted, first_plan(rules), rng, out)
    write_json(json, {"out": str(out), "sha256": file_hash(out), **account.model_dump(mode="json")})
    if not quiet:
        _show_account(account, out)


def assess(
    original: Annotated[Path, typer.Argument(help="The table that the release was made from.", show_default=False)],
    release: Annotated[Path, typer.Argument(help="The anonymized or synthetic rows to attack.", show_default=False)],
    policy: PolicyOption,
    control: Annotated[
        Path | None,
        typer.Option(help="Rows of the same kind that the release was not made from; without them risk is overstated."),
    ] = None,
    require_pass: Annotated[bool, typer.Option(help="Exit with 20 or 21 if the gate does not pass.")] = False,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Attack a release, whoever made it, and score its protection from 0 to 100.

    Labels of the release are understood through the policy's hierarchies, so releases of other tools work too. Best
    with --control: people who are not in the release show what an attack learns about anyone.

    Example: [bold]secured assess patients.csv release.csv -p patients.yaml --control heldout.csv --json score.json[/]
    """
    from tasks.attacks import assess as assessing

    with bar(quiet) as progress:
        rules = policy_file.read(policy)
        attacked = open_table(release)
        rows = reading.read_release(attacked, rules)
        people = _people(open_table(original), rules, rows.column_names)
        untouched = _people(open_table(control), rules, rows.column_names) if control else None
        progress.say("choosing whom to attack")
        card = assessing.assess(people, untouched, rows, rules, lambda name: progress.say(f"attack: {name}"))
    ignored = [name for name in attacked.columns if name not in rows.column_names]
    write_json(json, {**card.model_dump(mode="json"), "controlled": control is not None, "ignored": ignored})
    _show_card(card, controlled=control is not None, ignored=ignored)
    if require_pass and card.gate != "passes":
        kind = ThresholdNotReached if card.gate == "fails" else Inconclusive
        raise kind(
            f"the gate {card.gate}: {card.worst} may gain {card.worst_finding.high:.3f}, more than {card.threshold}"
        )


def synthesize(
    table: TableArgument,
    policy: PolicyOption,
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, help="How many rows to make.", show_default=False)],
    out: OutOption,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Make synthetic rows that look like a table's, with CTGAN. Train it on an anonymized release, to keep what
    protects that.

    Only columns that the policy releases are learned. CTGAN alone guarantees nothing: [bold]assess[/] its rows.

    Example: [bold]secured synthesize release.parquet -p patients.yaml -n 5000 -o synthetic.parquet[/]
    """
    require_output(out)
    with bar(quiet) as progress:
        rules = policy_file.read(policy)
        source = reading.read_release(open_table(table), rules)
        progress.say("loading CTGAN")
        from tasks.synthesis import gan

        epochs = rules.synthesis.epochs or gan.epochs_for(source.num_rows, rules.synthesis.batch)
        progress.say("training CTGAN")
        fitted = gan.fit(source, rules.synthesis, derive(rules.seed, "fit"), lambda epoch: progress.at(epoch, epochs))
        progress.say("drawing rows")
        made = gan.sample(fitted, rows, derive(rules.seed, "rows"))
        _write(made, out)
    write_json(
        json,
        {
            "out": str(out),
            "sha256": file_hash(out),
            "rows": made.num_rows,
            "columns": made.column_names,
            "epochs": epochs,
        },
    )
    if not quiet:
        console.print(f"wrote {made.num_rows:,} synthetic rows to {escape(str(out))}", soft_wrap=True)


def _people(table: Table, policy: Policy, columns: list[str]) -> People:
    from tasks.anonymization import holdout

    rows = reading.included_rows(table, policy)
    known = policy.person in table.columns
    persons = holdout.persons(table, policy) if known else None
    return reading.read(table, policy, columns).take(pa.array(rows)), None if persons is None else persons[rows]


def _write(table: pa.Table, out: Path) -> None:
    if out.suffix == ".parquet":
        write_parquet(table, out)
        return
    with atomic(out) as temporary:
        pa_csv.write_csv(table, temporary)


def _show_account(account: Anonymization, out: Path) -> None:
    console.print(
        f"wrote {account.rows_after:,} rows to {escape(str(out))}: {', '.join(account.criteria)}, "
        f"{account.suppressed:.1%} suppressed, {account.loss:.1%} of the detail lost "
        f"({'optimal' if account.optimal else f'bound {account.bound:.1%}'})",
        soft_wrap=True,
    )
    grid = Grid(box=None, header_style="dim")
    for title in ("quasi-identifier", "level", "detail lost"):
        grid.add_column(title)
    for name, level in account.levels.items():
        grid.add_row(escape(name), f"{level} of {account.top_levels[name]}", f"{account.column_loss[name]:.1%}")
    console.print(grid)


def _show_card(card: Scorecard, *, controlled: bool, ignored: list[str]) -> None:
    colour = {"passes": "green", "fails": "red"}.get(str(card.gate), "yellow")
    console.print(
        f"score [bold]{card.score:.1f}[/] of 100, gate [bold {colour}]{card.gate}[/], threshold {card.threshold}"
    )
    grid = Grid(box=None, header_style="dim")
    for title in ("attack", "success", "on control", "naive guess", "risk", "bounds"):
        grid.add_column(title, justify="left" if title == "attack" else "right", no_wrap=True)
    for f in card.attacks:
        grid.add_row(
            f.name,
            f"{f.success:.3f}",
            f"{f.control:.3f}",
            f"{f.baseline:.3f}",
            f"{f.risk:.3f}",
            f"{f.low:.3f} – {f.high:.3f}",
        )
    console.print(grid)
    if not controlled:
        console.print("[dim]without --control the naive guess stood in for it, so the risk is overstated[/]")
    if ignored:
        console.print(f"[dim]not attacked, since the policy does not release them: {escape(', '.join(ignored))}[/]")
