"""How far a target's fact is from a row's label, and whether the label covers it: compiled, column by column.

The definitions are those of tasks.attacks.space.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from tasks.attacks.space import Points


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop over arrays, free to run beside others; the machine code is kept beside the module."""
    return numba.njit(cache=True, nogil=True)(function)


@compiled
def category_covers(points: Points, t: int, r: int, j: int) -> bool:
    """Whether row r's label covers target t's fact in the j-th categorical column."""
    fact = points.target_codes[t, j]
    return points.row_first[r, j] <= fact and fact <= points.row_last[r, j]


@compiled
def number_covers(points: Points, t: int, r: int, j: int) -> bool:
    """Whether row r's label covers target t's fact in the j-th numeric column; missing covers missing."""
    fact, low, high = points.target_values[t, j], points.row_low[r, j], points.row_high[r, j]
    if np.isnan(fact) or np.isnan(low):
        return np.isnan(fact) and np.isnan(low)
    return low <= fact and fact <= high


@compiled
def category_gap(points: Points, t: int, r: int, j: int) -> float:
    """Distance in the j-th categorical column: 1 - 1/m if the label covers the fact among m leaves, else 1."""
    if category_covers(points, t, r, j):
        return points.row_blur[r, j]
    return 1.0


@compiled
def number_gap(points: Points, t: int, r: int, j: int) -> float:
    """Expected |fact - U| / range for U uniform under the label; 1 where only one of them is missing."""
    fact, low, high = points.target_values[t, j], points.row_low[r, j], points.row_high[r, j]
    if np.isnan(fact) or np.isnan(low):
        return 0.0 if np.isnan(fact) and np.isnan(low) else 1.0
    scale = points.ranges[j]
    if fact <= low or fact >= high:
        return min(abs(fact - 0.5 * (low + high)) / scale, 1.0)
    return ((fact - low) ** 2 + (high - fact) ** 2) / (2.0 * (high - low) * scale)


@compiled
def gap(points: Points, t: int, r: int, column: int) -> float:
    """Distance in one column; categorical columns are numbered first."""
    categories = points.target_codes.shape[1]
    if column < categories:
        return category_gap(points, t, r, column)
    return number_gap(points, t, r, column - categories)


@compiled
def covers(points: Points, t: int, r: int, column: int) -> bool:
    """Whether the label of one column covers the fact; categorical columns are numbered first."""
    categories = points.target_codes.shape[1]
    if column < categories:
        return category_covers(points, t, r, column)
    return number_covers(points, t, r, column - categories)
