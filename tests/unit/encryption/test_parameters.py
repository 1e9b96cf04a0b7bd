"""No parameters below the standard, and none that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
import sympy

from tasks.common.errors import ParametersError
from tasks.encryption.parameters import Parameters, primes
from tasks.encryption.security import DEGREES, MOST_BITS, Level, most_bits, smallest_degree

# HomomorphicEncryption.org standard of 2018, table 1, (-1, 1) secrets: log q by n for 128, 192 and 256 bits.
TABLE: dict[int, tuple[int, int, int]] = {
    1024: (27, 19, 14), 2048: (54, 37, 29), 4096: (109, 75, 58), 8192: (218, 152, 118), 16384: (438, 305, 237),
    32768: (881, 611, 476),
}  # fmt: skip
LEVELS: tuple[Level, ...] = (128, 192, 256)


def ckks(**changed: Any) -> Parameters:
    return Parameters(**({"scheme": "ckks", "degree": 8192, "moduli_bits": (40, 30, 40), "scale_bits": 30} | changed))


def bfv(**changed: Any) -> Parameters:
    return Parameters(**({"scheme": "bfv", "degree": 8192, "moduli_bits": (50, 50, 60), "plain_bits": 20} | changed))


def test_the_tables_are_those_of_the_standard() -> None:
    assert {n: tuple(MOST_BITS[level][n] for level in LEVELS) for n in DEGREES} == TABLE


@pytest.mark.parametrize("level", LEVELS)
def test_no_modulus_is_larger_than_its_ring_allows(level: Level) -> None:
    for degree in (4096, 8192, 16384):
        most = most_bits(degree, level)
        parts = (29,) * (most // 29 - 1) + (29 + most % 29,)
        assert sum(parts) == most
        assert ckks(degree=degree, moduli_bits=parts, security=level).security == level
        with pytest.raises(ParametersError, match=f"less than {level} bits of security; at most {most}"):
            ckks(degree=degree, moduli_bits=(*parts[:-1], parts[-1] + 1), security=level)


def test_the_smallest_ring_is_the_first_that_the_modulus_fits() -> None:
    assert [smallest_degree(bits, 128) for bits in (27, 28, 218, 219, 881)] == [1024, 2048, 8192, 16384, 32768]
    with pytest.raises(ParametersError, match="secure in no ring"):
        smallest_degree(882, 128)
    with pytest.raises(ParametersError, match="in no security table"):
        most_bits(5000, 128)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: ckks(moduli_bits=(40,)), "two primes at least"),
        (lambda: ckks(moduli_bits=(61, 40)), "20 to 60 bits"),
        (lambda: ckks(moduli_bits=(19, 40)), "20 to 60 bits"),
        (lambda: ckks(scale_bits=0), "scale of 10 to 60"),
        (lambda: ckks(degree=3000), "in no security table"),
        (lambda: bfv(plain_bits=14), "needs 15 to 60 bits"),
        (lambda: bfv(plain_bits=0), "needs 15 to 60 bits"),
        (lambda: bfv(degree=4096, moduli_bits=(40, 40), plain_bits=15), "too few primes of 15 bits"),
        (lambda: ckks(degree=32768, moduli_bits=(20,) * 9), "too few primes of 20 bits"),
    ],
)
def test_what_cannot_be_is_refused(made: Any, message: str) -> None:
    with pytest.raises(ParametersError, match=message):
        made()


def test_primes_are_distinct_largest_first_and_fit_the_ring() -> None:
    made = primes((40, 30, 30, 30, 40), 8192)
    assert [prime.bit_length() for prime in made] == [40, 30, 30, 30, 40]
    assert len(set(made)) == 5
    assert all(sympy.isprime(prime) and prime % 16384 == 1 for prime in made)
    assert made[1] > made[2] > made[3]
    assert made[0] == max(p for p in range(2**40 - 2**20 + 1, 2**40) if p % 16384 == 1 and sympy.isprime(p))


def test_the_plain_modulus_is_no_prime_of_the_modulus() -> None:
    made = bfv(moduli_bits=(43, 43, 44), plain_bits=43)
    assert made.plain_modulus not in made.primes
    assert (made.plain_modulus.bit_length(), made.plain_modulus % 16384, ckks().plain_modulus) == (43, 1, 0)


def test_other_parameters_have_another_fingerprint() -> None:
    assert bfv().fingerprint == bfv().fingerprint
    assert len({bfv().fingerprint, bfv(plain_bits=21).fingerprint, bfv(scheme="bgv").fingerprint}) == 3
