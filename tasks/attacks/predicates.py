"""Singling out by predicates made from the release alone, without knowing anybody.

Giomi et al. 2023, section 3.1: whoever reads a release notices what exactly one of its rows has, and claims that
exactly one person has it. Univariate predicates ask for a value that occurs once, or for the least or greatest;
multivariate ones take the values of one row in a few columns, numbers as at least or at most that value, away from the
median. A claim is right if exactly one row of the original fits. Claims are made against the control too, by whose size
the number of right ones is corrected as in the paper (section 3.1.2): with n rows a predicate of weight w isolates with
probability n w (1 - w)^(n-1), and the mean of that over weights from 0 to an effective w is fitted to the successes on
smaller samples of the control, which are known exactly from the number of rows that fit.

A wanted claim that the release has no predicate for counts as one that failed, everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy.optimize import curve_fit
from scipy.special import gammaln

from tasks.attacks import space
from tasks.attacks.adversary import Adversary, Method
from tasks.common.compiling import compiled
from tasks.common.policy import Policy

FACTS = 3  # columns of a multivariate predicate, as in the paper's experiments
CLAIMS = 2_000
_TRIES = 200  # for each multivariate claim
_SIZES = 10


@dataclass(frozen=True)
class Claims:
    """What each claim achieved: successes on the original, on the control and of random predicates, float64 (claims,).

    control: None without one.
    """

    original: np.ndarray
    control: np.ndarray | None
    naive: np.ndarray


@dataclass(frozen=True)
class _Predicates:
    """n predicates of m conditions: columns int64 (n, m), and from least to most float64 (n, m), NaN: is missing."""

    columns: np.ndarray
    least: np.ndarray
    most: np.ndarray

    def only(self, chosen: np.ndarray) -> _Predicates:
        return _Predicates(self.columns[chosen], self.least[chosen], self.most[chosen])


@dataclass(frozen=True)
class _Rows:
    """What rows cover, from low to high, float64 (rows, columns); NaN for missing. weights: int64 (rows,)."""

    low: np.ndarray
    high: np.ndarray
    weights: np.ndarray


def attack(
    adversary: Adversary,
    release: pa.Table,
    original: pa.Table,
    control: pa.Table | None,
    policy: Policy,
    rounding: dict[str, float],
    claims: int,
    rng: np.random.Generator,
) -> Claims:
    """Make `claims` claims from the release, and judge them on all rows of the original and of the control."""
    sides = [original] if control is None else [original, control]
    everyone = pa.concat_tables([side.select(list(adversary.knows)) for side in sides])
    place = space.build(everyone, release, list(adversary.knows), policy, rounding)
    points, categories = place.points, place.points.row_first.shape[1]
    released = _Rows(
        np.hstack([points.row_first, points.row_low]), np.hstack([points.row_last, points.row_high]), points.weights
    )
    facts = np.hstack([points.target_codes, points.target_values])
    people = [_Rows(part, part, np.ones(len(part), dtype=np.int64)) for part in np.split(facts, [original.num_rows])]
    if adversary.method is Method.UNIVARIATE:
        found = _univariate(released, categories, claims, rng)
    else:
        found = _multivariate(released, categories, claims, rng)
    random = _random(released, categories, claims, 1 if adversary.method is Method.UNIVARIATE else FACTS, rng)
    those = _index(people[0])
    hits = _padded(_fitting(those, found) == 1, claims)
    naive = (_fitting(those, random) == 1).astype(float)
    if control is None:
        return Claims(hits, None, naive)
    # The correction needs whole counts.
    enough = 2 if control.num_rows == original.num_rows else control.num_rows
    counts = _fitting(_index(people[1]), found, enough)
    corrected = _padded((counts == 1) * _size_correction(counts, control.num_rows, original.num_rows), claims)
    return Claims(hits, corrected, naive)


def _padded(successes: np.ndarray, claims: int) -> np.ndarray:
    return np.concatenate([successes.astype(float), np.zeros(claims - len(successes))])


class _Index(NamedTuple):
    """Rows in the order of each column, so that a condition finds those that may fit it side by side.

    low, high float64 (columns, rows). order int32 (columns, rows): by low, missing last. ordered float64 (columns,
    rows): low in that order. known int64 (columns,): how many are not missing. weights int64 (rows,).
    """

    low: np.ndarray
    high: np.ndarray
    order: np.ndarray
    ordered: np.ndarray
    known: np.ndarray
    weights: np.ndarray


def _index(rows: _Rows) -> _Index:
    low = np.ascontiguousarray(rows.low.T)
    order = np.argsort(low, axis=1, kind="stable")
    ordered = np.take_along_axis(low, order, axis=1)
    known = (~np.isnan(low)).sum(axis=1)
    return _Index(low, np.ascontiguousarray(rows.high.T), order.astype(np.int32), ordered, known, rows.weights)


def _fitting(index: _Index, predicates: _Predicates, enough: int = 2) -> np.ndarray:
    """How many rows fit each predicate, int64 (n,); counting may stop at `enough`."""
    counts = np.zeros(len(predicates.columns), dtype=np.int64)
    _count(index, predicates.columns, predicates.least, predicates.most, enough, counts)
    return counts


@compiled
def _count(
    index: _Index, columns: np.ndarray, least: np.ndarray, most: np.ndarray, enough: int, counts: np.ndarray
) -> None:
    """A row fits if all that its labels cover lies within the conditions. Looks where the fewest may fit."""
    for n in range(len(columns)):
        column, start, stop = 0, 0, index.low.shape[1]
        for m in range(columns.shape[1]):
            begin, end = _candidates(index, columns[n, m], least[n, m], most[n, m])
            if m == 0 or end - begin < stop - start:
                column, start, stop = columns[n, m], begin, end
        for r in index.order[column, start:stop]:
            if _fits(index, r, columns[n], least[n], most[n]):
                counts[n] += index.weights[r]
                if counts[n] >= enough:
                    break


@compiled
def _candidates(index: _Index, column: int, least: float, most: float) -> tuple[int, int]:
    """Where in the order of the column the rows are that begin within a condition: none that fits begins elsewhere."""
    known = index.known[column]
    if np.isnan(least):
        return known, index.order.shape[1]
    ordered = index.ordered[column, :known]
    return int(np.searchsorted(ordered, least)), int(np.searchsorted(ordered, most, side="right"))


@compiled
def _fits(index: _Index, r: int, columns: np.ndarray, least: np.ndarray, most: np.ndarray) -> bool:
    for m in range(len(columns)):
        low, high = index.low[columns[m], r], index.high[columns[m], r]
        if not (np.isnan(low) if np.isnan(least[m]) else least[m] <= low and high <= most[m]):
            return False
    return True


def _univariate(rows: _Rows, categories: int, claims: int, rng: np.random.Generator) -> _Predicates:
    """Values, and ends of ranges, that exactly one released row has."""
    conditions = []
    for column in range(rows.low.shape[1]):
        labels, inverse = np.unique(
            np.stack([rows.low[:, column], rows.high[:, column]], axis=1), axis=0, return_inverse=True
        )
        counts = np.bincount(inverse.ravel(), weights=rows.weights)
        conditions += [(column, low, high) for low, high in labels[counts == 1].tolist()]
        known = ~np.isnan(rows.low[:, column])
        if column >= categories and known.any():
            conditions.append((column, -np.inf, rows.high[known, column].min()))
            conditions.append((column, rows.low[known, column].max(), np.inf))
    columns, least, most = (
        (np.array(part).reshape(-1, 1) for part in zip(*conditions, strict=True))
        if conditions
        else (np.zeros((0, 1)),) * 3
    )
    made = _Predicates(columns.astype(np.int64), least.astype(float), most.astype(float))
    made = made.only(rng.permutation(len(columns)))
    return made.only(np.flatnonzero(_fitting(_index(rows), made) == 1)[:claims])


def _multivariate(rows: _Rows, categories: int, claims: int, rng: np.random.Generator) -> _Predicates:
    """Conditions from one row each; those kept that no other released row fits, each once."""
    wide, index = rows.low.shape[1], _index(rows)
    medians = np.nanmedian(np.where(np.isnan(rows.low).all(axis=0), 0.0, (rows.low + rows.high) / 2), axis=0)
    kept = _Predicates(*(np.zeros((0, min(FACTS, wide)), dtype=kind) for kind in (np.int64, float, float)))
    for _ in range(_TRIES):
        source = rng.integers(len(rows.weights), size=claims)
        columns = np.sort(rng.random((claims, wide)).argsort(axis=1)[:, :FACTS], axis=1)
        low, high = rows.low[source[:, None], columns], rows.high[source[:, None], columns]
        number, above = columns >= categories, (low + high) / 2 > medians[columns]
        least = np.where(number & ~above & ~np.isnan(low), -np.inf, low)
        most = np.where(number & above & ~np.isnan(low), np.inf, high)
        made = _Predicates(columns, least, most)
        made = made.only(np.flatnonzero(_fitting(index, made) == 1))
        both = _Predicates(
            *(np.concatenate([getattr(kept, f), getattr(made, f)]) for f in ("columns", "least", "most"))
        )
        _, first = np.unique(np.hstack([both.columns, both.least, both.most]), axis=0, return_index=True)
        kept = both.only(np.sort(first)[:claims])
        if len(kept.columns) == claims:
            break
    return kept


def _random(rows: _Rows, categories: int, claims: int, facts: int, rng: np.random.Generator) -> _Predicates:
    """Conditions on values of different rows: this value, or for numbers at least or at most this."""
    wide = rows.low.shape[1]
    columns = rng.random((claims, wide)).argsort(axis=1)[:, :facts]
    source = rng.integers(len(rows.weights), size=columns.shape)
    low, high = rows.low[source, columns], rows.high[source, columns]
    way = np.where((columns >= categories) & ~np.isnan(low), rng.integers(3, size=columns.shape), 0)
    return _Predicates(columns, np.where(way == 1, -np.inf, low), np.where(way == 2, np.inf, high))


def _size_correction(counts: np.ndarray, control: int, original: int) -> float:
    """By what the successes on the control grow if it were as large as the original.

    counts: rows of the control that fit each predicate.
    """
    if control == original or not (counts == 1).any():
        return 1.0
    sizes = np.linspace(min(1000, control), control, _SIZES).astype(int)
    expected = np.array([_isolating(counts, control, size).sum() for size in sizes])

    def model(size: np.ndarray, weight: float, amount: float) -> np.ndarray:
        return amount * (1 - (size * weight + 1) * (1 - weight) ** size) / (size + 1)

    start = 1 / control
    guess = (start, max(float(expected[-1]), 1.0) / float(model(np.array([control]), start, 1.0)[0]))
    fitted, _ = curve_fit(model, sizes.astype(float), expected, p0=guess, bounds=(0, (1, np.inf)))
    now, then = model(np.array([control, original], dtype=float), *fitted)
    return float(then / now) if now > 0 else 1.0


def _isolating(counts: np.ndarray, rows: int, size: int) -> np.ndarray:
    """Probability that exactly one of the fitting rows is in a random sample of `size` rows (hypergeometric)."""
    few = np.minimum(counts, rows)
    possible = (few >= 1) & (size - 1 <= rows - few)
    k = np.where(possible, few, 1)

    def log_choose(n: np.ndarray | int, m: np.ndarray | int) -> np.ndarray:
        return gammaln(np.add(n, 1.0)) - gammaln(np.add(m, 1.0)) - gammaln(np.subtract(n, m) + 1.0)

    chance = k * np.exp(log_choose(rows - k, size - 1) - log_choose(rows, size))
    return np.where(possible, chance, 0.0)
