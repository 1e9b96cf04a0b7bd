"""The evaluator's side of a job: from ciphertexts to ciphertexts, with a folder of keys that cannot decrypt.

Parts of the work are done by whoever is free, in any process that sees the job's folder. What is handed to them is
where things are and what they are by content; keys are opened once per process.
"""

from __future__ import annotations

import functools
import shutil
import time
from pathlib import Path

from tasks.common.code import code_version
from tasks.common.errors import InputError, KeyRefused, WouldBeWrong
from tasks.common.values import Value, content_hash
from tasks.encryption import exchange, keys
from tasks.encryption.exchange import FROM_EVALUATOR, WORKING, Answer, Message, Record, Sent, State
from tasks.encryption.session import Role, Session


class Work(Value):
    """A job as evaluators see it: its folder, the folder of their keys, and the identity of the assignment."""

    folder: Path
    key_folder: Path  # not `keys`: Prefect would take the record for a mapping
    assignment: str


class Part(Value):
    """Messages that belong together."""

    messages: tuple[Message, ...]


def take(folder: Path, key_folder: Path) -> Work:
    """Look at a job before it is done: are these its keys, is all there.

    Raises:
        InputError: the folder is no job's, nothing was encrypted yet, or the keys are not an evaluator's.
        KeyRefused: the keys are expired, or others than the job's.
        CiphertextError: a message is missing, or not the one that was sent.
    """
    assignment = exchange.read_assignment(folder)
    manifest = keys.read_manifest(key_folder, Role.EVALUATOR)
    if manifest.fingerprint != assignment.keys:
        raise KeyRefused(f"{folder} is a job under the keys {assignment.keys}; those here are {manifest.fingerprint}")
    exchange.require_there(folder, _sent(folder).messages)
    return Work(folder=folder, key_folder=key_folder, assignment=assignment.identity)


def parts(work: Work) -> tuple[Part, ...]:
    """The parts of a job that are to be done, none where there is an answer already.

    Raises:
        WouldBeWrong: the job leaves messages out.
    """
    if _answered(work) is not None:
        return ()
    sent = {message.name: message for message in _sent(work.folder).messages}
    lists = _assignment(work).task.parts(list(sent))
    if {name for names in lists for name in names} != set(sent):
        raise WouldBeWrong("the parts of this job are not all of its messages")
    return tuple(Part(messages=tuple(sent[name] for name in names)) for names in lists)


def evaluate_part(work: Work, part: Part) -> Record:
    """Do a part, unless it was done before, and keep what it made in the job's folder.

    Raises:
        KeyRefused, CiphertextError: as in `take`, or a key that the job needs is missing.
        WouldBeWrong: an operation would not decrypt to what it says.
    """
    made_of = content_hash([code_version(), work.assignment, [[m.name, m.sha256] for m in part.messages]])
    place = f"{WORKING}/{made_of[:32]}"
    done = exchange.read_record(work.folder / place, Record)
    if done is not None and done.made_of == made_of and exchange.are_there(work.folder, done.messages):
        return done
    began = time.perf_counter()
    session = session_of(work)
    given = {message.name: exchange.get(session, work.folder, message) for message in part.messages}
    made = _assignment(work).task.evaluate(session, given)
    record = Record(
        state=State.EVALUATED, made_of=made_of, messages=exchange.put(work.folder, place, made),
        seconds=time.perf_counter() - began,
    )  # fmt: skip
    exchange.write_record(work.folder / place, record)
    return record


def combine(work: Work, done: list[Record]) -> Answer:
    """Put the parts together, in their order, as the answer; what they were made in is removed.

    An answer that is there already is kept as it is.

    Raises:
        KeyRefused, CiphertextError, WouldBeWrong: as in `evaluate_part`.
    """
    if (answered := _answered(work)) is not None:
        return answered
    began = time.perf_counter()
    session = session_of(work)
    made = [{m.name: exchange.get(session, work.folder, m) for m in record.messages} for record in done]
    job = _assignment(work).task
    answer = job.combine(session, made)
    sent = _sent(work.folder)
    record = Answer(
        state=State.EVALUATED, made_of=_made_of(work, sent), messages=exchange.put(work.folder, FROM_EVALUATOR, answer),
        answers=sent.identity, parts=len(done), error=job.stated_error(answer),
        seconds=sum(part.seconds for part in done) + time.perf_counter() - began,
    )  # fmt: skip
    exchange.write_record(work.folder / FROM_EVALUATOR, record)
    shutil.rmtree(work.folder / WORKING, ignore_errors=True)
    return record


def evaluate(folder: Path, key_folder: Path) -> Answer:
    """The whole job in this process, one part after the other; only what is missing is done.

    Raises:
        As `take`, `evaluate_part` and `combine`.
    """
    work = take(folder, key_folder)
    return combine(work, [evaluate_part(work, part) for part in parts(work)])


def session_of(work: Work) -> Session:
    """The keys of a job, open in this process; refused as soon as they are expired.

    Raises:
        InputError, KeyRefused: as in `take`.
    """
    manifest = keys.read_manifest(work.key_folder, Role.EVALUATOR)
    return _opened(work.key_folder, manifest.fingerprint)


@functools.lru_cache(maxsize=1)  # rotation keys can take hundreds of megabytes
def _opened(folder: Path, fingerprint: str) -> Session:
    session = keys.open_evaluator(folder)
    assert session.fingerprint == fingerprint, "the manifest was read a moment ago"
    return session


def _assignment(work: Work) -> exchange.Assignment:
    found = exchange.read_assignment(work.folder)
    if found.identity != work.assignment:
        raise InputError(f"{work.folder} was given to another job while this one was done")
    return found


def _sent(folder: Path) -> Sent:
    sent = exchange.sent(folder)
    if sent is None:
        raise InputError(f"nothing is encrypted in {folder} yet; the owner does that with `secured he encrypt`")
    return sent


def _answered(work: Work) -> Answer | None:
    """The answer, if there is one to the messages that are there now."""
    found = exchange.read_record(work.folder / FROM_EVALUATOR, Answer)
    sent = _sent(work.folder)
    if found is None or found.made_of != _made_of(work, sent) or not exchange.are_there(work.folder, found.messages):
        return None
    return found


def _made_of(work: Work, sent: Sent) -> str:
    return content_hash([code_version(), work.assignment, sent.identity])
