"""The owner's commands as processes of their own, so that whoever starts them holds neither key nor plaintext.

They are told where things are. The passphrase is in a file, whose path is all that an argument shows.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tasks.common import errors, processes
from tasks.common.errors import RunFailed, SecuredError

_SHOWN = 2_000


def run(*arguments: str) -> None:
    """Run `secured he ...` to its end.

    Raises:
        SecuredError: the one that the command ended with; its message names columns and counts, never values.
    """
    with tempfile.TemporaryFile() as log:
        process = processes.start([sys.executable, "-m", "flows.cli", "he", *arguments], os.environ, log)
        try:
            code = process.wait()
        finally:
            processes.end(process)
        log.seek(0)
        said = log.read().decode("utf-8", errors="replace")
    if code != 0:
        raise _as_error(code, said)


def unlocking(passphrase_file: str, key_file: str) -> list[str]:
    """How a command is told what opens the secret key."""
    if bool(passphrase_file) == bool(key_file):
        raise errors.InputError("give the file of the passphrase, or the owner's key file, and not both")
    path = Path(passphrase_file or key_file).absolute()
    return ["--passphrase-file" if passphrase_file else "--key", str(path)]


def _as_error(code: int, said: str) -> SecuredError:
    kinds = {kind.exit_code: kind for kind in _kinds(SecuredError)}
    message = said.partition("error: ")[2].strip() or f"an owner's command ended with exit code {code}"
    return kinds.get(code, RunFailed)(message[:_SHOWN])


def _kinds(kind: type[SecuredError]) -> list[type[SecuredError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in _kinds(child))]
