"""A job with several parts, keys for it, and its data: what tests of the two sides work on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.encryption import keys, owner_side
from tasks.encryption.exchange import Assignment
from tasks.encryption.job import Job
from tasks.encryption.jobs import kinds

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - of keys that tests make
# A histogram makes records wide, so that few rows fill many ciphertexts: 130 of them, in three parts.
DESCRIPTION: dict[str, Any] = {
    "kind": "statistics",
    "rows": 4160,
    "columns": [{"name": "age", "lowest": 0, "highest": 120, "edges": list(range(121))}],
}


@dataclass
class Sides:
    """A job that both sides have, and where their keys and their folder are."""

    job: Job
    assignment: Assignment
    keys: Path
    folder: Path
    data: np.ndarray

    @property
    def owner(self) -> Path:
        """The owner's keys."""
        return self.keys / "owner"

    @property
    def evaluator(self) -> Path:
        """The evaluator's keys."""
        return self.keys / "evaluator"

    def encrypt(self, data: np.ndarray | None = None) -> Any:
        """What the owner does first."""
        given = self.data if data is None else data
        return owner_side.encrypt(self.folder, self.assignment, self.owner, PASSPHRASE, given)

    def decrypt(self) -> Any:
        """What the owner does last."""
        return owner_side.decrypt(self.folder, self.owner, PASSPHRASE)


def make_keys(place: Path, description: dict[str, Any] = DESCRIPTION, **more: Any) -> Path:
    """Keys for a job in a folder."""
    needs = kinds.read(description).needs()
    keys.make(place, needs.parameters, PASSPHRASE, rotations=needs.rotations, products=needs.products, **more)
    return place


def sides(key_folder: Path, folder: Path, description: dict[str, Any] = DESCRIPTION, seed: int = 1) -> Sides:
    """Both sides of a job, with data of its own."""
    assignment, job = owner_side.describe(description, key_folder / "owner")
    data = np.random.default_rng(seed).integers(0, 121, (description["rows"], 1))
    return Sides(job, assignment, key_folder, folder, data)
