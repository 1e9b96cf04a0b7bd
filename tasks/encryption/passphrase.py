"""A passphrase from a file: never from an argument or an environment, which other processes can see."""

from __future__ import annotations

from pathlib import Path

from tasks.common.errors import InputError
from tasks.common.private_file import read_private


def read_passphrase(path: Path) -> str:
    """The first line of a file that its owner alone can read.

    Raises:
        InputError: it is missing, empty, readable by others, or no text.
    """
    try:
        content = read_private(path, "passphrase")
    except FileNotFoundError:
        raise InputError(f"there is no passphrase at {path}") from None
    try:
        line = content.decode("utf-8").split("\n", 1)[0].rstrip("\r")
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text, so no passphrase either") from None
    if not line:
        raise InputError(f"{path} is empty; write the passphrase into its first line")
    return line
