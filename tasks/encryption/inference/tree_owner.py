"""The owner's side of a tree job, a process of its own: the only one that has the secret key or sees a person.

    python -m tasks.encryption.inference.tree_owner FOLDER TABLE RESULT

It encrypts the table into the folder, waits there for answers, and writes the decisions where its owner alone can read
them.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from tasks.common.errors import InputError, SecuredError
from tasks.common.store import atomic
from tasks.encryption import plaintexts
from tasks.encryption.inference import tree_job
from tasks.encryption.inference.tfhe import TreeOwner
from tasks.encryption.inference.tree import TreePlan
from tasks.encryption.inference.tree_job import ANSWERS, KEY, QUESTIONS

_POLL_SECONDS = 0.1


def main() -> None:
    """Ask, wait, decrypt. Whoever started this ends it if there will be no answer."""
    folder, table, result = (Path(argument) for argument in sys.argv[1:])
    try:
        own(folder, table, result)
    except SecuredError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


def own(folder: Path, table: Path, result: Path) -> None:
    """The whole of the owner's work.

    Raises:
        SecuredError: the table does not fit the tree, Concrete is not installed, or an answer is not one.
    """
    plan = tree_job.read_plan(folder)
    people, start = people_of(plan, table), time.perf_counter()
    with TreeOwner(plan) as owner:
        names = [f"{row:07d}" for row in range(len(people))]
        with atomic(folder / KEY) as temporary:
            temporary.write_bytes(owner.evaluation_keys)
        tree_job.put(folder, QUESTIONS, names, owner.encrypt(people))
        tree_job.close(folder, QUESTIONS, time.perf_counter() - start)
        while tree_job.account_of(folder, ANSWERS) is None:
            time.sleep(_POLL_SECONDS)
        decided = owner.decrypt(tree_job.get(folder, ANSWERS, names))
    found = {"decision": decided} | ({"classes": list(plan.classes)} if result.suffix == ".json" else {})
    plaintexts.write(found if result.suffix != ".npy" else decided, result)


def people_of(plan: TreePlan, path: Path) -> np.ndarray:
    """The columns that a tree uses, in their places: float64 (rows, columns of the model), 0 in those it ignores.

    Raises:
        InputError, TableError: the file cannot be read, or lacks a column that the tree uses.
    """
    found = plaintexts.read(path, plan.features)
    if isinstance(found, dict):
        raise InputError(f"{path} has {len(found)} arrays by name; a tree takes one of {plan.width} columns")
    if path.suffix == ".npy":
        return np.asarray(found, dtype=np.float64)
    people = np.zeros((len(found), plan.width))
    people[:, list(plan.columns)] = found
    return people


if __name__ == "__main__":
    main()
