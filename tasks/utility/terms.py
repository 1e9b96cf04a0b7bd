"""Columns as the terms of a regression, the same ones for real and synthetic rows so that estimates can be compared.

Labels become dummies beside the most frequent one, numbers count in standard deviations of the real rows. Labels that
an estimate cannot be had for (fewer than 30 rows in one of the tables, or outcomes all alike) are taken together with
missing ones; that group and missing numbers are accounted for without being reported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tasks.utility import logistic
from tasks.utility.downstream import MISSING, finite, is_number, words

LEAST_ROWS = 30
_MOST_LEVELS = 12


def both_outcomes(without: int, having: int) -> bool:
    """Whether a group of rows has a finite logarithm of its odds."""
    return without > 0 and having > 0


def an_event(without: int, having: int) -> bool:  # noqa: ARG001 - one of two answers to the same question
    """Whether a group of rows has a finite logarithm of its hazard."""
    return having > 0


@dataclass(frozen=True)
class Side:
    """Real or synthetic rows and the outcome of each, bool (rows,).

    estimable: whether a group with so many rows without and with the outcome has a finite estimate.
    """

    rows: pa.Table
    outcome: np.ndarray
    estimable: Callable[[int, int], bool] = both_outcomes


@dataclass(frozen=True)
class Term:
    """One coefficient: of a label beside the reference, or of a number's standard deviation (level is None)."""

    column: str
    level: str | None
    reference: str | None


@dataclass(frozen=True)
class Design:
    """The matrix of one table, float64 (rows, terms + nuisances), the terms first; outcome: bool (rows,).

    kept: which of the table's rows these are, bool; rows of a group whose outcomes are all alike say nothing about
    other terms, and are left out.
    """

    matrix: np.ndarray
    outcome: np.ndarray
    kept: np.ndarray


@dataclass(frozen=True)
class Terms:
    """What both tables have in common, and in words what was left out."""

    terms: tuple[Term, ...]
    real: Design
    synthetic: Design
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Columns:
    """What one column contributes: terms with their values in each table, and values of nuisances."""

    terms: list[Term]
    values: list[tuple[np.ndarray, np.ndarray]]
    nuisances: list[tuple[np.ndarray, np.ndarray]]


def build(real: Side, synthetic: Side, columns: list[str], banned: frozenset[Term] = frozenset()) -> Terms:
    """The terms of columns that both tables have; banned: those that turned out to have no estimate."""
    said: list[str] = []
    parts = [
        _number(name, real, synthetic, banned, said)
        if is_number(real.rows[name]) and is_number(synthetic.rows[name])
        else _labels(name, real, synthetic, banned, said)
        for name in columns
    ]
    terms = [term for part in parts for term in part.terms]
    values = [pair for part in parts for pair in part.values]
    nuisances = [pair for part in parts for pair in part.nuisances]
    matrices = [
        _matrix([v[side] for v in values], [n[side] for n in nuisances], (real, synthetic)[side]) for side in (0, 1)
    ]
    free = logistic.independent(matrices[0].matrix) & logistic.independent(matrices[1].matrix)
    free = free[: len(terms)]
    said += [f"{term.column}: follows from other columns" for term, ok in zip(terms, free, strict=True) if not ok]
    return Terms(
        tuple(term for term, ok in zip(terms, free, strict=True) if ok),
        _without_dependent(matrices[0], free),
        _without_dependent(matrices[1], free),
        tuple(dict.fromkeys(said)),
    )


def _matrix(values: list[np.ndarray], nuisances: list[np.ndarray], side: Side) -> Design:
    kept = np.ones(len(side.outcome), dtype=bool)
    for group in nuisances:
        outcomes = side.outcome[group > 0]
        if len(outcomes) and not side.estimable(int(np.sum(~outcomes)), int(np.sum(outcomes))):
            kept &= group == 0
    columns = np.stack([np.zeros(len(kept)), *values, *nuisances], axis=1)[kept, 1:]
    return Design(columns, side.outcome[kept], kept)


def _without_dependent(design: Design, free: np.ndarray) -> Design:
    terms, nuisances = design.matrix[:, : len(free)][:, free], design.matrix[:, len(free) :]
    matrix = np.concatenate([terms, nuisances], axis=1)
    needed = logistic.independent(matrix)
    needed[: terms.shape[1]] = True
    return Design(matrix[:, needed], design.outcome, design.kept)


def _number(name: str, real: Side, synthetic: Side, banned: frozenset[Term], said: list[str]) -> _Columns:
    numbers = [finite(side.rows[name]) for side in (real, synthetic)]
    known = [np.isfinite(values) for values in numbers]
    term = Term(name, None, None)
    if any(mask.sum() < LEAST_ROWS or np.ptp(v[mask]) == 0 for v, mask in zip(numbers, known, strict=True)):
        said.append(f"{name}: constant, or known in fewer than {LEAST_ROWS} rows")
        return _Columns([], [], [])
    if term in banned:
        said.append(f"{name}: separates the outcomes, so it has no finite estimate")
        return _Columns([], [], [])
    middle, spread = numbers[0][known[0]].mean(), numbers[0][known[0]].std()
    scaled = [np.where(mask, (v - middle) / spread, 0.0) for v, mask in zip(numbers, known, strict=True)]
    missing = [(~mask).astype(np.float64) for mask in known]
    return _Columns([term], [(scaled[0], scaled[1])], [(missing[0], missing[1])])


def _labels(name: str, real: Side, synthetic: Side, banned: frozenset[Term], said: list[str]) -> _Columns:
    found = [words(side.rows[name]) for side in (real, synthetic)]
    counts = [_counts(column, side.outcome) for column, side in zip(found, (real, synthetic), strict=True)]
    by_frequency = sorted(counts[0].keys() - {MISSING}, key=lambda level: (-sum(counts[0][level]), level))
    shown = [
        level
        for level in by_frequency
        if _enough(counts[0][level], real) and _enough(counts[1].get(level, (0, 0)), synthetic)
    ][:_MOST_LEVELS]
    shown = [level for level in shown if Term(name, level, shown[0]) not in banned]
    if left := len((counts[0].keys() | counts[1].keys()) - {*shown, MISSING}):
        said.append(
            f"{name}: {left} {'value' if left == 1 else 'values'} with fewer than {LEAST_ROWS} rows, without a finite "
            f"estimate, or beyond the {_MOST_LEVELS} most frequent, taken together"
        )
    if len(shown) < 2:
        said.append(f"{name}: fewer than two values that can be compared")
        return _Columns([], [], [])
    others = [(~np.isin(column, shown)).astype(np.float64) for column in found]
    return _Columns(
        [Term(name, level, shown[0]) for level in shown[1:]],
        [((found[0] == level).astype(np.float64), (found[1] == level).astype(np.float64)) for level in shown[1:]],
        [(others[0], others[1])],
    )


def _enough(count: tuple[int, int], side: Side) -> bool:
    return sum(count) >= LEAST_ROWS and side.estimable(*count)


def _counts(labels: np.ndarray, outcome: np.ndarray) -> dict[str, tuple[int, int]]:
    """Rows of each level without and with the outcome."""
    known, places = np.unique(labels, return_inverse=True)
    without, having = (np.bincount(places[outcome == said], minlength=len(known)) for said in (False, True))
    return {str(level): (int(a), int(b)) for level, a, b in zip(known, without, having, strict=True)}
