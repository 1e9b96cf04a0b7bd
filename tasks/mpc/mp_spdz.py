"""MP-SPDZ as an engine (Keller, CCS 2020): its compiler and its parties, as processes that can be trusted to end.

Raw, a program that was compiled for the wrong domain runs and returns 0; surplus inputs are ignored, 4.5 into an
integer becomes 4, NaN kills; a party that is missing is waited for, and all report the echo of what one of them did.
Here each job and party has a folder of its own, inputs are checked before, parties are started one by one and watched,
and what is reported is the cause.

Parties listen on all interfaces, since MP-SPDZ knows no other way: on a machine that others reach, run jobs in a
network namespace (`unshare -n`) or behind a firewall.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tasks.common.errors import InputError, ParametersError, RunFailed
from tasks.common.store import write_text
from tasks.common.values import content_hash
from tasks.mpc import certificates, installation, parties, ports
from tasks.mpc.engine import Compiled, Cost, Engine, PartyFailed, Result, agreed
from tasks.mpc.installation import Installation, compiler_name, is_ring
from tasks.mpc.parties import Party
from tasks.mpc.program import Program
from tasks.mpc.protocols import Protocol

_COMPILE_SECONDS = 1800.0
# Bits beyond a product's that probabilistic truncation hides values with, in a field.
_STATISTICAL = 40
_MARK = "compiled.json"
_SCHEDULE = "program"


class MpSpdz(Engine):
    """cache: where compiled programs are kept. memory: bytes that a party may take at most."""

    name = "MP-SPDZ"

    def __init__(self, cache: Path, found: Installation | None = None, memory: int = 8 << 30) -> None:
        self.installed, self.cache, self.memory = found or installation.find(), cache, memory

    def protocols(self) -> dict[str, Protocol]:
        return self.installed.protocols()

    def compile(self, program: Program, protocol: Protocol) -> Compiled:
        protocol.require(program.parties)
        self.installed.require(protocol)
        program.format.require(program.largest(), f"{program.name}: a result on the way")
        bits = domain_bits(program, protocol)
        digest = content_hash([program.fingerprint, protocol, bits, self.installed.version(protocol)])
        folder = self.cache / digest[:32]
        if (folder / _MARK).is_file():
            return Compiled.model_validate_json((folder / _MARK).read_text())
        return self._compiled(program, protocol, bits, digest, folder)

    def _compiled(self, program: Program, protocol: Protocol, bits: int, digest: str, folder: Path) -> Compiled:
        start = time.perf_counter()
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.cache, prefix=".compiling-") as name:
            place = Path(name)
            given = {"parties": program.parties, "bits": program.format.bits, "fraction": program.format.fraction}
            arguments = [f"{key}={value}" for key, value in (given | program.settings()).items()]
            # Given to the compiler as arguments, they would be in files' names, which may not be so long.
            source = f"program.args += {arguments!r}\n{program.source.read_text(encoding='utf-8')}"
            (place / f"{_SCHEDULE}.mpc").write_text(source, encoding="utf-8")
            domain = ["-R", str(bits)] if is_ring(protocol) else ["-F", str(bits)]
            self._run_compiler(place, [*domain, "-E", compiler_name(protocol), f"{_SCHEDULE}.mpc"])
            (schedule,) = (place / "Programs" / "Schedules").glob("*.sch")
            made = Compiled(
                program=program.name, protocol=protocol, parties=program.parties, digest=digest, folder=folder,
                schedule=schedule.stem, domain_bits=bits, seconds=time.perf_counter() - start,
            )  # fmt: skip
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(place / "Programs", folder / "Programs")
        write_text(folder / _MARK, made.model_dump_json(indent=2))
        return made

    def _run_compiler(self, place: Path, arguments: list[str]) -> None:
        try:
            ended = subprocess.run(
                [sys.executable, self.installed.compiler, *arguments], cwd=place, capture_output=True, text=True,
                check=False, timeout=_COMPILE_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise RunFailed(f"the compiler of MP-SPDZ took longer than {_COMPILE_SECONDS:.0f} s") from None
        if ended.returncode:
            said = (ended.stderr.strip() or ended.stdout.strip()).splitlines()
            raise RunFailed(f"the compiler of MP-SPDZ refuses the program: {said[-1] if said else 'without a word'}")

    def run(
        self, program: Program, compiled: Compiled, inputs: Mapping[int, Mapping[str, Any]], deadline: float
    ) -> Result:
        given = program.checked(inputs)
        self._require_compiled_for(program, compiled)
        with tempfile.TemporaryDirectory(prefix="secured-mpc-") as name, ports.reserved(program.parties) as first:
            folders = self._prepared(program, compiled, given, Path(name))
            start = time.perf_counter()
            commands = [self._command(compiled, party, first) for party in range(program.parties)]
            ended = parties.run(commands, folders, self._environment(), deadline, self.memory)
            seconds = time.perf_counter() - start
            written = [_written(program, folder, party) for party, folder in enumerate(folders)]
            cost = _cost(ended, seconds)
        return Result(agreed(program, written), cost)

    def _require_compiled_for(self, program: Program, compiled: Compiled) -> None:
        """Refuse what was made of another program, or for another domain: it would run, and be wrong."""
        protocol = compiled.protocol
        bits = domain_bits(program, protocol)
        wanted = content_hash([program.fingerprint, protocol, bits, self.installed.version(protocol)])
        if compiled.digest != wanted:
            raise InputError(
                f"this was compiled of another {compiled.program}, for another domain or by another MP-SPDZ; compile "
                f"{program.name} again for {protocol.name}"
            )
        if not (compiled.folder / "Programs" / "Schedules" / f"{compiled.schedule}.sch").is_file():
            raise InputError(f"{compiled.folder} has lost the compiled program; compile it again")

    def _prepared(
        self, program: Program, compiled: Compiled, given: Mapping[int, Mapping[str, np.ndarray]], job: Path
    ) -> list[Path]:
        """A folder for each party: the compiled program, its own input and key, all certificates."""
        made = [certificates.Certificate(party) for party in range(program.parties)]
        folders = []
        for party in range(program.parties):
            folder = job / f"party-{party}"
            data = folder / "Player-Data"
            data.mkdir(parents=True, mode=0o700)
            folder.chmod(0o700)
            (folder / "Programs").symlink_to(compiled.folder / "Programs")
            certificates.write(data, party, made)
            with (data / f"Input-Binary-P{party}-0").open("wb") as file:
                for values in given[party].values():
                    file.write(values.tobytes())
            folders.append(folder)
        return folders

    def _command(self, compiled: Compiled, party: int, first_port: int) -> list[str]:
        machine = str(self.installed.machine(compiled.protocol))
        count = ["-N", str(compiled.parties)] if compiled.protocol.most != compiled.protocol.fewest else []
        return [machine, "-p", str(party), *count, "-pn", str(first_port), "-h", "127.0.0.1", compiled.schedule]

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return {**kept, "LD_LIBRARY_PATH": str(self.installed.home), "OMP_NUM_THREADS": "1"}


def domain_bits(program: Program, protocol: Protocol) -> int:
    """Bits of the ring, or of integers in the field, that products of the program's numbers need.

    Raises:
        ParametersError: no ring is large enough.
    """
    product = 2 * program.format.bits
    if not is_ring(protocol):
        return product + _STATISTICAL
    for bits in (64, 128):
        if product < bits - 1:
            return bits
    raise ParametersError(
        f"products of numbers of {program.format.bits} bits do not fit into a ring of 128; take fewer"
    )


def _written(program: Program, folder: Path, party: int) -> np.ndarray:
    """All numbers that a party wrote, as float64; exactly as many as the outputs have."""
    path = folder / "Player-Data" / f"Binary-Output-P{party}-0"
    content = path.read_bytes() if path.is_file() else b""
    wanted = sum(shape.size for shape in program.outputs().values())
    if len(content) != 8 * wanted:
        raise PartyFailed(f"party {party} wrote {len(content):,} bytes where {program.name} has {wanted:,} numbers")
    found, start = [], 0
    for shape in program.outputs().values():
        end = start + 8 * shape.size
        found.append(np.frombuffer(content[start:end], np.int64 if shape.whole else np.float64).astype(np.float64))
        start = end
    return np.concatenate(found)


def _cost(ended: list[Party], seconds: float) -> Cost:
    """As the parties say: their time, rounds and traffic."""
    online = max(party.number(r"^Time = ([0-9.e+-]+) seconds") for party in ended)
    rounds = max(party.number(r"^Data sent = .* MB in ~([0-9]+) rounds") for party in ended)
    sent = tuple(round(1e6 * party.number(r"^Data sent = ([0-9.e+-]+) MB")) for party in ended)
    return Cost(seconds=seconds, online=online, rounds=round(rounds), sent=sent)
