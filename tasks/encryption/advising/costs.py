"""How long operations take: what they consist of, by theory, times what that takes on this machine, by measurement.

The unit of work is a butterfly of a number-theoretic transform; a transform of one prime has n/2·log2(n) of them. What
an operation consists of is how SEAL 4.1 does it: switching keys of L primes L(L + 1) transforms (Bajard and others'
digits), products in BFV the base extensions of Bajard, Eynard, Hasan, Zucca (SAC 2016). What each takes on a machine is
measured once in a second or two per scheme, for two rings, and kept under SECURED_HOME. Seconds are of one core.
"""

from __future__ import annotations

import json
import math
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from tasks.common import settings
from tasks.common.store import write_text
from tasks.common.values import Value, content_hash
from tasks.encryption import approximate, envelope, exact, keys
from tasks.encryption.advising.rehearsal import Counts
from tasks.encryption.ciphertext import Encrypted
from tasks.encryption.parameters import Parameters, Scheme
from tasks.encryption.session import Session

_FORMAT = 4
# Rings that are measured, as degree and primes of data; smaller and larger ones follow from theory.
_MEASURED = ((4096, 1), (8192, 3), (16384, 6))
_REPEATS, _ARRIVALS = 3, 40
_SHORTEST = 0.004  # seconds of one measurement, repeated as often as that takes


class Machine(Value):
    """What this machine takes: for each operation seconds of a call, and of a unit of its work."""

    scheme: Scheme
    operations: dict[str, tuple[float, float]]

    def seconds(self, counts: Counts, degree: int) -> float:
        """Of operations that were counted, in a ring of this degree."""
        return sum(times * self.each(name, degree, primes) for (name, primes), times in counts.items())

    def each(self, operation: str, degree: int, primes: int) -> float:
        """Of one operation with so many primes of data."""
        call, unit = self.operations[operation]
        return call + unit * work(operation, self.scheme, degree, primes)


def work(operation: str, scheme: Scheme, degree: int, primes: int) -> float:
    """What an operation consists of, in butterflies."""
    parts = _CONSISTS[operation](scheme, primes)
    transform, pass_ = degree / 2 * math.log2(degree), float(degree)
    return parts[0] * transform + parts[1] * pass_


def this_machine(scheme: Scheme) -> Machine:
    """The costs of this machine, measured if they were not before.

    Raises:
        MissingPart: Pyfhel is not installed.
        StorageError: what was measured cannot be kept.
    """
    path = settings.load().home / "encryption" / f"costs-{scheme}-{_identity()}.json"
    try:
        return Machine.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        made = measured(scheme)
        write_text(path, made.model_dump_json(indent=2) + "\n")
        return made


def measured(scheme: Scheme) -> Machine:
    """Measure a scheme's operations through the guard, with keys that are thrown away."""
    seconds: dict[str, list[tuple[float, float]]] = {}
    for degree, primes in _MEASURED:
        for name, (taken, at) in _measure(_parameters(scheme, degree, primes)).items():
            seconds.setdefault(name, []).append((work(name, scheme, degree, at), taken))
    return Machine(scheme=scheme, operations={name: _fitted(points) for name, points in seconds.items()})


def _fitted(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Seconds of a call and of a unit, neither negative, by least squares of relative errors."""
    works, seconds = np.array(points).T
    unit = float(works.mean())
    call, per = nnls(np.column_stack([1 / seconds, works / unit / seconds]), np.ones(len(points)))[0]
    return float(call), float(per / unit)


def _identity() -> str:
    """Of processor, library and format, so that another machine on the same home measures for itself."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    names = re.findall(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    try:
        version = metadata.version("Pyfhel")
    except metadata.PackageNotFoundError:
        version = ""
    return content_hash([names[:1], platform.machine(), platform.node(), version, _FORMAT])[:16]


# What operations consist of: transforms, and passes over the coefficients of one prime in units of a butterfly.


def _switching(_: Scheme, primes: int) -> tuple[float, float]:
    # Digits in every prime, then down again by the last one, in both parts of the ciphertext.
    return primes * (primes + 1) + 2 * (primes + 1), 4 * primes * (primes + 1) + 6 * primes


def _multiplying(scheme: Scheme, primes: int) -> tuple[float, float]:
    if scheme is not Scheme.BFV:
        return 0, 12 * primes
    extended = primes + 1
    return 7 * (primes + extended), 4 * primes * extended + 6 * primes * extended + 12 * (primes + extended)


def _rescaling(scheme: Scheme, primes: int) -> tuple[float, float]:
    return (0 if scheme is Scheme.BFV else 2 * primes), 6 * primes


def _encoding(scheme: Scheme, primes: int) -> tuple[float, float]:
    # In CKKS a transform of complex numbers, which is worth some of the others, and one for each prime.
    return (4 + primes, 4 * primes) if scheme is Scheme.CKKS else (1, 2)


def _encrypting(scheme: Scheme, primes: int) -> tuple[float, float]:
    transforms, passes = _encoding(scheme, primes)
    return transforms + 3 * (primes + 1) + 2 + 2 * primes, passes + 30 + 12 * primes


def _decrypting(scheme: Scheme, primes: int) -> tuple[float, float]:
    if scheme is Scheme.CKKS:
        return 4 + primes, 4 * primes + 2 * primes**2
    return 1 + 2 * primes, 8 * primes


_CONSISTS: dict[str, Callable[[Scheme, int], tuple[float, float]]] = {
    "add": lambda _, primes: (0, 4 * primes),
    "add plain": lambda scheme, primes: (primes if scheme is Scheme.BGV else 0, 4 * primes),
    "multiply plain": lambda scheme, primes: (
        {Scheme.CKKS: 0, Scheme.BFV: 5 * primes, Scheme.BGV: primes}[scheme],
        6 * primes,
    ),
    "multiply constant": lambda scheme, primes: (primes if scheme is Scheme.BGV else 0, 6 * primes),
    "multiply": _multiplying,
    "switch keys": _switching,
    "rotate": lambda scheme, primes: (_switching(scheme, primes)[0], _switching(scheme, primes)[1] + 4 * primes),
    "rescale": _rescaling,
    "drop": lambda scheme, primes: _rescaling(scheme, primes) if scheme is Scheme.BGV else (0, 4 * primes),
    "encode": _encoding,
    "encrypt": _encrypting,
    "decrypt": _decrypting,
    "key": lambda _, primes: (4 * primes * (primes + 1), 20 * primes * (primes + 1)),
}


def _parameters(scheme: Scheme, degree: int, primes: int) -> Parameters:
    if scheme is Scheme.CKKS:
        return Parameters(scheme=scheme, degree=degree, moduli_bits=(40,) * (primes + 1), scale_bits=15)
    size = min(54, {4096: 54, 8192: 54, 16384: 60}[degree])
    return Parameters(scheme=scheme, degree=degree, moduli_bits=(size,) * (primes + 1), plain_bits=20)


def _measure(parameters: Parameters) -> dict[str, tuple[float, int]]:
    """Seconds of each operation that these parameters have room for, and the primes that it was done with."""
    primes = len(parameters.moduli_bits) - 1
    with tempfile.TemporaryDirectory() as folder:
        keys.make(Path(folder) / "keys", parameters, "measured and thrown away", rotations=(1,), products=True)
        owner = keys.open_owner(Path(folder) / "keys" / "owner", "measured and thrown away")
        evaluator = keys.open_evaluator(Path(folder) / "keys" / "evaluator")
    found = {name: (_typical(call), primes) for name, call in _calls(owner, evaluator, primes).items()}
    found["add"] = (_adding(owner, evaluator), primes)
    found["key"] = (_typical(lambda: owner.native.rotateKeyGen([1]), times=1), primes)
    return found


def _calls(owner: Session, evaluator: Session, primes: int) -> dict[str, Callable[[], object]]:
    module = approximate if owner.approximate else exact
    integers = np.arange(owner.slots) % 7 - 3
    values: np.ndarray = integers * 0.1 if owner.approximate else integers
    sealed: Encrypted = module.encrypt(owner, values)
    x = type(sealed)(
        evaluator, sealed.native, level=0, scale=sealed.scale, bound=sealed.bound, error=sealed.error,
        shape=sealed.shape, layout=sealed.layout,
    )  # fmt: skip
    calls: dict[str, Callable[[], object]] = {
        "encrypt": lambda: module.encrypt(owner, values),
        "decrypt": lambda: module.decrypt(sealed),
        "rotate": lambda: x.rotate(1),
    }
    native = evaluator.native
    product = native.multiply(x.native, x.native, True)

    def relinearized() -> None:
        native.relinearize(product.copy())

    calls["multiply"] = lambda: native.multiply(x.native, x.native, True)
    calls["switch keys"] = relinearized
    return calls | _plain_calls(x, values, primes)


def _adding(owner: Session, evaluator: Session) -> float:
    """Processor seconds of adding a ciphertext that has just arrived, and is in no cache of the processor."""
    content = envelope.pack((approximate if owner.approximate else exact).encrypt(owner, np.ones(owner.slots)))
    total, seconds = envelope.unpack(evaluator, content), []
    for _ in range(_ARRIVALS):
        arrived = envelope.unpack(evaluator, content)
        start = time.process_time()
        total = total + arrived
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def _plain_calls(x: Encrypted, values: np.ndarray, primes: int) -> dict[str, Callable[[], object]]:
    session, native = x.session, x.session.native
    level = {"drop": lambda: native.mod_switch_to_next_ctxt(x.native.copy())} if primes > 1 else {}
    if isinstance(x, approximate.Approximate):
        summand = approximate.encode(session, values, 0, x.scale)
        calls: dict[str, Callable[[], object]] = {
            "encode": lambda: approximate.encode(session, values, 0, x.scale),
            "add plain": lambda: x + summand,
            "multiply plain": lambda: x.times(summand),
            "multiply constant": lambda: x.times(summand),
        }
        rescaled: dict[str, Callable[[], object]] = {}
        if primes > 1:
            scaled = native.multiply_plain(x.native, summand.native, True)
            rescaled["rescale"] = lambda: native.rescale_to_next(scaled.copy())
        return calls | rescaled | level
    plain, constant = exact.encode(session, values), exact.encode(session, 3)
    return level | {
        # With what the guard asks of a factor once.
        "encode": lambda: exact.encode(session, values).growth,
        "add plain": lambda: x + plain,
        # Natively: the guard would refuse it in the smallest ring.
        "multiply plain": lambda: native.multiply_plain(x.native, plain.native, True),
        "multiply constant": lambda: x * constant,
    }


def _typical(call: Callable[[], object], times: int = 0) -> float:
    """Processor seconds of one call: the median of some measurements of as many calls as make them long enough."""
    start = time.process_time()
    call()
    once = time.process_time() - start
    many = times or max(1, min(200, int(_SHORTEST / max(once, 1e-6))))
    measured = []
    for _ in range(_REPEATS):
        start = time.process_time()
        for _ in range(many):
            call()
        measured.append((time.process_time() - start) / many)
    return statistics.median(measured)
