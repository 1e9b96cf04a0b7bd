"""Random sequences of operations under encryption, beside the same on plain numbers: right, or refused.

    python -m tests.unit.encryption.sequences SEED COUNT

runs in a process of its own, since a native library can end it, and writes what came out as JSON. Every sequence takes
one of a dozen parameters and draws values, factors, scales and operations that are meant to break something.
"""

from __future__ import annotations

import json
import math
import pickle
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tasks.common.errors import SecuredError
from tasks.encryption import approximate, envelope, guarded, keys
from tasks.encryption.parameters import Parameters, Scheme
from tasks.encryption.session import Session

ROTATIONS = (0, 1, 7, -3)
STEPS = 8
# Primes that switch keys of the size of the others and larger, one level and many, small and large plain moduli.
PARAMETERS = [
    Parameters(scheme="ckks", degree=4096, moduli_bits=(36, 36, 36), scale_bits=30),
    Parameters(scheme="ckks", degree=4096, moduli_bits=(30, 24, 50), scale_bits=22),
    Parameters(scheme="ckks", degree=8192, moduli_bits=(40, 30, 30, 30, 40), scale_bits=30),
    Parameters(scheme="ckks", degree=8192, moduli_bits=(50, 40, 60), scale_bits=40),
    Parameters(scheme="ckks", degree=16384, moduli_bits=(60, 40, 40, 40, 40, 60), scale_bits=40),
    Parameters(scheme="bfv", degree=4096, moduli_bits=(36, 36, 37), plain_bits=16),
    Parameters(scheme="bfv", degree=4096, moduli_bits=(54, 54), plain_bits=18),
    Parameters(scheme="bfv", degree=8192, moduli_bits=(43, 43, 44, 44, 44), plain_bits=30),
    Parameters(scheme="bfv", degree=8192, moduli_bits=(55, 55, 50, 58), plain_bits=20),
    Parameters(scheme="bfv", degree=16384, moduli_bits=(48,) * 9, plain_bits=45),
    Parameters(scheme="bgv", degree=4096, moduli_bits=(36, 36, 37), plain_bits=16),
    Parameters(scheme="bgv", degree=8192, moduli_bits=(55, 55, 50, 58), plain_bits=20),
    Parameters(scheme="bgv", degree=8192, moduli_bits=(43, 43, 43, 43, 44), plain_bits=17),
    Parameters(scheme="bgv", degree=16384, moduli_bits=(54,) * 8, plain_bits=25),
    Parameters(scheme="bgv", degree=16384, moduli_bits=(60,) * 7, plain_bits=57),
]
# How often each is taken: small rings are quick.
WEIGHTS = np.array([2.0**14 / parameters.degree for parameters in PARAMETERS])


class Wrong(Exception):
    """A decrypted value is not what it has to be, or noise is above what is said of it."""


class World:
    """Keys of one kind, both sessions, and a ciphertext of other keys."""

    def __init__(self, parameters: Parameters, folder: Path) -> None:
        self.parameters = parameters
        self.approximate = parameters.scheme is Scheme.CKKS
        passphrase = "random sequences"  # noqa: S105
        for name in "own", "other":
            rotations = [step for step in ROTATIONS if step or parameters.scheme is Scheme.BFV]
            keys.make(folder / name, parameters, passphrase, rotations=rotations, products=True)
        self.owner = keys.open_owner(folder / "own" / "owner", passphrase)
        self.evaluator = keys.open_evaluator(folder / "own" / "evaluator")
        self.other = keys.open_evaluator(folder / "other" / "evaluator")
        self.slots = parameters.slots
        self.coherent = None if self.approximate else _coherent(self.evaluator)

    def encrypt(self, values: Any) -> Any:
        return guarded.encrypt(self.evaluator, values)

    def decrypt(self, ciphertext: Any) -> np.ndarray:
        return guarded.decrypt(envelope.unpack(self.owner, envelope.pack(ciphertext)))


def _coherent(session: Session) -> np.ndarray:
    """Slots of the polynomial whose coefficients all are half of the plain modulus, the largest there is next to 1."""
    encode = session.native.encodeBGV if session.levelled else session.native.encodeInt
    decode = session.native.decodeBGV if session.levelled else session.native.decodeInt
    made = encode(np.arange(session.slots))
    stored = made.to_bytes()[: -8 * session.slots]
    made.from_bytes(stored + np.full(session.slots, session.most, np.uint64).tobytes())
    return np.asarray(decode(made))


class Sequence:
    """One sequence: ciphertexts with the numbers that they stand for, in all slots."""

    def __init__(self, world: World, rng: np.random.Generator, tally: Counter[str], ratios: list[float]) -> None:
        self.world, self.rng, self.tally, self.ratios = world, rng, tally, ratios
        self.magnitude = self._magnitude()
        self.held: list[tuple[Any, np.ndarray]] = []

    def run(self) -> bool:
        """Whether it came to its end; it ends at a refusal."""
        try:
            for _ in range(2):
                self.held.append(self._fresh())
            for _ in range(int(self.rng.integers(1, STEPS + 1))):
                self._step()
        except SecuredError as refusal:
            self.tally[f"refused: {type(refusal).__name__}"] += 1
            return False
        finally:
            for ciphertext, values in self.held[-3:]:
                self._check(ciphertext, values)
        return True

    def _step(self) -> None:
        operations = _SHARED + (_APPROXIMATE if self.world.approximate else _EXACT)
        name = str(self.rng.choice(operations))
        operation: Callable[[], tuple[Any, np.ndarray]] = getattr(self, name)
        made = operation()
        self.tally[name] += 1
        self.held.append(made)
        if self.rng.random() < 0.2:
            self._check(*made)

    def _check(self, ciphertext: Any, values: np.ndarray) -> None:
        size = math.prod(ciphertext.shape)
        want = values[:size].reshape(ciphertext.shape)
        got = self.world.decrypt(ciphertext)
        self.tally["checked"] += 1
        if np.abs(values).max() > ciphertext.bound * (1 + 1e-12):
            raise Wrong(f"the bound {ciphertext.bound} is below {np.abs(values).max()}")
        if self.world.approximate:
            off = float(np.abs(got - want).max())
            if not off <= ciphertext.error:
                raise Wrong(f"off by {off}, stated {ciphertext.error}: {ciphertext}")
            if off:
                self.ratios.append(ciphertext.error / off)
        else:
            if not np.array_equal(got, want):
                raise Wrong(f"{int((got != want).sum())} of {size} integers are wrong: {ciphertext}")
            self._check_noise(ciphertext)

    def _check_noise(self, ciphertext: Any) -> None:
        """BFV: SEAL's budget is log2(1 / 2·noise), rounded by up to one bit either way."""
        if self.world.parameters.scheme is Scheme.BFV:
            there = envelope.unpack(self.world.owner, envelope.pack(ciphertext))
            budget, stated = self.world.owner.native.noise_level(there.native), -math.log2(2 * ciphertext.error)
            if budget < stated - 1:
                raise Wrong(f"a budget of {budget} bits, stated {stated}: {ciphertext}")
            self.ratios.append(2 ** (budget - stated))

    # Values.

    def _magnitude(self) -> float:
        if self.world.approximate:
            return float(10 ** self.rng.uniform(-7, 5) if self.rng.random() < 0.5 else 10 ** self.rng.uniform(-1, 1))
        return float(2 ** self.rng.uniform(0, self.world.parameters.plain_bits / self.rng.integers(1, 5)))

    def _values(self) -> np.ndarray:
        """Values of a random form, in all slots."""
        rng, n = self.rng, self.world.slots
        form = rng.integers(8)
        made = rng.uniform(-1, 1, n)
        if form == 0:
            made = np.zeros(n)
            made[int(rng.integers(n)) if rng.random() < 0.5 else 0] = 1.0
        elif form == 1:
            made = np.full(n, 1.0 if rng.random() < 0.5 else -1.0)
        elif form == 2:
            made = np.where(np.arange(n) % 2, 1.0, -1.0)
        elif form == 3:
            made = np.cos(2 * np.pi * np.arange(n) / n * rng.integers(1, 9))
        elif form == 4 and rng.random() < 0.1:
            made[int(rng.integers(n))] = rng.choice([np.nan, np.inf, -np.inf])
            self.tally["not finite"] += 1
            return made
        made = made * self.magnitude
        return made if self.world.approximate else np.rint(made).astype(np.int64)

    def _fresh(self) -> tuple[Any, np.ndarray]:
        values = self._values()
        if not np.isfinite(values).all():
            try:
                self.world.encrypt(values)
            except SecuredError:
                values = np.zeros_like(values)
            else:
                raise Wrong("values that are not finite were encrypted")
        return self.world.encrypt(values), values

    def _one(self) -> tuple[Any, np.ndarray]:
        return self.held[int(self.rng.integers(len(self.held)))]

    def _plain(self) -> tuple[Any, np.ndarray]:
        """A factor or summand: as given, and in all slots."""
        self.magnitude = self._magnitude()
        if self.rng.random() < 0.3:
            value = float(self.rng.uniform(-1, 1) * self.magnitude)
            scalar = value if self.world.approximate else round(value)
            return scalar, np.full(self.world.slots, scalar)
        values = self._values()
        return values, values

    # Operations. Each gives the new ciphertext and its numbers.

    def add(self) -> tuple[Any, np.ndarray]:
        (a, x), (b, y) = self._one(), self._one()
        return a + b, x + y

    def subtract(self) -> tuple[Any, np.ndarray]:
        (a, x), (b, y) = self._one(), self._one()
        return a - b, x - y

    def negate(self) -> tuple[Any, np.ndarray]:
        a, x = self._one()
        return -a, -x

    def add_plain(self) -> tuple[Any, np.ndarray]:
        (a, x), (given, y) = self._one(), self._plain()
        return (a + given, x + y) if self.rng.random() < 0.5 else (a - given, x - y)

    def multiply_plain(self) -> tuple[Any, np.ndarray]:
        (a, x), (given, y) = self._one(), self._plain()
        return a * given, x * y

    def multiply(self) -> tuple[Any, np.ndarray]:
        (a, x), (b, y) = self._one(), self._one()
        return a * b, x * y

    def rotate(self) -> tuple[Any, np.ndarray]:
        a, x = self._one()
        steps = int(self.rng.choice([*ROTATIONS, 2] if self.rng.random() < 0.1 else ROTATIONS[1:]))
        rows = 1 if self.world.approximate else 2
        return a.rotate(steps), np.roll(x.reshape(rows, -1), -steps, axis=1).reshape(-1)

    def travel(self) -> tuple[Any, np.ndarray]:
        a, x = self._one()
        if self.rng.random() < 0.5:
            return envelope.unpack(self.world.evaluator, envelope.pack(a)), x
        moved = pickle.loads(pickle.dumps(a))  # noqa: S301 - our own
        return envelope.unpack(self.world.evaluator, envelope.pack(moved)), x

    def add_foreign(self) -> tuple[Any, np.ndarray]:
        a, _ = self._one()
        a + guarded.encrypt(self.world.other, np.ones(self.world.slots))
        raise Wrong("ciphertexts of two keys were added")

    def flip(self) -> tuple[Any, np.ndarray]:
        a, x = self._one()
        return a.flip(), x.reshape(2, -1)[::-1].reshape(-1)

    def dropped(self) -> tuple[Any, np.ndarray]:
        a, x = self._one()
        return (a.dropped() if self.world.parameters.scheme is Scheme.BGV else a * 1), x

    def multiply_coherent(self) -> tuple[Any, np.ndarray]:
        """By the polynomial that grows noise most; the ciphertext holds zeros, which stay so."""
        zero = self.world.encrypt(np.zeros(self.world.slots, np.int64))
        for _ in range(int(self.rng.integers(1, 6))):
            zero = zero * self.world.coherent
        return zero, np.zeros(self.world.slots, np.int64)

    def product_at_odd_scale(self) -> tuple[Any, np.ndarray]:
        (a, x), (given, y) = self._one(), self._plain()
        scale = 2.0 ** self.rng.uniform(1, 50)
        factor = approximate.encode(self.world.evaluator, given, a.level, scale)
        made = a.times(factor)
        return (made.rescaled() if self.rng.random() < 0.7 else made), x * y

    def at(self) -> tuple[Any, np.ndarray]:
        a, x = self._one()
        level = a.level + int(self.rng.integers(3))
        scale = a.scale if self.rng.random() < 0.4 else a.scale * 2.0 ** self.rng.uniform(-12, 6)
        return a.at(level, scale), x

    def dot(self) -> tuple[Any, np.ndarray]:
        a, x = self._one()
        count = int(self.rng.integers(1, 4))
        factors = [self._plain() for _ in range(count)]
        made = approximate.dot([a] * count, [a.encode_for(given) for given, _ in factors])
        return made, x * np.sum([values for _, values in factors], axis=0)


_SHARED = [
    "add", "subtract", "negate", "add_plain", "multiply_plain", "multiply", "multiply", "rotate", "travel", "add",
    "add_foreign",
]  # fmt: skip
_APPROXIMATE = ["product_at_odd_scale", "at", "dot"]
_EXACT = ["dropped", "flip", "multiply_coherent"]


def run(seed: int, count: int) -> dict[str, Any]:
    """What came of so many sequences. The seed draws the sequences; keys and noise are the system's."""
    tally: Counter[str] = Counter()
    ratios: dict[str, list[float]] = {scheme: [] for scheme in Scheme}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        worlds: dict[int, World] = {}
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            which = int(rng.choice(len(PARAMETERS), p=WEIGHTS / WEIGHTS.sum()))
            if which not in worlds:
                worlds[which] = World(PARAMETERS[which], Path(folder) / str(which))
            sequence = Sequence(worlds[which], rng, tally, ratios[PARAMETERS[which].scheme])
            try:
                tally["complete" if sequence.run() else "refused"] += 1
            except Exception as error:
                wrong.append(f"sequence {number} of {PARAMETERS[which].scheme} {which}: {error!r}")
            if not (number + 1) % 500:
                sys.stderr.write(f"{number + 1}: {json.dumps({'wrong': wrong, **tally})}\n")
                sys.stderr.flush()
    return {"wrong": wrong, "tally": dict(tally), "ratios": {name: _summary(of) for name, of in ratios.items() if of}}


def _summary(ratios: list[float]) -> dict[str, float]:
    return {"least": min(ratios), "median": float(np.median(ratios)), "checks": len(ratios)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(int(sys.argv[1]), int(sys.argv[2]))))
