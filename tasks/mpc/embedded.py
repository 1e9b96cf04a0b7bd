"""The embedded engine: every program on any machine, by MPyC (Schoenmakers, github.com/lschoe/mpyc).

MPyC shares numbers by Shamir's scheme among parties of which a minority may pool what they see, and trusts all of them
to follow the protocol. It unpickles what parties send: whoever departs from the protocol could run code in another
party. So here all parties are processes of one person on one machine, on 127.0.0.1 alone, and none connects without the
key that it was given for the job. Several machines take MP-SPDZ.

Raw, MPyC's parties listen on all interfaces, wait forever for one that is gone, and divide to 0 in most formats. Here
each has a folder, key and port of its own, and is watched and ended as parties of MP-SPDZ are.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tasks.common.errors import InputError, MissingPart
from tasks.common.values import content_hash
from tasks.mpc import certificates, embedded_party, parties, ports
from tasks.mpc.embedded_party import Job
from tasks.mpc.engine import Compiled, Cost, Engine, PartyFailed, Result, agreed
from tasks.mpc.program import SOURCES, Program
from tasks.mpc.protocols import Protocol, named

_PROTOCOL = "shamir"


class Embedded(Engine):
    """memory: bytes that a party may take at most.

    Raises:
        MissingPart: MPyC is not installed.
    """

    name = "embedded"

    def __init__(self, memory: int = 8 << 30) -> None:
        if importlib.util.find_spec("mpyc") is None:
            raise MissingPart("the embedded engine needs MPyC; install it with `pip install secured[mpc]`")
        self.memory = memory

    def protocols(self) -> dict[str, Protocol]:
        return {_PROTOCOL: named(_PROTOCOL)}

    def compile(self, program: Program, protocol: Protocol) -> Compiled:
        if protocol.name != _PROTOCOL:
            raise MissingPart(f"the embedded engine has {_PROTOCOL}, not {protocol.name}; MP-SPDZ has others")
        if program.parties < protocol.fewest:
            raise InputError(
                f"among {program.parties} parties {_PROTOCOL} has a threshold of 0: no privacy, since each would see "
                "all; take 3 or more, or MP-SPDZ with a protocol for a dishonest majority"
            )
        program.format.require(program.largest(), f"{program.name}: a result on the way")
        return Compiled(
            program=program.name, protocol=protocol, parties=program.parties, digest=_digest(program, protocol),
            folder=SOURCES,
        )  # fmt: skip

    def run(
        self, program: Program, compiled: Compiled, inputs: Mapping[int, Mapping[str, Any]], deadline: float
    ) -> Result:
        given = program.checked(inputs)
        if compiled.digest != _digest(program, compiled.protocol):
            raise InputError(f"this was compiled of another {compiled.program}; compile {program.name} again")
        with tempfile.TemporaryDirectory(prefix="secured-mpc-") as name, ports.reserved(program.parties) as first:
            folders = _prepared(program, given, Path(name), first)
            commands = [[sys.executable, "-P", "-m", embedded_party.__name__, str(folder)] for folder in folders]
            start = time.time()
            try:
                parties.run(commands, folders, _environment(), deadline, self.memory)
            except parties.DeadlinePassed as late:
                raise PartyFailed(f"{late}{_who_was_slow(folders, start + deadline)}") from None
            seconds = time.time() - start
            written = [_written(folder, party) for party, folder in enumerate(folders)]
        outputs = agreed(program, [each["numbers"] for each in written])
        online = max(float(each["online"]) for each in written)
        sent = tuple(int(each["sent"]) for each in written)
        return Result(outputs, Cost(seconds=seconds, online=online, rounds=None, sent=sent))


def _digest(program: Program, protocol: Protocol) -> str:
    return content_hash([program.fingerprint, protocol, importlib.metadata.version("mpyc")])


def _prepared(
    program: Program, given: Mapping[int, Mapping[str, np.ndarray]], place: Path, first_port: int
) -> list[Path]:
    """A folder for each party: what is public, its own input and key, and everybody's certificate."""
    made = [certificates.Certificate(party) for party in range(program.parties)]
    folders = []
    for party in range(program.parties):
        folder = place / f"party-{party}"
        folder.mkdir(mode=0o700)
        certificates.write(folder, party, made)
        job = Job(
            party=party, parties=program.parties, first_port=first_port, module=type(program).__module__,
            program=type(program).__name__, fields=program.model_dump(mode="json"),
        )  # fmt: skip
        (folder / embedded_party.JOB).write_text(job.model_dump_json())
        with (folder / embedded_party.INPUT).open("wb") as file:
            np.savez(file, **given[party])  # type: ignore[arg-type]
        folders.append(folder)
    return folders


def _environment() -> dict[str, str]:
    """What a party is told besides: where Python finds things, and to take its own event loop and one thread."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    paths = os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)
    return {**kept, "PYTHONPATH": paths, "MPYC_NOUVLOOP": "1", "OMP_NUM_THREADS": "1"}


def _who_was_slow(folders: list[Path], at: float) -> str:
    """Who was waited for at a time and did not wait itself; a report that is old is of a party that was busy."""
    waiting: dict[int, list[int]] = {}
    for party, folder in enumerate(folders):
        report = folder / embedded_party.WAITING
        with contextlib.suppress(OSError, ValueError):
            if report.stat().st_mtime > at - 4 * embedded_party.REPORT_SECONDS:
                waiting[party] = json.loads(report.read_text())
    slow = {each for others in waiting.values() for each in others if not waiting.get(each)}
    return "".join(f"; others waited for party {each}" for each in sorted(slow))


def _written(folder: Path, party: int) -> dict[str, np.ndarray]:
    try:
        with np.load(folder / embedded_party.OUTPUT, allow_pickle=False) as content:
            return {name: content[name] for name in ("numbers", "online", "sent")}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise PartyFailed(f"party {party} ended without a result that can be read") from error
