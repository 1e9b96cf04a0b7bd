"""The owner's side of a job: encrypts what goes to the evaluator, decrypts what comes back. Nobody else does either.

The evaluator is trusted to do the work as it is described, not to see anything. What it could change in the folder
without being noticed there, the description, is sealed with a key that follows from the secret key.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tasks.common.errors import InputError, KeyRefused
from tasks.encryption import exchange, keys
from tasks.encryption.exchange import (
    DECRYPTED,
    FROM_EVALUATOR,
    TO_EVALUATOR,
    Answer,
    Assignment,
    Decrypted,
    Sent,
    State,
)
from tasks.encryption.job import Job, Needs
from tasks.encryption.jobs.pooled import Pooled
from tasks.encryption.keys import Lock, Manifest
from tasks.encryption.plaintexts import Data
from tasks.encryption.session import Role, Session


def require_keys(manifest: Manifest, needs: Needs) -> None:
    """Refuse keys that a job cannot be done with, before anything is opened.

    Raises:
        KeyRefused: they are of other parameters, or lack rotations or products.
    """
    if manifest.parameters != needs.parameters:
        lacking = "are of other parameters than this job needs"
    elif steps := sorted(set(needs.rotations) - set(manifest.rotations)):
        lacking = f"cannot rotate by {', '.join(map(str, steps[:5]))}, which this job needs"
    elif needs.products and not manifest.products:
        lacking = "cannot multiply ciphertexts, which this job needs"
    else:
        return
    raise KeyRefused(f"the keys {manifest.fingerprint} {lacking}; `secured he keys make --job` makes the right ones")


def encrypt(folder: Path, assignment: Assignment, key_folder: Path, lock: Lock, data: Data) -> Sent:
    """Encrypt data for a job into its folder. The same data a second time keep the ciphertexts that are there.

    Raises:
        InputError: the folder is another job's, or as in `open_owner`.
        KeyRefused: the keys are not the assignment's, do not fit the job, do not open, or are expired.
        WouldBeWrong: the data do not fit the job.
    """
    job = assignment.task
    _require_assigned(assignment, key_folder)
    began = time.perf_counter()
    session = keys.open_owner(key_folder, lock)
    exchange.assign(folder, assignment)
    digest = _sealing(session)
    earlier = exchange.read_record(folder / TO_EVALUATOR, Sent)
    if earlier is not None and _repeats(earlier, digest, assignment, data) and _whole(folder, earlier):
        return earlier
    made = job.encrypt(session, data)  # type: ignore[arg-type]  # some jobs take several arrays
    salt = os.urandom(16).hex()
    sent = Sent(
        state=State.ENCRYPTED, salt=salt, seal=_seal(digest, salt, assignment),
        made_of=_made_of(digest, salt, assignment, data), messages=exchange.put(folder, TO_EVALUATOR, made),
        seconds=time.perf_counter() - began,
    )  # fmt: skip
    exchange.write_record(folder / TO_EVALUATOR, sent)
    return sent


def open_for_contributors(folder: Path, assignment: Assignment, key_folder: Path, lock: Lock) -> Sent:
    """Open a job's folder, to which each contributor then brings its part. A second time it stays as it is.

    Raises:
        InputError: nobody else contributes to such a job, or as in `encrypt`.
        KeyRefused: as in `encrypt`.
    """
    if not isinstance(assignment.task, Pooled):
        raise InputError(f"a job {assignment.kind} has one owner of all data; `secured he encrypt` encrypts them")
    _require_assigned(assignment, key_folder)
    digest = _sealing(keys.open_owner(key_folder, lock))
    exchange.assign(folder, assignment)
    if (earlier := exchange.read_record(folder / TO_EVALUATOR, Sent)) is not None:
        if earlier.state is not State.OPENED:
            raise InputError(f"the data of all are in {folder} already; name a new folder")
        return earlier
    salt = os.urandom(16).hex()
    seal = _seal(digest, salt, assignment)
    opened = Sent(state=State.OPENED, salt=salt, seal=seal, made_of="", messages=(), seconds=0.0)
    exchange.write_record(folder / TO_EVALUATOR, opened)
    return opened


def decrypt(folder: Path, key_folder: Path, lock: Lock) -> Any:
    """The result of a job: numbers, or arrays by name. Only a record of the work is left in the folder.

    Raises:
        InputError: there is no answer yet, or the folder was not made with these keys; or as in `open_owner`.
        KeyRefused: the keys are others than the job's, do not open, or are expired.
        CiphertextError: the answer is damaged, incomplete, or to other messages than were sent.
        WouldBeWrong: a number is beyond what its ciphertext claims.
    """
    assignment = exchange.read_assignment(folder)
    manifest = keys.read_manifest(key_folder, Role.OWNER)
    if manifest.fingerprint != assignment.keys:
        raise KeyRefused(f"{folder} is a job under the keys {assignment.keys}; those here are {manifest.fingerprint}")
    sent, answer = _answered(folder)
    began = time.perf_counter()
    session = keys.open_owner(key_folder, lock)
    if not hmac.compare_digest(sent.seal, _seal(_sealing(session), sent.salt, assignment)):
        raise InputError(f"{folder / exchange.JOB} is not what the owner wrote there; encrypt again in a new folder")
    messages = {message.name: exchange.get(session, folder, message) for message in answer.messages}
    result = assignment.task.decrypt(session, messages)
    record = Decrypted(of=answer.identity, seconds=time.perf_counter() - began)
    exchange.write_record(folder, record, DECRYPTED)
    return result


def describe(description: dict[str, Any], key_folder: Path) -> tuple[Assignment, Job]:
    """The assignment of a description under the owner's keys, and the job in it.

    Raises:
        InputError, ParametersError: the description is of no job that is known, or impossible.
        KeyRefused: the keys are expired or do not fit the job.
    """
    manifest = keys.read_manifest(key_folder, Role.OWNER)
    assignment = Assignment(job=description, keys=manifest.fingerprint)
    job = assignment.task
    require_keys(manifest, job.needs())
    return assignment, job


def _answered(folder: Path) -> tuple[Sent, Answer]:
    sent = exchange.read_record(folder / TO_EVALUATOR, Sent)
    if sent is None:
        raise InputError(f"nothing is encrypted in {folder} yet; `secured he encrypt` does that")
    answer = exchange.read_record(folder / FROM_EVALUATOR, Answer)
    if answer is None:
        raise InputError(f"there is no answer in {folder} yet; the evaluator makes it with `secured he evaluate`")
    # What contributors send does not come by the owner, who could not tell theirs from other messages.
    if sent.state is not State.OPENED and answer.answers != sent.identity:
        raise InputError(f"the answer in {folder} is to other messages than were sent last; evaluate again")
    exchange.require_there(folder, answer.messages)
    return sent, answer


def _require_assigned(assignment: Assignment, key_folder: Path) -> None:
    manifest = keys.read_manifest(key_folder, Role.OWNER)
    if manifest.fingerprint != assignment.keys:
        raise KeyRefused(f"the job is assigned under the keys {assignment.keys}; these are {manifest.fingerprint}")
    require_keys(manifest, assignment.task.needs())


_Digest = Callable[..., str]


def _sealing(session: Session) -> _Digest:
    """HMAC-SHA-256 under a key that follows from the secret key, as a function of a salt and what is sealed."""
    key = hashlib.sha256(b"secured-job-seal\0" + session.native.to_bytes_secret_key("none")).digest()

    def digest(salt: str, *parts: bytes | memoryview) -> str:
        made = hmac.new(key, bytes.fromhex(salt), hashlib.sha256)
        for part in parts:
            made.update(len(part).to_bytes(8, "big") + part)
        return made.hexdigest()

    return digest


def _seal(digest: _Digest, salt: str, assignment: Assignment) -> str:
    return digest(salt, b"assignment", assignment.identity.encode())


def _made_of(digest: _Digest, salt: str, assignment: Assignment, data: Data) -> str:
    named = data if isinstance(data, dict) else {"": data}
    parts: list[bytes | memoryview] = [b"data", assignment.identity.encode()]
    for name, array in named.items():
        parts += [f"{name} {array.dtype.str}{array.shape}".encode(), np.ascontiguousarray(array).data.cast("B")]
    return digest(salt, *parts)


def _repeats(earlier: Sent, digest: _Digest, assignment: Assignment, data: Data) -> bool:
    return hmac.compare_digest(earlier.made_of, _made_of(digest, earlier.salt, assignment, data))


def _whole(folder: Path, sent: Sent) -> bool:
    return exchange.are_there(folder, sent.messages)
