"""The smallest secure parameters under which a circuit does what a problem asks, found without keys.

A circuit is rehearsed with as many primes as it takes, secure or not, to see how large numbers get and how much error
comes out; from that follow the scale, the primes, and from their bits the ring. The plan is then rehearsed again with
these parameters, so that the guard has accepted every operation of it before a key is made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tasks.common.errors import ParametersError, WouldBeWrong
from tasks.encryption.advising import rehearsal, trial
from tasks.encryption.advising.circuit import Circuit
from tasks.encryption.advising.problem import Problem
from tasks.encryption.advising.rehearsal import Counts
from tasks.encryption.advising.trial import Trial
from tasks.encryption.parameters import Parameters, Scheme, primes
from tasks.encryption.security import DEGREES, most_bits, smallest_degree

# Draws of noise and keys that an expected error is taken over, and what it has to be below the error that is allowed.
DRAWS, MARGIN = 12, 2.0
# Groups and terms that a rehearsal does; the others are like them.
GROUPS, TERMS = 2, 4
_FIRST = 2048  # the smallest ring with room for two primes
_LARGEST_PRIME, _SMALLEST_PRIME, _SMALLEST_SCALE = 60, 20, 20
# Bits by which the prime that switches keys is larger than the others, where there is room: what digits leave in a few
# slots (see `rehearsal`) is divided by them.
_SPARE = 8
_REFINEMENTS, _ATTEMPTS = 4, 8
# Errors are draws: by so much one may be above what another said.
_NEARLY = 1.1
# Bits of a modulus that noise can still be followed in, as numbers in double precision.
_MOST_FOLLOWED = 1000


@dataclass(frozen=True)
class Found:
    """Parameters with the circuit that they are for, and what its rehearsal came to."""

    parameters: Parameters
    circuit: Circuit
    rotations: tuple[int, ...]
    error: float
    trial: Trial[Counts]


class TooDeep(ParametersError):
    """No secure ring has room for the products that a problem needs one after another."""


def find(problem: Problem, kind: type[Circuit], scheme: Scheme) -> Found:
    """The smallest secure parameters for a problem in one layout and scheme.

    Raises:
        ParametersError: there are none; the message says what to change.
    """
    return _approximate(problem, kind) if scheme is Scheme.CKKS else _integers(problem, kind, scheme)


def rehearsed(parameters: Parameters, circuit: Circuit, *, draws: int = DRAWS, whole: bool = True) -> Found:
    """A circuit under given parameters: rotations, what is done how often, and the typical largest error.

    whole: of the whole circuit; otherwise of as many terms as `limits` names.

    Raises:
        WouldBeWrong: the guard refuses.
    """
    groups, terms = limits(circuit)
    session = rehearsal.session(parameters)
    spare = max(0, (circuit.problem.depth or 0) - circuit.depth)
    first = trial.run(circuit, trial.Rehearsed(session), groups=groups, terms=terms, whole=whole, spare=spare)
    steps: set[int] = session.rotations.asked  # type: ignore[attr-defined]
    errors = [first.error]
    for seed in range(1, draws if parameters.scheme is Scheme.CKKS else 1):
        again = rehearsal.session(parameters, seed)
        errors.append(trial.run(circuit, trial.Rehearsed(again), groups=1, terms=terms, seed=seed, whole=whole).error)
    error = float(np.sqrt(np.mean(np.square(errors))))
    return Found(parameters, circuit, tuple(sorted(steps)), error, first)


def limits(circuit: Circuit) -> tuple[int, int]:
    """How many groups and terms are enough to know the others."""
    return min(GROUPS, circuit.groups), min(TERMS, circuit.terms)


# Approximate numbers.


def _approximate(problem: Problem, kind: type[Circuit]) -> Found:
    degree = _FIRST
    while True:
        circuit = _fitting(problem, kind, degree, integers=False)
        found = None if circuit is None else _in_ring(problem, circuit, degree)
        if isinstance(found, Found):
            return found
        degree = found or degree * 2


def _in_ring(problem: Problem, circuit: Circuit, degree: int) -> Found | int:
    """The plan in a ring, or the larger ring that it takes."""
    depth = max(circuit.depth, problem.depth or 0)
    scale, head = _needed(problem, circuit, degree, depth)
    refusal: object = ""
    for _ in range(_ATTEMPTS):
        if scale + head > _LARGEST_PRIME:
            break
        bits = _bits(scale, head, depth, 0)
        if (secure := _secure(sum(bits), problem, depth, scale)) > degree:
            return secure
        spare = min(_SPARE, _LARGEST_PRIME - bits[-1], most_bits(degree, problem.security) - sum(bits))
        parameters = Parameters(
            scheme=Scheme.CKKS, degree=degree, moduli_bits=_bits(scale, head, depth, spare), scale_bits=scale,
            security=problem.security,
        )  # fmt: skip
        try:
            found = rehearsed(parameters, circuit)
        except (WouldBeWrong, ParametersError) as refused:
            refusal, scale, head = refused, scale + 1, head + 1
        else:
            if found.error * MARGIN <= problem.wanted * _NEARLY:
                return found
            refusal, scale = f"the error would be {found.error:.1g}", scale + _missing(found.error, problem)
    raise ParametersError(
        f"no parameters reach an error of {problem.wanted:g} ({refusal}); ask for less precision, range or depth, or "
        "use multi-party computation"
    )


def _missing(error: float, problem: Problem) -> int:
    """Bits by which the scale has to grow, or may fall, for the error that is allowed."""
    return math.ceil(math.log2(MARGIN * error / problem.wanted))


def _bits(scale: int, head: int, depth: int, spare: int) -> tuple[int, ...]:
    """First prime, one for each level, and the one that switches keys."""
    first = max(_SMALLEST_PRIME, scale + head)
    return (first, *([scale] * depth), first + spare)


def _needed(problem: Problem, circuit: Circuit, degree: int, depth: int) -> tuple[int, int]:
    """Bits of the scale for the error that is allowed, and bits above it for what comes out."""
    refusal: Exception | None = None
    starts = [start for start in (40, 30, 22) if 2 * _LARGEST_PRIME + depth * start < _MOST_FOLLOWED]
    for start in starts:
        try:
            shape = (_LARGEST_PRIME, *([start] * depth), _LARGEST_PRIME)
            tried = _tried(problem, circuit, degree, start, shape)
        except (WouldBeWrong, ParametersError) as refused:
            refusal = refusal or refused
            continue
        scale, head = _read_off(tried, problem, start, depth)
        return _refined(problem, circuit, degree, depth, scale, head)
    if not starts:
        _secure((depth + 2) * _SMALLEST_SCALE, problem, depth, _SMALLEST_SCALE)
    raise TooDeep(
        f"numbers on the way get too large for the primes there are: {refusal}; ask for less range, smaller weights or "
        "fewer steps, or use multi-party computation"
    )


def _refined(problem: Problem, circuit: Circuit, degree: int, depth: int, scale: int, head: int) -> tuple[int, int]:
    """The same from rehearsals with the primes that follow from them, whose key switches have less noise."""
    for _ in range(_REFINEMENTS):
        shape = _bits(scale, head, depth, min(_SPARE, _LARGEST_PRIME - scale - head))
        try:
            again = _read_off(_tried(problem, circuit, degree, scale, shape), problem, scale, depth)
        except (WouldBeWrong, ParametersError):
            again = (scale + 1, head + 1)
        if again == (scale, head):
            break
        scale, head = again
    return scale, head


def _tried(problem: Problem, circuit: Circuit, degree: int, scale: int, shape: tuple[int, ...]) -> Found:
    """Rehearsed with primes that may not be secure; no key is ever made of these."""
    tried = Parameters.model_construct(
        scheme=Scheme.CKKS, degree=degree, scale_bits=scale, plain_bits=0, security=problem.security, moduli_bits=shape
    )
    return rehearsed(tried, circuit, draws=4)


def _read_off(found: Found, problem: Problem, start: int, depth: int) -> tuple[int, int]:
    head = max(2, math.ceil(math.log2(2 * (found.trial.bound + 2 * found.trial.stated))) + 1)
    scale = start + _missing(found.error, problem)
    scale = max(scale, _SMALLEST_SCALE if depth else 10, _SMALLEST_PRIME - head)
    if scale + head > _LARGEST_PRIME:
        reached = MARGIN * found.error * 2.0 ** (start - (_LARGEST_PRIME - head))
        raise ParametersError(
            f"results of up to {found.trial.bound:.3g} with an error of {problem.wanted:g} need {scale + head} bits in "
            f"one prime, which has {_LARGEST_PRIME} at most; ask for a precision of {reached:.1g}, or for less range"
        )
    return scale, head


def _secure(bits: int, problem: Problem, depth: int, scale: int) -> int:
    """The smallest ring for a modulus, but no smaller than the smallest."""
    try:
        return max(_FIRST, smallest_degree(bits, problem.security))
    except ParametersError:
        most = most_bits(DEGREES[-1], problem.security)
        possible = depth - math.ceil((bits - most) / scale)
        raise TooDeep(
            f"{depth} products one after another, {scale} bits each, make a modulus of {bits} bits; at "
            f"{problem.security} bits of security {most} are allowed, enough for {max(0, possible)}: ask for less "
            "depth (fewer layers or iterations, a lower degree) or less precision, or use multi-party computation"
        ) from None


# Integers.


def _integers(problem: Problem, kind: type[Circuit], scheme: Scheme) -> Found:
    refusal: Exception = ParametersError("no ring has room")
    for degree in DEGREES[DEGREES.index(_FIRST) :]:
        circuit = _fitting(problem, kind, degree, integers=True)
        if circuit is None:
            continue
        plain = _plain_bits(problem, circuit, degree, scheme)
        found = _smallest(problem, circuit, degree, plain, scheme)
        if isinstance(found, Found):
            return found
        refusal = found or refusal
    raise _too_deep(problem, kind(problem, DEGREES[-1], True).depth, refusal)


def _too_deep(problem: Problem, depth: int, refusal: Exception) -> TooDeep:
    return TooDeep(
        f"{max(depth, problem.depth or 0)} products of integers one after another fit into no modulus that is secure "
        f"at {problem.security} bits ({refusal}); ask for less depth, range or smaller weights, for approximate "
        "numbers (a `precision:`), or use multi-party computation"
    )


def _smallest(problem: Problem, circuit: Circuit, degree: int, plain: int, scheme: Scheme) -> Found | Exception | None:
    """The plan with the smallest modulus of data that the guard accepts in a ring, or why it accepts none."""
    shapes = _shapes(degree, problem, max(circuit.depth, problem.depth or 0), scheme)
    low, high, best, refusal = 0, len(shapes) - 1, None, None
    while low <= high:
        middle = high if best is None and low == 0 and refusal is None else (low + high) // 2
        count, size = shapes[middle]
        try:
            parameters = Parameters(
                scheme=scheme, degree=degree, moduli_bits=(size,) * (count + 1), plain_bits=plain,
                security=problem.security,
            )  # fmt: skip
            best, high = rehearsed(parameters, circuit, draws=1), middle - 1
        except (WouldBeWrong, ParametersError) as refused:
            refusal, low = refused, middle + 1
    return best or refusal


def _shapes(degree: int, problem: Problem, depth: int, scheme: Scheme) -> list[tuple[int, int]]:
    """Numbers and sizes of equal primes that are secure in a ring, by the bits of data; one more switches keys."""
    most = most_bits(degree, problem.security)
    least = depth + 1 if scheme is Scheme.BGV else 1
    smallest = max(_SMALLEST_PRIME, int(math.log2(2 * degree)) + 3)
    found = {}
    for count in range(least, most // smallest):
        for size in range(smallest, _LARGEST_PRIME + 1):
            if size * (count + 1) <= most and (count == least or size * count > _LARGEST_PRIME * (count - 1)):
                found[size * count] = (count, size)
    return [found[bits] for bits in sorted(found)]


def _plain_bits(problem: Problem, circuit: Circuit, degree: int, scheme: Scheme) -> int:
    """Bits of the plain modulus for what comes out, from a rehearsal with room for everything."""
    terms = limits(circuit)[1]
    most = Parameters.model_construct(
        scheme=scheme, degree=degree, scale_bits=0, plain_bits=60, security=problem.security,
        moduli_bits=(59,) * (_MOST_FOLLOWED // 59),
    )  # fmt: skip
    try:
        bound = trial.run(circuit, trial.Rehearsed(rehearsal.session(most)), groups=1, terms=terms, whole=True).bound
    except WouldBeWrong as refusal:
        if "wrap" not in str(refusal):
            raise _too_deep(problem, circuit.depth, refusal) from None
        raise ParametersError(
            f"exact integers get too large: {refusal}; ask for less range or smaller weights, or for approximate "
            "numbers (a `precision:`)"
        ) from None
    bits = max(int(math.log2(2 * degree)) + 1, math.ceil(math.log2(2 * bound + 2)) + 1)
    while bits < 60:
        try:
            if primes((bits,), degree)[0] > 2 * bound + 2:
                return bits
        except ParametersError:
            pass
        bits += 1
    return bits


def _fitting(problem: Problem, kind: type[Circuit], degree: int, *, integers: bool) -> Circuit | None:
    try:
        return kind(problem, degree if integers else degree // 2, integers)
    except ParametersError:
        if degree == DEGREES[-1]:
            raise
        return None
