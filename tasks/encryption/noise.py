"""How far a ciphertext may be from what it stands for. Every operation has its bound; they are what the guard goes by.

Noise is followed in the canonical embedding, where products of polynomials are products of numbers. A sum of many
independent roundings is normal there; a product of two such, as of rounding and secret, has a longer tail, and one of
three a longer one still. The factors below leave a chance of about 1e-12 a slot. Digits of a key switch lie between 0
and their prime in SEAL, not around 0; the constant part of that is large at the slots next to 1.

Sources: Gentry, Halevi, Smart 2012/099, appendix A.5 (products in the embedding); Costache, Laine, Player, Evaluating
the effectiveness of heuristic worst-case noise analysis in FHE (ESORICS 2020), for BFV and BGV; Costache, Curtis,
Hales, Murphy, Ogilvie, Player, On the precision loss in approximate homomorphic encryption (SAC 2023), for CKKS. SEAL
encrypts above the data's modulus and switches down, so that a fresh ciphertext has little more noise than rounding.
"""

from __future__ import annotations

import math

from tasks.encryption.parameters import Parameters

# Standard deviations that a normal number, and a product of two and of three, stay within.
_ONE, _TWO, _THREE = 8.0, 16.0, 40.0
# Of the centred binomial distribution that SEAL draws errors from, and of ternary secrets.
_ERROR, _SECRET = math.sqrt(10.5), math.sqrt(2 / 3)
_ROUNDING = math.sqrt(1 / 12)
# Of floating point in encoding and decoding, as a share of the largest value (transforms of up to 2**14 doubles).
_FLOATING = 2.0**-46


class Moduli:
    """Products of the data's primes by level, and the bounds in the embedding that all schemes share."""

    def __init__(self, parameters: Parameters) -> None:
        *data, self.special = parameters.primes
        self.degree = parameters.degree
        self.dropped = tuple(reversed(data))  # the prime that a step from level l to l + 1 drops
        self.modulus = tuple(float(math.prod(data[: len(data) - level])) for level in range(len(data)))
        self.last = len(data) - 1
        n, root = self.degree, math.sqrt(self.degree)
        self.rounded = _ONE * root * _ROUNDING
        # Rounding of both parts of a ciphertext, the second times the secret.
        self.rounding = self.rounded + _TWO * n * _ROUNDING * _SECRET
        public_key = _ONE * root * _ERROR + 2 * _TWO * n * _ERROR * _SECRET
        self.fresh = self.rounding + public_key / float(self.special)
        self.switching = tuple(self._switch(data[: len(data) - level]) for level in range(len(data)))

    def _switch(self, primes: list[int]) -> float:
        n = self.degree
        digit = _TWO * n * _ERROR / math.sqrt(3) + n / math.pi * _ONE * math.sqrt(n) * _ERROR
        together = math.sqrt(sum(float(q) ** 2 for q in primes))
        return self.rounding + digit * together / float(self.special)


class ApproximateNoise(Moduli):
    """CKKS: errors of a slot's real part, as they come out after decoding."""

    def encoding(self, scale: float, bound: float) -> float:
        """Of a plaintext: coefficients are rounded."""
        return self.rounded / scale + bound * _FLOATING

    def encryption(self, scale: float, bound: float) -> float:
        """Of a fresh ciphertext."""
        return (self.fresh + self.rounded) / scale + bound * _FLOATING

    def rescaling(self, scale: float) -> float:
        """Of dropping a prime, at the scale after it."""
        return self.rounding / scale

    def switch(self, scale: float, level: int) -> float:
        """Of switching keys, after a rotation or a product."""
        return self.switching[level] / scale


class IntegerNoise(Moduli):
    """BFV and BGV: noise as a share of the modulus; below a half it decrypts to the exact integer."""

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters)
        self.plain = float(parameters.plain_modulus)
        # Of a plaintext with arbitrary slots, and of a ciphertext taken as numbers modulo the plain modulus.
        self.plaintext = self.rounded * self.plain
        self.lifted = self.rounding * self.plain
        n = self.degree
        cubic = _THREE * n * math.sqrt(n) * _ROUNDING * _SECRET**2
        self._product_rounding = 2 * (self.rounding + cubic)

    def encryption(self, scheme_adds_plaintext: bool) -> float:
        """Of a fresh ciphertext; in BGV the plaintext itself counts."""
        own = (self.fresh + self.rounded) * self.plain
        return (own + (self.plaintext if scheme_adds_plaintext else 0.0)) / self.modulus[0]

    def switch(self, level: int) -> float:
        """Of switching keys."""
        return self.plain * self.switching[level] / self.modulus[level]

    def adding_plain(self, level: int, scheme_adds_plaintext: bool) -> float:
        """Of adding a plaintext."""
        own = self.plaintext if scheme_adds_plaintext else self.plain * self.rounded
        return own / self.modulus[level]

    def invariant_product(self, a: float, b: float) -> float:
        """BFV: of a product with its relinearization."""
        rounding = self.plain * self._product_rounding / self.modulus[0]
        return (a + b) * self.lifted + 3 * a * b + rounding + self.switch(0)

    def levelled_product(self, a: float, b: float, level: int) -> float:
        """BGV: of a product with its relinearization, before a prime is dropped."""
        return a * b * self.modulus[level] + self.switch(level)

    def dropping(self, noise: float, level: int) -> float:
        """BGV: the share after the step from this level to the next."""
        return noise + self.plain * self.rounding / self.modulus[level + 1]
