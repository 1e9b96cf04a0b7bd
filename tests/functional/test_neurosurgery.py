"""`secured run neurosurgery` as its users run it: a cluster of workers, a hospital of its own, and refusals."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tasks.imaging import volumes
from tasks.imaging.volumes import Volume
from tests.conftest import ROOT
from tests.functional.running import command, environment, secured
from tests.security import memory
from tests.unit.imaging.test_operation import brain
from tests.unit.imaging.test_volumes import series

pytest.importorskip("Pyfhel")
pytest.importorskip("nibabel")
pytest.importorskip("SimpleITK")

SMALL = ("--size", "32,32,32", "--shift", "4", "--bound", "4", "--period", "0.5", "--deadline", "120")
pytestmark = pytest.mark.slow


def seen_of(process: subprocess.Popen[str]) -> dict[int, tuple[str, str]]:
    """Command line and environment of the processes that a run started, by their number."""
    found = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                found[child.pid] = " ".join(child.cmdline()), str(child.environ())
    return found


def of(started: dict[int, tuple[str, str]], what: str) -> set[int]:
    """The processes whose command line says what they are."""
    return {pid for pid, (line, _) in started.items() if what in line}


def rows_of(volume: Path) -> list[tuple[str, bytes]]:
    """A few voxels in a row from the middle of the region, in each form that a program may hold them in."""
    region = volumes.read(volume).cut((1, 1, 2), (32, 32, 32))
    row, scaled = region.voxels[16, 16, 12:20], volumes.scaled(region)[0].voxels[16, 16, 12:20]
    forms = {"int16": row.astype(np.int16), "float32": row.astype(np.float32), "float64": row.astype(np.float64)}
    forms |= {"scaled float32": scaled.astype(np.float32), "scaled float64": scaled.astype(np.float64)}
    return [(name, values.tobytes()) for name, values in forms.items()]


def held_by(pids: set[int], needles: list[tuple[str, bytes]]) -> set[str]:
    """What of it is in the memory of these processes, as far as they still run."""
    found: set[str] = set()
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found |= memory.found(pid, needles)
    return found


def test_an_operation_runs_and_workers_know_no_more_than_they_may(tmp_path: Path) -> None:
    volume, out, report = series(tmp_path / "CANARY-MR", brain(), (1, 1, 1)), tmp_path / "out", tmp_path / "r.json"
    arguments = command("run", "neurosurgery", volume, "--out", out, "--frames", "3", "--json", report, "-q", *SMALL)
    started: dict[int, tuple[str, str]] = {}
    in_hospital, in_workers, needles = None, None, rows_of(volume)
    with subprocess.Popen(
        arguments, env=environment(tmp_path / "home"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    ) as process:  # fmt: skip
        while process.poll() is None:
            started |= seen_of(process)
            if in_workers is None and (out / "cluster" / "frames" / "001" / "answer").is_dir():
                in_hospital = held_by(of(started, "tasks.imaging.hospital"), needles)
                in_workers = held_by(of(started, "multiprocessing"), needles)
            time.sleep(0.2)
        said = process.stdout.read() if process.stdout else ""
    assert process.returncode == 0, said
    assert "pictures within 120 s of their field" in said
    record = json.loads(report.read_text())
    answered = [seen for seen in record["seen"] if seen["seconds"] is not None]
    assert answered
    assert record["seen"][-1]["outcome"] == "in time"  # the last field is never superseded
    assert all(seen["encryption"]["largest"] < 0.001 and seen["whole"]["rms"] < 0.01 for seen in answered)
    assert record["workers"] >= 2
    workers, hospitals = of(started, "multiprocessing"), of(started, "tasks.imaging.hospital")
    assert workers
    assert hospitals
    assert not hospitals & workers
    assert in_hospital, "a search that finds nothing where it is would prove nothing"
    assert in_workers == set()
    for line, variables in (started[pid] for pid in workers):
        assert "CANARY" not in line + variables
        assert not re.search(r"passphrase|secret\.locked", line + variables, re.IGNORECASE)
    for place in (path for path in (out / "cluster").rglob("*") if path.is_file()):
        assert b"CANARY" not in place.read_bytes()
    assert (out / "hospital").stat().st_mode & 0o077 == 0
    assert "data:image/png" in (out / "hospital" / "report.html").read_text()
    after = volumes.read(out / "hospital" / "after.nii.gz")
    assert after.voxels.shape == (32, 32, 32)


def refused(tmp_path: Path, *arguments: str | Path) -> tuple[int, str]:
    run = secured("run", "neurosurgery", *arguments, "-q", home=tmp_path / "home")
    return run.returncode, " ".join(run.stderr.split())


def test_what_cannot_be_operated_on_is_refused_with_its_exit_code(tmp_path: Path) -> None:
    broken = brain().astype(np.float32)
    broken[20, 20, 20] = np.nan
    volumes.write(Volume(broken, np.eye(4)), tmp_path / "nan.nii.gz")
    volumes.write(Volume(brain().astype(np.float32), np.eye(4)), tmp_path / "good.nii.gz")
    out = tmp_path / "out"
    cases = (
        ((tmp_path / "none.nii.gz", "--out", out, *SMALL), "there is no volume"),
        ((tmp_path / "good.nii.gz", "--out", tmp_path, *SMALL), "it exists"),
        ((tmp_path / "good.nii.gz", "--out", out, "--size", "32,32"), "three numbers are needed"),
        ((tmp_path / "good.nii.gz", "--out", out, "--size", "31,32,32"), "even number of voxels"),
        ((tmp_path / "nan.nii.gz", "--out", tmp_path / "a", *SMALL), "missing or infinite"),
        ((tmp_path / "good.nii.gz", "--out", tmp_path / "b", "--size", "64,64,64"), "not inside a volume"),
    )  # fmt: skip
    for arguments, reason in cases:
        code, said = refused(tmp_path, *arguments)
        assert (code, reason in said) == (10, True), said


@pytest.mark.long
def test_fields_beyond_the_bound_are_refused_and_the_operation_goes_on(tmp_path: Path) -> None:
    volumes.write(Volume(brain().astype(np.float32), np.eye(4)), tmp_path / "good.nii.gz")
    out, report = tmp_path / "out", tmp_path / "r.json"
    more = (
        "--size",
        "32,32,32",
        "--shift",
        "6",
        "--bound",
        "3",
        "--frames",
        "3",
        "--period",
        "10",
        "--deadline",
        "120",
    )
    run = secured(
        "run", "neurosurgery", tmp_path / "good.nii.gz", "--out", out, "--json", report, "-q", *more,
        home=tmp_path / "home",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    seen = json.loads(report.read_text())["seen"]
    assert seen[0]["outcome"] == "in time"  # 2 mm
    assert [each["outcome"] for each in seen[1:]].count("refused") >= 1
    assert "more than the 3 of these keys" in seen[-1]["reason"]
