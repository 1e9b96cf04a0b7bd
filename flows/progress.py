"""What a run is doing, in the terminal: asked of the Prefect server, so that it is the same wherever steps run."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

_SECONDS = 0.5
_DONE = {"COMPLETED"}
_FAILED = {"FAILED", "CRASHED", "CANCELLED"}


class StepBoard:
    """A table of steps: how many are done, reused from an earlier run, running, failed."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.states: dict[str, Counter[str]] = {}
        self._spinner = Spinner("dots")
        self._began = time.monotonic()

    def update(self, task_runs: list[dict[str, Any]]) -> None:
        """Take in the task runs that the server lists."""
        self.states = {}
        for run in task_runs:
            name = re.sub(r"-[0-9a-f]{3,}$", "", run["name"])
            if name not in self.order:
                self.order.append(name)
            self.states.setdefault(name, Counter())[_state(run)] += 1

    def __rich__(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name in self.order:
            states = self.states.get(name, Counter())
            mark = self._spinner if states["running"] else "[red]✗[/]" if states["failed"] else "[green]✓[/]"
            table.add_row(mark, name, _words(states))
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        table.add_row("", f"[dim]{minutes}:{seconds:02d}[/]", "")
        return table


@contextmanager
def shown(api_url: str, flow_run_ids: list[str], console: Console) -> Iterator[None]:
    """Show the steps of the flow run whose id comes to stand in `flow_run_ids`, while the block runs."""
    board, stop = StepBoard(), threading.Event()

    def follow() -> None:
        with httpx.Client(trust_env=False, timeout=10) as client:
            while not stop.wait(_SECONDS):
                if flow_run_ids:
                    board.update(_task_runs(client, api_url, flow_run_ids[0]))

    follower = threading.Thread(target=follow, daemon=True)
    with Live(board, console=console, refresh_per_second=8, transient=False):
        follower.start()
        try:
            yield
        finally:
            stop.set()
            follower.join(timeout=5)
            _last_look(api_url, flow_run_ids, board)


def _last_look(api_url: str, flow_run_ids: list[str], board: StepBoard) -> None:
    if flow_run_ids:
        with httpx.Client(trust_env=False, timeout=10) as client:
            board.update(_task_runs(client, api_url, flow_run_ids[0]))


def _task_runs(client: httpx.Client, api_url: str, flow_run_id: str) -> list[dict[str, Any]]:
    query = {"flow_runs": {"id": {"any_": [flow_run_id]}}, "sort": "EXPECTED_START_TIME_ASC", "limit": 200}
    found: list[dict[str, Any]] = []
    try:
        while True:
            page = client.post(f"{api_url}/task_runs/filter", json={**query, "offset": len(found)}).json()
            found += page
            if len(page) < 200:
                return found
    except (httpx.HTTPError, ValueError):
        return found


def _state(run: dict[str, Any]) -> str:
    if run.get("state_name") == "Cached":
        return "reused"
    kind = run.get("state_type")
    return "done" if kind in _DONE else "failed" if kind in _FAILED else "running"


def _words(states: Counter[str]) -> str:
    shown = [f"{states[word]} {word}" for word in ("done", "reused", "running", "failed") if states[word]]
    return f"[dim]{', '.join(shown)}[/]" if sum(states.values()) > 1 or states["reused"] else ""
