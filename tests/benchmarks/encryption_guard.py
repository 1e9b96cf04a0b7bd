"""The guard: its operations against the calls of Pyfhel that they make, one after the other in the same run.

Both work on the same ciphertexts. A round is one call of each, in turns the one and the other first; compared is the
processor time of the thread, since other work on the machine must not count, and the median over the rounds.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.encryption import approximate, envelope, exact, guarded, keys
from tasks.encryption.parameters import Parameters, Scheme
from tasks.encryption.session import Session
from tests.benchmarks import results

PACKAGES = ("Pyfhel", "numpy")
TARGET = 0.05
SECONDS = 3.0  # of rounds, for each operation
_LEAST, _MOST = 30, 3000
_PASSPHRASE = "measured, not kept"  # noqa: S105
PARAMETERS = (
    Parameters(scheme="ckks", degree=8192, moduli_bits=(60, 40, 40, 60), scale_bits=40),
    Parameters(scheme="ckks", degree=16384, moduli_bits=(60, 40, 40, 40, 40, 40, 40, 60), scale_bits=40),
    Parameters(scheme="bfv", degree=8192, moduli_bits=(43, 43, 44, 44, 44), plain_bits=20),
    Parameters(scheme="bfv", degree=16384, moduli_bits=(48,) * 9, plain_bits=30),
)

Pair = tuple[str, Callable[[], Any], Callable[[], Any]]


@dataclass(frozen=True)
class Overhead:
    """One operation: seconds of Pyfhel and of the guard, medians, and the median of their ratios less one."""

    parameters: Parameters
    operation: str
    raw: float
    guarded: float
    over: float


def measure(parameters: Parameters, seconds: float = SECONDS) -> list[Overhead]:
    """All operations with keys of these parameters."""
    with tempfile.TemporaryDirectory() as folder:
        keys.make(Path(folder) / "keys", parameters, _PASSPHRASE, rotations=[1], products=True)
        owner = keys.open_owner(Path(folder) / "keys" / "owner", _PASSPHRASE)
        evaluator = keys.open_evaluator(Path(folder) / "keys" / "evaluator")
    pairs = _approximate if parameters.scheme is Scheme.CKKS else _exact
    return [_compare(parameters, pair, seconds) for pair in pairs(owner, evaluator)]


def _approximate(owner: Session, evaluator: Session) -> Iterator[Pair]:
    native, scale = evaluator.native, evaluator.scale
    values = np.random.default_rng(0).uniform(-1, 1, evaluator.slots)
    a, b = guarded.encrypt(evaluator, values), guarded.encrypt(evaluator, values[::-1])
    factor, summand = a.encode_for(values), approximate.encode(evaluator, values, 0, scale)
    there = envelope.unpack(owner, envelope.pack(a))

    def multiply() -> Any:
        made = native.multiply(a.native, b.native, True)
        native.relinearize(made)
        native.rescale_to_next(made)
        return made

    def multiply_plain() -> Any:
        made = native.multiply_plain(a.native, factor.native, True)
        native.rescale_to_next(made)
        return made

    yield "add", lambda: native.add(a.native, b.native, True), lambda: a + b
    yield "subtract", lambda: native.sub(a.native, b.native, True), lambda: a - b
    yield "add a plaintext", lambda: native.add_plain(a.native, summand.native, True), lambda: a + summand
    yield "multiply, relinearize, rescale", multiply, lambda: a * b
    yield "multiply by a plaintext, rescale", multiply_plain, lambda: a * factor
    yield "rotate", lambda: native.rotate(a.native, 1, True), lambda: a.rotate(1)
    yield (
        "encode",
        lambda: native.encodeFrac(values, None, scale),
        lambda: approximate.encode(evaluator, values, 0, scale),
    )
    yield "encrypt", lambda: native.encryptFrac(values, None, scale), lambda: guarded.encrypt(evaluator, values)
    yield "decrypt", lambda: owner.native.decryptFrac(there.native), lambda: guarded.decrypt(there)


def _exact(owner: Session, evaluator: Session) -> Iterator[Pair]:
    native = evaluator.native
    values = np.random.default_rng(0).integers(-100, 100, evaluator.slots)
    a, b = guarded.encrypt(evaluator, values), guarded.encrypt(evaluator, values[::-1])
    factor = a.encode_for(values)
    there = envelope.unpack(owner, envelope.pack(a))

    def multiply() -> Any:
        made = native.multiply(a.native, b.native, True)
        native.relinearize(made)
        return made

    yield "add", lambda: native.add(a.native, b.native, True), lambda: a + b
    yield "subtract", lambda: native.sub(a.native, b.native, True), lambda: a - b
    yield "add a plaintext", lambda: native.add_plain(a.native, factor.native, True), lambda: a + factor
    yield "multiply, relinearize", multiply, lambda: a * b
    yield (
        "multiply by a plaintext",
        lambda: native.multiply_plain(a.native, factor.native, True),
        lambda: a * factor,
    )
    yield (
        "encode and multiply",
        lambda: native.multiply_plain(a.native, native.encodeInt(values), True),
        lambda: a * values,
    )
    yield "rotate", lambda: native.rotate(a.native, 1, True), lambda: a.rotate(1)
    yield "encode", lambda: native.encodeInt(values), lambda: exact.encode(evaluator, values)
    yield "encrypt", lambda: native.encryptInt(values), lambda: guarded.encrypt(evaluator, values)
    yield "decrypt", lambda: owner.native.decryptInt(there.native), lambda: guarded.decrypt(there)


def _compare(parameters: Parameters, pair: Pair, seconds: float) -> Overhead:
    operation, raw, ours = pair
    _timed(raw), _timed(ours)
    taken: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(taken) < _LEAST or (time.perf_counter() < end and len(taken) < _MOST):
        if len(taken) % 2:
            second = _timed(ours)
            taken.append((_timed(raw), second))
        else:
            taken.append((_timed(raw), _timed(ours)))
    first, second = (statistics.median(side) for side in zip(*taken, strict=True))
    over = statistics.median(b / a for a, b in taken) - 1
    return Overhead(parameters, operation, first, second, over)


def _timed(call: Callable[[], Any]) -> float:
    start = time.thread_time_ns()
    call()
    return (time.thread_time_ns() - start) / 1e9


def main() -> None:
    """Measure and write the section."""
    measured = [row for parameters in PARAMETERS for row in measure(parameters)]
    worst = max(measured, key=lambda row: row.over)
    above = [row for row in measured if row.over > TARGET]
    head = ["operation", "Pyfhel, ms", "guarded, ms", "over"]
    rows = [
        [
            f"{row.operation} ({row.parameters.scheme}, {row.parameters.degree:,})",
            f"{row.raw * 1e3:.3f}", f"{row.guarded * 1e3:.3f}", f"{row.over:+.1%}",
        ]
        for row in measured
    ]  # fmt: skip
    text = (
        f"{__doc__.split(chr(10) * 2)[1].strip()} Target: at most {TARGET:.0%} over; {len(measured) - len(above)} of "
        f"{len(measured)} operations keep it, the worst is {worst.operation} ({worst.parameters.scheme}, "
        f"{worst.parameters.degree:,}) with {worst.over:+.1%}. Load of the machine: {os.getloadavg()[0]:.1f}.\n\n"
    )
    results.record("Encryption: guarded ciphertexts beside Pyfhel", text + results.table(head, rows), PACKAGES)
