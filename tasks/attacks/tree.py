"""Released rows in boxes within boxes, so that a search leaves out whole boxes that cannot hold what it looks for.

A k-d tree (Bentley 1975, CACM 18(9)) for mixed columns: each box is halved in the column in which its rows differ
most. A box knows, by column, what its rows' labels cover at most. From that follows the least distance that any of its
rows can have from a target, so a search that skips boxes beyond the best found so far is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tasks.attacks.cutting import split, spread_of
from tasks.attacks.space import Points
from tasks.common.compiling import compiled

_ABSENT = 9.0
_BITS = 64


class Boxes(NamedTuple):
    """n boxes over a categorical and b numeric columns; the first holds all rows.

    start, stop int64 (n,): its rows. child int64 (n,): the first of its two halves, which lie side by side; -1 for
    none. alike bool (n,): its rows do not differ in any column that the tree is made for.
    first, last int32 (n, a), bits uint64 (n, a): least and greatest code that labels cover, and which codes modulo 64.
    blur float32 (n, a): the least of any label. low, high float64 (n, b): what labels cover; least, most: the range of
    their middles, inf to -inf if all are missing. missing bool (n, b): whether any is.
    """

    start: np.ndarray
    stop: np.ndarray
    child: np.ndarray
    alike: np.ndarray
    first: np.ndarray
    last: np.ndarray
    bits: np.ndarray
    blur: np.ndarray
    low: np.ndarray
    high: np.ndarray
    least: np.ndarray
    most: np.ndarray
    missing: np.ndarray


class Lanes(NamedTuple):
    """The rows once more, column after column and in 32 bits, so that the processor measures eight of them at once.

    first, last int32 (a, r), blur float32 (a, r): as in Points. low, high float32 (b, r), facts float32 (t, b): as
    shares of the range, a number far away for missing. exact bool (a + b,): whether each label is a single value.
    error: how far a distance summed up in them may be off.
    """

    first: np.ndarray
    last: np.ndarray
    blur: np.ndarray
    low: np.ndarray
    high: np.ndarray
    facts: np.ndarray
    exact: np.ndarray
    error: float


class Tree(NamedTuple):
    """points: the rows in the order of the boxes. row int64 (r,): the distinct row each of them is in the space.

    columns int64: the columns that the tree is made for, those that tell most apart first.
    """

    points: Points
    lanes: Lanes
    row: np.ndarray
    boxes: Boxes
    columns: np.ndarray


def grow(points: Points, used: np.ndarray) -> Tree:
    """The tree of all rows, for searches by the columns `used`, bool (columns,)."""
    row = np.arange(len(points.weights), dtype=np.int64)
    columns = np.flatnonzero(used)
    middles = (points.row_low + points.row_high) / 2
    spread = spread_of(points, middles, columns, row)
    start, stop, child, alike = split(points, middles, columns, row)
    ordered = points._replace(
        row_first=points.row_first[row],
        row_last=points.row_last[row],
        row_blur=points.row_blur[row],
        row_low=points.row_low[row],
        row_high=points.row_high[row],
        weights=points.weights[row],
    )
    boxes = _measure(ordered, start, stop, child, alike)
    return Tree(ordered, _lanes(ordered, len(columns)), row, boxes, columns[np.argsort(-spread, kind="stable")])


def _lanes(points: Points, columns: int) -> Lanes:
    base = np.minimum(points.row_low.min(axis=0, initial=np.inf, where=~np.isnan(points.row_low)), 1e300)

    def shares(values: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(values), _ABSENT, (values - base) / points.ranges).astype(np.float32)

    exact = [(points.row_first == points.row_last).all(axis=0), (points.row_high <= points.row_low).all(axis=0)]
    if np.isnan(points.row_low).any():
        exact[1] = ((points.row_high <= points.row_low) | np.isnan(points.row_low)).all(axis=0)
    return Lanes(
        first=np.ascontiguousarray(points.row_first.T),
        last=np.ascontiguousarray(points.row_last.T),
        blur=np.ascontiguousarray(points.row_blur.T),
        low=np.ascontiguousarray(shares(points.row_low).T),
        high=np.ascontiguousarray(shares(points.row_high).T),
        facts=shares(points.target_values),
        exact=np.concatenate(exact),
        error=columns * (3e-7 + 6e-8 * columns),  # a rounded fact and label; a rounded sum, at each addition
    )


def _measure(points: Points, start: np.ndarray, stop: np.ndarray, child: np.ndarray, alike: np.ndarray) -> Boxes:
    """What the rows of each box cover together."""
    count, categories, numbers = len(start), points.row_first.shape[1], points.row_low.shape[1]
    boxes = Boxes(
        start,
        stop,
        child,
        alike,
        first=np.full((count, categories), np.iinfo(np.int32).max, dtype=np.int32),
        last=np.full((count, categories), -1, dtype=np.int32),
        bits=np.zeros((count, categories), dtype=np.uint64),
        blur=np.ones((count, categories), dtype=np.float32),
        low=np.full((count, numbers), np.inf),
        high=np.full((count, numbers), -np.inf),
        least=np.full((count, numbers), np.inf),
        most=np.full((count, numbers), -np.inf),
        missing=np.zeros((count, numbers), dtype=np.bool_),
    )
    _fill(points, boxes)
    return boxes


@compiled
def _fill(points: Points, boxes: Boxes) -> None:
    """From the last box, so that halves are known before the whole."""
    for back in range(len(boxes.start)):
        box = len(boxes.start) - 1 - back
        if boxes.child[box] >= 0:
            for half in (boxes.child[box], boxes.child[box] + 1):
                _join(boxes, box, half)
        else:
            for r in range(boxes.start[box], boxes.stop[box]):
                _add(points, boxes, box, r)


@compiled
def _join(boxes: Boxes, box: int, half: int) -> None:
    for j in range(boxes.first.shape[1]):
        boxes.first[box, j] = min(boxes.first[box, j], boxes.first[half, j])
        boxes.last[box, j] = max(boxes.last[box, j], boxes.last[half, j])
        boxes.bits[box, j] |= boxes.bits[half, j]
        boxes.blur[box, j] = min(boxes.blur[box, j], boxes.blur[half, j])
    for j in range(boxes.low.shape[1]):
        boxes.low[box, j] = min(boxes.low[box, j], boxes.low[half, j])
        boxes.high[box, j] = max(boxes.high[box, j], boxes.high[half, j])
        boxes.least[box, j] = min(boxes.least[box, j], boxes.least[half, j])
        boxes.most[box, j] = max(boxes.most[box, j], boxes.most[half, j])
        boxes.missing[box, j] |= boxes.missing[half, j]


@compiled
def _add(points: Points, boxes: Boxes, box: int, r: int) -> None:
    for j in range(boxes.first.shape[1]):
        first, last = points.row_first[r, j], points.row_last[r, j]
        boxes.first[box, j] = min(boxes.first[box, j], first)
        boxes.last[box, j] = max(boxes.last[box, j], last)
        boxes.blur[box, j] = min(boxes.blur[box, j], points.row_blur[r, j])
        for code in range(first, min(last, first + _BITS - 1) + 1):
            boxes.bits[box, j] |= np.uint64(1) << np.uint64(code % _BITS)
    for j in range(boxes.low.shape[1]):
        low, high = points.row_low[r, j], points.row_high[r, j]
        if np.isnan(low):
            boxes.missing[box, j] = True
        else:
            boxes.low[box, j] = min(boxes.low[box, j], low)
            boxes.high[box, j] = max(boxes.high[box, j], high)
            boxes.least[box, j] = min(boxes.least[box, j], 0.5 * (low + high))
            boxes.most[box, j] = max(boxes.most[box, j], 0.5 * (low + high))


@compiled
def measure(tree: Tree, t: int, start: int, stop: int, out: np.ndarray) -> None:
    """Distance of target t to the rows from start to stop, within lanes.error, into out[: stop - start]."""
    count, lanes = stop - start, tree.lanes
    categories = lanes.first.shape[0]
    out[:count] = np.float32(0.0)
    for column in tree.columns:
        j = column - categories
        if column < categories and lanes.exact[column]:
            _differ(lanes.first[column, start:stop], tree.points.target_codes[t, column], out)
        elif column < categories:
            _stray(
                lanes.first[column, start:stop],
                lanes.last[column, start:stop],
                lanes.blur[column, start:stop],
                tree.points.target_codes[t, column],
                out,
            )
        elif lanes.exact[column]:
            _apart(lanes.low[j, start:stop], lanes.facts[t, j], out)
        else:
            _apart_from_span(lanes.low[j, start:stop], lanes.high[j, start:stop], lanes.facts[t, j], out)


@compiled
def _differ(codes: np.ndarray, fact: int, out: np.ndarray) -> None:
    for i in range(len(codes)):
        out[i] += np.float32(1.0) if codes[i] != fact else np.float32(0.0)


@compiled
def _stray(first: np.ndarray, last: np.ndarray, blur: np.ndarray, fact: int, out: np.ndarray) -> None:
    for i in range(len(first)):
        out[i] += blur[i] if (first[i] <= fact) & (fact <= last[i]) else np.float32(1.0)


@compiled
def _apart(values: np.ndarray, fact: np.float32, out: np.ndarray) -> None:
    for i in range(len(values)):
        away = abs(values[i] - fact)
        out[i] += min(np.float32(1.0), away)


@compiled
def _apart_from_span(low: np.ndarray, high: np.ndarray, fact: np.float32, out: np.ndarray) -> None:
    half = np.float32(0.5)
    for i in range(len(low)):
        width = high[i] - low[i]
        away = abs(fact - half * (low[i] + high[i]))
        outside = min(np.float32(1.0), away)
        below, above = fact - low[i], high[i] - fact
        is_inside = (below > np.float32(0.0)) & (above > np.float32(0.0))
        inside = (below * below + above * above) * half / (width if is_inside else np.float32(1.0))
        out[i] += inside if is_inside else outside


@compiled
def _may_cover(first: int, last: int, bits: int, fact: int) -> bool:
    """Whether any label of a box that covers codes from first to last, and those modulo 64, may cover a fact."""
    return first <= fact and fact <= last and (bits >> np.uint64(fact % _BITS)) & np.uint64(1) != 0


@compiled
def least_distance(points: Points, boxes: Boxes, box: int, t: int, columns: np.ndarray, limit: float) -> float:
    """At most the distance of target t to any row of the box; may stop adding up once beyond `limit`.

    For numbers E|fact - U| >= |fact - middle of the label| (Jensen), so the range of the middles bounds it.
    """
    total = 0.0
    categories = points.target_codes.shape[1]
    for column in columns:
        if column < categories:
            fact = points.target_codes[t, column]
            if _may_cover(boxes.first[box, column], boxes.last[box, column], boxes.bits[box, column], fact):
                total += boxes.blur[box, column]
            else:
                total += 1.0
        else:
            j = column - categories
            value = points.target_values[t, j]
            if np.isnan(value):
                total += 0.0 if boxes.missing[box, j] else 1.0
            else:
                away = max(boxes.least[box, j] - value, value - boxes.most[box, j], 0.0)
                total += min(away / points.ranges[j], 1.0)
        if total > limit:
            return total
    return total


@compiled
def may_fit(points: Points, boxes: Boxes, box: int, t: int, used: np.ndarray) -> bool:
    """Whether any row of the box may fit target t in the columns `used`, bool (columns,)."""
    categories = points.target_codes.shape[1]
    for j in range(categories):
        if used[j] and not _may_cover(
            boxes.first[box, j], boxes.last[box, j], boxes.bits[box, j], points.target_codes[t, j]
        ):
            return False
    for j in range(points.target_values.shape[1]):
        if used[categories + j]:
            fact = points.target_values[t, j]
            if np.isnan(fact):
                if not boxes.missing[box, j]:
                    return False
            elif fact < boxes.low[box, j] or fact > boxes.high[box, j]:
                return False
    return True
