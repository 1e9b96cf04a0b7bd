"""A context that is open in this process: native keys of one role, and what may be done with them.

Sessions are what ciphertexts belong to. Two ciphertexts meet only within one, and a session without a secret key has
no way to decrypt: the native library would end the process, this one says no.
"""

from __future__ import annotations

import weakref
from enum import StrEnum
from typing import Any

import numpy as np

from tasks.common.errors import KeyRefused, MissingPart, ParametersError
from tasks.encryption.noise import ApproximateNoise, IntegerNoise
from tasks.encryption.parameters import Parameters, Scheme


class Role(StrEnum):
    """Who holds which keys."""

    OWNER = "owner"  # secret key: encrypts and decrypts
    EVALUATOR = "evaluator"  # public, relinearization and the rotation keys of one job: computes
    AUDITOR = "auditor"  # public key: checks parameters and envelopes, can encrypt known answers


_open: weakref.WeakValueDictionary[str, Session] = weakref.WeakValueDictionary()


class Session:
    """Native keys of one role, and the noise that their operations add.

    fingerprint: of parameters and public key, 32 hexadecimal digits; ciphertexts carry it. rotations: the steps that
    there are keys for.
    """

    def __init__(
        self,
        parameters: Parameters,
        native: Any,
        fingerprint: str,
        role: Role,
        rotations: frozenset[int],
        products: bool,
    ) -> None:
        self.parameters, self.native, self.fingerprint, self.role = parameters, native, fingerprint, role
        self.rotations, self.products = rotations, products
        self.slots = parameters.slots
        self.approximate = parameters.scheme is Scheme.CKKS
        self.levelled = parameters.scheme is not Scheme.BFV
        self.scale = 2.0**parameters.scale_bits
        self.most = parameters.plain_modulus // 2  # the largest integer, in BFV and BGV
        self.noise: Any = ApproximateNoise(parameters) if self.approximate else IntegerNoise(parameters)
        self._encoders: dict[int, Any] = {0: native}
        _open[f"{fingerprint}:{role}"] = self

    def encoder(self, level: int) -> Any:
        """The native context that encodes for a level.

        SEAL encodes for all primes and drops some afterwards, which costs as much at the last level as at the first. A
        context without those primes has the same moduli from there on, so what it encodes is the same plaintext.
        """
        if level not in self._encoders:
            *data, special = self.parameters.moduli_bits
            fewer = {"moduli_bits": (*data[: len(data) - level], special)}
            self._encoders[level] = native_context(self.parameters.model_copy(update=fewer))
        return self._encoders[level]

    def __reduce__(self) -> str:
        raise TypeError("a session stays in the process that opened it; pass the folder of its keys instead")

    def __repr__(self) -> str:
        return f"<{self.role} of {self.fingerprint}, {self.parameters.scheme}, degree {self.parameters.degree}>"


def session_of(fingerprint: str) -> Session:
    """The session of a fingerprint that is open in this process, the owner's before the evaluator's.

    Raises:
        KeyRefused: none is.
    """
    for role in Role:
        if (found := _open.get(f"{fingerprint}:{role}")) is not None:
            return found
    raise KeyRefused(f"no keys {fingerprint} are open in this process; open the folder of its keys first")


def native_context(parameters: Parameters) -> Any:
    """Pyfhel's context for these parameters, without keys.

    Raises:
        MissingPart: Pyfhel is not installed.
        ParametersError: SEAL does not take them.
    """
    try:
        from Pyfhel import Pyfhel
    except ImportError:
        raise MissingPart(
            "homomorphic encryption needs Pyfhel, which is not installed; `make env` builds it, `secured doctor` says "
            "what that needs"
        ) from None
    made = Pyfhel()
    primes = np.array(parameters.primes, dtype=np.uint64)
    settings: dict[str, Any] = {"scheme": parameters.scheme.value, "n": parameters.degree, "sec": parameters.security}
    if parameters.scheme is Scheme.CKKS:
        settings["scale"] = 2.0**parameters.scale_bits
    else:
        settings["t"] = parameters.plain_modulus
    said = str(made.contextGen(**settings, qi=primes.tolist()))
    if not said.startswith("success"):
        raise ParametersError(f"SEAL refuses these parameters: {said}")
    return made
