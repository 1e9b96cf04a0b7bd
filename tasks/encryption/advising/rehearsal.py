"""A session without a library behind it: what a circuit would do, how often, and how far off it would come out.

It stands in for the native library below the guarded ciphertexts, so that the guard itself says whether a plan fits,
before any key is made. Each ciphertext carries the numbers that it would hold and, for CKKS, a draw of the noise that
it would have; each operation adds the noise that theory gives it and is counted by name and number of primes.

The noise is that of `noise.py`, drawn instead of bounded: rounding is uniform, times a secret that is the same at a
slot in every operation; digits of a key switch lie between 0 and their prime, so that their mean makes an error that is
the same each time a key is used, and largest at the slots next to 1. Sources: as there.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from tasks.common.seeds import generator
from tasks.encryption.parameters import Parameters, Scheme
from tasks.encryption.session import Role, Session

# What was done, how often: (operation, primes of the data's modulus that it was done with).
Counts = Counter[tuple[str, int]]

_ERROR, _SECRET = 10.5, 2 / 3  # variances: centred binomial of SEAL, and ternary
_FLOATING = 2.0**-52  # of transforms in double precision, as a share of the largest value, a few roundings


class AnySteps(frozenset[int]):
    """Keys for whatever rotation is asked for, and a note of which were."""

    asked: set[int]

    def __new__(cls) -> AnySteps:
        made = super().__new__(cls)
        made.asked = set()
        return made

    def __contains__(self, steps: object) -> bool:
        self.asked.add(int(steps))  # type: ignore[call-overload]
        return True

    def __bool__(self) -> bool:
        return True


class Numbers:
    """What stands in for a native ciphertext or plaintext: values of all slots, and noise in the same unit.

    whole: whether a plaintext's slots are all alike, which makes it a polynomial of one coefficient. plain: the plain
    modulus of integers.
    """

    __slots__ = ("level", "noise", "plain", "scale", "values", "whole")

    def __init__(
        self, values: np.ndarray, noise: np.ndarray | float, level: int, scale: float, whole: bool = False,
        plain: int = 0,
    ) -> None:  # fmt: skip
        self.values, self.noise, self.level, self.scale = values, noise, level, scale
        self.whole, self.plain = whole, plain

    def copy(self) -> Numbers:
        return Numbers(self.values, self.noise, self.level, self.scale, self.whole, self.plain)

    def set_scale(self, scale: float) -> None:
        """Another scale, of which floating point made a last bit different."""
        self.scale = scale

    def to_bytes(self) -> bytes:
        """Coefficients of a plaintext of integers, as its bytes would end: one, or as many as slots, like random."""
        coefficients = np.zeros(self.values.size, dtype=np.uint64)
        if self.whole:
            coefficients[0] = int(self.values[0]) % self.plain
        else:
            coefficients[:] = np.random.default_rng(0).integers(0, self.plain, self.values.size, dtype=np.uint64)
        return coefficients.tobytes()


def session(parameters: Parameters, seed: int = 0) -> Session:
    """A session in which circuits are rehearsed; `session.native` is a `Library`, `session.rotations` notes steps."""
    name = f"rehearsal-{parameters.fingerprint}-{seed}"
    return Session(parameters, Library(parameters, seed), name, Role.OWNER, AnySteps(), True)


class Library:
    """The part of the native library's interface that guarded ciphertexts call."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        *data, special = (float(prime) for prime in parameters.primes)
        self._primes, self._special = np.array(data), special
        self._n, self._slots = parameters.degree, parameters.slots
        self._plain = parameters.plain_modulus
        self._noisy = parameters.scheme is Scheme.CKKS
        self._random = generator(seed, f"rehearsal {parameters.fingerprint}")
        # Variance of rounding at each slot: of both parts, the second times the square of the secret there.
        secret = _SECRET * self._random.standard_exponential(self._slots)
        self._rounded = self._n / 24 + self._n**2 / 24 * secret
        self._means: dict[int, np.ndarray] = {}
        self.counts: Counts = Counter()

    def taken(self) -> Counts:
        """What was counted since this was last asked."""
        counts, self.counts = self.counts, Counter()
        return counts

    # What the owner does.

    def encryptFrac(self, slots: np.ndarray, _: None, scale: float) -> Numbers:  # noqa: N802 - Pyfhel's name
        values = self._filled(slots)
        self._count("encrypt", 0)
        return Numbers(values, self._rounding(scale) + self._encoding(values, scale, _whole(values)), 0, scale)

    def encryptInt(self, slots: np.ndarray) -> Numbers:  # noqa: N802 - Pyfhel's name
        self._count("encrypt", 0)
        return Numbers(self._filled(slots), 0.0, 0, 1.0)

    encryptBGV = encryptInt  # noqa: N815 - Pyfhel's name

    def decryptFrac(self, ciphertext: Numbers) -> np.ndarray:  # noqa: N802 - Pyfhel's name
        self._count("decrypt", ciphertext.level)
        return np.asarray(ciphertext.values + ciphertext.noise)

    decryptInt = decryptBGV = decryptFrac  # noqa: N815 - Pyfhel's name

    def noise_level(self, _: Numbers) -> int:
        """The guard has seen to it that some is left."""
        return 1

    # What the evaluator does.

    def encodeFrac(self, slots: np.ndarray, _: None, scale: float) -> Numbers:  # noqa: N802 - Pyfhel's name
        values = self._filled(slots)
        self._count("encode", 0)
        whole = _whole(values)
        return Numbers(values, self._encoding(values, scale, whole), 0, scale, whole)

    def encodeInt(self, slots: np.ndarray) -> Numbers:  # noqa: N802 - Pyfhel's name
        self._count("encode", 0)
        values = self._filled(slots)
        return Numbers(values, 0.0, 0, 1.0, _whole(values), self._plain)

    encodeBGV = encodeInt  # noqa: N815 - Pyfhel's name

    def add(self, a: Numbers, b: Numbers, in_new: bool = False) -> Numbers:
        self._count("add", a.level)
        return self._into(a, in_new, a.values + b.values, a.noise + b.noise)

    def sub(self, a: Numbers, b: Numbers, in_new: bool = False) -> Numbers:
        self._count("add", a.level)
        return self._into(a, in_new, a.values - b.values, a.noise - b.noise)

    def add_plain(self, a: Numbers, b: Numbers, in_new: bool = False) -> Numbers:
        self._count("add plain", a.level)
        return self._into(a, in_new, a.values + b.values, a.noise + b.noise)

    def sub_plain(self, a: Numbers, b: Numbers, in_new: bool = False) -> Numbers:
        self._count("add plain", a.level)
        return self._into(a, in_new, a.values - b.values, a.noise - b.noise)

    def negate(self, a: Numbers, in_new: bool = False) -> Numbers:
        self._count("add", a.level)
        return self._into(a, in_new, -a.values, -a.noise)

    def multiply_plain(self, a: Numbers, b: Numbers, in_new: bool = False) -> Numbers:
        self._count("multiply constant" if b.whole else "multiply plain", a.level)
        return self._product(a, b, in_new)

    def multiply(self, a: Numbers, b: Numbers, in_new: bool = False) -> Numbers:
        self._count("multiply", a.level)
        return self._product(a, b, in_new)

    def relinearize(self, a: Numbers) -> None:
        self._count("switch keys", a.level)
        a.noise = a.noise + self._switching(0, a.level, a.scale)

    def rotate(self, a: Numbers, steps: int, in_new: bool = False) -> Numbers:
        self._count("rotate", a.level)
        moved = a.noise if np.ndim(a.noise) == 0 else self._rolled(np.asarray(a.noise), steps)
        return self._into(a, in_new, self._rolled(a.values, steps), moved + self._switching(steps, a.level, a.scale))

    def flip(self, a: Numbers, in_new: bool = False) -> Numbers:
        self._count("rotate", a.level)
        return self._into(a, in_new, np.roll(a.values, self._slots // 2), a.noise)

    def rescale_to_next(self, a: Numbers) -> None:
        self._count("rescale", a.level)
        a.scale = a.scale / float(self._primes[len(self._primes) - 1 - a.level])
        a.level += 1
        a.noise = a.noise + self._rounding(a.scale)

    def mod_switch_to_next_ctxt(self, a: Numbers, in_new: bool = False) -> Numbers:
        self._count("drop", a.level)
        made = a.copy() if in_new else a
        made.level += 1
        return made

    def mod_switch_to_next_ptxt(self, a: Numbers, in_new: bool = True) -> Numbers:
        made = a.copy() if in_new else a
        made.level += 1
        return made

    # How that is done.

    def _count(self, operation: str, level: int) -> None:
        self.counts[operation, len(self._primes) - level] += 1

    def _filled(self, slots: np.ndarray) -> np.ndarray:
        if slots.size == self._slots:
            return np.array(slots)
        filled = np.zeros(self._slots, dtype=slots.dtype)
        filled[: slots.size] = slots
        return filled

    def _into(self, a: Numbers, in_new: bool, values: np.ndarray, noise: np.ndarray | float) -> Numbers:
        made = a.copy() if in_new else a
        made.values, made.noise = values, noise
        return made

    def _product(self, a: Numbers, b: Numbers, in_new: bool) -> Numbers:
        noise = a.values * b.noise + b.values * a.noise + a.noise * b.noise if self._noisy else 0.0
        made = self._into(a, in_new, a.values * b.values, noise)
        made.scale = a.scale * b.scale
        return made

    def _rolled(self, values: np.ndarray, steps: int) -> np.ndarray:
        if self._noisy:
            return np.roll(values, -steps)
        return np.roll(values.reshape(2, -1), -steps, axis=1).reshape(-1)

    def _encoding(self, values: np.ndarray, scale: float, whole: bool) -> np.ndarray | float:
        """Coefficients are rounded: one where all slots are alike, else all."""
        first = float(values[0])
        if whole:
            return round(first * scale) / scale - first
        floating = _FLOATING * float(np.abs(values).max())
        return self._random.normal(0.0, math.hypot(math.sqrt(self._n / 24) / scale, floating), self._slots)

    def _rounding(self, scale: float) -> np.ndarray | float:
        """Of both parts of a ciphertext, the second times the secret; real parts of slots."""
        if not self._noisy:
            return 0.0
        return self._random.standard_normal(self._slots) * (np.sqrt(self._rounded) / scale)

    def _switching(self, key: int, level: int, scale: float) -> np.ndarray | float:
        """Of digits times the errors of a key, of what their mean makes with these, and of rounding."""
        if not self._noisy:
            return 0.0
        primes = self._primes[: len(self._primes) - level] / self._special
        shares = self._random.standard_exponential((len(primes), self._slots))
        variance = self._n**2 * _ERROR / 24 * (primes**2 @ shares) + self._rounded
        drawn = self._random.standard_normal(self._slots) * np.sqrt(variance)
        return (drawn + self._mean_of(key)[len(primes) - 1]) / scale

    def _mean_of(self, key: int) -> np.ndarray:
        """What the means of digits make with the errors of a key, for each number of primes."""
        if key not in self._means:
            errors = self._random.normal(0.0, math.sqrt(self._n * _ERROR / 2), (len(self._primes), self._slots))
            self._means[key] = np.cumsum(errors * (self._primes / self._special)[:, None], axis=0) / _distance_to_one(
                self._n, self._slots
            )
        return self._means[key]


def _whole(values: np.ndarray) -> bool:
    return bool(np.all(values == values[0]))


@functools.cache
def _distance_to_one(degree: int, slots: int) -> np.ndarray:
    """|1 - ζ| of the root that each slot of CKKS belongs to: slot j to the 3^j-th power of exp(iπ/degree)."""
    powers = np.fromiter(_powers_of_three(slots, 2 * degree), dtype=np.float64, count=slots)
    return np.asarray(2 * np.abs(np.sin(powers * (math.pi / (2 * degree)))))


def _powers_of_three(count: int, modulo: int) -> Iterable[int]:
    power = 1
    for _ in range(count):
        yield power
        power = power * 3 % modulo


def rehearsing(session: Session) -> Any:
    """The stand-in behind a session of this module."""
    assert isinstance(session.native, Library)
    return session.native
