"""Loops over arrays as machine code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop over arrays; the machine code is kept beside the module, and other threads run meanwhile."""
    return numba.njit(cache=True, nogil=True)(function)
