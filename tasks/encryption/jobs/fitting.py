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


def approximate(
    *, levels: int, scale_bits: int, bound: float, least_degree: int = 4096, level: Level = 128
) -> Parameters:
    """Parameters of CKKS for so many products one after another, and results of at most `bound`.

    Raises:
        ParametersError: the modulus would be secure in no ring, or the results are too large for the scale.
    """
    base = scale_bits + max(1, math.ceil(math.log2(4 * max(bound, 1))))
    if base > _LARGEST_PRIME:
        raise ParametersError(
            f"results of up to {bound:.3g} have no room beside a scale of {scale_bits} bits; narrow the ranges"
        )
    moduli_bits = (base, *[scale_bits] * levels, max(base, scale_bits))
    degree = max(least_degree, smallest_degree(sum(moduli_bits), level))
    return Parameters(
        scheme=Scheme.CKKS, degree=degree, moduli_bits=moduli_bits, scale_bits=scale_bits, security=level
    )  # fmt: skip


def _moduli(degree: int, level: Level) -> Iterator[tuple[int, ...]]:
    """Moduli of growing size: equal primes for data, one a bit larger that switches keys."""
    most = MOST_BITS[level][degree]
    for bits in range(40, most, 4):
        count = math.ceil(bits / (_LARGEST_PRIME - 1))
        each = math.ceil(bits / count)
        if each * count + each + 1 <= most:
            yield (*[each] * count, each + 1)
