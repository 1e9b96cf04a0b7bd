"""Nothing is told to anyone: no process of a run looks for, or talks to, anything but loopback."""

import re
import socket

import pytest

pytestmark = pytest.mark.slow


def test_a_run_needs_no_network(flow_run):
    if not flow_run.offline:
        pytest.skip("this machine permits no network namespaces, so the run had a network")
    assert flow_run.result["gate"] == "passes"


def test_every_connection_was_to_this_machine(flow_run):
    lines = flow_run.connections.read_text().splitlines()
    connects = [line for line in lines if line.startswith("socket.connect")]
    assert len(connects) > 10, "the audit hook saw nothing, so it proves nothing"
    strangers = [
        line for line in connects if not re.search(r"'(127\.0\.0\.1|::1)'|connect '/|connect b'|localhost", line)
    ]
    assert strangers == []


def test_no_name_of_a_stranger_was_looked_up(flow_run):
    looked_up = {
        line.split(" ", 1)[1] for line in flow_run.connections.read_text().splitlines() if "getaddrinfo" in line
    }
    strangers = {
        name for name in looked_up if not re.fullmatch(r"b?'(127\.0\.0\.1|localhost|::1|0\.0\.0\.0)'|None|''", name)
    }
    assert strangers <= {repr(socket.gethostname())}
