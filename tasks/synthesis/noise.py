"""Noise that keeps a promise of differential privacy: drawn exactly, in whole numbers, from the system's random source.

A Gaussian made of floating-point numbers betrays by its lowest bits what it was added to (Mironov 2012, CCS). The
discrete Gaussian has no such bits: it is drawn by comparing random integers, without rounding (Canonne, Kamath &
Steinke 2020, NeurIPS, arXiv 2004.00010, algorithms 1 to 3), here for whole arrays at once.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from fractions import Fraction

import numpy as np

# Gives so many random bytes. Tests bring one that repeats; anywhere else it has to be the system's.
Source = Callable[[int], bytes]

_FINEST = 10  # variances are multiples of 2^-10, where they are small
_BITS = 57  # what products of integers may have, so that they can be multiplied by a few more and stay int64
LARGEST_SIGMA = 10_000.0


class Noise:
    """Draws noise; the source of its bits is not shared with anything else."""

    def __init__(self, source: Source = os.urandom) -> None:
        self._source = source

    def words(self, count: int) -> np.ndarray:
        """Random uint64 (count,)."""
        return np.frombuffer(self._source(8 * count), dtype=np.uint64)

    def below(self, bounds: np.ndarray) -> np.ndarray:
        """Uniform integers, each from 0 to below its bound; int64 in the shape of `bounds`, which are at least 1."""
        # The exponent of a float is never too small for its integer; one too large costs another draw.
        mask = np.left_shift(np.uint64(1), np.frexp((bounds - 1).astype(float))[1].astype(np.uint64)) - np.uint64(1)
        drawn = np.empty(bounds.shape, dtype=np.int64)
        open_ = np.arange(bounds.size)
        while len(open_):
            drawn.flat[open_] = (self.words(len(open_)) & mask.flat[open_]).astype(np.int64)
            open_ = open_[drawn.flat[open_] >= bounds.flat[open_]]
        return drawn

    def chosen(self, rate: float, count: int) -> np.ndarray:
        """bool (count,), each true with probability `rate`, to a 2^64th."""
        return self.words(count) < np.uint64(min(int(rate * 2**64), 2**64 - 1))

    def decays(self, numerator: np.ndarray, denominator: int) -> np.ndarray:
        """bool (n,), each true with probability exp(-numerator / denominator), exactly; numerators may be any integers.

        Source: Canonne et al. 2020, algorithm 1.
        """
        numerator = numerator.astype(object)
        whole = np.minimum(numerator // denominator, 2**31).astype(np.int64)
        alive = self._decays_within_one((numerator % denominator).astype(np.int64), denominator)
        step = 0
        while len(left := np.flatnonzero(alive & (whole > step))):
            alive[left] = self._decays_within_one(np.full(len(left), denominator), denominator)
            step += 1
        return alive

    def _decays_within_one(self, numerator: np.ndarray, denominator: int) -> np.ndarray:
        """The same for ratios of at most 1: the first k at which a coin of ratio / k fails is odd."""
        odd = np.zeros(len(numerator), dtype=bool)
        left, k = np.arange(len(numerator)), 1
        while len(left):
            heads = self.below(np.full(len(left), denominator * k)) < numerator[left]
            odd[left[~heads]] = k % 2 == 1
            left, k = left[heads], k + 1
        return odd

    def laplace(self, scale: int, count: int) -> np.ndarray:
        """Discrete Laplace noise, probability of x proportional to exp(-|x| / scale); int64 (count,).

        Source: Canonne et al. 2020, algorithm 2.
        """
        found, have = [np.empty(0, np.int64)], 0
        while have < count:
            tries = 3 * (count - have) + 16
            rest = self.below(np.full(tries, scale))
            rest = rest[self.decays(rest, scale)]
            size = rest + scale * self._successes(len(rest))
            negative = self.below(np.full(len(size), 2)) == 1
            kept = ~(negative & (size == 0))  # or 0 would come twice as often
            found.append(np.where(negative, -size, size)[kept])
            have += len(found[-1])
        return np.concatenate(found)[:count]

    def _successes(self, count: int) -> np.ndarray:
        """How often in a row a coin of 1/e falls heads, int64 (count,)."""
        successes = np.zeros(count, dtype=np.int64)
        left = np.arange(count)
        while len(left):
            left = left[self._decays_within_one(np.ones(len(left), np.int64), 1)]
            successes[left] += 1
        return successes

    def gaussian(self, variance: Fraction, count: int) -> np.ndarray:
        """Discrete Gaussian noise, probability of x proportional to exp(-x^2 / (2 variance)); int64 (count,).

        Source: Canonne et al. 2020, algorithm 3.
        """
        p, q = variance.numerator, variance.denominator
        scale = math.isqrt(p // q) + 1
        found, have = [np.empty(0, np.int64)], 0
        while have < count:
            tried = self.laplace(scale, 2 * (count - have) + 16)
            # (|x| - variance / scale)^2 / (2 variance), as a ratio of integers
            numerator = (np.abs(tried).astype(object) * (scale * q) - p) ** 2
            found.append(tried[self.decays(numerator, 2 * p * q * scale**2)])
            have += len(found[-1])
        return np.concatenate(found)[:count]

    def normal(self, count: int) -> np.ndarray:
        """Gaussian noise with variance 1, float64 (count,), for gradients, which are no counts.

        Each is the sum of four halved draws, so that its lowest bits tell nothing in practice (Holohan & Braghin 2021,
        arXiv 2107.10138), as opacus does it; from the system's random source, which opacus does not use.
        """
        half = -(-count // 2)
        total = np.zeros(2 * half)
        for _ in range(4):
            uniform = ((self.words(2 * half) >> np.uint64(11)).astype(float) + 0.5) * 2.0**-53
            radius, angle = np.sqrt(-2 * np.log(uniform[:half])), 2 * np.pi * uniform[half:]
            total += np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
        return total[:count] / 2


def variance_for(sigma: float) -> Fraction:
    """The smallest variance that `gaussian` can draw with and that is not below sigma squared."""
    assert 0 < sigma <= LARGEST_SIGMA, "callers refuse more"
    room = _BITS / 2 - math.log2(max(sigma, 1.0) * (sigma + 1)) - 1
    fineness = 2 ** max(min(_FINEST, math.floor(room)), 0)
    return Fraction(math.ceil(sigma**2 * fineness), fineness)
