"""A contributor's side of a job on what several bring together: encrypts with the public key, and can read nothing.

The description comes from the owner of the keys, not out of the evaluator's folder, who could have widened it there.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tasks.common.errors import InputError
from tasks.common.values import content_hash
from tasks.encryption import exchange, keys
from tasks.encryption.exchange import CONTRIBUTED, Assignment, Contribution, State
from tasks.encryption.jobs.pooled import Pooled
from tasks.encryption.plaintexts import Data
from tasks.encryption.session import Role


def describe(description: dict[str, Any], key_folder: Path, name: str) -> tuple[Assignment, Pooled]:
    """The assignment of a description under a public key, and the job in it, to which `name` brings data.

    Raises:
        InputError: no such job, nobody of that name contributes to it, or the keys are not an auditor's.
        KeyRefused: the keys are expired.
    """
    manifest = keys.read_manifest(key_folder, Role.AUDITOR)
    assignment = Assignment(job=description, keys=manifest.fingerprint)
    task = assignment.task
    if not isinstance(task, Pooled):
        raise InputError(f"a job {assignment.kind} has one owner of all data; nobody else contributes to it")
    task.require_contributor(name)
    return assignment, task


def contribute(folder: Path, assignment: Assignment, key_folder: Path, name: str, data: Data) -> Contribution:
    """Encrypt one contributor's data into the job's folder, in place of what it brought before.

    The owner of the keys could decrypt it: it is for the evaluator alone, who sums it with the others'.

    Raises:
        InputError: the folder is another job's; or the data are not one array that fits the job.
        WouldBeWrong: a value is beyond the job's bounds.
        StorageError: it cannot be written.
    """
    task = assignment.task
    assert isinstance(task, Pooled), "`describe` refuses others"
    if isinstance(data, dict):
        raise InputError(f"{name} brings one table or array (.npy), not {len(data)} by name")
    began = time.perf_counter()
    session = keys.open_auditor(key_folder)
    exchange.assign(folder, assignment)
    place = f"{CONTRIBUTED}/{name}"
    made = exchange.put(folder, place, task.contribute(session, name, data))
    record = Contribution(
        state=State.ENCRYPTED, contributor=name, keys=assignment.keys, messages=made,
        made_of=content_hash([assignment.identity, name]), seconds=time.perf_counter() - began,
    )  # fmt: skip
    exchange.write_record(folder / place, record)
    return record
