"""The owner's commands as processes of their own, so that whoever starts them holds neither key nor plaintext.

They are told where things are. The passphrase is in a file, whose path is all that an argument shows.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import IO

from tasks.common import errors, processes
from tasks.common.errors import RunFailed, SecuredError

_SHOWN = 2_000
_POLL_SECONDS = 0.1


def run(*arguments: str) -> None:
    """Run `secured he ...` to its end.

    Raises:
        SecuredError: the one that the command ended with; its message names columns and counts, never values.
    """
    with at_work("flows.cli", "he", *arguments) as owner:
        owner.finish()


class Owner:
    """An owner's process beside a flow."""

    def __init__(self, process: Popen[bytes], log: IO[bytes]) -> None:
        self._process, self._log = process, log

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait for something that it does.

        Raises:
            SecuredError: it ended before that; see `run`.
        """
        while not ready():
            if self._process.poll() is not None and not ready():
                self.finish()
                raise RunFailed("the owner's process ended before its work was done")
            time.sleep(_POLL_SECONDS)

    def finish(self) -> None:
        """Wait for its end.

        Raises:
            SecuredError: the one that it ended with.
        """
        if code := self._process.wait():
            self._log.seek(0)
            raise _as_error(code, self._log.read().decode("utf-8", errors="replace"))


@contextmanager
def at_work(module: str, *arguments: str) -> Iterator[Owner]:
    """An owner's process, which ends with the block. What it keeps to itself is in no argument but by its path."""
    with tempfile.TemporaryFile() as log:
        process = processes.start([sys.executable, "-m", module, *arguments], os.environ, log)
        try:
            yield Owner(process, log)
        finally:
            processes.end(process)


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
