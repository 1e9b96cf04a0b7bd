"""Processes of one job's parties: started together, watched, and ended together as soon as one of them fails.

When a party fails, the others lose their connection to it and fail too. What they say then is an echo; the cause is
with whoever does not say that it is "probably because party ..." (Networking/Receiver.cpp of MP-SPDZ).
"""

from __future__ import annotations

import contextlib
import re
import resource
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import IO

from tasks.common import processes
from tasks.mpc.engine import PartyFailed

_POLL_SECONDS = 0.01
# How long others may take to say that they failed as well, so that the cause is told from echoes.
_ECHO_SECONDS = 1.0
_ECHO = "probably because party"
_LOG = "log.txt"
_LONGEST = 500


class DeadlinePassed(PartyFailed):
    """Some parties were not done in time."""


@dataclass
class Party:
    """One of them. said: what it wrote to its output and errors."""

    number_: int
    process: Popen[bytes]
    folder: Path

    @property
    def code(self) -> int | None:
        """What it ended with, None while it runs."""
        return self.process.poll()

    @property
    def said(self) -> str:
        """All that it wrote."""
        return (self.folder / _LOG).read_text(encoding="utf-8", errors="replace")

    def number(self, pattern: str) -> float:
        """The last number that it wrote in a line like this, 0 if it did not."""
        found = re.findall(pattern, self.said, re.MULTILINE)
        return float(found[-1]) if found else 0.0

    @property
    def is_echo(self) -> bool:
        """Whether it failed since another party did."""
        return _ECHO in self.said

    @property
    def reason(self) -> str:
        """Why it failed, in a line."""
        code = self.code
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"was ended by {signal.Signals(-code).name}"
        lines = [line.strip() for line in self.said.splitlines() if line.strip()]
        said = next((line for line in lines if "what():" in line), lines[-1] if lines else "nothing")
        return f"ended with {code}, saying: {said.removeprefix('what():').strip()[:_LONGEST]}"


def run(
    commands: list[list[str]], folders: list[Path], environment: Mapping[str, str], deadline: float, memory: int
) -> list[Party]:
    """Start a process for each command in its folder, and wait for all of them. None is left when this returns.

    Raises:
        PartyFailed: one ended with an error.
        DeadlinePassed: not all ended in time.
    """
    started: list[Party] = []
    end = time.monotonic() + deadline
    try:
        with contextlib.ExitStack() as stack:
            for number, (command, folder) in enumerate(zip(commands, folders, strict=True)):
                log = stack.enter_context((folder / _LOG).open("wb"))
                started.append(Party(number, _start(command, folder, environment, log, memory), folder))
            _watch(started, end, deadline)
    finally:
        for party in started:
            party.process.kill()  # it has nothing to tidy up, and one that is frozen would not listen
        for party in started:
            processes.end(party.process)
    return started


def _start(
    command: list[str], folder: Path, environment: Mapping[str, str], log: IO[bytes], memory: int
) -> Popen[bytes]:
    process = processes.start(command, environment, log, folder)
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(process.pid, resource.RLIMIT_AS, (memory, memory))
    return process


def _watch(started: list[Party], end: float, deadline: float) -> None:
    while True:
        codes = [party.code for party in started]
        if any(code not in (None, 0) for code in codes):
            raise PartyFailed(_cause(started))
        if all(code == 0 for code in codes):
            return
        if time.monotonic() > end:
            late = ", ".join(str(party.number_) for party in started if party.code is None)
            raise DeadlinePassed(f"after {deadline:g} s, the deadline, parties {late} were not done; all were ended")
        time.sleep(_POLL_SECONDS)


def _cause(started: list[Party]) -> str:
    """Who failed first, and why: the party that does not blame another one."""
    until = time.monotonic() + _ECHO_SECONDS
    while time.monotonic() < until:
        failed = [party for party in started if party.code not in (None, 0)]
        if any(not party.is_echo for party in failed):
            break
        time.sleep(_POLL_SECONDS)
    failed = [party for party in started if party.code not in (None, 0)]
    cause = next((party for party in failed if not party.is_echo), failed[0])
    return f"party {cause.number_} {cause.reason}"
