"""One entry for all schemes: how numbers are encrypted, encoded and decrypted follows from whose keys are open."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tasks.encryption import approximate, exact
from tasks.encryption.ciphertext import Encrypted
from tasks.encryption.session import Session


def encrypt(session: Session, values: ArrayLike, layout: str = "values", bound: float | None = None) -> Any:
    """Numbers (CKKS) or integers (BFV, BGV) as a fresh ciphertext, as in `approximate.encrypt` and `exact.encrypt`."""
    return (approximate if session.approximate else exact).encrypt(session, values, layout, bound)


def decrypt(ciphertext: Encrypted) -> np.ndarray:
    """Its numbers, float64 or int64, in its shape, as in `approximate.decrypt` and `exact.decrypt`."""
    if isinstance(ciphertext, approximate.Approximate):
        return approximate.decrypt(ciphertext)
    assert isinstance(ciphertext, exact.Exact), f"{type(ciphertext).__name__} is no ciphertext of a scheme"
    return exact.decrypt(ciphertext)
