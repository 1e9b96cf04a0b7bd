"""`secured policy`: drafting, checking and describing policies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table as Grid

from flows.commands.terminal import JsonOption, QuietOption, TableArgument, bar, console, write_json
from tasks.common import policy_file
from tasks.common.store import write_text
from tasks.common.table import open_table

if TYPE_CHECKING:
    from tasks.common.policy import Policy
    from tasks.validation.expectations import Validation

app = typer.Typer(no_args_is_help=True, help="Write and check the policy that a table is shared by.")


@app.command("draft")
def draft(
    table: TableArgument,
    out: Annotated[
        Path | None, typer.Option(help="Write to this file, not to the terminal.", show_default=False)
    ] = None,
) -> None:
    """Write a first policy for a table. Every role in it is a guess that a person has to review.

    Example: [bold]secured policy draft patients.csv --out patients.yaml[/]
    """
    from tasks.validation import draft as drafting

    text = drafting.draft(open_table(table))
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text)
        next_command = f"secured policy check {escape(str(out))} {escape(str(table))}"
        console.print(f"wrote {escape(str(out))}; review every role, then: {next_command}", soft_wrap=True)


@app.command("check")
def check(
    policy: Annotated[Path, typer.Argument(help="The policy (YAML).", show_default=False)],
    table: TableArgument,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Check a policy, and that a table is what it says. Exit code 11 or 12 if not.

    Example: [bold]secured policy check patients.yaml patients.csv[/]
    """
    from tasks.validation import expectations

    with bar(quiet) as progress:
        progress.say("checking")
        rules = policy_file.read(policy)
        found = expectations.validate(open_table(table), rules)
    write_json(json, found.model_dump(mode="json"))
    found.require()
    if not quiet:
        _show(rules, found)


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of a policy, for editors that complete and check YAML.

    Example: [bold]secured policy schema > policy.schema.json[/], then begin policies with
    [bold]# yaml-language-server: $schema=policy.schema.json[/]
    """
    typer.echo(policy_file.schema())


def _show(policy: Policy, found: Validation) -> None:
    grid = Grid(box=None, header_style="dim")
    for title in ("column", "role", "kind", "hierarchy"):
        grid.add_column(title)
    for name, column in policy.columns.items():
        grid.add_row(escape(name), str(column.role), str(column.kind), _form(column.hierarchy))
    console.print(grid)
    left_out = f", {found.excluded:,} are excluded" if found.excluded else ""
    console.print(
        f"\n[green]fits:[/] {found.rows:,} rows meet {len(found.checks)} expectations{left_out}. "
        f"Shared in the context `{escape(policy.context)}`, threshold {policy.threshold}."
    )


def _form(hierarchy: object) -> str:
    if hierarchy is None:
        return ""
    fields = getattr(type(hierarchy), "model_fields", {})
    return next(iter(fields), "all-or-nothing")
