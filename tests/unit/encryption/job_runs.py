"""Jobs run as they are meant to: keys of their needs, three roles, descriptions as JSON, ciphertexts as envelopes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("Pyfhel", reason="homomorphic encryption needs Pyfhel")

from tasks.encryption import envelope, keys
from tasks.encryption.job import Job
from tasks.encryption.jobs import kinds

PASSPHRASE = "opens keys that are made for one test"  # noqa: S105


@dataclass(frozen=True)
class Roles:
    """Sessions of the three roles of one set of keys."""

    owner: Any
    evaluator: Any
    auditor: Any


def roles(job: Job, folder: Path) -> Roles:
    """Keys for what the job needs, no more."""
    needs = job.needs()
    assert needs.parameters.security == 128
    keys.make(folder, needs.parameters, PASSPHRASE, rotations=needs.rotations, products=needs.products)
    return Roles(
        keys.open_owner(folder / "owner", PASSPHRASE), keys.open_evaluator(folder / "evaluator"),
        keys.open_auditor(folder / "auditor"),
    )  # fmt: skip


def sent(session: Any, messages: dict[str, Any]) -> dict[str, Any]:
    """Messages as they arrive in another session."""
    return {name: envelope.unpack(session, envelope.pack(each)) for name, each in messages.items()}


def evaluated(job: Job, evaluator: Any, messages: dict[str, Any]) -> dict[str, Any]:
    """What the evaluator makes of all messages, of one part after the other, from the description alone."""
    read = kinds.read(job.model_dump_json())
    assert read == job
    made = [read.evaluate(evaluator, {name: messages[name] for name in part}) for part in read.parts(sorted(messages))]
    return read.combine(evaluator, made)


def answer(job: Job, by: Roles, data: Any) -> dict[str, Any]:
    """The evaluator's answer as it arrives at the owner, who encrypted the data."""
    return sent(by.owner, evaluated(job, by.evaluator, sent(by.evaluator, job.encrypt(by.owner, data))))


def result(job: Job, by: Roles, data: Any) -> Any:
    """The whole way."""
    return job.decrypt(by.owner, answer(job, by, data))
