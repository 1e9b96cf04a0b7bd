"""Engines that are installed here, and what a job must not leave behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

import psutil
import pytest

from tasks.common.errors import MissingPart
from tasks.mpc.embedded import Embedded


@pytest.fixture(scope="session")
def embedded():
    """The embedded engine."""
    try:
        return Embedded()
    except MissingPart as missing:
        pytest.skip(str(missing))


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where jobs' folders are made, for this test alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def nothing_left(temporary):
    """Fails if a job has left a folder or a process."""
    yield
    assert list(temporary.glob("secured-mpc-*")) == []
    assert party_processes() == {}


def party_processes(starter: int | None = None) -> dict[int, psutil.Process]:
    """Parties of the embedded jobs of a process, of this one unless another is given, by number."""
    found = {}
    for child in psutil.Process(starter).children(recursive=True):
        try:
            words = child.cmdline()
        except psutil.NoSuchProcess:
            continue
        if "tasks.mpc.embedded_party" in words and Path(words[-1]).name.startswith("party-"):
            found[int(words[-1].rpartition("-")[2])] = child
    return found
