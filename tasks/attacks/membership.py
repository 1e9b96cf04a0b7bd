"""Membership inference: was this person's row in the table that the release was made of?

The adversary knows all released columns of a person and gives the person a score. Who scores higher than all but a
hundredth of the people known not to be in the table is taken for a member: a decision at a false positive rate of 0.01,
where attacks matter (Carlini et al. 2022, IEEE S&P, "Membership inference attacks from first principles").

- distance: how close the nearest released row is (Chen et al. 2020, CCS, GAN-Leaks, section 4.3, full black box),
  beyond the distance that labels put between a person and the person's own row.
- density: how much denser the release is around the person than the population (van Breugel et al. 2023, AISTATS,
  DOMIAS, eq. 2), by product kernels in the space of `tasks.attacks.space`: exp(-Gower distance / h) is a Laplace
  kernel for numbers times Aitchison and Aitken's for categories (1976, Biometrika 63). The control is the sample
  of the population.
- shadow: see `tasks.attacks.shadow`.

The control has two uses, to set thresholds (and to be the population), and to be judged. One half does the one for the
other half and for half of the members, and then the halves change places. Thresholds are those of a conformal test with
ties broken at random (Vovk et al. 2005, Algorithmic Learning in a Random World, section 2.2): on people like those in
the control the false positive rate is what it should be, at any size of the control, and a decision is the probability
of being taken for a member. Outliers and others have thresholds of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tasks.attacks import fitting, neighbours, shadow, space
from tasks.attacks.adversary import Adversary, Method
from tasks.attacks.gaps import number_gap
from tasks.attacks.risk import Stratum, Trials, success_rate
from tasks.attacks.targets import Targets
from tasks.common.compiling import compiled
from tasks.common.policy import Policy

DECISION_RATE = 0.01
REPORTED_RATES = (0.01, 0.001)
FEWEST_PEOPLE = 4
_FLOOR = 1e-12
_DIGITS = 6
_PEOPLE_FOR_WIDTH = 500


@dataclass(frozen=True)
class Scores:
    """Scores of members (m,) and of the control (c,), float64, and the half that each is judged in, bool.

    calibration: the scores that the control has where it sets thresholds, float64 (c,).
    """

    members: np.ndarray
    control: np.ndarray
    calibration: np.ndarray
    member_half: np.ndarray
    control_half: np.ndarray


@dataclass(frozen=True)
class Decisions:
    """Probability of being taken for a member at a false positive rate, float64 (m,) and (c,)."""

    rate: float
    members: np.ndarray
    control: np.ndarray


def scores(
    adversary: Adversary,
    release: pa.Table,
    released: Targets,
    control: Targets,
    policy: Policy,
    rounding: dict[str, float],
    make_release: shadow.MakeRelease | None,
    rng: np.random.Generator,
) -> Scores:
    """Score everyone. make_release is what shadow models need: the way in which the release was made."""
    halves = _halves(released.outlier, rng), _halves(control.outlier, rng)
    sides = (released.rows, control.rows)
    match adversary.method:
        case Method.DENSITY:
            return _density_scores(adversary, release, sides, halves, policy, rounding, rng)
        case Method.SHADOW:
            assert make_release is not None, "shadow models are declared only where releases can be made"
            count = policy.attacks.membership.shadow
            members, others = shadow.scores(release, sides, policy, rounding, make_release, count, rng)
        case _:
            members, others = (_closeness(adversary, release, side, policy, rounding) for side in sides)
    members, others = _rounded(members), _rounded(others)
    return Scores(members, others, others, *halves)


def _rounded(found: np.ndarray) -> np.ndarray:
    """Scores without the noise of the last digits, which would tell apart people who are alike but in which group."""
    return np.round(found, _DIGITS)


def decide(given: Scores, released: Targets, control: Targets, rate: float) -> Decisions:
    """Take for members who score higher than all but a share `rate` of the other half of the control."""
    members, others = np.zeros(len(given.members)), np.zeros(len(given.control))
    for half in (False, True):
        setting = given.control_half != half
        for apart in (False, True):
            usable = setting & (control.outlier == apart)
            if rate * (usable.sum() + 1) < 1:
                usable = setting
            bar = np.sort(given.calibration[usable])
            judged = (given.member_half == half) & (released.outlier == apart)
            members[judged] = _taken(given.members[judged], bar, rate)
            judged = (given.control_half == half) & (control.outlier == apart)
            others[judged] = _taken(given.control[judged], bar, rate)
    return Decisions(rate, members, others)


def finest_rate(control: Targets) -> float:
    """The least false positive rate for which half of the control can set a threshold."""
    return 1 / (len(control.outlier) // 2 + 1)


def reported(given: Scores, released: Targets, control: Targets, confidence: float) -> dict[str, float]:
    """True positive rates at the false positive rates that are reported, with bounds, and the rates measured.

    People count alike here, whether standing out or not. A rate for which the control is too small is left out.
    """
    figures: dict[str, float] = {}
    for rate in REPORTED_RATES:
        if rate < finest_rate(control):
            continue
        found = decide(given, released, control, rate)
        true, false = (success_rate(_alike(side), confidence) for side in (found.members, found.control))
        figures |= {
            f"tpr_at_fpr_{rate}": true.value,
            f"tpr_at_fpr_{rate}_low": true.low,
            f"tpr_at_fpr_{rate}_high": true.high,
            f"fpr_measured_{rate}": false.value,
        }
    return figures


def _alike(values: np.ndarray) -> Trials:
    stratum = Stratum(
        name="all",
        weight=1.0,
        trials=len(values),
        successes=float(values.sum()),
        squares=float((values**2).sum()),
    )
    return Trials(strata=(stratum,))


def _taken(values: np.ndarray, bar: np.ndarray, rate: float) -> np.ndarray:
    """Probability that a conformal test with random ties rejects at the level `rate`, float64."""
    above = len(bar) - np.searchsorted(bar, values, side="right")
    tied = len(bar) - np.searchsorted(bar, values, side="left") - above
    return np.clip((rate * (len(bar) + 1) - above) / (tied + 1), 0.0, 1.0)


def _halves(outlier: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random half of the outliers and of the others, bool (people,)."""
    half = np.zeros(len(outlier), dtype=bool)
    for stratum in (np.flatnonzero(outlier), np.flatnonzero(~outlier)):
        half[rng.permutation(stratum)[: len(stratum) // 2]] = True
    return half


def _closeness(
    adversary: Adversary, release: pa.Table, people: pa.Table, policy: Policy, rounding: dict[str, float]
) -> np.ndarray:
    place = space.build(people, release, list(adversary.knows), policy, rounding)
    return blur(place) - neighbours.nearest_distances(place, 1)


def blur(place: space.Space) -> np.ndarray:
    """Distance that each person's own row would have, for the labels alone, float64 (people,).

    By column the least distance of any released label that covers the fact; where none does, 0.
    """
    points = place.points
    total = np.zeros(place.targets)
    for j in range(points.row_first.shape[1]):
        labels = np.unique(np.stack([points.row_first[:, j], points.row_last[:, j], points.row_blur[:, j]]), axis=1)
        if labels[2].any():
            total += _least_blur(points.target_codes[:, j].astype(float), *labels)
    for j in range(points.row_low.shape[1]):
        low, high = np.unique(np.stack([points.row_low[:, j], points.row_high[:, j]]), axis=1)
        if (high > low).any():
            total += _least_gap(points.target_values[:, j], low, high, points.ranges[j])
    return total


@compiled
def _least_blur(facts: np.ndarray, first: np.ndarray, last: np.ndarray, blurs: np.ndarray) -> np.ndarray:
    least = np.zeros(len(facts))
    for t in range(len(facts)):
        best = np.inf
        for i in range(len(first)):
            if first[i] <= facts[t] <= last[i]:
                best = min(best, blurs[i])
        least[t] = best if best < np.inf else 0.0
    return least


@compiled
def _least_gap(facts: np.ndarray, low: np.ndarray, high: np.ndarray, scale: float) -> np.ndarray:
    least = np.zeros(len(facts))
    for t in range(len(facts)):
        best = np.inf
        for i in range(len(low)):
            if low[i] <= facts[t] <= high[i]:
                best = min(best, number_gap(facts[t], low[i], high[i], scale))
        least[t] = best if best < np.inf else 0.0
    return least


def _density_scores(
    adversary: Adversary,
    release: pa.Table,
    sides: tuple[pa.Table, pa.Table],
    halves: tuple[np.ndarray, np.ndarray],
    policy: Policy,
    rounding: dict[str, float],
    rng: np.random.Generator,
) -> Scores:
    """Log of the density of the release over that of the population."""
    names = list(adversary.knows)
    at = [space.build(side, release, names, policy, rounding) for side in sides]
    width, reach = kernel(release, sides[1].take(pa.array(rng.permutation(sides[1].num_rows))), names, policy, rounding)
    around = [
        fitting.kernel_sums(place, place.points.weights[None, :].astype(float), width, reach, blur(place))[:, 0]
        for place in at
    ]
    exact = policy.model_copy(update={"columns": {n: c.as_released_exactly() for n, c in policy.columns.items()}})
    sums = []
    for side in sides:
        place = space.build(side, sides[1], names, exact, {})
        sums.append(fitting.kernel_sums(place, _weights_by_half(place, halves[1]), width, reach, blur(place)))
    per_person = release.num_rows / np.bincount(halves[1], minlength=2)
    # Who is judged in a half meets the population of the other; who sets thresholds for it is not in its own sample.
    expected = []
    for total, half in zip(sums, (half.astype(int) for half in halves), strict=True):
        expected.append(total[np.arange(len(half)), 1 - half] * per_person[1 - half])
    own = halves[1].astype(int)
    alone = np.maximum(sums[1][np.arange(len(own)), own] - 1, 0) * per_person[own]
    members, control, calibration = (
        _log_ratio(*pair) for pair in zip((*around, around[1]), (*expected, alone), strict=True)
    )
    return Scores(_rounded(members), _rounded(control), _rounded(calibration), *halves)


def _log_ratio(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Log of the released rows found around each person over those expected there, one row added to what is expected.

    Where the population is too sparse to say, the density counts as that of a single released row, or people in gaps
    of the sample would stand out by a ratio of two densities next to nothing.
    """
    return np.log(found + _FLOOR) - np.log1p(expected)


def _weights_by_half(place: space.Space, half: np.ndarray) -> np.ndarray:
    """How many people of each half each distinct row stands for, float64 (2, r)."""
    size = len(place.points.weights)
    return np.stack([np.bincount(place.of_row[half == h], minlength=size) for h in (False, True)]).astype(float)


def kernel(
    release: pa.Table, people: pa.Table, names: list[str], policy: Policy, rounding: dict[str, float]
) -> tuple[float, float]:
    """Width of the kernels, and beyond how many widths they are cut off.

    people: who is not in the table. The width is the median distance of their nearest released rows over the log of
    the rows: all rows together then weigh at most as much around a typical person who is not among them as a single row
    on the spot. Kernels end at one and a half times that distance, where a row weighs the square root of n less than
    the nearest one. A few hundred people are enough for a median; the rows are all there.
    """
    place = space.build(people.slice(0, _PEOPLE_FOR_WIDTH), release, names, policy, rounding)
    nearest = neighbours.nearest_distances(place, 1) - blur(place)
    apart = nearest[nearest > 0]
    typical = float(np.median(nearest)) or (float(np.median(apart)) if len(apart) else 1.0)
    rows = np.log(max(release.num_rows, 3))
    return max(typical, _FLOOR) / rows, 1.5 * rows
