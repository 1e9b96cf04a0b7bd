"""Synthetic rows as a command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape

from flows.commands.terminal import (
    JsonOption,
    OutOption,
    PolicyOption,
    QuietOption,
    TableArgument,
    bar,
    console,
    require_output,
    write_json,
    write_table,
)
from tasks.common import policy_file, reading
from tasks.common.errors import InputError
from tasks.common.privacy_forms import Privacy
from tasks.common.seeds import derive
from tasks.common.synthesis_forms import AnyEngine, Condition, Engine, Shares, Span
from tasks.common.table import file_hash, open_table

if TYPE_CHECKING:
    from tasks.common.policy import Policy
    from tasks.synthesis.handles import Account


def synthesize(
    table: TableArgument,
    policy: PolicyOption,
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, help="How many rows to make.", show_default=False)],
    out: OutOption,
    engine: Annotated[
        Engine | None,
        typer.Option("--engine", "-e", help="What learns and draws the rows; the policy's if not given."),
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(
            help="Learn under this privacy budget, by MST; the policy's `synthesis: privacy:` can say more.",
            show_default=False,
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            "-w",
            help="What the rows shall be like, added to the policy's conditions: sex=F, ward=A|B, age=0..12, "
            "age=..12, result=positive:30%.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Make synthetic rows that look like a table's. Learn them from an anonymized release, to keep what protects that.

    Only columns that the policy releases are learned. Rows keep the policy's constraints, fulfil its conditions and
    repeat no rare row of the table. Without --epsilon nothing is guaranteed: [bold]assess[/] the rows.

    Example: [bold]secured synthesize release.parquet -p patients.yaml -n 5000 -w sex=F -o synthetic.parquet[/]
    """
    require_output(out)
    with bar(quiet) as progress:
        rules = _asked_for(policy_file.read(policy), engine, epsilon, where or [])
        source = reading.read_release(open_table(table), rules)
        progress.say("loading the engine")
        from tasks.synthesis import drawing, learning

        chosen, seed = rules.synthesis.engines[0], rules.seed
        progress.say(f"learning by {chosen}")
        made = learning.learn(source, rules, chosen, derive(seed, "fit", chosen), progress.at)
        progress.say("drawing rows")
        found, account = drawing.draw(made, rows, derive(seed, "rows", chosen), rules, source)
        write_table(found, out)
    write_json(
        json,
        {
            "out": str(out),
            "sha256": file_hash(out),
            "columns": found.column_names,
            "engine": str(chosen),
            "epochs": made.epochs,
            **account.model_dump(mode="json"),
        },
    )
    if not quiet:
        _show(account, chosen, out)


def condition(text: str) -> tuple[str, Condition]:
    """A column and its condition from `column=value`, `=a|b`, `=1..5` or `=a:30%`.

    Raises:
        InputError: it is none of these.
    """
    name, sign, wanted = text.partition("=")
    if not (name and sign and wanted):
        raise InputError(f"--where {text}: write it as column=value, column=a|b, column=1..5 or column=value:30%")
    values = wanted.split("|")
    try:
        if all(value.endswith("%") and ":" in value for value in values):
            parts = [value.removesuffix("%").rsplit(":", 1) for value in values]
            return name, Shares(shares={value: float(share) / 100 for value, share in parts})
        if len(values) == 1 and ".." in wanted:
            least, most = (end or None for end in wanted.split("..", 1))
            return name, Span.model_validate({"least": least, "most": most})
    except (ValidationError, ValueError) as error:
        said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "no number"
        raise InputError(f"--where {text}: {said.removeprefix('Value error, ')}") from None
    return name, tuple(values)


def _asked_for(rules: Policy, engine: Engine | None, epsilon: float | None, where: list[str]) -> Policy:
    """The policy with what the command line asks for.

    Raises:
        InputError: it names a column that the policy does not release, or the same one twice.
    """
    conditions = [condition(text) for text in where]
    for place, (name, _) in enumerate(conditions):
        if name not in rules.released:
            raise InputError(f"--where: `{name}` is no column that the policy releases")
        if name in [other for other, _ in conditions[:place]]:
            raise InputError(f"--where: `{name}` is named twice; several values are written a|b")
    changed: dict[str, Any] = {"conditions": rules.synthesis.conditions | dict(conditions)}
    if engine is not None:
        changed |= {"engine": engine, "privacy": None}
    if epsilon is not None:
        changed["privacy"] = _budget(rules, engine, epsilon)
    return rules.model_copy(update={"synthesis": rules.synthesis.model_copy(update=changed)})


def _budget(rules: Policy, engine: Engine | None, epsilon: float) -> Privacy:
    if engine is not None:
        raise InputError(f"--engine {engine} gives no privacy guarantee, so it does not go with --epsilon")
    if rules.synthesis.constraints.together or rules.synthesis.constraints.unique:
        raise InputError("--epsilon: the engines of `privacy:` do not keep `constraints: together` and `unique`")
    try:
        said = rules.synthesis.privacy.model_dump() if rules.synthesis.privacy else {}
        return Privacy.model_validate({**said, "epsilon": epsilon})
    except ValidationError as error:
        raise InputError(f"--epsilon {epsilon:g}: {error.errors()[0]['msg']}") from None


def _show(account: Account, engine: AnyEngine, out: Path) -> None:
    console.print(f"wrote {account.rows:,} synthetic rows by {engine} to {escape(str(out))}", soft_wrap=True)
    for name, shares in account.achieved.items():
        reached = ", ".join(f"{value} {share:.1%}" for value, share in shares.items())
        console.print(f"  {escape(name)}: {escape(reached)}", soft_wrap=True)
    if account.ledger:
        spent, budget = account.ledger.epsilon, account.ledger.budget
        console.print(
            f"  differentially private: epsilon {spent:.3g} of {budget.epsilon:g} spent, delta {budget.delta:g}"
        )
    if account.copies:
        console.print(f"[dim]{account.copies:,} rows that repeated a rare row of the table were left out[/]")
