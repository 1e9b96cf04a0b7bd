"""The owner's secret key: pseudonyms, shifted dates and new UIDs are derived from it, so whoever has it can undo them.

It is a file of its own that only its owner can read, outside SECURED_HOME, where results and reports are kept. Only its
fingerprint is ever written anywhere else. Everything is derived by HMAC-SHA-256 (RFC 2104, RFC 6234) of a message that
says what it is for, so that a pseudonym tells nothing about a date's offset.
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tasks.common.errors import InputError, StorageError
from tasks.common.private_file import read_private
from tasks.common.settings import home

KEY_BYTES = 32  # the output of SHA-256; RFC 2104, section 3, discourages shorter keys
_FORMAT = re.compile(r"secured-key-1:([0-9a-f]*)\n?")


def mac(secret: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 of a message, 32 bytes."""
    return hmac.digest(secret, message, "sha256")


@dataclass(frozen=True)
class Key:
    """A secret key in memory. It is neither shown nor pickled, so it can get into no log, result or task."""

    secret: bytes = field(repr=False)

    def derive(self, purpose: str, *parts: str) -> bytes:
        """32 bytes for one purpose. Each part is written with its length, so no two lists give the same message."""
        return mac(self.secret, _message("secured-1", purpose, *parts))

    def derive_each(self, purpose: str, *parts: str, last: Iterable[str]) -> Iterator[bytes]:
        """`derive` for each last part of many."""
        before = _message("secured-1", purpose, *parts)
        return (mac(self.secret, before + _message(part)) for part in last)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell keys apart and say nothing else about them."""
        return self.derive("fingerprint").hex()[:16]

    def __reduce__(self) -> str:
        raise TypeError("a key stays in the process that read it; pass the path of its file instead")


def _message(*parts: str) -> bytes:
    encoded = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(8, "big") + part for part in encoded)


def new(path: Path) -> Key:
    """Make a key file from the system's random source, readable by its owner alone; nothing is ever overwritten.

    Raises:
        InputError: the file exists, or would lie in SECURED_HOME.
        StorageError: it cannot be written.
    """
    _require_outside_home(path)
    secret = os.urandom(KEY_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise InputError(
            f"{path} exists; a key is never overwritten, since what it made could not be told any more"
        ) from None
    except OSError as error:
        raise StorageError(f"the key {path} cannot be written ({error.strerror})") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(f"secured-key-1:{secret.hex()}\n")
        file.flush()
        os.fsync(file.fileno())
    return Key(secret)


def read(path: Path) -> Key:
    """Read a key file.

    Raises:
        InputError: it is missing, readable by others, in SECURED_HOME, no key file, or its key is short or trivial.
    """
    _require_outside_home(path)
    try:
        text = read_private(path, "key").decode("ascii", errors="replace")
    except FileNotFoundError:
        raise InputError(f"there is no key at {path}; `secured key new {path}` makes one") from None
    match = _FORMAT.fullmatch(text)
    if match is None or len(match[1]) % 2:
        raise InputError(f"{path} is no key file of SECURED; `secured key new FILE` makes one")
    secret = bytes.fromhex(match[1])
    if len(secret) < KEY_BYTES:
        raise InputError(f"the key in {path} has {len(secret)} bytes; it needs at least {KEY_BYTES}")
    if len(set(secret)) < KEY_BYTES // 4:
        raise InputError(f"the key in {path} was not drawn at random; `secured key new FILE` makes one that is")
    return Key(secret)


def _require_outside_home(path: Path) -> None:
    place = home(os.environ).resolve()
    if path.resolve().is_relative_to(place):
        raise InputError(
            f"the key {path} would lie in {place}, where results are kept; keep it apart from what it protects"
        )
