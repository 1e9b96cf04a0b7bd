"""Columns as dimensions that can be cut anywhere: ordered ones into intervals, others along their hierarchy.

Numbers and dates are ordered, unless their hierarchy lists groups. A set of their values gets the interval from the
least to the greatest, both included, as in `[20, 35]`. A set of categories gets their lowest common ancestor. Missing
values are none of an ordered column's interval: a set with both is labelled `*`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tasks.anonymization.hierarchies import ANY, Hierarchy, Label, number
from tasks.common.compiling import compiled
from tasks.common.hierarchy_forms import AllOrNothing, Dates, Intervals
from tasks.common.policy import Column, Kind

Labels = tuple[tuple[Label, ...], ...]
_VALUE, _INTERVAL, _MIXED = 0, 1, 2


class Grid(NamedTuple):
    """The q columns as arrays. Leaf i of column j stands at offsets[j] + i of arrays over leaves.

    ordered: bool (q,). weights: float64 (q,), how much a column's loss matters. levels: int64 (q,) of hierarchies.
    rank: int32 (leaves,), places of an ordered column's leaves in rising order, a missing one last.
    position: float64 (leaves,), such a leaf's value as a share of the column's domain, NaN for a missing one.
    trees, losses: int32 and float64, label and loss of leaf i at level l of column j at tree_starts[j] + l * n + i,
    where n is its number of leaves.
    """

    ordered: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray
    rank: np.ndarray
    position: np.ndarray
    levels: np.ndarray
    tree_starts: np.ndarray
    trees: np.ndarray
    losses: np.ndarray


class Axes(NamedTuple):
    """The grid, and what its labels are made of, by column."""

    grid: Grid
    columns: tuple[Column, ...]
    hierarchies: tuple[Hierarchy, ...]

    @property
    def shares(self) -> np.ndarray:
        """Columns' weights as shares of 1, float64 (q,)."""
        return self.grid.weights / self.grid.weights.sum()


class Spans(NamedTuple):
    """What r sets of tuples come to in each of q columns.

    level: int32 (r, q); of an ordered column 0 for a single value, 1 for an interval, 2 for a mixture with missing
    values; else the level of the lowest common ancestor. low, high: int32 (r, q), least and greatest leaf of an ordered
    column, any leaf of another. loss: float64 (r, q), Normalized Certainty Penalty in [0, 1].
    """

    level: np.ndarray
    low: np.ndarray
    high: np.ndarray
    loss: np.ndarray


def axes(columns: Sequence[Column], hierarchies: Sequence[Hierarchy]) -> Axes:
    """The columns of a table as axes."""
    sizes = [len(tree.leaves) for tree in hierarchies]
    positions = [_positions(column, tree) for column, tree in zip(columns, hierarchies, strict=True)]
    grid = Grid(
        ordered=np.array([is_ordered(column) for column in columns]),
        weights=np.array([column.weight for column in columns]),
        offsets=np.cumsum([0, *sizes], dtype=np.int64)[:-1],
        rank=np.concatenate([_ranks(position) for position in positions]),
        position=np.concatenate(positions),
        levels=np.array([tree.levels for tree in hierarchies], dtype=np.int64),
        tree_starts=np.cumsum([0, *(tree.codes.size for tree in hierarchies)], dtype=np.int64)[:-1],
        trees=np.concatenate([tree.codes.ravel() for tree in hierarchies]),
        losses=np.concatenate([tree.loss.ravel() for tree in hierarchies]),
    )
    return Axes(grid, tuple(columns), tuple(hierarchies))


def is_ordered(column: Column) -> bool:
    """Whether any interval of its values may be a label."""
    return column.kind in {Kind.NUMERIC, Kind.DATE} and isinstance(column.hierarchy, Intervals | Dates | AllOrNothing)


def values(leaves: Sequence[Any]) -> np.ndarray:
    """Numbers, or days, of an ordered column's leaves; NaN for a missing one; float64 (leaves,)."""
    plain = (leaf.toordinal() if isinstance(leaf, dt.date) else leaf for leaf in leaves)
    return np.array([np.nan if value is None else float(value) for value in plain], dtype=np.float64)


def _positions(column: Column, tree: Hierarchy) -> np.ndarray:
    if not is_ordered(column):
        return np.zeros(len(tree.leaves))
    found = values(tree.leaves)
    known = found[~np.isnan(found)]
    low, high, least = known.min(initial=np.inf), known.max(initial=-np.inf), 0.0
    if isinstance(column.hierarchy, Intervals):
        spec = column.hierarchy
        low, high = (low if spec.min is None else spec.min), (high if spec.max is None else spec.max)
        least = spec.intervals[0]
    domain = max(high - low, least)
    return found / domain if domain > 0 else found


def _ranks(position: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(position), dtype=np.int32)
    ranks[np.argsort(position, kind="stable")] = np.arange(len(position))  # NaN comes last
    return ranks


@compiled
def spans(codes: np.ndarray, members: np.ndarray, starts: np.ndarray, grid: Grid) -> Spans:
    """What sets of tuples come to. codes: int32 (n, q); set r are the tuples members[starts[r]:starts[r + 1]]."""
    sets, columns = len(starts) - 1, codes.shape[1]
    level = np.zeros((sets, columns), dtype=np.int32)
    low, high = np.zeros((sets, columns), dtype=np.int32), np.zeros((sets, columns), dtype=np.int32)
    loss = np.zeros((sets, columns), dtype=np.float64)
    for r in range(sets):
        inside = members[starts[r] : starts[r + 1]]
        for j in range(columns):
            if grid.ordered[j]:
                level[r, j], low[r, j], high[r, j], loss[r, j] = _range(codes, inside, j, grid)
            else:
                level[r, j], low[r, j], loss[r, j] = _ancestor(codes, inside, j, grid)
                high[r, j] = low[r, j]
    return Spans(level, low, high, loss)


@compiled
def _range(codes: np.ndarray, inside: np.ndarray, j: int, grid: Grid) -> tuple[int, int, int, float]:
    offset = grid.offsets[j]
    low, high, known, missing = codes[inside[0], j], codes[inside[0], j], False, False
    for member in inside:
        leaf = codes[member, j]
        if np.isnan(grid.position[offset + leaf]):
            missing = True
            continue
        if not known or grid.rank[offset + leaf] < grid.rank[offset + low]:
            low = leaf
        if not known or grid.rank[offset + leaf] > grid.rank[offset + high]:
            high = leaf
        known = True
    if known and missing:
        return _MIXED, low, high, 1.0
    if low == high:
        return _VALUE, low, high, 0.0
    return _INTERVAL, low, high, min(grid.position[offset + high] - grid.position[offset + low], 1.0)


@compiled
def _ancestor(codes: np.ndarray, inside: np.ndarray, j: int, grid: Grid) -> tuple[int, int, float]:
    start, leaves = grid.tree_starts[j], leaves_of(grid, j)
    first = codes[inside[0], j]
    level = 0
    for member in inside:
        leaf = codes[member, j]
        while grid.trees[start + level * leaves + leaf] != grid.trees[start + level * leaves + first]:
            level += 1
    return level, first, grid.losses[start + level * leaves + first]


@compiled
def leaves_of(grid: Grid, j: int) -> int:
    """How many leaves column j has."""
    end = grid.offsets[j + 1] if j + 1 < len(grid.offsets) else len(grid.rank)
    return end - grid.offsets[j]


def labels(found: Spans, over: Axes) -> tuple[Labels, np.ndarray]:
    """The distinct labels of each column, and the place there of each set's, int32 (r, q)."""
    names, codes = [], np.zeros(found.level.shape, dtype=np.int32)
    for j, (column, tree) in enumerate(zip(over.columns, over.hierarchies, strict=True)):
        if over.grid.ordered[j]:
            keys = np.stack([found.level[:, j], found.low[:, j], found.high[:, j]], axis=1)
            keys[found.level[:, j] == _MIXED, 1:] = 0
        else:
            keys = np.stack([found.level[:, j], tree.codes[found.level[:, j], found.low[:, j]]], axis=1)
        distinct, place = np.unique(keys, axis=0, return_inverse=True)
        names.append(tuple(_label(key, column, tree) for key in distinct.tolist()))
        codes[:, j] = place.reshape(-1)
    return _without_twins(names, codes)


def _without_twins(names: list[tuple[Label, ...]], codes: np.ndarray) -> tuple[Labels, np.ndarray]:
    """Equal labels under one code: a group may be called as its only leaf is."""
    unique = []
    for j, column in enumerate(names):
        place: dict[Label, int] = {}
        renumbered = np.array([place.setdefault(label, len(place)) for label in of_one_type(column)], dtype=np.int32)
        codes[:, j] = renumbered[codes[:, j]]
        unique.append(tuple(place))
    return tuple(unique), codes


def of_one_type(column: Sequence[Label]) -> tuple[Label, ...]:
    """Labels of a column as it is released: all as words where some are; a missing value stays one."""
    if not any(isinstance(label, str) for label in column):
        return tuple(column)
    return tuple(label if label is None or isinstance(label, str) else _written(label) for label in column)


def _label(key: list[int], column: Column, tree: Hierarchy) -> Label:
    if len(key) == 2:
        return tree.labels[key[0]][key[1]]
    level, low, high = key
    if level == _MIXED:
        return ANY
    return tree.leaves[low] if level == _VALUE else interval_label(tree.leaves[low], tree.leaves[high], column)


def interval_label(low: Any, high: Any, column: Column) -> str:
    """The interval from one value to another, both included; open beyond the column's `bottom` and `top`."""
    left = "(-inf" if column.bottom is not None and low <= column.bottom else f"[{_written(low)}"
    right = "inf)" if column.top is not None and high >= column.top else f"{_written(high)}]"
    return f"{left}, {right}"


def _written(value: Any) -> str:
    if isinstance(value, dt.date):
        return value.isoformat()
    return number(value) if float(number(value)) == value else repr(float(value))


def spans_of(parts: np.ndarray, count: int, codes: np.ndarray, over: Axes) -> Spans:
    """Spans of `count` sets; parts: int64 (n,), the set of each tuple; codes: int32 (n, q)."""
    members = np.argsort(parts, kind="stable")
    starts = np.searchsorted(parts[members], np.arange(count + 1))
    return spans(codes, members, starts, over.grid)


def by_name(columns: Mapping[str, Column], hierarchies: Mapping[str, Hierarchy]) -> Axes:
    """The axes of those columns that have a hierarchy, in its order."""
    return axes([columns[name] for name in hierarchies], list(hierarchies.values()))
