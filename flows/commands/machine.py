"""`secured doctor` and `secured serve`: the machine and its servers."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table as Grid

from flows.commands.terminal import JsonOption, QuietOption, bar, console, write_json
from tasks.common import processes, settings
from tasks.common.errors import MissingPart


def doctor(json: JsonOption = None) -> None:
    """Say what is installed, which engines and servers are there, and what to do about what is missing.

    Also ends servers and workers that a killed run left behind.
    Exit code 40 if something is missing that everything needs.
    """
    from tasks.common import doctor as examining

    found = examining.examine()
    write_json(json, {"parts": [diagnosis.model_dump(mode="json") for diagnosis in found]})
    grid = Grid.grid(padding=(0, 2))
    marks = {"good": "[green]✓[/]", "optional": "[yellow]–[/]", "bad": "[red]✗[/]"}
    for diagnosis in found:
        advice = f"\n[dim]→ {escape(diagnosis.advice)}[/]" if diagnosis.advice else ""
        grid.add_row(marks[diagnosis.state], diagnosis.part, escape(diagnosis.found) + advice)
    console.print(grid)
    if bad := [diagnosis.part for diagnosis in found if diagnosis.state == "bad"]:
        raise MissingPart(f"not ready: {', '.join(bad)}")


def serve(
    prefect_port: Annotated[int, typer.Option(min=1024, max=65535, help="Port of Prefect's pages.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(min=1024, max=65535, help="Port of MLflow's pages.")] = 5000,
    quiet: QuietOption = False,
) -> None:
    """Start Prefect, MLflow and a worker on this machine, deploy the flows, and keep them running until Ctrl-C.

    All listen on loopback only; there is no password. In Prefect's pages: Deployments, data-flow/hospital, Run; or
    encrypted-job/one-machine, encrypted-evaluation/evaluator and encrypted-tree/tree.
    """
    where = settings.load()
    where.ensure_writable()
    from flows.serving import Services

    processes.end_orphans(where.processes)
    with bar(quiet) as progress:
        services = Services(where, prefect_port, mlflow_port, progress.say)
        services.__enter__()
    try:
        console.print(f"Prefect  {services.prefect_page}/deployments")
        console.print(f"MLflow   {services.mlflow_page}/#/experiments?workflowType=machine_learning")
        console.print("Ctrl-C ends all of it.")
        services.wait()
    finally:
        with bar(quiet) as progress:
            progress.say("ending")
            services.__exit__()
