"""Children that must not outlive their parent, and finding those that did.

A child asks the kernel to be ended when its parent dies (Linux, prctl PR_SET_PDEATHSIG). Where that fails there is a
note of every child in the home, so that the next start finds orphans and ends them: by process id and start time, never
by name.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import psutil

_GRACE_SECONDS = 5.0
_BOUND_TO_PARENT = (
    "import ctypes, os, signal, sys;"
    "ctypes.CDLL(None).prctl(1, signal.SIGTERM);"
    "os.getppid() == int(sys.argv[1]) or sys.exit(0);"
    "os.execvp(sys.argv[2], sys.argv[2:])"
)


def start(
    arguments: list[str], environment: Mapping[str, str], log: IO[bytes] | None = None, folder: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a program in a folder; it ends when this process ends, however that happens. `log` gets its output."""
    output = log if log is not None else subprocess.DEVNULL
    return subprocess.Popen(
        [sys.executable, "-c", _BOUND_TO_PARENT, str(os.getpid()), *arguments],
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,  # Ctrl-C in a terminal reaches the parent alone, which ends its children in order
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a child and what it started, politely first."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid)
        _end_all([*family.children(recursive=True), family])
    process.wait()


def note_children(folder: Path) -> None:
    """Write down the processes that this one started, for whoever has to clean up after a crash."""
    me = psutil.Process()
    children = [_mark(child) for child in me.children(recursive=True)]
    note = {"owner": _mark(me), "children": [child for child in children if child]}
    path = folder / f"{os.getpid()}.json"
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(note))
    temporary.replace(path)


def forget_children(folder: Path) -> None:
    """Remove this process's note, after its children have ended."""
    (folder / f"{os.getpid()}.json").unlink(missing_ok=True)


def orphans(folder: Path) -> list[psutil.Process]:
    """Living children of owners that are gone."""
    found: list[psutil.Process] = []
    for path in sorted(folder.glob("*.json")):
        note = _read(path)
        if note is None or _alive(note["owner"]) is not None:
            continue
        found += [process for mark in note["children"] if (process := _alive(mark)) is not None]
    return found


def end_orphans(folder: Path) -> int:
    """End what `orphans` finds, remove the notes of owners that are gone, and say how many processes were ended."""
    lost = orphans(folder)
    _end_all(lost)
    for path in folder.glob("*.json"):
        note = _read(path)
        if note is None or _alive(note["owner"]) is None:
            path.unlink(missing_ok=True)
    return len(lost)


def _end_all(processes: Iterable[psutil.Process]) -> None:
    living = list(processes)
    for process in living:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(living, timeout=_GRACE_SECONDS)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=_GRACE_SECONDS)


def _mark(process: psutil.Process) -> dict[str, float] | None:
    try:
        return {"pid": process.pid, "started": process.create_time()}
    except psutil.NoSuchProcess:
        return None


def _alive(mark: dict[str, float]) -> psutil.Process | None:
    """The process of a mark, if it still is that one and not another with a reused number."""
    try:
        process = psutil.Process(int(mark["pid"]))
        same = abs(process.create_time() - mark["started"]) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
