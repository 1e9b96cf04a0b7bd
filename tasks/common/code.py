"""What the code is that a result was made by."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

TASKS = Path(__file__).parent.parent
_CODE = {".py", ".j2", ".css"}


@functools.cache
def code_version() -> str:
    """SHA-256 of everything under tasks/ that can change a result, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(p for p in TASKS.rglob("*") if p.suffix in _CODE):
        digest.update(str(path.relative_to(TASKS)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
