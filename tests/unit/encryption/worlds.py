"""Keys that tests of the guard share: small rings, made once a process."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.encryption import envelope, guarded, keys
from tasks.encryption.parameters import Parameters
from tasks.encryption.session import Session

PASSPHRASE = "correct horse battery"  # noqa: S105
PARAMETERS = {
    "ckks": Parameters(scheme="ckks", degree=8192, moduli_bits=(40, 30, 30, 30, 40), scale_bits=30),
    "bfv": Parameters(scheme="bfv", degree=8192, moduli_bits=(43, 43, 44, 44, 44), plain_bits=20),
    "bgv": Parameters(scheme="bgv", degree=8192, moduli_bits=(43, 43, 44, 44, 44), plain_bits=20),
}


@dataclass(frozen=True)
class World:
    """The folder of keys and the sessions that are open on it."""

    folder: Path
    owner: Session
    evaluator: Session

    @property
    def slots(self) -> int:
        return self.owner.slots

    def encrypt(self, values: Any, **rest: Any) -> Any:
        return guarded.encrypt(self.evaluator, values, **rest)

    def decrypt(self, ciphertext: Any) -> np.ndarray:
        return guarded.decrypt(envelope.unpack(self.owner, envelope.pack(ciphertext)))


@functools.cache
def world(scheme: str, name: str = "own") -> World:
    """Keys of a scheme, to rotate by 0 (BFV), 1 and -3, and for products; another name has other keys."""
    folder = Path(tempfile.mkdtemp(prefix="secured-test-keys-"))
    rotations = [0, 1, -3] if scheme == "bfv" else [1, -3]
    keys.make(folder, PARAMETERS[scheme], PASSPHRASE, rotations=rotations, products=True)
    return World(folder, keys.open_owner(folder / "owner", PASSPHRASE), keys.open_evaluator(folder / "evaluator"))
