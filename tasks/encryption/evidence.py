"""What may be told of a job under encryption: how it was done, how exactly, at what cost; nothing of the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.common.code import code_version
from tasks.common.errors import InputError
from tasks.common.values import Value
from tasks.encryption import exchange
from tasks.encryption.exchange import DECRYPTED, FROM_EVALUATOR, Answer, Decrypted
from tasks.encryption.job import Needs

_CONCRETE_SECURITY = 128


class Evidence(Value):
    """One job, once it is done.

    keys: their fingerprint. needs: the keys that it took, None under TFHE. error: how far the result may be off, 0
    where it is exact. chance: that one of its values is wrong.
    seconds: of computing, over all workers. Bytes are of ciphertexts, in each direction.
    """

    kind: str
    job: dict[str, Any]
    keys: str
    needs: Needs | None
    error: float
    chance: float = 0.0
    parts: int
    messages_sent: int
    messages_answered: int
    bytes_sent: int
    bytes_answered: int
    seconds_encrypting: float
    seconds_evaluating: float
    seconds_decrypting: float | None
    answer: str
    code_version: str

    @property
    def security(self) -> int:
        """Bits of security of the parameters; 128 are what Concrete chooses them for."""
        return self.needs.parameters.security if self.needs else _CONCRETE_SECURITY

    @property
    def scheme(self) -> str:
        """The scheme's name."""
        return str(self.needs.parameters.scheme) if self.needs else "tfhe"


def collect(folder: Path) -> Evidence:
    """The evidence that is in a job's folder.

    Raises:
        InputError: the job is not done yet, or its records are damaged.
    """
    assignment = exchange.read_assignment(folder)
    sent = exchange.sent(folder)
    answer = exchange.read_record(folder / FROM_EVALUATOR, Answer)
    if sent is None or answer is None or answer.answers != sent.identity:
        raise InputError(f"the job in {folder} has no answer yet")
    decrypted = exchange.read_record(folder, Decrypted, DECRYPTED)
    return Evidence(
        kind=assignment.kind, job=assignment.job, keys=assignment.keys, needs=assignment.task.needs(),
        error=answer.error, parts=answer.parts, messages_sent=len(sent.messages),
        messages_answered=len(answer.messages), bytes_sent=sent.bytes, bytes_answered=answer.bytes,
        seconds_encrypting=sent.seconds, seconds_evaluating=answer.seconds,
        seconds_decrypting=decrypted.seconds if decrypted and decrypted.of == answer.identity else None,
        answer=answer.identity, code_version=code_version(),
    )  # fmt: skip
