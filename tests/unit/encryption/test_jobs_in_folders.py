"""Every kind of job goes the whole way through a folder that owner and evaluator share, with data as one array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("Pyfhel", reason="homomorphic encryption needs Pyfhel")

from tasks.encryption import evaluator_side, keys, owner_side
from tasks.encryption.job import Job
from tasks.encryption.jobs import kinds
from tasks.encryption.jobs.aggregation import Aggregation
from tasks.encryption.jobs.kmeans import KMeansDistances, KMeansUpdate, Points
from tasks.encryption.jobs.matvec import MatrixVector
from tasks.encryption.jobs.numbers import Numbers
from tasks.encryption.jobs.polygenic import Polygenic
from tasks.encryption.jobs.statistics import Column, Statistics
from tests.unit.encryption.job_runs import PASSPHRASE

RNG = np.random.default_rng(0)
POINTS = Points(rows=5000, columns=2, bound=1.0)
CASES: dict[str, tuple[Job, np.ndarray]] = {
    "statistics": (
        Statistics(columns=(Column(name="x", lowest=0, highest=9, edges=(0, 5, 9)),), rows=100_000),
        RNG.integers(0, 10, (90_000, 1)),
    ),
    "aggregation": (
        Aggregation(contributors=("a", "b", "c"), length=5000, bound=1.0, most_weight=9),
        np.column_stack([RNG.uniform(-1, 1, (3, 5000)), [1, 5, 9]]),
    ),
    "polygenic": (Polygenic(people=5000, weights=(0.5, -0.25, 1.0)), RNG.integers(0, 3, (5000, 3))),
    "matvec": (
        MatrixVector(matrix=Numbers.of(RNG.normal(size=(9, 5))), vectors=17, bound=1.0),
        RNG.uniform(-1, 1, (17, 5)),
    ),
    "distances": (KMeansDistances(points=POINTS, clusters=2), RNG.uniform(-1, 1, (5002, 2))),
    "update": (
        KMeansUpdate(points=POINTS, clusters=2),
        np.column_stack([RNG.uniform(-1, 1, (5000, 2)), RNG.integers(0, 2, 5000)]),
    ),
    "enlarge": (kinds.read({"kind": "enlarge", "shape": [9, 20, 31], "factors": [2, 2, 3]}), RNG.random((9, 20, 31))),
    "shrink": (kinds.read({"kind": "shrink", "shape": [8, 20, 30], "factors": [2, 1, 3]}), RNG.random((8, 20, 30))),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_folder_carries_it_there_and_back(tmp_path: Path, name: str) -> None:
    job, data = CASES[name]
    needs = job.needs()
    keys.make(tmp_path / "keys", needs.parameters, PASSPHRASE, rotations=needs.rotations, products=needs.products)
    assignment, _ = owner_side.describe(job.model_dump(mode="json"), tmp_path / "keys" / "owner")
    folder = tmp_path / "job"
    owner_side.encrypt(folder, assignment, tmp_path / "keys" / "owner", PASSPHRASE, data)
    made = evaluator_side.evaluate(folder, tmp_path / "keys" / "evaluator")
    got, plainly = owner_side.decrypt(folder, tmp_path / "keys" / "owner", PASSPHRASE), job.plainly(data)
    if isinstance(plainly, np.ndarray):
        got, plainly = {"volume": got}, {"volume": plainly}
    assert got.keys() == plainly.keys()
    for each, wanted in plainly.items():
        assert np.shape(got[each]) == np.shape(wanted)
        assert np.abs(np.asarray(got[each]) - wanted).max() <= made.error
