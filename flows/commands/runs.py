"""`secured run`: whole flows."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from flows.commands.terminal import (
    JsonOption,
    PolicyOption,
    QuietOption,
    console,
    progress_console,
    write_json,
)
from tasks.common import policy_file, processes, reading, settings
from tasks.common.errors import InputError
from tasks.common.table import open_table
from tasks.validation.flow_limits import require_flow_policy

if TYPE_CHECKING:
    from tasks.hub.handles import Publication

app = typer.Typer(no_args_is_help=True, help="Run a whole flow.")


@app.callback()
def _group() -> None:
    """Run a whole flow."""


@app.command("data-flow")
def data_flow(
    policy: PolicyOption,
    table: Annotated[Path | None, typer.Option(help="The table, if not the policy's own.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="The seed, if not the policy's own.", show_default=False)] = None,
    fresh: Annotated[bool, typer.Option(help="Do every step again, even if an earlier run did it.")] = False,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Anonymize a table, attack it, score it, adjust until the threshold holds, add synthetic rows, unbias, register.

    Finished steps are reused: a run that was interrupted goes on where it was. Ends with exit code 20 or 21 if the
    threshold of the policy's sharing context cannot be reached; the report tells then what was tried.

    Example: [bold]secured run data-flow --policy deployments/examples/chop.yaml[/]
    """
    where = settings.load()
    where.ensure_writable()
    _check_early(policy, table)
    if (ended := processes.end_orphans(where.processes)) and not quiet:
        progress_console.print(f"[dim]ended {ended} processes that an interrupted run had left behind[/]")
    published = _run(str(policy.absolute()), str(table.absolute()) if table else "", seed, fresh=fresh, quiet=quiet)
    write_json(json, _result(published))
    _tell(published)


def _check_early(policy: Path, table: Path | None) -> None:
    """What is wrong with the files is said before any server starts."""
    rules = policy_file.read(policy)
    require_flow_policy(rules)
    place = table or rules.table
    if place is None:
        raise InputError(f"{policy} names no table; add `table:` to it, or use --table")
    reading.require_same_columns(open_table(place), rules)


def _run(policy: str, table: str, seed: int | None, *, fresh: bool, quiet: bool) -> Publication:
    from flows import progress, runtime

    where = settings.load()
    show = not quiet and progress_console.is_terminal
    if show:
        progress_console.print("[dim]starting a Prefect server and Dask workers[/]")
    with runtime.interruptible() as listen, runtime.prefect_server(where, meanwhile=_import_flow) as api_url:
        from flows.data_flow import data_flow as whole_flow

        ids: list[str] = []

        def note(flow: Any, flow_run: Any, state: Any) -> None:  # noqa: ARG001 - the names of a Prefect hook
            listen()
            ids.append(str(flow_run.id))
            processes.note_children(where.processes)

        with runtime.fresh_results(fresh):
            noted = whole_flow.with_options(on_running=[note])
            if not show:
                return noted(policy, table, seed)
            with progress.shown(api_url, ids, progress_console):
                return noted(policy, table, seed)


def _import_flow() -> None:
    """Import every room, which takes seconds."""
    importlib.import_module("flows.data_flow")


def _result(published: Publication) -> dict[str, Any]:
    return {
        "score": published.score,
        "gate": published.gate,
        "folder": str(published.folder),
        "report": str(published.report),
        "run_id": published.registration.run_id,
        "tracking_uri": published.registration.tracking_uri,
    }


def _tell(published: Publication) -> None:
    console.print(f"\n[bold green]{escape(published.headline)}[/] – score {published.score:.1f}")
    console.print(escape(published.reason))
    console.print(f"\nrelease  {escape(str(published.folder))}", soft_wrap=True)
    console.print(f"report   {escape(str(published.report))}", soft_wrap=True)
    page = published.registration.page or f"{published.registration.tracking_uri}, run {published.registration.run_id}"
    console.print(f"MLflow   {escape(page)}", soft_wrap=True)
