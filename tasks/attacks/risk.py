"""Risk of an attack, measured against people the release never saw.

An attack that guesses well on anyone has learned about the population, not about the people in the release. Following
Giomi et al. 2023 (PoPETs 2023/2) the success on released people is therefore compared with a held-out control.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from tasks.common.errors import Inconclusive
from tasks.common.values import Value


class Interval(Value):
    """A proportion with its confidence bounds, all in [0, 1]."""

    value: float
    low: float
    high: float


class Stratum(Value):
    """Trials of one kind of target.

    weight: share of the whole. successes, squares: sums over trials of the probability of success and of its square.
    """

    name: str
    weight: float
    trials: int
    successes: float
    squares: float

    def variance_of_rate(self) -> float:
        """Variance of the stratum's rate. Two made-up trials, one success and one failure, keep it from being 0.

        Source: the two extra trials of Agresti and Caffo 2000, The American Statistician 54(4).
        """
        count = self.trials + 2
        mean = (self.successes + 1) / count
        spread = (self.squares + 1) / count - mean * mean
        return spread / self.trials


class Trials(Value):
    """Trials of one attack on one group of people, by stratum. Weights add up to 1."""

    strata: tuple[Stratum, ...]

    @property
    def count(self) -> int:
        """Trials in all strata."""
        return sum(stratum.trials for stratum in self.strata)

    @property
    def rate(self) -> float:
        """Weighted rate of success, in [0, 1]."""
        return sum(s.weight * s.successes / s.trials for s in self.strata)


class TooFewTrials(Inconclusive):
    """A side of an attack has no trials."""


def success_rate(trials: Trials, confidence: float) -> Interval:
    """Rate of success with Wilson's interval at the effective number of trials.

    The effective number is the one at which the binomial variance equals that of the stratified estimate. Successes
    that are probabilities vary less than heads and tails, so it may exceed the number of trials.

    Raises:
        TooFewTrials: a stratum has no trials.

    Source: Wilson 1927, JASA 22; Franco et al. 2019, JSSAM 7(3) for effective sample sizes in Wilson's interval.
    """
    if not trials.strata or any(stratum.trials == 0 for stratum in trials.strata):
        raise TooFewTrials("an attack has no targets on one of its sides; give it more records to attack")
    count = _effective(trials)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate = min(max(trials.rate, 0.0), 1.0)
    centre = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    return Interval(value=rate, low=max(min(centre - half, rate), 0.0), high=min(max(centre + half, rate), 1.0))


def _effective(trials: Trials) -> float:
    rate = sum(s.weight * (s.successes + 1) / (s.trials + 2) for s in trials.strata)
    return rate * (1 - rate) / sum(s.weight**2 * s.variance_of_rate() for s in trials.strata)


def excess_risk(attack: Trials, control: Trials, confidence: float) -> Interval:
    """Success on released people beyond that on the control, as a share of what was left to gain.

    r = (p_attack - p_control) / (1 - p_control) = 1 - (1 - p_attack) / (1 - p_control), clipped to [0, 1]. The ratio of
    the two failure rates gets its bounds from their Wilson intervals by the method of variance estimates recovery.

    Raises:
        TooFewTrials: a side has no trials.

    Source: Giomi et al. 2023, eq. 3; Donner and Zou 2012, Stat. Methods Med. Res. 21(4), eq. 9 (the form of
    Newcombe's method 10 for ratios).
    """
    attacked, untouched = success_rate(attack, confidence), success_rate(control, confidence)
    low, high = _ratio_bounds(_failure(attacked), _failure(untouched))
    left = 1 - untouched.value
    value = 1 - (1 - attacked.value) / left if left > 0 else 0.0
    return Interval(value=_clip(value), low=_clip(min(1 - high, value)), high=_clip(max(1 - low, value)))


def _failure(rate: Interval) -> Interval:
    return Interval(value=1 - rate.value, low=1 - rate.high, high=1 - rate.low)


def _ratio_bounds(top: Interval, bottom: Interval) -> tuple[float, float]:
    """Bounds of top / bottom; (0, inf) where the bottom may be 0."""
    if bottom.low <= 0:
        return 0.0, math.inf
    product = top.value * bottom.value
    low_root = product**2 - top.low * bottom.high * (2 * top.value - top.low) * (2 * bottom.value - bottom.high)
    high_root = product**2 - top.high * bottom.low * (2 * top.value - top.high) * (2 * bottom.value - bottom.low)
    low_bottom = bottom.high * (2 * bottom.value - bottom.high)
    low = (product - math.sqrt(max(low_root, 0.0))) / low_bottom if low_bottom > 0 else 0.0
    high = (product + math.sqrt(max(high_root, 0.0))) / (bottom.low * (2 * bottom.value - bottom.low))
    return max(low, 0.0), high


def _clip(value: float) -> float:
    return min(max(value, 0.0), 1.0)
