"""What a job under encryption is: one description that both sides have, and what each of them does.

The owner encrypts and decrypts, the evaluator computes; they share the description, ciphertexts, and nothing else. What
is in a description (shapes, bounds, the evaluator's model) is known to both.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from tasks.common.values import Value, content_hash
from tasks.encryption.ciphertext import Encrypted
from tasks.encryption.parameters import Parameters
from tasks.encryption.session import Session

# Ciphertexts by name. Names order them: a worker gets some of them, and says by the same names what it made.
Messages = Mapping[str, Encrypted]


class Needs(Value):
    """The keys that a job needs, no more."""

    parameters: Parameters
    rotations: tuple[int, ...] = ()
    products: bool = False


class Job(Value, ABC):
    """One kind of work. Subclasses are small records: written as JSON for the evaluator, and the same on both sides.

    Every method refuses what does not fit the description. `evaluate` works on any part of the messages that `parts`
    names, so that workers share them; `combine` puts together what they made, still encrypted.
    """

    @property
    def tag(self) -> str:
        """Kind and 16 hexadecimal digits of the description, by which messages say whose they are."""
        return _tag(self)

    @property
    def takes_missing(self) -> bool:
        """Whether data may have missing values (NaN), which the job has something for."""
        return False

    @abstractmethod
    def needs(self) -> Needs:
        """Parameters and keys."""

    @abstractmethod
    def encrypt(self, owner: Session, data: np.ndarray) -> dict[str, Encrypted]:
        """What the evaluator gets."""

    @abstractmethod
    def evaluate(self, evaluator: Session, messages: Messages) -> dict[str, Encrypted]:
        """What the evaluator makes of some of it, or of all."""

    @abstractmethod
    def decrypt(self, owner: Session, messages: Messages) -> Any:
        """The result: numbers, or arrays by name."""

    @abstractmethod
    def plainly(self, data: np.ndarray) -> Any:
        """The same result without encryption, which tests and certificates compare with."""

    def parts(self, names: list[str]) -> list[list[str]]:
        """The names of the messages that belong together; each list may go to another worker. All in one by default."""
        return [names]

    def combine(self, evaluator: Session, made: list[dict[str, Encrypted]]) -> dict[str, Encrypted]:  # noqa: ARG002
        """What all workers made, as one answer; just side by side by default."""
        return {name: ciphertext for part in made for name, ciphertext in part.items()}

    def stated_error(self, messages: Messages) -> float:
        """How far numbers that `decrypt` makes of these may be from those of `plainly`; 0 where they are equal."""
        return max((each.error for each in messages.values() if each.session.approximate), default=0.0)


@functools.lru_cache(maxsize=64)
def _tag(job: Job) -> str:
    return f"{getattr(job, 'kind', type(job).__name__)} {content_hash(job)[:16]}"
