"""Real tables that may be read but not copied into the project: a test that needs one skips where it is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("SECURED_SHARED_DATA", Path(__file__).resolve().parent.parent.parent / "shared" / "data"))


def shared_data_or_none(name: str) -> Path | None:
    """The file `name` in the folder of SECURED_SHARED_DATA, or in shared/data beside the project, if it is there."""
    return FOLDER / name if (FOLDER / name).exists() else None


def shared_data(name: str) -> Path:
    """The same; skips the test that asks for a file that is not there."""
    found = shared_data_or_none(name)
    if found is None:
        pytest.skip(f"{name} may only be read, and is not in {FOLDER}; set SECURED_SHARED_DATA to a folder that has it")
    return found
