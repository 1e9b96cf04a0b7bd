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
    given = {"policy": str(policy.absolute()), "table": str(table.absolute()) if table else "", "seed": seed}
    published = run_flow("flows.data_flow", "data_flow", given, fresh=fresh, quiet=quiet)
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


def run_flow(module: str, name: str, given: dict[str, Any], *, fresh: bool = False, quiet: bool) -> Any:
    """Run a flow on this machine with a Prefect server of its own, or that of PREFECT_API_URL, and show its steps.

    given: its parameters. fresh: whether every step is done again.
    """
    from flows import progress, runtime

    where = settings.load()
    show = not quiet and progress_console.is_terminal
    if show:
        progress_console.print("[dim]starting a Prefect server and Dask workers[/]")
    # To import a flow is to import every room that it goes through, which takes seconds.
    with (
        runtime.interruptible() as listen,
        runtime.prefect_server(where, meanwhile=lambda: importlib.import_module(module)) as api_url,
    ):
        ids: list[str] = []

        def note(flow: Any, flow_run: Any, state: Any) -> None:  # noqa: ARG001 - the names of a Prefect hook
            listen()
            ids.append(str(flow_run.id))
            processes.note_children(where.processes)

        with runtime.fresh_results(fresh):
            noted = getattr(importlib.import_module(module), name).with_options(on_running=[note])
            if not show:
                return noted(**given)
            with progress.shown(api_url, ids, progress_console):
                return noted(**given)


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
