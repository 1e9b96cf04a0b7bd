"""Targets and released rows in one space, so that an adversary can measure which row fits which person.

The adversary knows facts about a target (exact values) and sees released labels: values, intervals, groups, `*`. The
distance between a fact and a label is the expected Gower distance (Gower 1971, Biometrics 27) if the true value were
uniform under the label: for numbers E|x - U| / range, for categories 1 - 1/m if the label covers the fact among m
leaves, else 1. A fact fits a label if the label covers it.

Released rows that look alike are one point with a weight; no row is ever left out of a search.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tasks.anonymization import hierarchies
from tasks.anonymization.classes import pack
from tasks.anonymization.hierarchies import ANY, Label
from tasks.common.errors import TableError
from tasks.common.policy import Column, Kind, Policy

_INTERVAL = re.compile(r"^[\[(](?P<low>-inf|-?[\d.e+-]+), (?P<high>inf|-?[\d.e+-]+)[)\]]$")
_SLACK = 1e-9


class Points(NamedTuple):
    """t targets and r distinct released rows as arrays, categorical columns (a of them) before numeric ones (b).

    target_codes int32 (t, a), row_codes int32 (r, a): facts and labels by number.
    distances float32, covers bool: for each generalized column a table (facts, labels), flattened; `offsets` int64 (a,)
    says where it starts and `widths` int64 (a,) how many labels it has. A column whose labels are single values has no
    table and the width 0: equal numbers mean equal values.
    target_values float64 (t, b), NaN for missing; row_low, row_high float64 (r, b), what each label covers, both edges
    included, equal for a value that was released as it is; ranges float64 (b,) to scale by.
    weights: int64 (r,), how many released rows are alike.
    """

    target_codes: np.ndarray
    row_codes: np.ndarray
    distances: np.ndarray
    covers: np.ndarray
    offsets: np.ndarray
    widths: np.ndarray
    target_values: np.ndarray
    row_low: np.ndarray
    row_high: np.ndarray
    ranges: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Space:
    """The points, the columns they stand for, and the distinct row of each released row, int64 (rows,)."""

    names: tuple[str, ...]
    points: Points
    of_row: np.ndarray

    @property
    def targets(self) -> int:
        """How many targets."""
        return len(self.points.target_codes)

    def mask(self, names: Collection[str]) -> np.ndarray:
        """bool (columns,), true for the named ones."""
        return np.array([name in names for name in self.names])


@dataclass(frozen=True)
class _Category:
    """Facts int32 (targets,), labels int32 (rows,), and their tables (facts, labels), empty for single values."""

    target_codes: np.ndarray
    labels: np.ndarray
    distance: np.ndarray
    cover: np.ndarray


@dataclass(frozen=True)
class _Number:
    target: np.ndarray
    labels: np.ndarray  # int32 (rows,)
    bounds: np.ndarray  # float64 (labels, 2)
    range: float


def build(targets: pa.Table, release: pa.Table, names: list[str], policy: Policy, rounding: dict[str, float]) -> Space:
    """Put typed targets and a release into one space over the columns `names`.

    rounding: by numeric column the multiple it was rounded to; the adversary knows that too.

    Raises:
        TableError: the release has labels that the policy's hierarchies do not know.
    """
    categories = {}
    numbers = {}
    for name in names:
        column = policy.columns[name]
        if column.kind in {Kind.NUMERIC, Kind.DATE}:
            numbers[name] = _number(name, column, targets[name], release[name], rounding.get(name, 0.0))
        else:
            categories[name] = _category(name, column, targets[name], release[name])
    return _assemble(categories, numbers, targets.num_rows)


def _assemble(categories: dict[str, _Category], numbers: dict[str, _Number], targets: int) -> Space:
    labels = [c.labels for c in categories.values()] + [n.labels for n in numbers.values()]
    _, first, of_row, weights = np.unique(
        pack(labels, [int(codes.max(initial=0)) + 1 for codes in labels]),
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    sizes = [c.distance.size for c in categories.values()]
    points = Points(
        target_codes=_stack([c.target_codes for c in categories.values()], targets, np.int32),
        row_codes=_stack([c.labels[first] for c in categories.values()], len(first), np.int32),
        distances=_flat([c.distance for c in categories.values()], np.float32),
        covers=_flat([c.cover for c in categories.values()], np.bool_),
        offsets=np.cumsum([0, *sizes], dtype=np.int64)[:-1],
        widths=np.array([c.distance.shape[1] for c in categories.values()], dtype=np.int64),
        target_values=_stack([n.target for n in numbers.values()], targets, np.float64),
        row_low=_stack([n.bounds[n.labels[first], 0] for n in numbers.values()], len(first), np.float64),
        row_high=_stack([n.bounds[n.labels[first], 1] for n in numbers.values()], len(first), np.float64),
        ranges=np.array([n.range for n in numbers.values()]),
        weights=weights,
    )
    return Space((*categories, *numbers), points, of_row)


def _stack(columns: list[np.ndarray], rows: int, dtype: type) -> np.ndarray:
    return np.ascontiguousarray(np.stack(columns, axis=1), dtype=dtype) if columns else np.zeros((rows, 0), dtype)


def _flat(tables: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([table.ravel() for table in tables]).astype(dtype) if tables else np.zeros(0, dtype)


def _category(name: str, column: Column, facts: pa.ChunkedArray, released: pa.ChunkedArray) -> _Category:
    leaves, target_codes = factorize(facts)
    labels, row_labels = factorize(released)
    below = _leaves_below(name, column, leaves, labels)
    if all(len(below[label]) == 1 for label in labels):
        single = [next(iter(below[label])) for label in labels]
        number = {value: code for code, value in enumerate(dict.fromkeys([*leaves, *single]))}
        nothing = np.zeros((0, 0))
        return _Category(
            _renumbered(leaves, number)[target_codes], _renumbered(single, number)[row_labels], nothing, nothing
        )
    place = {leaf: code for code, leaf in enumerate(leaves)}
    cover = np.zeros((len(leaves), len(labels)), dtype=bool)
    for code, label in enumerate(labels):
        cover[[place[leaf] for leaf in below[label] if leaf in place], code] = True
    sizes = np.array([max(len(below[label]), 1) for label in labels])
    return _Category(target_codes, row_labels, np.where(cover, 1 - 1 / sizes, 1.0), cover)


def _renumbered(values: list[Label], number: dict[Label, int]) -> np.ndarray:
    return np.array([number[value] for value in values], dtype=np.int32)


def factorize(values: pa.ChunkedArray) -> tuple[list[Label], np.ndarray]:
    """Distinct values, missing among them, and each row's place in them, int32 (rows,)."""
    encoded = values.combine_chunks().dictionary_encode("encode")
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int32)


def _leaves_below(name: str, column: Column, leaves: list[Label], labels: list[Label]) -> dict[Label, set[Label]]:
    """The leaves that each released label covers, among those of the hierarchy, the targets and the release."""
    below: dict[Label, set[Label]] = {None: {None}}
    if column.hierarchy is None:
        return below | {label: {label} for label in labels}
    tree = hierarchies.build(name, column, _domain(name, column, leaves, labels))
    for level in range(tree.levels):
        for leaf, code in zip(tree.leaves, tree.codes[level], strict=True):
            below.setdefault(tree.labels[level][code], set()).add(leaf)
    if unknown := [label for label in labels if label not in below]:
        raise TableError(
            f"column `{name}` of the release has {len(unknown)} labels that the policy's hierarchy does not know"
        )
    return below


def _domain(name: str, column: Column, leaves: list[Label], labels: list[Label]) -> list[Label]:
    """Leaves to build the tree on: those that the hierarchy lists, or else those that occur."""
    listed = hierarchies.listed_leaves(name, column)
    if listed is not None:
        return listed
    return list(dict.fromkeys([*leaves, *(label for label in labels if label is not None and ANY not in str(label))]))


def _number(name: str, column: Column, facts: pa.ChunkedArray, released: pa.ChunkedArray, step: float) -> _Number:
    target = floats(facts)
    labels, codes = factorize(released)
    known = target[~np.isnan(target)]
    spans = [_span(label, column, step) for label in labels]
    edges = [edge for span in spans if span for edge in span if math.isfinite(edge)]
    least, most = min([*edges, *known], default=0.0), max([*edges, *known], default=1.0)
    tree = _tree_spans(name, column, labels, facts) if any(s is None for s in spans) else {}
    bounds = np.array(
        [np.clip(_span_of(label, span, tree, name), least, most) for label, span in zip(labels, spans, strict=True)]
    ).reshape(len(labels), 2)
    return _Number(target, codes, bounds, max(most - least, _SLACK))


def floats(values: pa.ChunkedArray) -> np.ndarray:
    """Numbers, or days since 1970, NaN where missing; float64 (rows,)."""
    flat = values.combine_chunks()
    if pa.types.is_date(flat.type):
        flat = flat.cast(pa.int32())
    return flat.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _span(label: Label, column: Column, step: float) -> tuple[float, float] | None:
    """What a released label of a numeric or date column covers; None if only the hierarchy can tell."""
    if label is None:
        return (math.nan, math.nan)
    if label == ANY:
        return (-math.inf, math.inf)
    if isinstance(label, str) and (match := _INTERVAL.match(label)):
        low, high = float(match["low"]), float(match["high"])
        # The upper edge is not in the interval, unless it has none.
        return (low, high if math.isinf(high) else math.nextafter(high, -math.inf))
    if isinstance(label, str) and column.kind is Kind.DATE:
        return _calendar_span(label)
    fact = as_fact(label, column)
    return None if fact is None else (_position(fact) - step / 2, _position(fact) + step / 2)


_EPOCH = dt.date(1970, 1, 1).toordinal()


def _position(fact: Label) -> float:
    """A number as it is, a date as days since 1970."""
    return float(fact.toordinal() - _EPOCH if isinstance(fact, dt.date) else fact)  # type: ignore[arg-type]


def _calendar_span(label: str) -> tuple[float, float] | None:
    try:
        first, last = hierarchies.date_span(label)
    except ValueError:
        return None
    return (_position(first), _position(last))


def as_fact(label: Label, column: Column) -> Label:
    """A released label as a value of the numeric or date column, or None if it is a group."""
    if not isinstance(label, str):
        return label
    try:
        return dt.date.fromisoformat(label) if column.kind is Kind.DATE else float(label)
    except ValueError:
        return None


def _tree_spans(
    name: str, column: Column, labels: list[Label], facts: pa.ChunkedArray
) -> dict[Label, tuple[float, float]]:
    """Least and greatest leaf below each label of a hierarchy that lists leaves or calendar parts."""
    leaves = hierarchies.listed_leaves(name, column) or facts.combine_chunks().unique().to_pylist()
    leaves = list(dict.fromkeys([*leaves, *(as_fact(label, column) for label in labels)]))
    tree = hierarchies.build(name, column, [leaf for leaf in leaves if leaf is not None])
    spans: dict[Label, tuple[float, float]] = {}
    for level in range(tree.levels):
        for leaf, code in zip(tree.leaves, tree.codes[level], strict=True):
            value = _position(leaf)
            low, high = spans.get(tree.labels[level][code], (value, value))
            spans[tree.labels[level][code]] = (min(low, value), max(high, value))
    return spans


def _span_of(
    label: Label, span: tuple[float, float] | None, tree: dict[Label, tuple[float, float]], name: str
) -> tuple[float, float]:
    if span is not None:
        return span
    if label not in tree:
        raise TableError(f"column `{name}` of the release has a label that the policy's hierarchy does not know")
    return tree[label]
