"""Ports for one job's parties, which no other job on this machine takes meanwhile."""

from __future__ import annotations

import contextlib
import fcntl
import random
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tasks.common.errors import RunFailed

_FIRST, _LAST = 20_000, 32_000  # below those that Linux gives to outgoing connections
_BLOCK = 16
_TRIES = 200


@contextlib.contextmanager
def reserved(count: int) -> Iterator[int]:
    """The first of `count` free ports in a row on 127.0.0.1. Other jobs keep away from them until the block ends.

    Raises:
        RunFailed: none were found.
    """
    assert count <= _BLOCK, "a job has at most so many parties"
    folder = Path(tempfile.gettempdir()) / "secured-ports"
    folder.mkdir(mode=0o777, exist_ok=True)
    blocks = random.sample(range(_FIRST, _LAST, _BLOCK), _TRIES)
    for first in blocks:
        with (folder / str(first)).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            if all(_free(first + place) for place in range(count)):
                yield first
                return
    raise RunFailed(f"no {count} free ports in a row were found between {_FIRST} and {_LAST}")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
