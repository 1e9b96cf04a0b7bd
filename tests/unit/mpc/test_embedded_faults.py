"""The embedded engine under faults: the cause is named, nothing is left behind, and the next run works."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest

from mpc_programs.secure_sum import SecureSum
from tasks.common import processes
from tasks.common.errors import InputError, MissingPart, ParametersError
from tasks.mpc import ports
from tasks.mpc.embedded_party import INPUT
from tasks.mpc.engine import PartyFailed
from tasks.mpc.formats import FixedPoint
from tasks.mpc.protocols import named
from tests.conftest import ROOT
from tests.unit.mpc.conftest import party_processes
from tests.unit.mpc.programs import HALFWAY, Failing, Leaving, Lying, Pausing

SHAMIR = named("shamir")
GIVEN = {party: {"vector": np.array([1.0, -0.5, 0.25]) * party} for party in range(3)}
TOTAL = [3.0, -1.5, 0.75]
SUM = SecureSum(parties=3, length=3, most=2.0)
# From a fault to its report, and for parties to start on a busy machine.
_REPORT_SECONDS = 5.0
_START_SECONDS = 60.0
# Of jobs that are late; long enough for parties to start and to be halfway.
_DEADLINE_SECONDS = 9.0


def _run(engine, program, given=GIVEN, deadline=_START_SECONDS):
    return engine.run(program, engine.compile(program, SHAMIR), given, deadline)


@contextlib.contextmanager
def _meanwhile(engine, program, temporary, deadline=600.0):
    """A run in the background; gives what waits until parties are halfway, and what waits for its error."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(_run, engine, program, GIVEN, deadline)

        def halfway():
            until = time.monotonic() + _START_SECONDS
            while len(list(temporary.glob(f"secured-mpc-*/party-*/{HALFWAY}"))) < program.parties:
                assert time.monotonic() < until
                assert not running.done(), running.exception()
                time.sleep(0.02)

        try:
            yield halfway, lambda left=0.0: running.exception(timeout=left + 2 * _REPORT_SECONDS)
        finally:
            for process in party_processes().values():
                process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 2])
def test_a_party_that_is_killed_at_its_start_is_named(embedded, temporary, nothing_left, victim):
    with _meanwhile(embedded, SUM, temporary) as (_, error):
        until = time.monotonic() + _START_SECONDS
        while victim not in (living := party_processes()):
            assert time.monotonic() < until
        living[victim].kill()
        killed = time.monotonic()
        assert str(error()) == f"party {victim} was ended by SIGKILL"
        assert time.monotonic() - killed < _REPORT_SECONDS


@pytest.mark.slow
def test_a_party_that_is_killed_halfway_is_named_and_the_next_run_works(embedded, temporary, nothing_left):
    program = Pausing(parties=3, length=3, most=2.0, slow=(0, 1, 2), pause_seconds=600)
    with _meanwhile(embedded, program, temporary) as (halfway, error):
        halfway()
        party_processes()[1].kill()
        killed = time.monotonic()
        assert isinstance(error(), PartyFailed)
        assert time.monotonic() - killed < _REPORT_SECONDS
        assert str(error()) == "party 1 was ended by SIGKILL"
    assert _run(embedded, SUM).outputs["total"].tolist() == TOTAL


@pytest.mark.long
def test_a_party_that_never_starts_is_named_at_the_deadline(embedded, nothing_left, monkeypatch):
    monkeypatch.setattr(processes, "start", _instead(2, ["sleep", "600"]))
    start = time.monotonic()
    with pytest.raises(PartyFailed, match=r"parties 0, 1, 2 were not done; all were ended; others waited for party 2$"):
        _run(embedded, SUM, deadline=_DEADLINE_SECONDS)
    assert time.monotonic() - start < _DEADLINE_SECONDS + _REPORT_SECONDS


def _instead(victim, command):
    """`processes.start`, but that another program is started as one party."""
    start = processes.start

    def changed(arguments, *rest):
        return start(command if arguments[-1].endswith(f"party-{victim}") else arguments, *rest)

    return changed


@pytest.mark.long
@pytest.mark.parametrize("busy", [False, True])
def test_a_party_that_is_slow_is_named_at_the_deadline(embedded, nothing_left, busy):
    program = Pausing(parties=3, length=3, most=2.0, slow=(1,), pause_seconds=600, busy=busy)
    start = time.monotonic()
    with pytest.raises(PartyFailed, match=r"after 9 s, the deadline, .* others waited for party 1$"):
        _run(embedded, program, deadline=_DEADLINE_SECONDS)
    assert time.monotonic() - start < _DEADLINE_SECONDS + _REPORT_SECONDS


@pytest.mark.long
def test_a_party_that_is_frozen_is_named_at_the_deadline(embedded, temporary, nothing_left):
    program = Pausing(parties=3, length=3, most=2.0, slow=(0, 1, 2), pause_seconds=2.0)
    start = time.monotonic()
    with _meanwhile(embedded, program, temporary, deadline=_DEADLINE_SECONDS) as (halfway, error):
        halfway()
        party_processes()[2].suspend()
        assert "others waited for party 2" in str(error(_DEADLINE_SECONDS))
    assert time.monotonic() - start < _DEADLINE_SECONDS + _REPORT_SECONDS


@pytest.mark.long
def test_a_party_that_takes_its_time_within_the_deadline_is_waited_for(embedded, nothing_left):
    program = Pausing(parties=3, length=3, most=2.0, slow=(1,), pause_seconds=1.0)
    result = _run(embedded, program)
    assert result.outputs["total"].tolist() == TOTAL
    assert result.cost.online >= 1.0


@pytest.mark.slow
def test_a_party_whose_port_is_taken_is_named(embedded, nothing_left, monkeypatch):
    with ports.reserved(3) as first, socket.create_server(("127.0.0.1", first + 1)):
        monkeypatch.setattr(ports, "reserved", lambda _: contextlib.nullcontext(first))
        with pytest.raises(PartyFailed, match=r"^party 1 ended with 1, saying: .*address already in use"):
            _run(embedded, SUM)


def _plain(connection):
    # As MPyC would take it without TLS: party 0, a key, and what could be a message.
    connection.sendall(bytes(2 + 16) + b"\0" * 100)
    return connection.recv(1000)


def _without_certificate(connection):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLError), context.wrap_socket(connection) as secure:
        secure.sendall(bytes(2 + 16))
        return secure.recv(1000)
    return b""


@pytest.mark.long
@pytest.mark.parametrize("greeting", [_plain, _without_certificate])
def test_a_stranger_on_a_partys_port_learns_nothing_and_stops_nothing(embedded, nothing_left, monkeypatch, greeting):
    with ports.reserved(3) as first:
        monkeypatch.setattr(ports, "reserved", lambda _: contextlib.nullcontext(first))
        answers = []
        stranger = threading.Thread(target=lambda: answers.append(_answer(first + 2, greeting)))
        stranger.start()
        program = Pausing(parties=3, length=3, most=2.0, slow=(0,), pause_seconds=1.0)
        assert _run(embedded, program).outputs["total"].tolist() == TOTAL
        stranger.join()
    assert len(answers[0]) < 16  # not more than TLS's word that this is no handshake


def _answer(port, greeting):
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                return greeting(connection)
        except ConnectionRefusedError:
            time.sleep(0.005)
        except ConnectionResetError:
            return b""
    raise AssertionError("nobody listened")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("within", "reason"), [(False, "ValueError in programs.py"), (True, "ArithmeticError in programs.py")]
)
def test_a_party_whose_program_fails_is_named_without_its_input(embedded, nothing_left, within, reason):
    given = GIVEN | {1: {"vector": np.array([1.2345678, 0, 0])}}
    start = time.monotonic()
    with pytest.raises(PartyFailed, match=rf"^party 1 ended with 1, saying: {reason}, line \d+$"):
        _run(embedded, Failing(parties=3, length=3, most=2.0, broken=1, within=within), given)
    assert time.monotonic() - start < _START_SECONDS / 2


@pytest.mark.slow
def test_the_cause_is_told_and_not_the_echo_that_comes_before_it(embedded, nothing_left):
    with pytest.raises(PartyFailed, match=r"^party 1 ended with 1, saying: the disk with the column is gone$"):
        _run(embedded, Leaving(parties=3, length=3, most=2.0, leaver=1))


@pytest.mark.slow
def test_a_party_that_writes_other_numbers_is_found(embedded, nothing_left):
    with pytest.raises(PartyFailed, match="parties 0 and 2 came to different results"):
        _run(embedded, Lying(parties=3, length=3, most=2.0, liar=2))


_STARTS_A_JOB = """
import numpy as np
from tasks.mpc.embedded import Embedded
from tasks.mpc.protocols import named
from tests.unit.mpc.programs import Pausing
engine, program = Embedded(), Pausing(parties=3, length=3, most=2.0, slow=(0, 1, 2), pause_seconds=600)
engine.run(program, engine.compile(program, named("shamir")), {n: {"vector": np.ones(3)} for n in range(3)}, 600)
"""


@pytest.mark.long
def test_parties_end_with_whoever_started_them_and_leave_no_input(embedded, tmp_path):
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", _STARTS_A_JOB], env=os.environ | paths, cwd=ROOT) as starter:
        until = time.monotonic() + _START_SECONDS
        while len(list(tmp_path.glob(f"secured-mpc-*/party-*/{HALFWAY}"))) < 3:
            assert time.monotonic() < until
            assert starter.poll() is None
            time.sleep(0.05)
        living = list(party_processes(starter.pid).values())
        assert len(living) == 3
        starter.kill()
    _, left = psutil.wait_procs(living, timeout=_REPORT_SECONDS)
    assert left == []
    assert list(tmp_path.rglob(INPUT)) == []


@pytest.mark.long
def test_ten_jobs_at_once_do_not_meet(embedded, nothing_left):
    def job(number):
        given = {party: {"vector": np.full(3, number + party / 8)} for party in range(3)}
        return _run(embedded, SecureSum(parties=3, length=3, most=16.0), given, 120.0).outputs["total"]

    with ThreadPoolExecutor(10) as pool:
        for number, total in enumerate(pool.map(job, range(10))):
            assert total.tolist() == [3 * number + 3 / 8] * 3


@pytest.fixture
def nothing_starts(monkeypatch):
    """Fails if any process is started."""

    def start(*_, **__):
        raise AssertionError("a party was started")

    monkeypatch.setattr(processes, "start", start)
    monkeypatch.setattr(subprocess, "Popen", start)


@pytest.mark.parametrize(
    "wrong",
    [
        [1.0, np.nan, 0],
        [np.inf, 0, 0],
        [2.0001, 0, 0],
        [1.0, 2.0],
        [1.0] * 4,
        [],
        ["1", "2", "x"],
        [None] * 3,
        [1j] * 3,
    ],
    ids=str,
)
def test_an_input_that_is_not_what_the_program_reads_starts_nobody(embedded, nothing_left, nothing_starts, wrong):
    with pytest.raises(InputError, match=r"^party 1: "):
        _run(embedded, SUM, GIVEN | {1: {"vector": wrong}})


def test_what_cannot_run_is_refused_before_anybody_starts(embedded, nothing_left, nothing_starts):
    with pytest.raises(InputError, match=r"among 2 parties .* threshold of 0: no privacy"):
        embedded.compile(SecureSum(parties=2, length=3), SHAMIR)
    with pytest.raises(MissingPart, match="has shamir, not mascot"):
        embedded.compile(SUM, named("mascot"))
    with pytest.raises(ParametersError, match="take a format with more bits"):
        embedded.compile(SecureSum(parties=3, length=3, most=5e4, format=FixedPoint(bits=32, fraction=16)), SHAMIR)
    with pytest.raises(InputError, match="compiled of another secure_sum"):
        embedded.run(SUM, embedded.compile(SecureSum(parties=3, length=4), SHAMIR), GIVEN, 1.0)
    with pytest.raises(InputError, match="for parties 0 to 2"):
        _run(embedded, SUM, {0: GIVEN[0], 1: GIVEN[1]})


def test_an_installation_without_mpyc_says_what_to_install(monkeypatch):
    from tasks.mpc import embedded as module

    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingPart, match=r"pip install secured\[mpc\]"):
        module.Embedded()
