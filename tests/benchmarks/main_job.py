"""The main job, whole, as its user starts it: how long, where the time goes, how much memory, what a rerun costs."""

from __future__ import annotations

import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.benchmarks import results
from tests.conftest import CHOP_POLICY
from tests.functional.running import start

RUNS = 3
PACKAGES = ("prefect", "distributed", "mlflow", "torch", "ctgan", "numba", "scikit-learn")


@dataclass
class Measured:
    """One run: wall seconds, most memory of all its processes (GiB), and seconds by step."""

    seconds: float
    memory: float
    steps: dict[str, list[float]]


def main() -> None:
    """Measure and record."""
    with tempfile.TemporaryDirectory() as folder:
        homes = [Path(folder) / str(number) for number in range(RUNS)]
        runs = [_run(home) for home in homes]
        again = _run(homes[-1])
        outcome = json.loads((homes[-1] / "result.json").read_text())
        evidence = json.loads((Path(outcome["folder"]) / "evidence.json").read_text())
    results.record("Main job: CHOP covid testing", _text(runs, again, evidence), PACKAGES)


def _run(home: Path) -> Measured:
    home.mkdir(exist_ok=True)
    began = time.monotonic()
    run = start("run", "data-flow", "-p", CHOP_POLICY, "--json", home / "result.json", home=home)
    most = 0
    while run.process.poll() is None:
        most = max(most, _memory(run.process.pid))
        time.sleep(0.25)
    seconds = time.monotonic() - began
    _, error = run.process.communicate()
    if run.process.returncode:
        raise SystemExit(error)
    sys.stderr.write(f"main job: {seconds:.0f} s\n")
    return Measured(seconds, most / 1024**3, _steps(home, seconds))


def _memory(pid: int) -> int:
    """Bytes that a process and its descendants hold for themselves; what they share is counted once, for the first."""
    total = 0
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in family:
        try:
            total += process.memory_full_info().uss
        except psutil.Error:
            continue
    return total


def _steps(home: Path, seconds: float) -> dict[str, list[float]]:
    """Seconds of every task run of the last `seconds`, by step, out of Prefect's own records."""
    found: dict[str, list[float]] = defaultdict(list)
    with sqlite3.connect(home / "prefect" / "prefect.db") as records:
        rows = records.execute(
            "select name, (julianday(end_time) - julianday(start_time)) * 86400 from task_run"
            " where end_time is not null and start_time > datetime('now', ?)",
            (f"-{seconds + 5:.0f} seconds",),
        )
        for name, took in rows:
            found[name.rsplit("-", 1)[0]].append(took)
    return found


def _text(runs: list[Measured], again: Measured, evidence: dict) -> str:
    taken = [run.seconds for run in runs]
    last = evidence["verdict"]["released"]
    rows = [(name, len(took), f"{sum(took):.1f}") for name, took in runs[-1].steps.items()]
    rows.sort(key=lambda row: -float(row[2]))
    return f"""\
`secured run data-flow --policy deployments/examples/chop.yaml` in an empty home, {RUNS} times:
{", ".join(f"{seconds:.0f} s" for seconds in taken)}; median {statistics.median(taken):.0f} s. At most \
{max(run.memory for run in runs):.1f} GiB over all its processes. The same again, finished steps reused: \
{again.seconds:.0f} s. Score {last["score"]:.1f}, {last["gate"]}; {len(evidence["steps"])} adjustments.

{results.table(("step", "times", "seconds in all"), rows)}
"""
