"""A computation without numbers: the guard follows range, level, scale and error, and nothing native happens.

Whatever a set of parameters is too small for is refused here as it would be later, before anybody makes keys, and what
comes out says how large the error would be. The advisor's `rehearsal` has numbers and noise as well, and takes longer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tasks.encryption.approximate import Approximate
from tasks.encryption.parameters import Parameters
from tasks.encryption.session import Role, Session


class Blank:
    """Stands for native keys, ciphertexts and plaintexts; every operation gives a blank."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_: self


def session(parameters: Parameters, rotations: Iterable[int] = ()) -> Session:
    """An evaluator with all keys that the parameters allow, and nothing in its hands."""
    return Session(parameters, Blank(), f"blank-{parameters.fingerprint}", Role.EVALUATOR, frozenset(rotations), True)


def encrypted(rehearsed: Session, shape: tuple[int, ...], layout: str) -> Approximate:
    """What a fresh ciphertext of numbers in [-1, 1] would be."""
    error = rehearsed.noise.encryption(rehearsed.scale, 1.0)
    return Approximate(
        rehearsed, Blank(), level=0, scale=rehearsed.scale, bound=1.0, error=error, shape=shape, layout=layout
    )
