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
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tasks.anonymization import coding, hierarchies
from tasks.anonymization.classes import pack
from tasks.anonymization.hierarchies import ANY, Label
from tasks.common.errors import TableError
from tasks.common.policy import Column, Kind, Policy
from tasks.common.reading import floats

_INTERVAL = re.compile(r"^[\[(](?P<low>-inf|-?[\d.e+-]+), (?P<high>inf|-?[\d.e+-]+)(?P<end>[)\]])$")
_SLACK = 1e-9


class Points(NamedTuple):
    """t targets and r distinct released rows as arrays, categorical columns (a of them) before numeric ones (b).

    target_codes int32 (t, a): facts by number. row_first, row_last int32 (r, a): the facts that each label covers, both
    ends included, equal for a single value. Facts are numbered along the hierarchy, so that every label covers a run of
    them; memory grows with the rows, not with facts times labels. row_blur float32 (r, a): 1 - 1/m for m leaves.
    target_values float64 (t, b), NaN for missing; row_low, row_high float64 (r, b), what each label covers, both edges
    included, equal for a value that was released as it is; ranges float64 (b,) to scale by.
    weights: int64 (r,), how many released rows are alike.
    """

    target_codes: np.ndarray
    row_first: np.ndarray
    row_last: np.ndarray
    row_blur: np.ndarray
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

    def only(self, targets: np.ndarray) -> Space:
        """The same with some of the targets, by number."""
        facts = {"target_codes": self.points.target_codes[targets], "target_values": self.points.target_values[targets]}
        return replace(self, points=self.points._replace(**facts))

    def mask(self, names: Collection[str]) -> np.ndarray:
        """bool (columns,), true for the named ones."""
        return np.array([name in names for name in self.names])


@dataclass(frozen=True)
class _Category:
    """Facts int32 (targets,), labels int32 (rows,), and what each label covers: first, last, blur (labels,)."""

    target_codes: np.ndarray
    labels: np.ndarray
    first: np.ndarray
    last: np.ndarray
    blur: np.ndarray


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
    kinds, figures = categories.values(), numbers.values()
    points = Points(
        target_codes=_stack([c.target_codes for c in kinds], targets, np.int32),
        row_first=_stack([c.first[c.labels[first]] for c in kinds], len(first), np.int32),
        row_last=_stack([c.last[c.labels[first]] for c in kinds], len(first), np.int32),
        row_blur=_stack([c.blur[c.labels[first]] for c in kinds], len(first), np.float32),
        target_values=_stack([n.target for n in figures], targets, np.float64),
        row_low=_stack([n.bounds[n.labels[first], 0] for n in figures], len(first), np.float64),
        row_high=_stack([n.bounds[n.labels[first], 1] for n in figures], len(first), np.float64),
        ranges=np.array([n.range for n in figures]),
        weights=weights,
    )
    return Space((*categories, *numbers), points, of_row)


def _stack(columns: list[np.ndarray], rows: int, dtype: type) -> np.ndarray:
    return np.ascontiguousarray(np.stack(columns, axis=1), dtype=dtype) if columns else np.zeros((rows, 0), dtype)


def _category(name: str, column: Column, facts: pa.ChunkedArray, released: pa.ChunkedArray) -> _Category:
    leaves, target_codes = factorize(facts)
    labels, row_labels = factorize(released)
    if column.hierarchy is None:
        number = {value: code for code, value in enumerate(dict.fromkeys([*leaves, *labels]))}
        single = _numbered(labels, number)
        return _Category(_numbered(leaves, number)[target_codes], row_labels, single, single, np.zeros(len(labels)))
    tree = hierarchies.build(name, column, _domain(name, column, leaves, labels))
    # Leaves in the order of their ancestors, the topmost first: a label covers a run of them.
    order = np.lexsort(tree.codes)
    number = {tree.leaves[leaf]: place for place, leaf in enumerate(order.tolist())}
    for leaf in (None, *leaves):
        number.setdefault(leaf, len(number))
    runs = _runs(name, tree, np.argsort(order, kind="stable"), set(labels) - {None})
    runs[None] = (number[None], number[None], 1)
    if unknown := [label for label in labels if label not in runs]:
        raise TableError(
            f"column `{name}` of the release has {len(unknown)} labels that the policy's hierarchy does not know"
        )
    covered = np.array([runs[label] for label in labels], dtype=np.int64).reshape(-1, 3)
    first, last, size = covered.T
    return _Category(_numbered(leaves, number)[target_codes], row_labels, first, last, 1 - 1 / size)


def _numbered(values: list[Label], number: dict[Label, int]) -> np.ndarray:
    return np.array([number[value] for value in values], dtype=np.int32)


def _runs(
    name: str, tree: hierarchies.Hierarchy, place: np.ndarray, wanted: set[Label]
) -> dict[Label, tuple[int, int, int]]:
    """First and last place, and the number, of the leaves that each wanted label covers on any level.

    place: int (leaves,), where each leaf of the tree stands in the order.
    """
    runs: dict[Label, tuple[int, int, int]] = {}
    for labels, codes in zip(tree.labels, tree.codes, strict=True):
        first, last = np.full(len(labels), len(place)), np.full(len(labels), -1)
        np.minimum.at(first, codes, place)
        np.maximum.at(last, codes, place)
        sizes = np.bincount(codes, minlength=len(labels))
        for label, *run in zip(labels, first.tolist(), last.tolist(), sizes.tolist(), strict=True):
            if label in wanted:
                old = runs.get(label, run)
                runs[label] = (min(old[0], run[0]), max(old[1], run[1]), max(old[2], run[2]))
    if torn := sum(last - first + 1 != size for first, last, size in runs.values()):
        raise TableError(
            f"column `{name}`: {torn} labels of its hierarchy mean different groups on different levels; "
            "give each group a name of its own"
        )
    return runs


def factorize(values: pa.ChunkedArray) -> tuple[list[Label], np.ndarray]:
    """Distinct values, missing among them, and each row's place in them, int32 (rows,)."""
    encoded = values.combine_chunks().dictionary_encode("encode")
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int32)


def _domain(name: str, column: Column, leaves: list[Label], labels: list[Label]) -> list[Label]:
    """Leaves to build the tree on: those that the hierarchy lists, or else those that occur."""
    listed = hierarchies.listed_leaves(name, column)
    if listed is not None:
        return listed
    return list(dict.fromkeys([*leaves, *(label for label in labels if label is not None and ANY not in str(label))]))


def spans(name: str, column: Column, values: pa.ChunkedArray) -> np.ndarray:
    """What each value of a numeric or date column covers, its ends included, float64 (rows, 2); NaN where missing.

    A number or date covers itself; a label what it stands for, without bounds where it has none.

    Raises:
        TableError: labels that the policy's hierarchy does not know.
    """
    if not pa.types.is_string(values.type):
        return np.stack([floats(values)] * 2, axis=1)
    labels, codes = factorize(values)
    found = [_span(label, column, 0.0) for label in labels]
    tree = _tree_spans(name, column, labels, values) if any(span is None for span in found) else {}
    return np.array([_span_of(label, span, tree, name) for label, span in zip(labels, found, strict=True)])[codes]


def _number(name: str, column: Column, facts: pa.ChunkedArray, released: pa.ChunkedArray, step: float) -> _Number:
    target = floats(facts)
    if pa.types.is_floating(released.type) or pa.types.is_integer(released.type) or pa.types.is_date(released.type):
        values, codes = np.unique(floats(released), return_inverse=True)
        return _assembled_number(target, codes, np.stack([values - step / 2, values + step / 2], axis=1))
    labels, codes = factorize(released)
    spans = [_span(label, column, step) for label in labels]
    tree = _tree_spans(name, column, labels, facts) if any(s is None for s in spans) else {}
    bounds = [_span_of(label, span, tree, name) for label, span in zip(labels, spans, strict=True)]
    return _assembled_number(target, codes, np.array(bounds, dtype=float).reshape(len(labels), 2))


def _assembled_number(target: np.ndarray, codes: np.ndarray, bounds: np.ndarray) -> _Number:
    """Open ends end where the facts and the other labels do."""
    edges = np.concatenate([target, bounds.ravel()])
    edges = edges[np.isfinite(edges)]
    least, most = edges.min(initial=np.inf), edges.max(initial=-np.inf)
    if least > most:
        least, most = 0.0, 1.0
    return _Number(target, codes.astype(np.int32), np.clip(bounds, least, most), max(most - least, _SLACK))


def _span(label: Label, column: Column, step: float) -> tuple[float, float] | None:
    """What a released label of a numeric or date column covers; None if only the hierarchy can tell."""
    if label is None:
        return (math.nan, math.nan)
    if label == ANY:
        return (-math.inf, math.inf)
    if isinstance(label, str) and (match := _INTERVAL.match(label)):
        low, high = _edge(match["low"], column), _edge(match["high"], column)
        # The upper edge of a half-open interval is not in it, unless it has none.
        return (low, high if math.isinf(high) or match["end"] == "]" else math.nextafter(high, -math.inf))
    if isinstance(label, str) and column.kind is Kind.DATE:
        return _calendar_span(label)
    fact = as_fact(label, column)
    if fact is None:
        return None
    # A limit of top or bottom coding stands for everything beyond it.
    beyond = coding.span(position(fact), column)
    return beyond or (position(fact) - step / 2, position(fact) + step / 2)


def _edge(text: str, column: Column) -> float:
    """An end of an interval of numbers or dates."""
    if column.kind is Kind.DATE and not text.endswith("inf"):
        return position(dt.date.fromisoformat(text))
    return float(text)


_EPOCH = dt.date(1970, 1, 1).toordinal()


def position(fact: Label) -> float:
    """A number as it is, a date as days since 1970."""
    return float(fact.toordinal() - _EPOCH if isinstance(fact, dt.date) else fact)  # type: ignore[arg-type]


def _calendar_span(label: str) -> tuple[float, float] | None:
    try:
        first, last = hierarchies.date_span(label)
    except ValueError:
        return None
    return (position(first), position(last))


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
            value = position(leaf)
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
