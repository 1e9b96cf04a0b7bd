"""What a party of the embedded engine has of the others' inputs: nothing, in no file and not in its memory."""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

pytest.importorskip("mpyc", reason="the embedded engine needs MPyC")

from mpc_programs.secure_sum import SecureSum
from tasks.common import processes
from tasks.mpc import embedded_party
from tasks.mpc.embedded import Embedded
from tasks.mpc.engine import PartyFailed
from tasks.mpc.protocols import named
from tests.security import memory
from tests.unit.mpc.conftest import party_processes
from tests.unit.mpc.programs import HALFWAY, Leaking, Pausing

pytestmark = pytest.mark.slow

# Each party's own; no sum of them is one of them. Multiples of 2**-27, as which they are shared without rounding.
CANARIES = {0: 83_313.371_25, 1: 66_616.137_75, 2: 33_777.771_625}
_VALUES = {party: np.rint(value * 2.0**27) / 2.0**27 for party, value in CANARIES.items()}
PROGRAM = Pausing(parties=3, length=400, most=1e5, slow=(0, 1, 2), pause_seconds=600)
GIVEN = {party: {"vector": np.full(400, value)} for party, value in _VALUES.items()}
_START_SECONDS = 60.0


def _needles(party: int) -> list[tuple[str, bytes]]:
    """A party's input as a double, as a text, and as the integer that MPyC shares: as Python holds it, and as bytes."""
    value = float(_VALUES[party])
    scaled = int(value * 2**27)
    low, high = scaled & (1 << 30) - 1, scaled >> 30
    return [
        (f"double of {party}", struct.pack("<d", value)),
        (f"text of {party}", repr(value).encode()),
        (f"digits of {party}", struct.pack("<II", low, high)),
        (f"bytes of {party}", scaled.to_bytes(6, "little")),
    ]


EVERYTHING = [needle for party in range(3) for needle in _needles(party)]


@contextlib.contextmanager
def _halfway(program: SecureSum, folder: Path) -> Iterator[dict[int, psutil.Process]]:
    """Parties of a job at rest, when all inputs are shared."""
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr("tempfile.tempdir", str(folder))
        engine = Embedded()
        running = pool.submit(engine.run, program, engine.compile(program, named("shamir")), GIVEN, 600.0)
        until = time.monotonic() + _START_SECONDS
        while len(list(folder.glob(f"secured-mpc-*/party-*/{HALFWAY}"))) < 3:
            assert time.monotonic() < until
            assert not running.done(), running.exception()
            time.sleep(0.05)
        try:
            yield party_processes()
        finally:
            for process in party_processes().values():
                process.kill()
            running.exception(timeout=30)


@pytest.fixture(scope="module")
def halfway(tmp_path_factory):
    """What is in memories, files and command lines of parties."""
    folder = tmp_path_factory.mktemp("jobs")
    with _halfway(PROGRAM, folder) as living:
        return {
            "memory": {party: memory.found(living[party].pid, EVERYTHING) for party in range(3)},
            "files": {party: _in_files(next(folder.glob(f"*/party-{party}")), EVERYTHING) for party in range(3)},
            "started with": {party: _started_with(living[party].pid) for party in range(3)},
            "modes": {path.stat().st_mode & 0o777 for path in folder.glob("*/party-*")},
            "keys": {path.stat().st_mode & 0o777 for path in folder.glob("*/party-*/*.key")},
            "keys by folder": [len(list(path.glob("*.key"))) for path in folder.glob("*/party-*")],
        }


def _in_files(folder: Path, needles: list[tuple[str, bytes]]) -> set[str]:
    content = b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    assert len(content) > 1000, "nothing was searched, so it proves nothing"
    return {name for name, needle in needles if needle in content}


def _started_with(pid: int) -> str:
    return "\n".join(Path(f"/proc/{pid}/{name}").read_text() for name in ("cmdline", "environ"))


def test_the_search_finds_a_partys_own_input_in_its_memory(halfway):
    # A search that cannot find anything would prove nothing.
    for party, found in halfway["memory"].items():
        assert f"double of {party}" in found


def test_the_search_finds_every_form_that_is_looked_for():
    held = b"".join(needle for _, needle in _needles(1))
    assert len(held) > 20
    assert memory.found(os.getpid(), _needles(1)) == {name for name, _ in _needles(1)}


def test_the_integer_that_is_looked_for_is_the_one_that_python_holds():
    number = int(_VALUES[0] * 2**27)
    digits = struct.unpack("<II", dict(_needles(0))["digits of 0"])
    assert digits[0] + (digits[1] << 30) == number
    assert memory.found(os.getpid(), [_needles(0)[2]])


def test_the_search_finds_anothers_input_where_a_program_gives_it_away(tmp_path):
    program = Leaking(**PROGRAM.model_dump(), leaked=1)
    with _halfway(program, tmp_path) as living:
        found = memory.found(living[0].pid, EVERYTHING)
    assert {"double of 0", "double of 1"} <= found
    assert not any(name.endswith("2") for name in found)


@pytest.mark.parametrize("party", range(3))
def test_no_partys_memory_has_anothers_input(halfway, party):
    assert {name for name in halfway["memory"][party] if not name.endswith(str(party))} == set()


@pytest.mark.parametrize("party", range(3))
def test_no_file_has_an_input_once_it_is_shared(halfway, party):
    assert halfway["files"][party] == set()


def test_a_party_is_started_with_paths_alone(halfway):
    for text in halfway["started with"].values():
        assert "/party-" in text
        assert not any(str(value)[:6] in text for value in CANARIES.values())


def test_folders_and_keys_are_their_partys_alone(halfway):
    assert halfway["modes"] == {0o700}
    assert halfway["keys"] == {0o600}
    assert halfway["keys by folder"] == [1, 1, 1]


def test_before_parties_read_them_inputs_are_each_in_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    start, found = processes.start, {}

    def asleep(arguments, *rest):
        party = int(arguments[-1].rpartition("-")[2])
        found[party] = _in_files(Path(arguments[-1]), EVERYTHING)
        assert (Path(arguments[-1]) / embedded_party.INPUT).is_file()
        return start(["sleep", "60"], *rest)

    monkeypatch.setattr(processes, "start", asleep)
    engine = Embedded()
    with pytest.raises(PartyFailed, match="deadline"):
        engine.run(PROGRAM, engine.compile(PROGRAM, named("shamir")), GIVEN, 0.2)
    assert found == {party: {f"double of {party}"} for party in range(3)}
    assert list(tmp_path.glob("secured-mpc-*")) == []
