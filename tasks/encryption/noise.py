"""How far a ciphertext may be from what it stands for. Every operation has its bound; they are what the guard goes by.

Noise is followed in the canonical embedding, where products of polynomials are products of numbers. A sum of many
independent roundings is normal there; a product of two such, as of rounding and secret, has a longer tail, and one of
three a longer one still. The factors below leave a chance of 1e-13 a slot.

SEAL does not round around zero everywhere: digits of a key switch lie between 0 and their prime; dropping a prime in
BGV leaves remainders between 0 and the plain modulus; the product of BFV divides by flooring, once a prime. What is
constant in such a remainder is a multiple of 1 + X + X² + …, which is small in most slots and 2n/π in those next to 1.

Sources: Gentry, Halevi, Smart 2012/099, appendix A.5 (products in the embedding); Costache, Laine, Player, Evaluating
the effectiveness of heuristic worst-case noise analysis in FHE (ESORICS 2020), for BFV and BGV; Costache, Curtis,
Hales, Murphy, Ogilvie, Player, On the precision loss in approximate homomorphic encryption (SAC 2023), for CKKS;
Bajard, Eynard, Hasan, Zucca 2016/510 (the product of BFV in residues); SEAL 4.1, evaluator.cpp, rns.cpp and
encryptor.cpp, for what is rounded how. SEAL encrypts above the data's modulus and switches down, so that a fresh
ciphertext has little more noise than rounding.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy import fft

from tasks.encryption.parameters import Parameters, Scheme

# Standard deviations that a complex normal number, a product |a|·|b| of two, and |a|·|b|² exceed once in 1e13:
# exp(-x²), 2x·K1(2x), and the integral of exp(-u - x²/u²) over u.
_ONE, _TWO, _THREE = 5.5, 16.0, 70.0
# Of the centred binomial distribution that SEAL draws errors from, of ternary secrets, and of what rounding leaves.
_ERROR, _SECRET, _ROUNDING = math.sqrt(10.5), math.sqrt(2 / 3), math.sqrt(1 / 12)
# Of floating point in encoding and decoding, as a share of the largest value (transforms of up to 2**14 doubles).
_FLOATING = 2.0**-46
# Steps of a quantizer that a signal has to span for its error to be like noise (Widrow, Kollár 2008, chapter 20).
_STEPS = 32.0


class Moduli:
    """Products of the data's primes by level, and the bounds in the embedding that all schemes share."""

    def __init__(self, parameters: Parameters) -> None:
        *data, self.special = parameters.primes
        self.degree = n = parameters.degree
        self.dropped = tuple(reversed(data))  # the prime that a step from level l to l + 1 drops
        self.modulus = tuple(float(math.prod(data[: len(data) - level])) for level in range(len(data)))
        self.half = tuple(modulus / 2 for modulus in self.modulus)
        self.last = len(data) - 1
        root = math.sqrt(n)
        self.rounded = _ONE * root * _ROUNDING
        self.rounded_at_most = n / 2  # whatever the coefficients are, and however they agree
        # The secret, and 1 + X + X² + …, in their largest slots.
        self._secret, self._ones = _ONE * root * _SECRET, 1 / math.sin(math.pi / 2 / n)
        # Rounding of both parts of a ciphertext, the second times the secret; and where remainders are never negative.
        self.rounding = self.rounded + _TWO * n * _ROUNDING * _SECRET
        self.remainders = self.rounding + self._ones / 2 * (1 + self._secret)
        self._left = self.remainders if parameters.scheme is Scheme.BGV else self.rounding
        public_key = _ONE * root * _ERROR + 2 * _TWO * n * _ERROR * _SECRET
        self.fresh = self._left + public_key / float(self.special)
        self.switching = tuple(self._switch(data[: len(data) - level]) for level in range(len(data)))

    def _switch(self, primes: list[int]) -> float:
        digit = _TWO * self.degree * _ROUNDING * _ERROR + self._ones / 2 * _ONE * math.sqrt(self.degree) * _ERROR
        together = math.sqrt(sum(float(q) ** 2 for q in primes))
        return self._left + digit * together / float(self.special)


class ApproximateNoise(Moduli):
    """CKKS: errors of a slot, as complex numbers, as they come out after decoding."""

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters)
        # Of the root of the sum of squares of all slots, times the scale: coefficients then span enough steps.
        self._spanning = _STEPS * self.degree / math.sqrt(2)

    def encoding(self, scale: float, bound: float, slots: np.ndarray) -> float:
        """Of a plaintext, of which bound is the largest magnitude: coefficients are rounded.

        Coefficients that span many steps are rounded like noise; few or small ones may all be rounded to one side.
        """
        noisy = bound * scale >= self._spanning or float(slots @ slots) >= (self._spanning / scale) ** 2
        return (self.rounded if noisy else self.rounded_at_most) / scale + bound * _FLOATING

    def constant(self, scale: float, bound: float) -> float:
        """Of a plaintext with the same number in all slots: it has one coefficient."""
        return 0.5 / scale + bound * _FLOATING

    def encryption(self, scale: float, bound: float) -> float:
        """Of a fresh ciphertext."""
        return (self.fresh + self.rounded_at_most) / scale + bound * _FLOATING

    def rescaling(self, scale: float) -> float:
        """Of dropping a prime, at the scale after it."""
        return self.rounding / scale

    def switch(self, scale: float, level: int) -> float:
        """Of switching keys, after a rotation or a product."""
        return self.switching[level] / scale


class IntegerNoise(Moduli):
    """BFV and BGV: noise as a share of the modulus, in BGV with the numbers themselves. Below a half, all is exact."""

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters)
        self.plain = float(parameters.plain_modulus)
        # A ciphertext taken as numbers modulo the plain modulus.
        self.lifted = self.rounding * self.plain
        self._flooring = self._floor(len(self.dropped))

    def _floor(self, primes: int) -> float:
        """What dividing a product of three parts by flooring leaves: between 0 and 1 for every prime of the data."""
        n, spread, secret = self.degree, math.sqrt(primes) * _ROUNDING, self._secret
        random = _ONE * math.sqrt(n) + _TWO * n * _SECRET + _THREE * n * math.sqrt(n) * _SECRET**2
        return spread * random + primes / 2 * self._ones * (1 + secret + secret**2)

    def encryption(self) -> float:
        """Of a fresh ciphertext, with the plaintext's rounding (BFV) or the plaintext (BGV)."""
        return (self.fresh + self.rounded_at_most) * self.plain / self.modulus[0]

    def switch(self, level: int) -> float:
        """Of switching keys."""
        return self.plain * self.switching[level] / self.modulus[level]

    def adding_plain(self, level: int) -> float:
        """Of adding a plaintext: its rounding (BFV), or itself (BGV)."""
        return self.plain * self.rounded_at_most / self.modulus[level]

    def invariant_product(self, a: float, b: float) -> float:
        """BFV: of a product with its relinearization."""
        return (a + b) * self.lifted + 3 * a * b + self.plain * self._flooring / self.modulus[0] + self.switch(0)

    def levelled_product(self, a: float, b: float, level: int) -> float:
        """BGV: of a product with its relinearization, before a prime is dropped."""
        return a * b * self.modulus[level] + self.switch(level)

    def dropping(self, noise: float, level: int) -> float:
        """BGV: the share after the step from this level to the next."""
        return noise + self.plain * self.remainders / self.modulus[level + 1]


def embedding_norm(coefficients: np.ndarray) -> float:
    """The largest absolute value of a polynomial at the odd powers of exp(iπ/n), of which it has n coefficients."""
    half = len(coefficients) // 2
    folded = np.empty(half, np.complex128)
    folded.real, folded.imag = coefficients[:half], coefficients[half:]
    folded *= _twist(half)
    parts = fft.ifft(folded, norm="forward", overwrite_x=True).view(np.float64)
    parts *= parts
    return math.sqrt((parts[::2] + parts[1::2]).max())


@functools.cache
def _twist(half: int) -> np.ndarray:
    """What brings a transform of half the length, of coefficients in pairs, to odd powers, of which it has one in two.

    The others are their conjugates.
    """
    return np.exp(0.5j * np.pi / half * np.arange(half))


def balance(a: int, b: int, plain: int) -> tuple[int, int, int]:
    """What SEAL multiplies two BGV ciphertexts of different correction factors with before it adds them.

    Returns the common factor and both multipliers, between 0 and the plain modulus. Those that SEAL takes for small
    because they are so around zero are large as it applies them, which is why noise can grow by the plain modulus.

    Source: SEAL 4.1, balance_correction_factors in evaluator.cpp.
    """
    ratio = pow(a, -1, plain) * b % plain
    chosen, least = (ratio, 1), _around(ratio, plain) + 1
    earlier, rest, before, factor = plain, ratio, 0, 1
    while rest:
        quotient, (earlier, rest) = earlier // rest, (rest, earlier % rest)
        before, factor = factor, before - factor * quotient
        size = _around(rest % plain, plain) + _around(factor % plain, plain)
        if rest and size < least:
            chosen, least = (rest % plain, factor % plain), size
    return chosen[0] * a % plain, chosen[0], chosen[1]


def _around(value: int, plain: int) -> int:
    return min(value, plain - value)
