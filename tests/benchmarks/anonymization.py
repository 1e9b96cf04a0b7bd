"""Anonymization at scale: beside one pandas group-by and beside anjana, up to a hundred million rows.

Every measurement is a process of its own on one thread. A small table is anonymized before the clock starts, so that
machine code is compiled; reading Parquet and writing Parquet are inside.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks import peers, results, tables

PACKAGES = ("numpy", "numba", "pyarrow", "pandas")
ROWS = (1_000_000, 10_000_000, 100_000_000)
CRITERIA: dict[str, dict[str, Any]] = {
    "k=5": {"k": 5},
    "k=5, l=3": {"k": 5, "l": {tables.SENSITIVE: 3}},
    "k=5, t=0.2": {"k": 5, "t": {tables.SENSITIVE: 0.2}},
    "k=5, l=3, t=0.2": {"k": 5, "l": {tables.SENSITIVE: 3}, "t": {tables.SENSITIVE: 0.2}},
}
_ANJANA_SECONDS = 900
# What takes seconds is measured so often in turn with what it is compared with, and the shortest counts.
_TIMES = 3
_ANJANA = """
import json, sys, time
import numpy as np, pandas as pd
from anjana.anonymity import k_anonymity
path, levels = sys.argv[1], json.load(open(sys.argv[2]))
frame = pd.read_parquet(path, columns=list(levels))
trees = {name: {int(n): np.array(level) for n, level in tree.items()} for name, tree in levels.items()}
start = time.perf_counter()
made = k_anonymity(frame, [], list(levels), 5, 2, trees)
print(json.dumps({"seconds": time.perf_counter() - start, "rows": len(made)}))
"""


def main() -> None:
    """Measure and record."""
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "1e6.parquet"
        tables.write(small, ROWS[0])
        text = [_beside_peers(small), _criteria(small), _sizes(Path(folder))]
    results.record("Anonymization: nine quasi-identifiers, k=5, 2 % suppression", "\n\n".join(text), PACKAGES)


def _beside_peers(path: Path) -> str:
    runs = [(measure(path, CRITERIA["k=5"]), _pandas(path)) for _ in range(_TIMES)]
    ours, grouped = min((run[0] for run in runs), key=lambda seen: float(seen["seconds"])), min(run[1] for run in runs)
    anjana = _anjana(path)
    said = f"{anjana / ours['seconds']:.0f} x ours" if anjana else f"not done after {_ANJANA_SECONDS} s"
    rows = [
        ("ours, Parquet in and out", f"{ours['seconds']:.2f}", f"{ours['seconds'] / grouped:.1f} x pandas"),
        ("pandas `groupby(...).size()`, frame in memory", f"{grouped:.2f}", ""),
        ("anjana `k_anonymity`, frame in memory", f"{anjana:.0f}" if anjana else "", said),
    ]
    shape = f"1e6 rows, {ours['tuples']:,} distinct tuples; loss {ours['loss']:.4f}, "
    shape += f"{'optimal' if ours['optimal'] else 'bound ' + format(ours['bound'], '.4f')} after {ours['nodes']} nodes."
    return f"{shape}\n\n{results.table(('what', 'seconds', 'ratio'), rows)}"


def _criteria(path: Path) -> str:
    runs = [{name: measure(path, criteria) for name, criteria in CRITERIA.items()} for _ in range(_TIMES)]
    best = {name: min((run[name] for run in runs), key=lambda seen: float(seen["seconds"])) for name in CRITERIA}
    alone, rows = best["k=5"]["seconds"], []
    for name, seen in best.items():
        took = seen["seconds"]
        rows.append((name, f"{took:.2f}", f"{took / alone:.2f}", f"{seen['loss']:.4f}", seen["nodes"]))
    head = ("criteria, 1e6 rows", "seconds", "x k alone", "loss", "nodes")
    return results.table(head, rows)


def _sizes(folder: Path) -> str:
    rows = []
    for count in ROWS:
        path = folder / f"{count}.parquet"
        tables.write(path, count)
        seen = measure(path, CRITERIA["k=5"])
        rows.append(
            (f"{count:.0e}", f"{seen['seconds']:.1f}", f"{seen['seconds'] / count * 1e6:.2f}", f"{seen['memory']:.2f}",
             f"{seen['tuples']:,}", f"{seen['loss']:.4f}")
        )  # fmt: skip
        path.unlink()
    return results.table(("rows", "seconds", "s per 1e6", "most memory, GB", "tuples", "loss"), rows)


def measure(path: Path, criteria: dict[str, Any]) -> dict[str, Any]:
    """Anonymize a table of `tables.write` in a process of its own: seconds, memory (GB), and what came out."""
    command = [sys.executable, "-m", "tests.benchmarks.anonymization", str(path), json.dumps(criteria)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    found = json.loads(done.stdout)
    sys.stderr.write(f"{path.name} {criteria}: {found['seconds']:.1f} s, {found['memory']:.2f} GB\n")
    return found


def _pandas(path: Path) -> float:
    import pyarrow.parquet as pq

    quasi = tables.policy().quasi
    frame = pq.read_table(path, columns=quasi).to_pandas()
    start = time.perf_counter()
    frame.groupby(quasi).size()
    return time.perf_counter() - start


def _anjana(path: Path) -> float | None:
    """Seconds, or None if it takes too long."""
    from tasks.anonymization import hierarchies

    policy, source = tables.policy(), tables.real_rows()
    levels = {}
    for name in policy.quasi:
        leaves = source[name].unique().to_pylist()
        typed = [hierarchies.as_leaf(leaf, policy.columns[name].kind) for leaf in leaves]
        tree = hierarchies.build(name, policy.columns[name], typed)
        words = [[str(tree.labels[n][code]) for code in tree.codes[n]] for n in range(1, tree.levels)]
        levels[name] = dict(enumerate([leaves, *words]))
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(levels, file)
        file.flush()
        python = peers.environment("anjana", "anjana", "pyarrow")
        try:
            done = subprocess.run(
                [python, "-c", _ANJANA, path, file.name], check=True, stdout=subprocess.PIPE, timeout=_ANJANA_SECONDS
            )
        except subprocess.TimeoutExpired:
            return None
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def _run(path: Path, criteria: dict[str, Any]) -> dict[str, Any]:
    from tasks.anonymization import anonymizer
    from tasks.anonymization.plan import first_plan
    from tasks.common.streaming import InFile
    from tasks.common.table import open_table

    policy = tables.policy(**criteria)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        out, warm = Path(folder) / "out.parquet", Path(folder) / "warm.parquet"
        tables.write(warm, 20_000)
        for source in (warm, path):
            rows = anonymizer.source(InFile(open_table(source), policy), policy)
            start = time.perf_counter()
            counted = anonymizer.count(rows, None, sensitive_in(criteria))
            account = anonymizer.write(rows, counted, first_plan(policy), np.random.default_rng(0), out)
            seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "tuples": len(counted.tuples),
        **account.model_dump(mode="json", include={"loss", "bound", "optimal", "nodes", "k", "suppressed", "levels"}),
    }


def sensitive_in(criteria: dict[str, Any]) -> list[str]:
    """The sensitive columns that criteria are about."""
    return [tables.SENSITIVE] if {"l", "t"} & criteria.keys() else []


if __name__ == "__main__":
    print(json.dumps(_run(Path(sys.argv[1]), json.loads(sys.argv[2]))))  # noqa: T201 - read by `measure`
