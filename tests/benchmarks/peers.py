"""Other people's software, each in an environment of its own, made once and kept in the user's cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def environment(name: str, *packages: str) -> Path:
    """The Python of an environment that holds `packages`, as pip names them."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "secured" / "peers" / name
    python = folder / "bin" / "python"
    if not (folder / "ready").is_file():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        (folder / "ready").touch()
    return python
