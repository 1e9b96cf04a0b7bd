"""Branch and bound over lattices too large to list: boxes of nodes, and the least that each box must lose.

A box gives each column a range of levels. What the columns at their most general level already divide the people into,
any node of the box divides further, so a column whose level would leave too many people in groups below k even there
has to be higher: the lower ends of the ranges rise, and with them the least loss of the box. A box whose least loss is
the smallest of all is split at the level below its largest step of loss; one half loses that much more, the other has
one more column that is known to be fine, which raises the others (forward checking: Haralick and Elliott 1980).

Bounds come from k-anonymity alone. It has to hold whatever else does, so they are true for every policy.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.anonymization.classes import Tuples
from tasks.anonymization.hierarchies import Hierarchy
from tasks.anonymization.rollup import Node
from tasks.common.compiling import compiled

# Groups are counted in a table of groups times labels; where it would be larger than this, a column stays as it is.
_LARGEST_TABLE = 1 << 24
# Divisions kept, as tuples of all of them together; one takes 4 bytes.
_KEPT_TUPLES = 100_000_000
# People are added up in single precision: groups of nearly k count as k, which only makes the bound smaller.
_SLACK = 1e-3


@dataclass(frozen=True)
class Division:
    """Tuples in groups: int32 (n,), -1 where the group fell below k; how many groups, and rows in those below k."""

    group: np.ndarray
    groups: int
    lost: int


@dataclass(frozen=True, order=True)
class Box:
    """The nodes between `low` and `high`, and what each of them loses at least."""

    bound: float
    number: int
    low: Node
    high: Node


class Boxes:
    """All nodes from `floor` to the top in boxes, the most promising first."""

    def __init__(
        self,
        tuples: Tuples,
        hierarchies: Sequence[Hierarchy],
        means: Sequence[np.ndarray],
        floor: Node,
        k: int,
        most_lost: int,
        hopeless: Callable[[Node], bool],
    ) -> None:
        """means: by column, what each level adds to a loss, rising. most_lost: rows that may be suppressed.

        hopeless: whether neither a node nor any below satisfies what has to hold beside k-anonymity.
        """
        self._people, self._rows = tuples.people.astype(np.float32), tuples.rows
        self._rows_are_people = bool(np.array_equal(tuples.people, tuples.rows))
        self._codes = [_narrow(tuples.codes[:, j]) for j in range(len(hierarchies))]
        self._labels = [hierarchy.codes for hierarchy in hierarchies]
        self._sizes = [[len(labels) for labels in hierarchy.labels] for hierarchy in hierarchies]
        self._means = means
        self._k = k - _SLACK
        self._hopeless = hopeless
        self._most_lost = most_lost
        self._table = np.zeros(_LARGEST_TABLE, dtype=np.float32)
        self._information = [self._entropies(j) for j in range(len(hierarchies))]
        self._undivided = Division(np.zeros(len(tuples), dtype=np.int32), 1, 0)
        self._kept: OrderedDict[tuple[tuple[int, int], ...], Division] = OrderedDict()
        self._numbered = 0
        self.read = 0  # tuples gone through, a measure of work that is the same on every machine
        self._open: list[Box] = []
        self._push(floor, tuple(hierarchy.levels - 1 for hierarchy in hierarchies))

    def cheapest(self) -> Box | None:
        """The box of least bound; None where none is left."""
        return self._open[0] if self._open else None

    def split(self) -> None:
        """Replace the cheapest box by its halves; a box of a single node is gone."""
        box = heapq.heappop(self._open)
        steps = [(j, m) for j, (low, high) in enumerate(zip(box.low, box.high, strict=True)) for m in range(low, high)]
        if not steps:
            return
        column, level = max(steps, key=lambda step: self._worth(*step))
        above = (*box.low[:column], level + 1, *box.low[column + 1 :])
        heapq.heappush(self._open, self._box(above, box.high))
        self._push(box.low, (*box.high[:column], level, *box.high[column + 1 :]))

    def _worth(self, column: int, level: int) -> float:
        """How much a split between `level` and the next tells: the step of loss, times what the level tells apart."""
        means = self._means[column]
        return float((means[level + 1] - means[level]) * (1 + self._information[column][level]))

    def _push(self, low: Node, high: Node) -> None:
        """Keep a box after raising its lower ends as far as k-anonymity demands; not at all if it is empty."""
        division = self._divide(high)
        if division.lost > self._most_lost or self._hopeless(high):
            return
        raised = tuple(self._least_level(division, j, *ends) for j, ends in enumerate(zip(low, high, strict=True)))
        heapq.heappush(self._open, self._box(raised, high))

    def _box(self, low: Node, high: Node) -> Box:
        self._numbered += 1
        bound = float(sum(means[level] for means, level in zip(self._means, low, strict=True)))
        return Box(bound, self._numbered, low, high)

    def _least_level(self, division: Division, column: int, low: int, high: int) -> int:
        """The lowest level from `low` on that leaves few enough people in groups below k; `high` is one."""
        while low < high and not self._fits(division, column, low):
            low += 1
        return low

    def _fits(self, division: Division, column: int, level: int) -> bool:
        size = self._sizes[column][level]
        if division.groups * size > _LARGEST_TABLE:
            return True
        self.read += len(self._rows)
        table = self._counted(division, column, level)
        if self._rows_are_people:
            lost = _below(table, self._k)
        else:
            codes, labels = self._codes[column], self._labels[column][level]
            lost = _rows_below(division.group, codes, labels, size, self._rows, self._k, table)
        return bool(lost <= self._most_lost - division.lost)

    def _counted(self, division: Division, column: int, level: int) -> np.ndarray:
        """People in each group with each label, float32 (groups * labels,)."""
        size = self._sizes[column][level]
        table = self._table[: division.groups * size]
        _count(division.group, self._codes[column], self._labels[column][level], size, self._people, table)
        return table

    def _divide(self, high: Node) -> Division:
        """Divide all tuples by the columns below their top level, coarse columns first."""
        wanted = [(j, level) for j, level in enumerate(high) if level < len(self._sizes[j]) - 1]
        wanted.sort(key=lambda item: (self._sizes[item[0]][item[1]], item))
        done = tuple(wanted)
        while done and done not in self._kept:
            done = done[:-1]
        division = self._kept.get(done) or self._undivided
        for end in range(len(done), len(wanted)):
            division = self._refined(division, *wanted[end])
            self._keep(tuple(wanted[: end + 1]), division)
        return division

    def _refined(self, division: Division, column: int, level: int) -> Division:
        size = self._sizes[column][level]
        if division.groups * size > _LARGEST_TABLE:
            return division
        self.read += 2 * len(self._rows)
        table = self._counted(division, column, level)
        codes, labels = self._codes[column], self._labels[column][level]
        group, groups, lost = _refine(division.group, codes, labels, size, self._rows, self._k, table)
        return Division(group, groups, division.lost + lost)

    def _keep(self, key: tuple[tuple[int, int], ...], division: Division) -> None:
        self._kept[key] = division
        while len(self._kept) * len(self._rows) > _KEPT_TUPLES and len(self._kept) > 1:
            self._kept.popitem(last=False)

    def _entropies(self, column: int) -> list[float]:
        """Bits that each level of a column tells about a row."""
        rows = np.bincount(self._codes[column], weights=self._rows, minlength=self._labels[column].shape[1])
        found = []
        for codes in self._labels[column]:
            shares = np.bincount(codes, weights=rows) / rows.sum()
            shares = shares[shares > 0]
            found.append(float(-(shares * np.log2(shares)).sum()))
        return found


def _narrow(codes: np.ndarray) -> np.ndarray:
    """Codes in the fewest bytes, since they are read over and over."""
    most = int(codes.max(initial=0))
    return np.ascontiguousarray(codes, dtype=np.uint8 if most < 1 << 8 else np.uint16 if most < 1 << 16 else np.int32)


@compiled
def _count(
    group: np.ndarray, codes: np.ndarray, labels: np.ndarray, size: int, people: np.ndarray, table: np.ndarray
) -> None:
    table[:] = 0
    for i in range(len(group)):
        if group[i] >= 0:
            table[group[i] * size + labels[codes[i]]] += people[i]


@compiled
def _below(table: np.ndarray, k: float) -> float:
    """What stands in places below k, in all."""
    total = 0.0
    for count in table:
        if count < k:
            total += count
    return total


@compiled
def _rows_below(
    group: np.ndarray, codes: np.ndarray, labels: np.ndarray, size: int, rows: np.ndarray, k: float, table: np.ndarray
) -> int:
    """Rows of tuples in places below k."""
    lost = 0
    for i in range(len(group)):
        if group[i] >= 0 and table[group[i] * size + labels[codes[i]]] < k:
            lost += rows[i]
    return lost


@compiled
def _refine(
    group: np.ndarray, codes: np.ndarray, labels: np.ndarray, size: int, rows: np.ndarray, k: float, table: np.ndarray
) -> tuple[np.ndarray, int, int]:
    """Places of at least k as groups; tuples in others get -1. Also how many groups, and the rows in the others."""
    number = np.empty(len(table), dtype=np.int32)
    groups = 0
    for place in range(len(table)):
        number[place] = groups if table[place] >= k else -1
        groups += table[place] >= k
    refined, lost = np.empty_like(group), 0
    for i in range(len(group)):
        refined[i] = number[group[i] * size + labels[codes[i]]] if group[i] >= 0 else -1
        lost += rows[i] if group[i] >= 0 and refined[i] < 0 else 0
    return refined, groups, lost
