"""The smallest parameters that an inference needs, found by rehearsing it.

Whatever the guard would refuse, and an error above what was asked for, rules parameters out; the first that is left is
taken, smallest ring first. Linear models have one modulus for everything; networks have a prime for each level, all of
the scale's size, and two that stay for the last layer.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tasks.common.errors import ParametersError, WouldBeWrong
from tasks.encryption.inference import blanks
from tasks.encryption.inference.evaluation import Layout, evaluated, levels, shapes
from tasks.encryption.inference.plan import Plan
from tasks.encryption.inference.polynomial import BABIES
from tasks.encryption.parameters import Parameters, Scheme
from tasks.encryption.security import DEGREES, Level, most_bits

_SMALLEST, _LARGEST = 20, 60  # bits of a prime
_LEAST_SCALE, _MOST_SCALE = 18, 55


@dataclass(frozen=True)
class Size:
    """Parameters, how polynomials are split, and the error that encryption adds to a predictor at most."""

    parameters: Parameters
    babies: int
    error: float


@functools.lru_cache(maxsize=64)
def sized(plan: Plan, layout: Layout, precision: float, security: Level) -> Size:
    """The smallest parameters with which encryption adds no more than `precision` to the error of a predictor.

    Raises:
        ParametersError: there are none; the message says what would be reached.
    """
    best = np.inf
    deep = len(plan.layers) > 1
    for degree in DEGREES:
        found: list[Size] = []
        for babies in BABIES if deep else BABIES[:1]:
            for parameters in _candidates(plan, layout, babies, degree, security):
                error = _rehearsed(plan, layout, babies, parameters)
                best = min(best, error)
                if error <= precision:
                    found.append(Size(parameters, babies, error))
        if found:
            return min(found, key=lambda size: _preference(plan, size))
    raise ParametersError(
        f"no parameters of {security} bits of security reach a precision of {precision:g} for {plan.origin}: "
        + (f"at best the error is {best:.2g}" if np.isfinite(best) else "it has too many layers, or too high degrees")
        + "; ask for less, for a larger tolerance of the plan, or use multi-party computation"
    )


def _preference(plan: Plan, size: Size) -> tuple[int, int, float]:
    """Fewer products first, then fewer primes, then the smaller error."""
    coefficients = [layer.activation.coefficients for layer in plan.layers if layer.activation]
    return sum(products(c, size.babies) for c in coefficients), len(size.parameters.moduli_bits), size.error


def products(coefficients: tuple[float, ...], babies: int) -> int:
    """About how many products of ciphertexts a polynomial takes: powers, and one for each split."""
    degree = len(coefficients) - 1
    giants = max(0, (degree // babies).bit_length())
    return babies - 2 + giants + degree // babies


def _candidates(plan: Plan, layout: Layout, babies: int, degree: int, security: Level) -> Iterator[Parameters]:
    most = most_bits(degree, security)
    if layout is Layout.ROWS and shapes(plan)[0].period > degree // 2:
        return
    if len(plan.layers) == 1:
        for count in (1, 2, 3):
            bits = (most // (count + 1)) if layout is Layout.ROWS else (most - _SMALLEST) // count
            bits = min(_LARGEST, bits)
            special = bits if layout is Layout.ROWS else min(_LARGEST, most - count * bits)
            if bits >= _SMALLEST:
                for scale in range(_LEAST_SCALE, min(_MOST_SCALE, count * bits - 2)):
                    yield from _possible(degree, (*[bits] * count, special), scale, security)
        return
    count = levels(plan, babies) + 1  # of the scale's size, beside the first and the special one
    for above in (10, 6, 4, 2):
        scale = min(_MOST_SCALE, _LARGEST - above, (most - 2 * above) // (count + 2))
        if scale >= _SMALLEST:
            yield from _possible(degree, (scale + above, *[scale] * count, scale + above), scale, security)


def _possible(degree: int, bits: tuple[int, ...], scale: int, security: Level) -> Iterator[Parameters]:
    """These parameters, unless there are too few primes of a size."""
    with contextlib.suppress(ParametersError):
        yield Parameters(scheme=Scheme.CKKS, degree=degree, moduli_bits=bits, scale_bits=scale, security=security)


def _rehearsed(plan: Plan, layout: Layout, babies: int, parameters: Parameters) -> float:
    """The error of the worst predictor, or infinity if the guard refuses."""
    try:
        session = blanks.session(parameters, {step for shape in shapes(plan) for step in shape.rotations})
        count = len(plan.features) if layout is Layout.COLUMNS else 1
        batch = [blanks.encrypted(session, (session.slots,), layout) for _ in range(count)]
        (outputs,) = evaluated(plan, layout, babies, [batch])
    except (ParametersError, WouldBeWrong):
        return np.inf
    return max(output.error for output in outputs)
