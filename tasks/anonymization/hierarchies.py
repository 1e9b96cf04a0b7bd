"""Generalization hierarchies: what each value of a column becomes, level by level, up to `*`.

A hierarchy is built for the distinct values (leaves) of a column. Level 0 is the value itself, the last level is `*`
for every value. Between them a missing value stays missing.

The information lost by a label is the Normalized Certainty Penalty (Xu et al. 2006, KDD, def. 2): for numbers and
dates the width of the interval as a share of the domain, for categories (leaves under the label - 1) / (leaves - 1).
"""

from __future__ import annotations

import csv
import datetime as dt
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tasks.common.errors import HierarchyError, InputError
from tasks.common.hierarchy_forms import (
    AllOrNothing,
    DatePart,
    Dates,
    Groups,
    HierarchyFile,
    Intervals,
    Leaf,
    Prefix,
)
from tasks.common.policy import Column, Kind

ANY = "*"
Label = str | float | dt.date | None


@dataclass(frozen=True)
class Hierarchy:
    """The levels of one column over `leaves` (n of them, each once; None for missing).

    labels: for each level its distinct labels; level 0 are the leaves.
    codes:  int32 (levels, n), the place of each leaf's label in `labels[level]`.
    loss:   float64 (levels, n) in [0, 1], information lost by releasing the label instead of the leaf.
    """

    leaves: tuple[Label, ...]
    labels: tuple[tuple[Label, ...], ...]
    codes: np.ndarray
    loss: np.ndarray

    @property
    def levels(self) -> int:
        """How many levels, level 0 and `*` included."""
        return len(self.labels)


def build(name: str, column: Column, leaves: Sequence[Label]) -> Hierarchy:
    """The hierarchy of the column called `name` over the distinct values `leaves`.

    Raises:
        HierarchyError: a value stands outside the hierarchy, or the hierarchy does not nest.
        InputError: its file cannot be read.
    """
    spec = column.hierarchy
    builder = _BUILDERS[type(spec)]
    steps = builder(name, column, spec, leaves)
    rows: list[list[Label]] = [list(leaves), *[step.labels for step in steps], [ANY] * len(leaves)]
    _check_nesting(name, rows)
    losses = [np.zeros(len(leaves)), *[step.loss for step in steps], np.ones(len(leaves))]
    labels, codes = zip(*(_encode(row) for row in rows), strict=True)
    return Hierarchy(tuple(leaves), labels, np.array(codes, dtype=np.int32), np.array(losses))


@dataclass(frozen=True)
class _Step:
    """One level between the leaves and `*`: a label and a loss for each leaf."""

    labels: list[Label]
    loss: np.ndarray


def _all_or_nothing(_name: str, _column: Column, _spec: AllOrNothing, _leaves: Sequence[Label]) -> list[_Step]:
    return []


def _intervals(_name: str, _column: Column, spec: Intervals, leaves: Sequence[Any]) -> list[_Step]:
    known = [leaf for leaf in leaves if leaf is not None]
    low = spec.min if spec.min is not None else min(known, default=0.0)
    high = spec.max if spec.max is not None else max(known, default=0.0)
    domain = max(high - low, spec.intervals[0])
    return [
        _Step(
            [None if leaf is None else interval_label(leaf, width, spec) for leaf in leaves],
            np.array([0.0 if leaf is None else min(width / domain, 1.0) for leaf in leaves]),
        )
        for width in spec.intervals
    ]


def interval_label(value: float, width: float, spec: Intervals) -> str:
    """The interval [a, a + width) that a value lies in, counted from the policy's `min`, or from 0."""
    if spec.min is not None and value < spec.min:
        return f"(-inf, {number(spec.min)})"
    if spec.max is not None and value >= spec.max:
        return f"[{number(spec.max)}, inf)"
    origin = spec.min or 0.0
    # Twelve digits swallow the noise of 0.1 * 3; a value on an edge must not fall into the interval below it.
    start = origin + math.floor(round((value - origin) / width, 12)) * width
    end = start + width if spec.max is None else min(start + width, spec.max)
    return f"[{number(start)}, {number(end)})"


def number(value: float) -> str:
    """A number as people write it: 5 and not 5.0, 0.3 and not 0.30000000000000004."""
    return f"{value:.12g}"


def _groups(name: str, column: Column, spec: Groups, leaves: Sequence[Label]) -> list[_Step]:
    parents = [
        _inverted(name, level, column.kind if depth == 0 else Kind.CATEGORICAL)
        for depth, level in enumerate(spec.groups)
    ]
    domain = list(parents[0])
    if known := _outside(leaves, parents[0]):
        raise _outside_error(name, known)
    return _steps_from_tree(name, domain, parents, leaves)


def _inverted(name: str, level: dict[str, tuple[Leaf, ...]], kind: Kind) -> dict[Label, str]:
    parent: dict[Label, str] = {}
    for group, members in level.items():
        for member in members:
            leaf = as_leaf(member, kind)
            if leaf in parent:
                raise HierarchyError(
                    f"column `{name}`: its hierarchy puts one value into two groups, the second is `{group}`"
                )
            parent[leaf] = group
    return parent


def as_leaf(value: Leaf | str, kind: Kind) -> Label:
    """A value from a policy or hierarchy file in the form that the column's values have."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if kind is Kind.NUMERIC:
        return float(value)
    if kind is Kind.DATE:
        return dt.date.fromisoformat(str(value))
    return str(value)


def listed_leaves(name: str, column: Column) -> list[Label] | None:
    """The leaves that the hierarchy itself lists (groups, file), or None where it has a rule for any value."""
    spec = column.hierarchy
    if isinstance(spec, Groups):
        return list(_inverted(name, spec.groups[0], column.kind))
    if isinstance(spec, HierarchyFile):
        return [as_leaf(row[0] or None, column.kind) for row in read_file(spec.csv)]
    return None


def _steps_from_tree(
    name: str, domain: list[Label], parents: list[dict[Label, str]], leaves: Sequence[Label]
) -> list[_Step]:
    """Follow each leaf upwards through `parents`; a label's loss is by the domain's leaves below it."""
    steps = []
    at: dict[Label, Label] = {leaf: leaf for leaf in [*domain, None]}
    for level, parent in enumerate(parents, start=1):
        at = {leaf: _parent_of(name, parent, label, level) for leaf, label in at.items()}
        below: dict[Label, int] = {}
        for leaf in domain:
            below[at[leaf]] = below.get(at[leaf], 0) + 1
        spread = max(len(domain) - 1, 1)
        labels = [at[leaf] for leaf in leaves]
        steps.append(_Step(labels, np.array([max(below.get(label, 1) - 1, 0) / spread for label in labels])))
    return steps


def _parent_of(name: str, parent: dict[Label, str], label: Label, level: int) -> Label:
    if label in parent:
        return parent[label]
    if label is None:
        return None
    raise HierarchyError(f"column `{name}`: level {level + 1} of its hierarchy has no group for the group `{label}`")


def _prefix(_name: str, _column: Column, spec: Prefix, leaves: Sequence[Any]) -> list[_Step]:
    steps = []
    for length in spec.prefix:
        labels: list[Label] = [None if leaf is None else prefix_label(leaf, length) for leaf in leaves]
        below: dict[Label, int] = {}
        for label in labels:
            below[label] = below.get(label, 0) + 1
        spread = max(len(leaves) - 1, 1)
        steps.append(_Step(labels, np.array([(below[label] - 1) / spread for label in labels])))
    return steps


def prefix_label(code: str, length: int) -> str:
    """The first characters of a code and a `*` for the rest; a code no longer than that as it is."""
    return code if len(code) <= length else code[:length] + ANY


def _dates(_name: str, _column: Column, spec: Dates, leaves: Sequence[Any]) -> list[_Step]:
    known = [leaf for leaf in leaves if leaf is not None]
    span = max((max(known) - min(known)).days, 1) if known else 1
    return [
        _Step(
            [None if leaf is None else date_label(leaf, part) for leaf in leaves],
            np.array([0.0 if leaf is None else min(_DAYS[part] / span, 1.0) for leaf in leaves]),
        )
        for part in spec.dates
    ]


_DAYS: dict[DatePart, float] = {"week": 7, "month": 30.44, "quarter": 91.31, "year": 365.24, "decade": 3652.4}


def date_label(day: dt.date, part: DatePart) -> str:
    """The part of the calendar that a day lies in: 2020-W07, 2020-02, 2020-Q1, 2020 or 2020s."""
    if part == "week":
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02d}"
    return {
        "month": f"{day.year}-{day.month:02d}",
        "quarter": f"{day.year}-Q{(day.month - 1) // 3 + 1}",
        "year": f"{day.year}",
        "decade": f"{day.year // 10 * 10}s",
    }[part]


def date_span(label: str) -> tuple[dt.date, dt.date]:
    """First and last day of a label that `date_label` made.

    Raises:
        ValueError: it is none.
    """
    if week := re.fullmatch(r"(\d{4})-W(\d{2})", label):
        first = dt.date.fromisocalendar(int(week[1]), int(week[2]), 1)
        return first, first + dt.timedelta(days=6)
    if quarter := re.fullmatch(r"(\d{4})-Q([1-4])", label):
        return _months(int(quarter[1]), 3 * int(quarter[2]) - 2, 3)
    if month := re.fullmatch(r"(\d{4})-(\d{2})", label):
        return _months(int(month[1]), int(month[2]), 1)
    if years := re.fullmatch(r"(\d{4})(s?)", label):
        return _months(int(years[1]), 1, 120 if years[2] else 12)
    raise ValueError(f"{label} is no part of the calendar")


def _months(year: int, month: int, count: int) -> tuple[dt.date, dt.date]:
    after = year * 12 + month - 1 + count
    return dt.date(year, month, 1), dt.date(after // 12, after % 12 + 1, 1) - dt.timedelta(days=1)


def _file(name: str, column: Column, spec: HierarchyFile, leaves: Sequence[Label]) -> list[_Step]:
    rows = read_file(spec.csv)
    domain = [as_leaf(row[0] or None, column.kind) for row in rows]
    if len(set(domain)) < len(domain):
        raise HierarchyError(f"{spec.csv.name} has more than one line for the same value")
    _check_nesting(name, [list(column) for column in zip(*rows, strict=True)])
    parents: list[dict[Label, str]] = []
    for level in range(1, len(rows[0])):
        below = domain if level == 1 else [row[level - 1] for row in rows]
        parents.append(dict(zip(below, (row[level] for row in rows), strict=True)))
    if parents and set(parents[-1].values()) == {ANY}:
        parents.pop()
    if outside := _outside(leaves, set(domain)):
        raise _outside_error(name, outside)
    return _steps_from_tree(name, domain, parents, leaves)


def read_file(path: Path) -> list[list[str]]:
    """The lines of a hierarchy file in ARX's format, each a list of levels from the value upwards.

    Raises:
        InputError: the file cannot be read.
        HierarchyError: it is empty, lines differ in length, or equal labels have different parents.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file, delimiter=";") if row]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the hierarchy {path} cannot be read as UTF-8 text") from error
    if not rows:
        raise HierarchyError(f"{path.name} has no line")
    for line, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise HierarchyError(
                f"{path.name}, line {line}: {len(row)} levels, where the first line has {len(rows[0])}"
            )
    return rows


def _outside(leaves: Sequence[Label], domain: Any) -> int:
    return sum(1 for leaf in leaves if leaf is not None and leaf not in domain)


def _outside_error(name: str, count: int) -> HierarchyError:
    return HierarchyError(
        f"column `{name}`: {count} of its distinct values {'stands' if count == 1 else 'stand'} outside its hierarchy; "
        "`secured policy check` shows in which rows"
    )


def _check_nesting(name: str, rows: list[list[Label]]) -> None:
    """Equal labels must have equal parents, or classes could not be merged level by level."""
    for level, (lower, upper) in enumerate(pairwise(rows)):
        parent: dict[Label, Label] = {}
        for low, up in zip(lower, upper, strict=True):
            if parent.setdefault(low, up) != up:
                raise HierarchyError(
                    f"column `{name}`: its hierarchy does not nest; a label of level {level} has two parents above it"
                )


def _encode(row: list[Label]) -> tuple[tuple[Label, ...], np.ndarray]:
    place: dict[Label, int] = {}
    codes = [place.setdefault(label, len(place)) for label in row]
    return tuple(place), np.array(codes, dtype=np.int32)


_BUILDERS: dict[type, Callable[[str, Column, Any, Sequence[Any]], list[_Step]]] = {
    AllOrNothing: _all_or_nothing,
    Intervals: _intervals,
    Groups: _groups,
    Prefix: _prefix,
    Dates: _dates,
    HierarchyFile: _file,
}
