"""Several tables about the same people: released together, and made of synthetic people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pyarrow as pa
import typer
from rich.markup import escape
from rich.table import Table as Grid

from flows.commands.keys import KeyOption
from flows.commands.terminal import JsonOption, QuietOption, bar, console, write_json
from tasks.common import key_file, linked_forms
from tasks.common.folders import require_new, staged_folder
from tasks.common.store import write_parquet
from tasks.common.table import file_hash, open_table

if TYPE_CHECKING:
    from tasks.anonymization.linked import SetAccount


def anonymize_set(
    policy: Annotated[Path, typer.Argument(help="The set (YAML): a base and tables of events.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder for the tables.", show_default=False)],
    key: KeyOption,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Anonymize several tables about the same people, with the person as the unit of protection.

    The base has one row for each person and all quasi-identifiers; k people share each combination of them. Tables of
    events have any number of rows for a person. They are joined to the base by a keyed pseudonym, their dates are
    shifted by the person's secret offset, and whoever is suppressed in the base is gone from all of them.

    A set is YAML: [bold]base: patients.yaml[/] and [bold]tables: {visits: {table: visits.parquet, count_bands: [1, 5],
    columns: {...}}}[/]. The base's policy needs table:, person: and pseudonym: true for that column. Tables that name
    something else than the person, as a stay, go [bold]through: {table: stays, key: stay}[/].

    Example: [bold]secured anonymize-set study.yaml --out shared --key study.key --json account.json[/]
    """
    from tasks.anonymization import linked
    from tasks.validation import expectations, free_text

    require_new(out)
    with bar(quiet) as progress:
        progress.say("checking the tables")
        rules, secret = linked_forms.read(policy), key_file.read(key)
        assert rules.base.table is not None, "checked when the set was read"
        expectations.validate(open_table(rules.base.table), rules.base).require()
        for events in rules.tables.values():
            free_text.require_none(open_table(events.table), events.columns, events.released)
        progress.say("anonymizing")
        released = linked.anonymize_set(rules, secret)
        progress.say("writing")
        with staged_folder(out) as staging:
            for name, table in released.tables.items():
                write_parquet(table, staging / f"{name}.parquet")
            staging.rename(out)
    hashes = {place.stem: file_hash(place) for place in sorted(out.iterdir())}
    write_json(json, {"out": str(out), "sha256": hashes, **released.account.model_dump(mode="json")})
    if not quiet:
        _show(released.account, out)


def synthesize_set(
    policy: Annotated[Path, typer.Argument(help="The set (YAML): a base and tables of events.", show_default=False)],
    released: Annotated[Path, typer.Argument(help="The folder that anonymize-set made of it.", show_default=False)],
    people: Annotated[int, typer.Option("--people", "-n", min=1, help="How many people to make.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder for the tables.", show_default=False)],
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Make synthetic tables about the same synthetic people from a set that [bold]anonymize-set[/] released.

    The base is learned by the policy's engine, with how many rows each person has in each table. Rows of a table are
    drawn given the person's row in the base and the row before it, so that a history stays one; tables that go through
    another one, given the row that they belong to. Every row belongs to somebody. What a table's [bold]constraints:[/]
    say no row breaks. No engine guarantees privacy by itself: attack what comes out, table by table.

    Example: [bold]secured synthesize-set study.yaml shared --people 5000 --out synthetic[/]
    """
    require_new(out)
    with bar(quiet) as progress:
        progress.say("reading the set")
        rules = linked_forms.read(policy)
        tables = {name: _table(released, name) for name in (linked_forms.BASE, *rules.tables)}
        progress.say("learning and drawing")
        from tasks.synthesis import linked

        made = linked.synthesize(tables, rules, people, progress.at)
        with staged_folder(out) as staging:
            for name, table in made.tables.items():
                write_parquet(table, staging / f"{name}.parquet")
            staging.rename(out)
    hashes = {place.stem: file_hash(place) for place in sorted(out.iterdir())}
    rows = {name: table.num_rows for name, table in made.tables.items()}
    write_json(json, {"out": str(out), "sha256": hashes, "rows": rows, "base": made.account.model_dump(mode="json")})
    if not quiet:
        counted = ", ".join(f"{count:,} rows of {name}" for name, count in rows.items())
        console.print(f"wrote to {escape(str(out))}: {escape(counted)}", soft_wrap=True)


def _table(folder: Path, name: str) -> pa.Table:
    """Raises: InputError: the folder has no such table."""
    return open_table(folder / f"{name}.parquet").read()


def _show(account: SetAccount, out: Path) -> None:
    base = account.base
    console.print(
        f"wrote {account.people_after:,} of {account.people_before:,} people to {escape(str(out))}: "
        f"{', '.join(base.criteria)}, {base.loss:.1%} of the base's detail lost",
        soft_wrap=True,
    )
    grid = Grid(box=None, header_style="dim")
    for title in ("table", "rows", "of", "of nobody", "over the cap", "beyond the band", "of suppressed", "people"):
        grid.add_column(title, justify="left" if title == "table" else "right")
    for name, events in account.tables.items():
        numbers = (
            events.rows_after, events.rows_before, events.unlinked, events.over_cap, events.beyond_band,
            events.suppressed, events.people,
        )  # fmt: skip
        grid.add_row(escape(name), *(f"{number:,}" for number in numbers))
    console.print(grid)
