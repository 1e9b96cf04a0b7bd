"""An operation as a circuit on guarded ciphertexts, written once: rehearsed without keys, and run with them.

The work is `groups` of independent results, each a sum over `terms`: a table's rows fill the slots of one ciphertext
after another, and so do the features of a long sum. What is done for one term, with their sum, and how the result is
read is the circuit; the plain result beside it comes from numpy and knows nothing of slots.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from tasks.encryption import approximate
from tasks.encryption.advising.problem import Problem
from tasks.encryption.approximate import Approximate
from tasks.encryption.ciphertext import Encoded, Encrypted
from tasks.encryption.session import Session

Data = dict[str, np.ndarray]
Factor = tuple[Hashable, np.ndarray | float]  # a name, by which it is encoded once, and values
Encrypt = Callable[[np.ndarray, float], Encrypted]


class Kit:
    """What a circuit works with: the evaluator's session, encoded factors that are kept, and a way to encrypt."""

    def __init__(self, evaluator: Session, encrypt: Encrypt) -> None:
        self.session, self.encrypt, self.integers = evaluator, encrypt, not evaluator.approximate
        self.slots = evaluator.slots
        self.row = self.slots // 2 if self.integers else self.slots  # slots that rotate together
        self._kept: dict[tuple[Hashable, int, float], Encoded] = {}
        self._encrypted: dict[Hashable, Encrypted] = {}

    def factor(self, beside: Encrypted, name: Hashable, values: np.ndarray | float) -> Encoded:
        """A plaintext to multiply this ciphertext with; encoded once for each level."""
        key = (name, beside.level, 0.0)
        if key not in self._kept:
            self._kept[key] = beside.encode_for(self._typed(values))
        return self._kept[key]

    def own(self, name: Hashable, values: np.ndarray, bound: float) -> Encrypted:
        """A ciphertext of an encrypted model; encrypted once."""
        if name not in self._encrypted:
            self._encrypted[name] = self.encrypt(self._typed(values), bound)
        return self._encrypted[name]

    def weighted(self, ciphertexts: Sequence[Encrypted], factors: Sequence[Factor]) -> Encrypted:
        """A sum of products with plaintexts; those of zeros are left out."""
        used = [(c, name, values) for c, (name, values) in zip(ciphertexts, factors, strict=True) if np.any(values)]
        if self.integers:
            return added(self._times(*each) for each in used)
        return approximate.dot(
            (c for c, _, _ in used),  # type: ignore[misc]
            [self.factor(*each) for each in used],
        )

    def plus(self, ciphertext: Encrypted, values: np.ndarray | float) -> Encrypted:
        """A sum with a plaintext."""
        return ciphertext + self._typed(values)

    def total(self, ciphertext: Encrypted, count: int, step: int = 1) -> Encrypted:
        """Slot i gets the sum of slots i, i + step, ..., `count` of them; count is a power of two."""
        while count > 1:
            count //= 2
            ciphertext = ciphertext + ciphertext.rotate(count * step)
        return ciphertext

    def scaled(self, ciphertext: Encrypted, name: Hashable, value: float, scale: float) -> Encrypted:
        """A product with a number that comes out at a scale, so that sums of different levels need no more."""
        if self.integers:
            return self._times(ciphertext, name, value)
        assert isinstance(ciphertext, Approximate)
        key = (name, ciphertext.level, scale)
        if key not in self._kept:
            wanted = scale * ciphertext.next_prime / ciphertext.scale
            self._kept[key] = approximate.encode(self.session, value, ciphertext.level, wanted)
        made = ciphertext.times(self._kept[key]).rescaled()
        return made.like(made.native, bound=made.bound, error=made.error, scale=scale)

    def _times(self, ciphertext: Encrypted, name: Hashable, values: np.ndarray | float) -> Encrypted:
        """A product with integers. A single one is taken positive: modulo the plain modulus, -1 is large."""
        if np.ndim(values) == 0 and values < 0:
            return -(ciphertext * self.factor(ciphertext, name, -values))
        return ciphertext * self.factor(ciphertext, name, values)

    def _typed(self, values: np.ndarray | float) -> np.ndarray:
        return np.asarray(values, dtype=np.int64 if self.integers else np.float64)


class Circuit(ABC):
    """One operation in one layout, for ciphertexts of so many slots."""

    layout: str  # in words
    depth: int  # products one after another, each of which takes a level
    groups: int = 1
    terms: int = 1

    def __init__(self, problem: Problem, slots: int, integers: bool) -> None:
        self.problem, self.slots, self.integers = problem, slots, integers
        self.row = slots // 2 if integers else slots

    @abstractmethod
    def draw(self, random: np.random.Generator, group: int, term: int) -> Data:
        """The data of one term as its owner has it, uniform within the stated range."""

    @abstractmethod
    def pack(self, data: Data) -> list[tuple[np.ndarray, float]]:
        """What is encrypted, one array of slots for each ciphertext, with the bound that everybody may know."""

    @abstractmethod
    def part(self, kit: Kit, term: int, inputs: list[Encrypted]) -> tuple[list[Encrypted], list[Encrypted]]:
        """Of one term: what is kept as it is, and what is summed over terms."""

    def finish(self, kit: Kit, totals: list[Encrypted]) -> list[Encrypted]:  # noqa: ARG002 - some need it
        """What is made of the sums."""
        return totals

    @abstractmethod
    def read(self, kept: list[list[np.ndarray]], finished: list[np.ndarray]) -> np.ndarray:
        """The result, from the decrypted slots of what was kept (by term) and finished."""

    @abstractmethod
    def plainly(self, data: list[Data]) -> np.ndarray:
        """The same from the data of all terms, without encryption."""

    # What circuits share.

    def uniform(self, random: np.random.Generator, shape: int | tuple[int, ...], largest: float) -> np.ndarray:
        """Numbers, or integers that are never zero, of at most this magnitude."""
        if not self.integers:
            return random.uniform(-largest, largest, shape)
        return random.integers(1, int(largest), shape, endpoint=True) * random.choice([-1, 1], shape)

    def values(self, random: np.random.Generator, shape: int | tuple[int, ...]) -> np.ndarray:
        """Data in the stated range."""
        largest = self.problem.range
        if not self.integers:
            return random.uniform(-largest, largest, shape)
        return random.integers(-int(largest), int(largest), shape, endpoint=True)

    @property
    def unit(self) -> float:
        """What approximate data are divided by before they are encrypted, so that they lie within ±1."""
        return 1.0 if self.integers else self.problem.range

    @property
    def bound(self) -> float:
        """Of the data in this unit."""
        return self.problem.range / self.unit

    def filled(self, values: np.ndarray) -> np.ndarray:
        """Values in their unit in the first slots, zeros in the others."""
        made = np.zeros(self.slots, dtype=np.int64 if self.integers else np.float64)
        made[: values.size] = (values if self.integers else values / self.unit).reshape(-1)
        return made


def added(ciphertexts: Iterable[Encrypted]) -> Encrypted:
    """Their sum."""
    total: Any = None
    for ciphertext in ciphertexts:
        total = ciphertext if total is None else total + ciphertext
    return total


def power_of_two(at_least: int) -> int:
    """The smallest power of two that is no smaller."""
    return 1 << max(0, at_least - 1).bit_length()


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)
