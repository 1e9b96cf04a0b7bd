"""What a scheme is run with, and the primes that follow from it. Insecure parameters cannot be made."""

from __future__ import annotations

import functools
import math
from enum import StrEnum

import sympy
from pydantic import model_validator

from tasks.common.errors import ParametersError
from tasks.common.values import Value, content_hash
from tasks.encryption.security import Level, most_bits


class Scheme(StrEnum):
    """What SEAL computes in."""

    CKKS = "ckks"  # approximate numbers
    BFV = "bfv"  # integers, exact
    BGV = "bgv"  # integers, exact, levels by hand


class Parameters(Value):
    """Ring, moduli and encoding of one scheme.

    moduli_bits: the primes of the ciphertext modulus, in bits; the last switches keys and carries no data. plain_bits:
    of the modulus of the integers (BFV, BGV), so that values lie in ±2**(plain_bits - 1). scale_bits: of the factor
    that numbers are multiplied with before they are rounded (CKKS).
    """

    scheme: Scheme
    degree: int
    moduli_bits: tuple[int, ...]
    plain_bits: int = 0
    scale_bits: int = 0
    security: Level = 128

    @model_validator(mode="after")
    def _possible(self) -> Parameters:
        most = most_bits(self.degree, self.security)
        if len(self.moduli_bits) < 2:
            raise ParametersError("a modulus needs two primes at least: one for data and one that switches keys")
        if any(not 20 <= bits <= 60 for bits in self.moduli_bits):
            raise ParametersError(f"primes have 20 to 60 bits, not {self.moduli_bits}")
        if sum(self.moduli_bits) > most:
            raise ParametersError(
                f"a modulus of {sum(self.moduli_bits)} bits in a ring of degree {self.degree:,} has less than "
                f"{self.security} bits of security; at most {most} are allowed (HomomorphicEncryption.org, table 1)"
            )
        if self.scheme is Scheme.CKKS and not 10 <= self.scale_bits <= 60:
            raise ParametersError(f"CKKS needs a scale of 10 to 60 bits, not {self.scale_bits}")
        least = int(math.log2(2 * self.degree)) + 1
        if self.scheme is not Scheme.CKKS and not least <= self.plain_bits <= 60:
            raise ParametersError(
                f"with degree {self.degree:,} the modulus of the integers needs {least} to 60 bits, not "
                f"{self.plain_bits}"
            )
        _ = self.primes, self.plain_modulus  # refuses where there are none
        return self

    @property
    def primes(self) -> tuple[int, ...]:
        """The primes of the modulus, the one that switches keys last."""
        return primes(self.moduli_bits, self.degree)

    @property
    def plain_modulus(self) -> int:
        """The prime that integers are computed by, another one than those of the modulus; 0 for CKKS."""
        return 0 if self.scheme is Scheme.CKKS else primes((*self.moduli_bits, self.plain_bits), self.degree)[-1]

    @property
    def slots(self) -> int:
        """How many numbers a ciphertext holds. Integers lie in two rows that rotate each on its own."""
        return self.degree // 2 if self.scheme is Scheme.CKKS else self.degree

    @property
    def levels(self) -> int:
        """How many primes may be dropped, one by each product."""
        return len(self.moduli_bits) - 2

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell parameters apart."""
        return content_hash(self)[:16]


@functools.cache
def primes(bits: tuple[int, ...], degree: int) -> tuple[int, ...]:
    """Distinct primes of these sizes that are 1 modulo 2·degree, the largest of each size first.

    Raises:
        ParametersError: there are not so many.
    """
    found: list[int] = []
    for size in bits:
        step = 2 * degree
        candidate = ((1 << size) - 1) // step * step + 1
        while candidate >> (size - 1) and (candidate >> size or candidate in found or not sympy.isprime(candidate)):
            candidate -= step
        if not candidate >> (size - 1):
            raise ParametersError(f"there are too few primes of {size} bits that are 1 modulo {step:,}")
        found.append(candidate)
    return tuple(found)
