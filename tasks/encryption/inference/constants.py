"""One number in every slot as a plaintext, without a transform.

A constant is the polynomial c, and what the number-theoretic transform makes of it is c at every place. So its
plaintext can be written down, which takes a tenth of the time of encoding a vector; and since nothing but c itself is
rounded, its error is known exactly. Vectors have rounded coefficients, whose errors add up over all slots.
"""

from __future__ import annotations

import struct
import weakref
from fractions import Fraction
from typing import Any

import numpy as np

from tasks.common.errors import WouldBeWrong
from tasks.encryption.approximate import encode, require_fit
from tasks.encryption.ciphertext import Encoded, natively
from tasks.encryption.inference.blanks import Blank
from tasks.encryption.session import Session

# SEAL's plaintext without compression: a header, the hash of the level's parameters, the number of coefficients, the
# scale, and the coefficients under a header of their own.
_HEADER, _PARAMETERS = 16, 32
_SCALE = _HEADER + _PARAMETERS + 8
_COEFFICIENTS = _SCALE + 8 + 24
_heads: weakref.WeakKeyDictionary[Session, dict[int, bytes]] = weakref.WeakKeyDictionary()


def constant(session: Session, value: float, level: int, scale: float) -> Encoded:
    """A plaintext with the same number in every slot. Its bound is 0 if the number is rounded to nothing.

    Raises:
        WouldBeWrong: the number is not finite, or too large for the modulus.
    """
    if not np.isfinite(value):
        raise WouldBeWrong("a weight is missing or infinite; the model was not fitted rightly")
    exact, factor = Fraction(value), Fraction(scale)
    rounded = round(exact * factor)
    stands_for = rounded / factor
    bound, error = float(abs(stands_for)), float(abs(stands_for - exact))
    require_fit(session, level, scale, abs(value), error)
    native = session.native if isinstance(session.native, Blank) else _written(session, rounded, level, scale)
    return Encoded(session, native, level=level, scale=scale, bound=bound and abs(value), error=error, shape=())


def _written(session: Session, rounded: int, level: int, scale: float) -> Any:
    from Pyfhel import PyPtxt

    *data, _ = session.parameters.primes
    residues = np.array([rounded % prime for prime in data[: len(data) - level]], dtype=np.uint64)
    head = bytearray(_head(session, level))
    struct.pack_into("<d", head, _SCALE, scale)
    content = bytes(head) + np.repeat(residues, session.parameters.degree).tobytes()
    return natively(lambda: PyPtxt(pyfhel=session.native, bytestring=content, scheme="ckks"))


def _head(session: Session, level: int) -> bytes:
    """What stands before the coefficients of a level's plaintexts, as SEAL itself writes it."""
    known = _heads.setdefault(session, {})
    if level not in known:
        content: bytes = encode(session, 1.0, level, 2.0**10).native.to_bytes("none")
        count = session.parameters.degree * (session.noise.last + 1 - level)
        if len(content) != _COEFFICIENTS + 8 * count or struct.unpack_from("<d", content, _SCALE) != (2.0**10,):
            raise WouldBeWrong("this version of SEAL writes plaintexts in another way; constants cannot be written")
        known[level] = content[:_COEFFICIENTS]
    return known[level]
