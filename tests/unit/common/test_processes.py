"""No child outlives its parent, and orphans are found by id and start time, never by name."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil

from tasks.common import processes

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
PARENT = """
import os, sys, time
from tasks.common import processes
child = processes.start([sys.executable, "-c", "import time; time.sleep(600)"], os.environ)
print(child.pid, flush=True)
time.sleep(600)
"""


def gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_a_child_dies_with_a_killed_parent():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        time.sleep(0.5)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert gone(child)


def test_orphans_of_a_gone_owner_are_ended_and_forgotten(tmp_path):
    with subprocess.Popen(SLEEP) as orphan:
        started = psutil.Process(orphan.pid).create_time()
        note = {"owner": {"pid": 2**22 - 1, "started": 1.0}, "children": [{"pid": orphan.pid, "started": started}]}
        (tmp_path / "1.json").write_text(json.dumps(note))
        assert processes.end_orphans(tmp_path) == 1
        orphan.wait(timeout=10)
    assert list(tmp_path.iterdir()) == []


def test_children_of_a_living_owner_are_left_alone(tmp_path):
    with subprocess.Popen(SLEEP) as child:
        processes.note_children(tmp_path)
        assert processes.end_orphans(tmp_path) == 0
        assert child.poll() is None
        child.terminate()
    assert (tmp_path / f"{os.getpid()}.json").exists()


def test_a_process_that_took_over_a_number_is_left_alone(tmp_path):
    with subprocess.Popen(SLEEP) as stranger:
        note = {"owner": {"pid": 2**22 - 1, "started": 1.0}, "children": [{"pid": stranger.pid, "started": 5.0}]}
        (tmp_path / "1.json").write_text(json.dumps(note))
        assert processes.end_orphans(tmp_path) == 0
        assert stranger.poll() is None
        stranger.terminate()
