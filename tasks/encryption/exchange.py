"""What owner and evaluator share: a folder with the job's description, ciphertexts, and records of what was done.

    job.json          the description, and whose keys the job is done with
    to-evaluator/     the owner's ciphertexts (*.he), and record.json once all are there
    contributed/NAME/ the same of each contributor, where several bring data together
    working/          what the evaluator made of parts of them, each with its record; gone once there is an answer
    from-evaluator/   the answer's ciphertexts, and record.json once all are there
    decrypted.json    the owner's record; the result itself is kept elsewhere

Records are written after what they name. A process that is killed leaves a whole step or none, and the same command
does only what is missing. Neither a plaintext nor a secret key is ever here, so the folder may lie on the evaluator's
machine, or be copied there and back.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import Field, ValidationError

from tasks.common.errors import CiphertextError, InputError
from tasks.common.store import write_text
from tasks.common.table import file_hash
from tasks.common.values import Value, content_hash
from tasks.encryption import envelope
from tasks.encryption.ciphertext import Encrypted
from tasks.encryption.job import Job, Messages
from tasks.encryption.jobs import kinds
from tasks.encryption.jobs.pooled import Pooled
from tasks.encryption.session import Session

V = TypeVar("V", bound=Value)

JOB, RECORD, DECRYPTED = "job.json", "record.json", "decrypted.json"
TO_EVALUATOR, FROM_EVALUATOR, WORKING = "to-evaluator", "from-evaluator", "working"
CONTRIBUTED = "contributed"
# A record of the other side can name nothing outside the folder.
_FILE = rf"^({TO_EVALUATOR}|{FROM_EVALUATOR}|{WORKING}/[0-9a-f]+|{CONTRIBUTED}/[A-Za-z0-9_-]+)/[^/]+\.he$"
_LONGEST_NAME = 200


class State(StrEnum):
    """How far a job has come; each follows the one before."""

    OPENED = "opened"  # the contributors' ciphertexts are awaited
    ENCRYPTED = "encrypted"  # the owner's ciphertexts, or those of one contributor, are there
    EVALUATED = "evaluated"  # the evaluator's answer is there
    DECRYPTED = "decrypted"  # the owner has the result


class Assignment(Value):
    """What is to be done, and under whose keys (their fingerprint); both sides have it."""

    job: dict[str, Any]
    keys: str

    @property
    def task(self) -> Job:
        """The job that is described.

        Raises:
            InputError, ParametersError: nothing here can do it.
        """
        return kinds.read(self.job)

    @property
    def kind(self) -> str:
        """What the job is called."""
        return str(self.job.get("kind", "job"))

    @property
    def identity(self) -> str:
        """Equal for equal assignments, 64 hexadecimal digits."""
        return content_hash(self)


class Message(Value):
    """A ciphertext in a file: its name in the job, its path in the folder, its content and length."""

    name: str
    file: str = Field(pattern=_FILE)
    sha256: str
    bytes: int


class Record(Value):
    """What was done, once it was done whole. made_of: what it was made of, which a second run compares.

    seconds: of computing, over all workers.
    """

    state: State
    made_of: str
    messages: tuple[Message, ...]
    seconds: float

    @property
    def identity(self) -> str:
        """Equal for equal messages."""
        return content_hash([[message.name, message.sha256] for message in self.messages])

    @property
    def bytes(self) -> int:
        """Of all messages."""
        return sum(message.bytes for message in self.messages)


class Sent(Record):
    """The owner's. salt, seal: a keyed digest of the assignment, by which the owner knows it again."""

    salt: str
    seal: str


class Contribution(Record):
    """A contributor's. keys: the fingerprint of the public key that it was encrypted with."""

    contributor: str
    keys: str


class Answer(Record):
    """The evaluator's. answers: the identity of the messages that it was given. parts: of the work.

    error: how far the result may be off, as the job states it; 0 where it is exact.
    """

    answers: str
    parts: int
    error: float


class Decrypted(Value):
    """The owner's, at the end. of: the identity of the answer."""

    state: State = State.DECRYPTED
    of: str
    seconds: float


def assign(folder: Path, assignment: Assignment) -> None:
    """Write the assignment into a folder, which may have it already.

    Raises:
        InputError: the folder is another job's.
        StorageError: it cannot be written.
    """
    path = folder / JOB
    if path.exists():
        if read_assignment(folder) != assignment:
            raise InputError(f"{folder} belongs to another job, or to other keys; name a new folder")
        return
    write_text(path, assignment.model_dump_json(indent=2) + "\n")


def read_assignment(folder: Path) -> Assignment:
    """The assignment in a job's folder.

    Raises:
        InputError: there is none, or it is damaged.
    """
    found = _read(folder / JOB, Assignment)
    if found is None:
        raise InputError(f"{folder} is no folder of a job; `secured he encrypt` makes one")
    return found


def read_record(folder: Path, kind: type[V], name: str = RECORD) -> V | None:
    """The record in one of a job's folders, None where that was not done yet.

    Raises:
        InputError: it is damaged.
    """
    return _read(folder / name, kind)


def sent(folder: Path) -> Sent | None:
    """What the evaluator is given: the owner's messages, or those of all contributors. None if nothing was sent yet.

    Raises:
        InputError: a contribution is still missing, was encrypted for other keys, or a record is damaged.
    """
    found = read_record(folder / TO_EVALUATOR, Sent)
    if found is None or found.state is not State.OPENED:
        return found
    assignment = read_assignment(folder)
    task = assignment.task
    if not isinstance(task, Pooled):
        raise InputError(f"{folder / TO_EVALUATOR} is the record of another job; copy the folder again")
    records = {name: read_record(folder / CONTRIBUTED / name, Contribution) for name in task.contributors}
    there = [record for record in records.values() if record is not None]
    if awaited := [name for name, record in records.items() if record is None]:
        raise InputError(
            f"{len(there)} of {len(records)} have contributed to {folder}; waiting for {', '.join(awaited)}"
        )
    if foreign := [record.contributor for record in there if record.keys != assignment.keys]:
        raise InputError(f"the contribution of {', '.join(foreign)} was encrypted for other keys than the job's")
    return found.model_copy(
        update={
            "state": State.ENCRYPTED,
            "messages": tuple(message for record in there for message in record.messages),
            "seconds": sum(record.seconds for record in there),
        }
    )


def write_record(folder: Path, record: Value, name: str = RECORD) -> None:
    """Write a record; what it names has to be there."""
    write_text(folder / name, record.model_dump_json(indent=2) + "\n")


def put(folder: Path, place: str, messages: Messages) -> tuple[Message, ...]:
    """Write ciphertexts under `place` in a job's folder, each whole or not at all, in the order of their names.

    Raises:
        InputError: a name is too long for a file.
        StorageError: they cannot be written.
    """
    (folder / place / RECORD).unlink(missing_ok=True)  # of what is overwritten now
    written = []
    for name in sorted(messages):
        file = f"{place}/{_file_name(name)}"
        envelope.save(messages[name], folder / file)
        written.append(
            Message(name=name, file=file, sha256=file_hash(folder / file), bytes=(folder / file).stat().st_size)
        )
    _remove_others(folder / place, {Path(message.file).name for message in written})
    return tuple(written)


def get(session: Session, folder: Path, message: Message) -> Encrypted:
    """The ciphertext of a message.

    Raises:
        CiphertextError: it is missing, not the one that was recorded, damaged, or of other keys.
    """
    require_there(folder, (message,))
    loaded: Encrypted = envelope.load(session, folder / message.file)
    return loaded


def require_there(folder: Path, messages: tuple[Message, ...]) -> None:
    """Refuse messages that are missing or are not those that were recorded.

    Raises:
        CiphertextError: one is; the message says how many and names the first.
    """
    if lacking := [message.file for message in messages if not (folder / message.file).is_file()]:
        raise CiphertextError(
            f"{len(lacking)} of {len(messages)} ciphertexts are missing in {folder}, the first is {lacking[0]}; "
            "copy the folder again"
        )
    for message in messages:
        path = folder / message.file
        if path.stat().st_size != message.bytes or file_hash(path) != message.sha256:
            raise CiphertextError(f"{path} is not the ciphertext that was recorded; copy the folder again")


def are_there(folder: Path, messages: tuple[Message, ...]) -> bool:
    """Whether `require_there` would be content."""
    try:
        require_there(folder, messages)
    except CiphertextError:
        return False
    return True


def _read(path: Path, kind: type[V]) -> V | None:
    try:
        return kind.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, ValidationError):
        raise InputError(f"{path} is damaged, or was written by another version") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error


def _file_name(name: str) -> str:
    safe = quote(name, safe="") + ".he"
    if len(safe) > _LONGEST_NAME:
        raise InputError(f"a message of this job has a name of {len(name)} letters, too long for a file")
    return safe


def _remove_others(folder: Path, kept: set[str]) -> None:
    """Ciphertexts of an earlier, unfinished try."""
    for path in folder.glob("*.he"):
        if path.name not in kept:
            path.unlink(missing_ok=True)
