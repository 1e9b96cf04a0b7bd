"""Random sequences of operations never decrypt to something else than they say, and never end the process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("Pyfhel", reason="Pyfhel is not installed; make env builds it")

ROOT = Path(__file__).resolve().parents[3]


def run(seed: int, count: int, seconds: float) -> Any:
    """What came of them, in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.unit.encryption.sequences", str(seed), str(count)],
        capture_output=True, text=True, timeout=seconds, check=False, cwd=ROOT,
    )  # fmt: skip
    assert ended.returncode == 0, f"the process ended with {ended.returncode}: {ended.stderr[-2000:]}"
    return json.loads(ended.stdout)


def require(found: Any, count: int) -> None:
    """Nothing wrong, and enough that was allowed and enough that was refused, so that it says something."""
    assert found["wrong"] == []
    tally = found["tally"]
    assert tally["complete"] + tally["refused"] == count
    assert min(tally["complete"], tally["refused"]) > count / 5
    assert tally["checked"] > 2 * count


def test_dozens_of_sequences_are_right_or_refused() -> None:
    require(run(20261128, 60, 600), 60)


@pytest.mark.long
def test_a_thousand_sequences_are_right_or_refused() -> None:
    """Ten thousand of them are a benchmark: `python -m tests.benchmarks.encryption_sequences`."""
    require(run(1, 1_000, 3600), 1_000)
