"""Folders of results that appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.common.errors import InputError, StorageError


def require_new(out: Path) -> None:
    """Refuse an output folder that exists, or whose parent does not.

    Raises:
        InputError: either is so.
    """
    if out.exists():
        raise InputError(f"--out {out}: it exists; name a new folder, so that nothing old stays among what is released")
    if not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.absolute().parent}")


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` to be filled and then renamed to it; gone after the block where it was not.

    Raises:
        StorageError: it cannot be made.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.absolute().parent))
    except OSError as error:
        raise StorageError(f"--out {out} cannot be written ({error.strerror})") from error
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
