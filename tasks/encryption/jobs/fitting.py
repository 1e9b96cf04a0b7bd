"""The smallest parameters that a job fits into, by the same bounds that the guard goes by while it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from tasks.common.errors import ParametersError
from tasks.encryption.noise import IntegerNoise
from tasks.encryption.parameters import Parameters, Scheme
from tasks.encryption.security import MOST_BITS, Level, smallest_degree

# Noise that a result may have, a quarter of what the guard allows.
_MOST_NOISE = 1 / 16
_LARGEST_PRIME = 60
# Rings that are worth while: in smaller ones no modulus takes both data and the prime that switches keys.
_EXACT_DEGREES = (4096, 8192, 16384, 32768)


def exact(
    scheme: Scheme,
    largest: Callable[[int], int],
    noise: Callable[[IntegerNoise], float],
    level: Level = 128,
) -> Parameters:
    """Parameters of BFV or BGV in which integers up to `largest(slots)` are exact and noise stays a small share.

    noise: of the noisiest ciphertext of the job.

    Raises:
        ParametersError: no ring of the standard takes the job.
    """
    for degree in _EXACT_DEGREES:
        plain_bits = max(largest(degree).bit_length() + 2, int(math.log2(2 * degree)) + 2)
        if plain_bits > _LARGEST_PRIME:
            continue
        for moduli_bits in _moduli(degree, level):
            if plain_bits in moduli_bits:  # so that no two moduli are close to each other
                continue
            made = Parameters(
                scheme=scheme, degree=degree, moduli_bits=moduli_bits, plain_bits=plain_bits, security=level
            )
            if noise(IntegerNoise(made)) < _MOST_NOISE:
                return made
    raise ParametersError(
        "the integers of this job are too large for any ring: narrow the ranges, take fewer decimals or rows, or use "
        "CKKS"
    )


def widest_scale(bound: float) -> int:
    """Bits of the largest scale, up to 50, that leaves room for results of at most `bound` in one prime.

    Raises:
        ParametersError: fewer than 30 bits are left.
    """
    scale_bits = min(50, _LARGEST_PRIME - 2 - _room(bound))
    if scale_bits < 30:
        raise ParametersError(
            f"results of up to {bound:.3g} leave only {scale_bits} bits for the scale; narrow the ranges"
        )
    return scale_bits


def approximate(
    *, levels: int, scale_bits: int, bound: float, least_degree: int = 4096, level: Level = 128
) -> Parameters:
    """Parameters of CKKS for so many products one after another, and results of at most `bound`.

    The prime that switches keys is as large as it may be, since it divides the noise of switching.

    Raises:
        ParametersError: the modulus would be secure in no ring, or the results are too large for the scale.
    """
    base = scale_bits + _room(bound)
    if base > _LARGEST_PRIME:
        raise ParametersError(
            f"results of up to {bound:.3g} have no room beside a scale of {scale_bits} bits; narrow the ranges"
        )
    data = (base, *[scale_bits] * levels)
    degree = max(least_degree, smallest_degree(sum(data) + base, level))
    special = min(_LARGEST_PRIME, MOST_BITS[level][degree] - sum(data))
    return Parameters(
        scheme=Scheme.CKKS, degree=degree, moduli_bits=(*data, special), scale_bits=scale_bits, security=level
    )  # fmt: skip


def _room(bound: float) -> int:
    return max(1, math.ceil(math.log2(4 * max(bound, 1))))


def _moduli(degree: int, level: Level) -> Iterator[tuple[int, ...]]:
    """Moduli of growing size: equal primes for data, one a bit larger that switches keys."""
    most = MOST_BITS[level][degree]
    for bits in range(40, most, 4):
        count = math.ceil(bits / (_LARGEST_PRIME - 1))
        each = math.ceil(bits / count)
        if each * count + each + 1 <= most:
            yield (*[each] * count, each + 1)
