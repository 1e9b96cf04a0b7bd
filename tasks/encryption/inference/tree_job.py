"""A decision tree on people who stay encrypted, as a folder that owner and evaluator share.

    plan.json        the tree, which both sides have
    evaluation.key   what the evaluator computes with; it cannot decrypt
    questions/*.tfhe and questions.json once all are there: a person each
    answers/*.tfhe   and answers.json once all are there

The owner's secret key is in the memory of its process alone, and ends with it: `tree_owner` asks, waits and decrypts in
one go. If it ends early, what is in the folder is worth nothing any more, and the job begins in a new one.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path

from pydantic import ValidationError

from tasks.common.code import code_version
from tasks.common.errors import CiphertextError, InputError
from tasks.common.store import atomic, write_text
from tasks.common.table import file_hash
from tasks.common.values import Value, content_hash
from tasks.encryption.evidence import Evidence
from tasks.encryption.inference.tfhe import TreeEvaluator
from tasks.encryption.inference.tree import TreePlan

PLAN, KEY, QUESTIONS, ANSWERS = "plan.json", "evaluation.key", "questions", "answers"
KIND = "tree"


class Account(Value):
    """What one side did. identity: of its messages. seconds: of computing, over all workers."""

    people: int
    bytes: int
    seconds: float
    identity: str


def write_plan(plan: TreePlan, folder: Path) -> None:
    """Begin a job.

    Raises:
        InputError: there is one in the folder already.
    """
    if (folder / PLAN).exists() or (folder / QUESTIONS).exists():
        raise InputError(f"{folder} belongs to another job; name a new folder")
    write_text(folder / PLAN, plan.model_dump_json(indent=2) + "\n")


def read_plan(folder: Path) -> TreePlan:
    """The tree of a job.

    Raises:
        InputError: there is none, or it is damaged.
    """
    try:
        return TreePlan.model_validate_json((folder / PLAN).read_bytes())
    except OSError as error:
        raise InputError(f"{folder} holds no tree job ({error.strerror})") from None
    except ValidationError:
        raise InputError(f"{folder / PLAN} is damaged, or was written by another version") from None


def put(folder: Path, what: str, names: list[str], messages: list[bytes]) -> None:
    """Write messages, each whole or not at all."""
    for name, message in zip(names, messages, strict=True):
        with atomic(folder / what / f"{name}.tfhe") as temporary:
            temporary.write_bytes(message)


def get(folder: Path, what: str, names: list[str]) -> list[bytes]:
    """Messages by name.

    Raises:
        CiphertextError: one is missing.
    """
    try:
        return [(folder / what / f"{name}.tfhe").read_bytes() for name in names]
    except FileNotFoundError as error:
        raise CiphertextError(f"{error.filename} is missing; copy the folder again") from None


def close(folder: Path, what: str, seconds: float) -> Account:
    """Say that all messages of a side are there."""
    paths = [folder / what / f"{name}.tfhe" for name in names_of(folder, what)]
    account = Account(
        people=len(paths), bytes=sum(path.stat().st_size for path in paths), seconds=seconds,
        identity=content_hash([[path.stem, file_hash(path)] for path in paths]),
    )  # fmt: skip
    write_text(folder / f"{what}.json", account.model_dump_json(indent=2) + "\n")
    return account


def account_of(folder: Path, what: str) -> Account | None:
    """What a side did, once all of its messages are there."""
    path = folder / f"{what}.json"
    return Account.model_validate_json(path.read_bytes()) if path.is_file() else None


def names_of(folder: Path, what: str) -> list[str]:
    """Of the messages that are there, in order."""
    return sorted(path.stem for path in (folder / what).glob("*.tfhe"))


def evaluate(folder: Path, names: list[str]) -> float:
    """Answer questions that are not answered yet; says how many seconds that took.

    Raises:
        MissingPart: Concrete is not installed.
        CiphertextError: a question is missing, damaged, or of another tree or other keys.
    """
    start = time.perf_counter()
    evaluator = _opened(folder)
    for name in names:
        if not (folder / ANSWERS / f"{name}.tfhe").is_file():
            put(folder, ANSWERS, [name], evaluator.evaluate(get(folder, QUESTIONS, [name])))
    return time.perf_counter() - start


@functools.lru_cache(maxsize=1)  # evaluation keys take a gigabyte once they are open
def _opened(folder: Path) -> TreeEvaluator:
    return TreeEvaluator(read_plan(folder), (folder / KEY).read_bytes())


def evidence(folder: Path, parts: int) -> Evidence:
    """How the job in a folder was done.

    Raises:
        InputError: it is not done.
    """
    plan, asked, answered = read_plan(folder), account_of(folder, QUESTIONS), account_of(folder, ANSWERS)
    if asked is None or answered is None or asked.people != answered.people:
        raise InputError(f"the job in {folder} is not done")
    job = {"kind": KIND, "plan": plan.model_dump(mode="json")}
    return Evidence(
        kind=KIND, job=job, keys=file_hash(folder / KEY)[:32], needs=None,
        error=0.0, chance=plan.failure, parts=parts, messages_sent=asked.people, messages_answered=answered.people,
        bytes_sent=asked.bytes + (folder / KEY).stat().st_size, bytes_answered=answered.bytes,
        seconds_encrypting=asked.seconds, seconds_evaluating=answered.seconds, seconds_decrypting=None,
        answer=answered.identity, code_version=code_version(),
    )  # fmt: skip
