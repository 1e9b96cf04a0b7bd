"""Rates of groups from counts, the differences between them, and what chance alone would make of those.

The largest difference between any two of many groups is a maximum, so it is large even where all groups are alike, and
its percentile bootstrap is off by as much again, since every draw adds its own noise. Two things answer that here.
The interval is a simultaneous one: all pairs of groups at once, each within a multiple of its own standard error, and
the largest difference between the largest lower and the largest upper bound (single-step max-t, Hothorn et al. 2008,
Biom. J. 50(3)). It reaches down to 0 where no pair differs for sure. And the difference that chance alone would show is
given beside it: the exact distribution under permutation of the groups among those whom the rate is about.

Each rate has its own null hypothesis. Parity: whether someone is flagged does not depend on the group, so groups are
permuted among everybody. Hits: they are permuted among those with the outcome, false alarms: among those without it;
both together are the null of equalized odds, that flag and group are independent given the outcome. Predictive value:
among those flagged, since there the outcome shall not depend on the group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np

from tasks.common.values import Value
from tasks.fairness.groups import LEAST_PEOPLE, about
from tasks.utility.downstream import Estimate

CONFIDENCE = 0.95
_Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
_DRAWS = 1000
_DIGITS = 3
_FEW = 300  # a rate among fewer, in so many digits, would tell how many they are exactly

# Counts of a group: without the outcome and not flagged, without and flagged, with and not flagged, with and flagged.
_WITHOUT, _FLAGGED_WITHOUT, _WITH, _FLAGGED_WITH = range(4)


@dataclass(frozen=True)
class Rate:
    """A rate as the counts it is made of: of the people in `among`, those in `counted`."""

    counted: tuple[int, ...]
    among: tuple[int, ...]


OUTCOME = Rate((_WITH, _FLAGGED_WITH), (_WITHOUT, _FLAGGED_WITHOUT, _WITH, _FLAGGED_WITH))
SELECTION = Rate((_FLAGGED_WITHOUT, _FLAGGED_WITH), (_WITHOUT, _FLAGGED_WITHOUT, _WITH, _FLAGGED_WITH))
HITS = Rate((_FLAGGED_WITH,), (_WITH, _FLAGGED_WITH))
ALARMS = Rate((_FLAGGED_WITHOUT,), (_WITHOUT, _FLAGGED_WITHOUT))
PREDICTIVE = Rate((_FLAGGED_WITH,), (_FLAGGED_WITHOUT, _FLAGGED_WITH))


class Difference(Value):
    """The largest difference between any two groups with its 95 % interval, and what chance alone would show.

    chance: the mean if all groups were alike; chance_high: what 95 of 100 such differences stay below.
    """

    value: float
    low: float
    high: float
    chance: float
    chance_high: float

    @property
    def beyond_chance(self) -> bool:
        """Whether fewer than 5 of 100 tables with groups that are alike show a difference like this."""
        return self.value > self.chance_high


def count(labels: np.ndarray, flagged: np.ndarray, place: np.ndarray, groups: int) -> np.ndarray:
    """int64 (groups, 4) from bool (n,) twice and the place of each person's group, -1 for none."""
    inside = place >= 0
    cell = 4 * place[inside] + 2 * labels[inside] + flagged[inside]
    return np.bincount(cell, minlength=4 * groups).reshape(groups, 4)


def wilson(counted: float, among: int) -> Estimate:
    """A proportion with Wilson's 95 % interval (Wilson 1927, JASA 22), of the rounded numbers that are published.

    Bounds of exact numbers would tell them.
    """
    rate = round(counted / among, _DIGITS if among >= _FEW else _DIGITS - 1)
    people = about(among) or among
    centre = (rate + _Z**2 / (2 * people)) / (1 + _Z**2 / people)
    half = _Z / (1 + _Z**2 / people) * math.sqrt(rate * (1 - rate) / people + _Z**2 / (4 * people**2))
    return estimate(rate, max(centre - half, 0.0), min(centre + half, 1.0))


def estimate(value: float, low: float, high: float) -> Estimate:
    """An estimate in as many digits as are published."""
    return Estimate(
        value=round(value, _DIGITS), low=round(min(low, value), _DIGITS), high=round(max(high, value), _DIGITS)
    )


def of_group(cells: np.ndarray, rate: Rate) -> Estimate | None:
    """The rate of one group from its counts, int64 (4,); None if it is about fewer than 30 people."""
    among = int(cells[list(rate.among)].sum())
    return wilson(int(cells[list(rate.counted)].sum()), among) if among >= LEAST_PEOPLE else None


def difference(cells: np.ndarray, rates: tuple[Rate, ...], rng: np.random.Generator) -> Difference | None:
    """The largest difference in any of the rates between any two groups, from counts int64 (groups, 4).

    Groups are left out where a rate is about fewer than 30 of them; None if no rate has two groups.
    """
    found = [_compared(cells, rate, rng) for rate in rates if (_among(cells, rate) >= LEAST_PEOPLE).sum() > 1]
    if not found:
        return None
    values, deviations, by_chance = zip(*found, strict=True)
    return largest(list(values), list(deviations), np.max(by_chance, axis=0))


def largest(values: list[np.ndarray], deviations: list[np.ndarray], by_chance: np.ndarray) -> Difference:
    """The largest difference between two groups in any of several measures.

    values: float64 (groups,) for each measure. deviations: float64 (draws, groups), what sampling adds to them.
    by_chance: float64 (draws,), the largest difference where all groups are alike.
    """
    gaps, errors = [], []
    worst = np.zeros(len(deviations[0]))
    for value, deviation in zip(values, deviations, strict=True):
        for one, other in combinations(range(len(value)), 2):
            apart = deviation[:, one] - deviation[:, other]
            error = float(apart.std())
            gaps.append(abs(value[one] - value[other]))
            errors.append(error)
            worst = np.maximum(worst, np.abs(apart) / error if error > 0 else 0.0)
    reach = float(np.quantile(worst, CONFIDENCE)) * np.array(errors)
    found = {
        "value": max(gaps),
        "low": max((np.array(gaps) - reach).max(), 0.0),
        "high": (np.array(gaps) + reach).max(),
        "chance": by_chance.mean(),
        "chance_high": np.quantile(by_chance, CONFIDENCE),
    }
    return Difference(**{name: round(float(figure), _DIGITS) for name, figure in found.items()})


def _among(cells: np.ndarray, rate: Rate) -> np.ndarray:
    return cells[..., list(rate.among)].sum(axis=-1)


def _compared(cells: np.ndarray, rate: Rate, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the groups with enough people: the rates, what sampling adds to them, the largest difference by chance."""
    cells = cells[_among(cells, rate) >= LEAST_PEOPLE]
    people = cells.sum(axis=1)
    # A quarter of a person in every cell: a rate of 0 among 30 people is not known for certain.
    smoothed = (cells + 0.25) / (people + 1)[:, None]
    drawn = rng.multinomial(people, smoothed, size=(_DRAWS, len(cells)))
    deviations = _rate(drawn, rate) - _rate(smoothed, rate)
    among, counted = _among(cells, rate), cells[:, list(rate.counted)].sum(axis=1)
    permuted = rng.multivariate_hypergeometric(among, int(counted.sum()), size=_DRAWS, method="marginals") / among
    return counted / among, deviations, np.ptp(permuted, axis=1)


def _rate(cells: np.ndarray, rate: Rate) -> np.ndarray:
    among = _among(cells, rate)
    return cells[..., list(rate.counted)].sum(axis=-1) / np.where(among > 0, among, 1)
