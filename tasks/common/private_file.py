"""Secrets in files: read only where nobody else can."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tasks.common.errors import InputError

_MOST = 4096


def read_private(path: Path, what: str) -> bytes:
    """The first 4,096 bytes of a file that its owner alone can read. what: it is, in the message of a refusal.

    Raises:
        FileNotFoundError: it is missing.
        InputError: others can read it, it belongs to somebody else, is no regular file, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            _require_private(path, os.fstat(file.fileno()), what)
            return file.read(_MOST)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"the {what} {path} cannot be read ({error.strerror})") from error


def _require_private(path: Path, status: os.stat_result, what: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"the {what} {path} is no regular file")
    if status.st_mode & 0o077:
        raise InputError(
            f"the {what} {path} can be read by others (mode {stat.S_IMODE(status.st_mode):o}); "
            f"`chmod 600 {path}`, and make a new one if somebody may have seen it"
        )
    if status.st_uid not in {os.geteuid(), 0}:
        raise InputError(f"the {what} {path} belongs to somebody else; ask for a copy of your own")
