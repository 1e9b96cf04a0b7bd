"""Where boxes of tasks.attacks.tree are cut: in the column that differs most, at the change nearest to the middle."""

from __future__ import annotations

import numpy as np

from tasks.attacks.space import Points
from tasks.common.compiling import compiled

_LEAF_ROWS = 512  # of 64 to 512 the fastest at 100,000 rows: rows are cheaper to measure than bounds of small boxes
_LIKE = 1e-12


@compiled
def spread_of(points: Points, middles: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """How much these rows differ, by column: about the distance of two of them, float64 (columns,).

    For a sample of neighbours in the rows' order; it only decides where to cut, so nothing depends on its precision.
    """
    spread = np.zeros(len(columns))
    categories = points.row_first.shape[1]
    count = len(rows)
    step = max(count // 256, 1)
    half = count // 2
    for place in range(len(columns)):
        column, pairs = columns[place], 0
        for i in range(0, count - half, step):
            one, other = rows[i], rows[i + half]
            pairs += 1
            if column < categories:
                spread[place] += (
                    points.row_first[one, column] != points.row_first[other, column]
                    or points.row_last[one, column] != points.row_last[other, column]
                )
            else:
                j = column - categories
                a, b = middles[one, j], middles[other, j]
                if np.isnan(a) or np.isnan(b):
                    spread[place] += np.isnan(a) != np.isnan(b)
                else:
                    spread[place] += abs(a - b) / points.ranges[j]
        spread[place] /= max(pairs, 1)
    return spread


@compiled
def _differs(points: Points, column: int, rows: np.ndarray) -> bool:
    """Whether any two of the rows have different labels in a column."""
    categories = points.row_first.shape[1]
    for row in rows[1:]:
        if column < categories:
            if (
                points.row_first[row, column] != points.row_first[rows[0], column]
                or points.row_last[row, column] != points.row_last[rows[0], column]
            ):
                return True
        else:
            j = column - categories
            for edge in (points.row_low, points.row_high):
                a, b = edge[row, j], edge[rows[0], j]
                if a != b and not (np.isnan(a) and np.isnan(b)):
                    return True
    return False


@compiled
def _keys(points: Points, middles: np.ndarray, column: int, rows: np.ndarray) -> np.ndarray:
    """By what rows are put in order to be cut: code or middle, missing last; then by the label's width."""
    keys = np.empty(len(rows))
    categories = points.row_first.shape[1]
    for i in range(len(rows)):
        if column < categories:
            first, last = points.row_first[rows[i], column], points.row_last[rows[i], column]
            keys[i] = first + (last - first) / (last + 1.0) * 0.5
        else:
            middle = middles[rows[i], column - categories]
            keys[i] = np.inf if np.isnan(middle) else middle
    return keys


@compiled
def _cut(keys: np.ndarray) -> int:
    """Where the ordered keys change nearest to the middle; the middle itself if they do not."""
    count = len(keys)
    half = count // 2
    for away in range(half + 1):
        for place in (half - away, half + away):
            if 0 < place < count and keys[place - 1] != keys[place]:
                return place
    return half


@compiled
def split(
    points: Points, middles: np.ndarray, columns: np.ndarray, row: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Halve until boxes are small or alike; brings `row` into the boxes' order."""
    most = max(2 * len(row), 1)
    start, stop = np.zeros(most, dtype=np.int64), np.zeros(most, dtype=np.int64)
    child, alike = np.full(most, -1, dtype=np.int64), np.zeros(most, dtype=np.bool_)
    stop[0] = len(row)
    boxes, box = 1, 0
    while box < boxes:
        rows = row[start[box] : stop[box]]
        best = -1
        if len(rows) > 1:
            spread = spread_of(points, middles, columns, rows)
            for place in np.argsort(-spread):
                if spread[place] > _LIKE or _differs(points, columns[place], rows):
                    best = columns[place]
                    break
        alike[box] = best < 0
        if best >= 0 and len(rows) > _LEAF_ROWS:
            keys = _keys(points, middles, best, rows)
            order = np.argsort(keys, kind="mergesort")
            rows[:] = rows[order]
            middle = start[box] + _cut(keys[order])
            child[box] = boxes
            start[boxes], stop[boxes] = start[box], middle
            start[boxes + 1], stop[boxes + 1] = middle, stop[box]
            boxes += 2
        box += 1
    return start[:boxes].copy(), stop[:boxes].copy(), child[:boxes].copy(), alike[:boxes].copy()
