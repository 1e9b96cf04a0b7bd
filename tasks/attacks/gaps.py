"""How far a target's fact is from a row's label, and whether the label covers it: compiled, column by column.

The definitions are those of tasks.attacks.space.
"""

from __future__ import annotations

import numpy as np

from tasks.attacks.space import Points
from tasks.common.compiling import compiled


@compiled
def number_covers(fact: float, low: float, high: float) -> bool:
    """Whether a label covers a fact; missing covers missing."""
    if np.isnan(fact) or np.isnan(low):
        return np.isnan(fact) and np.isnan(low)
    return low <= fact and fact <= high


@compiled
def number_gap(fact: float, low: float, high: float, scale: float) -> float:
    """Expected |fact - U| / scale for U uniform in [low, high], at most 1; 1 where only one side is missing."""
    if np.isnan(fact) or np.isnan(low):
        return 0.0 if np.isnan(fact) and np.isnan(low) else 1.0
    if fact <= low or fact >= high:
        return min(abs(fact - 0.5 * (low + high)) / scale, 1.0)
    return ((fact - low) ** 2 + (high - fact) ** 2) / (2.0 * (high - low) * scale)


@compiled
def fits(points: Points, t: int, r: int, used: np.ndarray) -> bool:
    """Whether the labels of row r cover all facts of target t in the columns `used`, bool (columns,)."""
    categories = points.target_codes.shape[1]
    for j in range(categories):
        fact = points.target_codes[t, j]
        if used[j] and not (points.row_first[r, j] <= fact and fact <= points.row_last[r, j]):
            return False
    for j in range(points.target_values.shape[1]):
        if used[categories + j] and not number_covers(
            points.target_values[t, j], points.row_low[r, j], points.row_high[r, j]
        ):
            return False
    return True


@compiled
def distance(points: Points, t: int, r: int, columns: np.ndarray) -> float:
    """Distance of target t to row r over the columns, by number."""
    categories = points.target_codes.shape[1]
    total = 0.0
    for column in columns:
        if column < categories:
            fact = points.target_codes[t, column]
            inside = points.row_first[r, column] <= fact and fact <= points.row_last[r, column]
            total += points.row_blur[r, column] if inside else 1.0
        else:
            j = column - categories
            total += number_gap(
                points.target_values[t, j], points.row_low[r, j], points.row_high[r, j], points.ranges[j]
            )
    return total
