"""Keys for tests of regridding, made once a session for each need."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from tasks.encryption import keys
from tasks.encryption.job import Needs
from tasks.encryption.session import Session

PASSPHRASE = "correct horse battery"  # noqa: S105 - of keys that live as long as the test


@functools.cache
def sessions(needs: Needs) -> tuple[Session, Session]:
    """An owner's and an evaluator's session."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "keys"
        keys.make(made, needs.parameters, PASSPHRASE, rotations=needs.rotations, products=needs.products)
        return keys.open_owner(made / "owner", PASSPHRASE), keys.open_evaluator(made / "evaluator")
