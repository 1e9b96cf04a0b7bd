"""A ciphertext on its way: bytes that say whose keys it was made under and what is known of it.

The native format forgets the level and does not say whose it is. An envelope is refused if it is cut off, changed by a
bit, or of other keys. Nothing in it is executed when it is read.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from pathlib import Path
from typing import Any

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError, model_validator

from tasks.common.errors import CiphertextError, InputError
from tasks.common.store import atomic
from tasks.common.values import Value
from tasks.encryption.approximate import Approximate
from tasks.encryption.ciphertext import Encrypted
from tasks.encryption.exact import Exact
from tasks.encryption.parameters import Scheme
from tasks.encryption.session import Session, session_of

_MAGIC = b"SECURED-HE-1\n"
_LENGTH = struct.Struct(">I")
_HASH = 32
_MOST_HEADER = 1 << 16


class Header(Value):
    """What is known of a ciphertext without a key; fields as in `Encrypted`. `payload` is its length in bytes.

    Integers stay integers: as floating point, those beyond 2**53 would be others.
    """

    scheme: Scheme
    keys: str
    level: NonNegativeInt
    scale: PositiveInt | PositiveFloat
    bound: NonNegativeInt | NonNegativeFloat
    error: NonNegativeFloat
    shape: tuple[PositiveInt, ...]
    layout: str
    payload: int

    @model_validator(mode="after")
    def _finite(self) -> Header:
        if not all(map(math.isfinite, (self.scale, self.bound, self.error))):
            raise ValueError("not finite")
        return self


def pack(ciphertext: Encrypted) -> bytes:
    """The envelope of a ciphertext."""
    payload: bytes = ciphertext.native.to_bytes()
    header = Header(
        scheme=ciphertext.session.parameters.scheme, keys=ciphertext.session.fingerprint, level=ciphertext.level,
        scale=ciphertext.scale, bound=ciphertext.bound, error=ciphertext.error,
        shape=ciphertext.shape, layout=ciphertext.layout, payload=len(payload),
    )  # fmt: skip
    text = header.model_dump_json().encode()
    content = _LENGTH.pack(len(text)) + text + payload
    return _MAGIC + hashlib.sha256(content).digest() + content


def read_header(content: bytes) -> Header:
    """What an envelope says of its ciphertext, after checking that it is whole.

    Raises:
        CiphertextError: it is no envelope, cut off, or changed.
    """
    return _opened(content)[0]


def unpack(session: Session, content: bytes) -> Any:
    """The ciphertext of an envelope, in a session of its keys.

    Raises:
        CiphertextError: it is no envelope, cut off, changed, of other keys, or not what it says.
    """
    header, payload = _opened(content)
    if header.keys != session.fingerprint:
        raise CiphertextError(f"this ciphertext was made under the keys {header.keys}, not {session.fingerprint}")
    if header.scheme is not session.parameters.scheme:
        raise CiphertextError(f"this ciphertext says {header.scheme}, its keys are of {session.parameters.scheme}")
    if math.prod(header.shape) > session.slots:
        raise CiphertextError(f"this ciphertext says shape {header.shape}; it has {session.slots:,} slots")
    native = _native(session, payload)
    if header.level != (level := _level(session, len(payload))):
        raise CiphertextError(f"this ciphertext says level {header.level} and is at level {level}")
    native.mod_level = level
    kind = Approximate if session.approximate else Exact
    if session.approximate and native.scale != header.scale:
        raise CiphertextError("this ciphertext has another scale than it says")
    return kind(
        session, native, level=level, scale=header.scale, bound=header.bound, error=header.error, shape=header.shape,
        layout=header.layout,
    )  # fmt: skip


def open_here(content: bytes) -> Any:
    """The ciphertext of an envelope, in whichever session of its keys this process has open.

    Raises:
        KeyRefused: none is open.
        CiphertextError: as in `unpack`.
    """
    return unpack(session_of(read_header(content).keys), content)


def save(ciphertext: Encrypted, path: Path) -> None:
    """Write an envelope whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_bytes(pack(ciphertext))


def load(session: Session, path: Path) -> Any:
    """Read an envelope from a file.

    Raises:
        InputError: the file cannot be read.
        CiphertextError: as in `unpack`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"the ciphertext {path} cannot be read ({error.strerror})") from error
    try:
        return unpack(session, content)
    except CiphertextError as error:
        raise CiphertextError(f"{path}: {error}") from None


def _opened(content: bytes) -> tuple[Header, bytes]:
    start = len(_MAGIC) + _HASH
    if not content.startswith(_MAGIC):
        raise CiphertextError("this is no ciphertext of SECURED")
    body = content[start:]
    if hashlib.sha256(body).digest() != content[len(_MAGIC) : start]:
        raise CiphertextError("this ciphertext is damaged or cut off: its bytes are not those that were written")
    try:
        (length,) = _LENGTH.unpack_from(body)
        header = Header.model_validate(json.loads(body[_LENGTH.size : _LENGTH.size + length]))
    except (ValueError, ValidationError, struct.error, RecursionError):
        raise CiphertextError(
            "what this ciphertext says of itself cannot be read; was it made by a newer version?"
        ) from None
    payload = body[_LENGTH.size + length :]
    if length > _MOST_HEADER or len(payload) != header.payload:
        raise CiphertextError("this ciphertext is not as long as it says")
    return header, payload


def _native(session: Session, payload: bytes) -> Any:
    from Pyfhel import PyCtxt

    try:
        native = PyCtxt(pyfhel=session.native, bytestring=payload, scheme=session.parameters.scheme.value)
    except (RuntimeError, ValueError, ArithmeticError, IndexError, MemoryError) as error:
        raise CiphertextError(f"SEAL cannot read this ciphertext: {error}") from None
    if native.size() != 2:
        raise CiphertextError(f"this ciphertext has {native.size()} parts; guarded ones have two")
    return native


def _level(session: Session, length: int) -> int:
    """The level that so many bytes belong to: eight for each coefficient of two parts by each prime that is left."""
    return session.noise.last + 1 - length // (16 * session.parameters.degree)
