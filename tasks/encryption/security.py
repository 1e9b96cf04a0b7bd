"""How large a modulus may be for a ring and a level of security.

Source: Albrecht et al., Homomorphic Encryption Security Standard, HomomorphicEncryption.org, November 2018, table 1:
ternary secrets, error of standard deviation 3.2, classical attackers. A modulus includes the prime that switches keys.
"""

from __future__ import annotations

from typing import Literal

from tasks.common.errors import ParametersError

Level = Literal[128, 192, 256]

MOST_BITS: dict[Level, dict[int, int]] = {
    128: {1024: 27, 2048: 54, 4096: 109, 8192: 218, 16384: 438, 32768: 881},
    192: {1024: 19, 2048: 37, 4096: 75, 8192: 152, 16384: 305, 32768: 611},
    256: {1024: 14, 2048: 29, 4096: 58, 8192: 118, 16384: 237, 32768: 476},
}
DEGREES = tuple(MOST_BITS[128])


def most_bits(degree: int, level: Level) -> int:
    """The largest modulus, in bits, that keeps `level` bits of security in a ring of this degree.

    Raises:
        ParametersError: the standard has no such ring.
    """
    if degree not in MOST_BITS[level]:
        raise ParametersError(f"degree {degree:,} is in no security table; there are {', '.join(map(str, DEGREES))}")
    return MOST_BITS[level][degree]


def smallest_degree(bits: int, level: Level) -> int:
    """The smallest ring in which a modulus of so many bits is secure.

    Raises:
        ParametersError: none is.
    """
    for degree, most in MOST_BITS[level].items():
        if bits <= most:
            return degree
    raise ParametersError(
        f"a modulus of {bits} bits is secure in no ring of the standard at {level} bits (the largest takes "
        f"{MOST_BITS[level][DEGREES[-1]]}); ask for less depth or precision, or use multi-party computation"
    )
