"""Criteria that look at the population behind a table: k-map and delta-presence, and k-map where only its size is
known.

A population table counts people by the same quasi-identifiers. Its counts stand beside those of the table in the same
tuples, which may have people in the population and no rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.stats import poisson

from tasks.anonymization.classes import ROUNDING, Tuples, fewest_rows, pack_below, rank
from tasks.anonymization.histograms import Histogram
from tasks.common.criteria_forms import Estimator


def with_population(tuples: Tuples, codes: np.ndarray, people: np.ndarray, sizes: Sequence[int]) -> Tuples:
    """Tuples that also count a population; combinations only found there follow at the end, without rows.

    codes: int32 (m, q), leaf codes of rows of the population, with sizes[j] leaves in column j as in the tuples.
    people: float64 (m,), how many people each row stands for. Where the population has fewer people in a tuple than the
    table, which is a part of it, those of the table count.
    """
    together = np.concatenate([tuples.codes, codes.astype(tuples.codes.dtype)])
    number, first = rank(*pack_below(list(together.T), sizes))
    known, count = len(tuples), len(first)
    absent = count - known
    people_here = np.append(tuples.people, np.zeros(absent))
    population = np.maximum(np.bincount(number[known:], weights=people, minlength=count), people_here)
    secrets = {
        name: Histogram(
            np.append(histogram.starts, np.repeat(histogram.starts[-1:], absent)), histogram.codes, histogram.counts
        )
        for name, histogram in tuples.secrets.items()
    }
    rows = np.append(tuples.rows, np.zeros(absent, dtype=np.int64))
    return Tuples(together[first], rows, people_here, secrets, population)


def living(classes: Tuples) -> np.ndarray:
    """People of the population in each class, float64 (c,)."""
    assert classes.population is not None, "criteria on a population are only built where there is one"
    return classes.population


@dataclass(frozen=True)
class KMap:
    """At least k people of the population in each class of the table (Sweeney 2001, thesis; El Emam and Dankar 2008).

    Monotone and absorbing: merging adds people.
    """

    k: int
    monotone: ClassVar[bool] = True

    def violated(self, classes: Tuples) -> np.ndarray:
        """Classes that fewer than k people of the population are in."""
        return living(classes) < self.k - ROUNDING

    def judged(self, classes: Tuples, _settled: np.ndarray | None = None, /) -> tuple[np.ndarray, np.ndarray]:
        """See ClassCriterion; no part of a violating class can be kept."""
        violated = self.violated(classes)
        return violated, np.where(violated, classes.rows, 0)

    def describe(self) -> str:
        """As `5-map`."""
        return f"{self.k}-map"


@dataclass(frozen=True)
class EstimatedKMap:
    """At least k people of the population in each class, concluded from how many of the table are: `enough` are.

    Monotone and absorbing as k-anonymity is.
    """

    k: int
    enough: int
    estimator: Estimator
    monotone: ClassVar[bool] = True

    def violated(self, classes: Tuples) -> np.ndarray:
        """Classes of fewer people of the table than would be surprising for fewer than k in the population."""
        return classes.people < self.enough - ROUNDING

    def judged(self, classes: Tuples, _settled: np.ndarray | None = None, /) -> tuple[np.ndarray, np.ndarray]:
        """See ClassCriterion; no part of a violating class can be kept."""
        violated = self.violated(classes)
        return violated, np.where(violated, classes.rows, 0)

    def describe(self) -> str:
        """As `5-map, estimated as 2-anonymity (poisson)`."""
        return f"{self.k}-map, estimated as {self.enough}-anonymity ({self.estimator})"


def enough_people(k: int, fraction: float, significance: float, estimator: Estimator) -> int:
    """People of a sampled class that reject, at this significance, that fewer than k of the population are in it.

    Of k people a sample with this fraction draws a Poisson number with mean k * fraction, truncated at zero where only
    classes count that were drawn at all. Never more than k.

    Source: El Emam and Dankar 2008, JAMIA 15(5); ARX, class KMap, which asks for one more with the plain Poisson.
    """
    drawn = poisson(k * fraction)
    counts = np.arange(k)
    at_most = drawn.cdf(counts)
    if estimator is Estimator.ZERO_TRUNCATED_POISSON:
        at_most = (at_most - drawn.pmf(0)) / -np.expm1(-k * fraction)
    unsurprising = np.flatnonzero(at_most >= 1 - significance)
    return int(min(k, unsurprising[0] + 1)) if len(unsurprising) else k


@dataclass(frozen=True)
class DeltaPresence:
    """From `least` to `most` of the population in each class are in the table (Nergiz et al. 2007, SIGMOD, def. 3).

    Classes of the population without rows count too, and cannot be suppressed: where least > 0, there may be none.
    Monotone: the share of a merged class lies between those of its parts. Not absorbing: what is kept of a class are
    at most `most` of its people in the population, so all others of the table are suppressed.
    """

    least: float
    most: float
    monotone: ClassVar[bool] = True

    def violated(self, classes: Tuples) -> np.ndarray:
        """Classes with too many or too few of the population's people in the table."""
        people = living(classes)
        return (classes.people > self.most * people + ROUNDING) | (classes.people < self.least * people - ROUNDING)

    def judged(self, classes: Tuples, _settled: np.ndarray | None = None, /) -> tuple[np.ndarray, np.ndarray]:
        """See ClassCriterion."""
        violated = self.violated(classes)
        fewest = fewest_rows(classes, violated, classes.people - self.most * living(classes))
        return violated, np.where(violated & (classes.rows == 0), np.inf, fewest)

    def describe(self) -> str:
        """As `(0, 0.5)-presence`."""
        return f"({self.least:g}, {self.most:g})-presence"
