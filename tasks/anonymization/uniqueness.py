"""How many people are unique in the population, estimated from the sizes of classes in a sample of it.

Each estimator takes how many classes there are of each size and says how many people of the population are alone with
their labels. Dankar, El Emam, Neisa and Roffey 2012 (BMC Med Inform Decis Mak 12:66) compared them and found a rule
when to trust which. ARX has the same; its formulas for Shlosser's estimator and the second moment of the shifted
negative binomial differ from the papers' by the reach of a bracket, here they are as in the papers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.optimize import root
from scipy.special import digamma, expit, gammaln, logit

from tasks.anonymization.classes import Tuples
from tasks.common.criteria_forms import UniquenessModel

_ACCURACY = 1e-6


@dataclass(frozen=True)
class Sizes:
    """Classes of a sample: counts[i] classes of sizes[i] people, sizes rising; int64 (s,) each."""

    sizes: np.ndarray
    counts: np.ndarray

    @property
    def people(self) -> int:
        """People in the sample."""
        return int(self.sizes @ self.counts)

    @property
    def classes(self) -> int:
        """Classes in the sample."""
        return int(self.counts.sum())

    def of(self, size: int) -> int:
        """Classes of one size."""
        return int(self.counts[self.sizes == size].sum())


def class_sizes(people: np.ndarray) -> Sizes:
    """Sizes of classes, float64 (c,): whole people, and at least one."""
    sizes, counts = np.unique(np.maximum(np.floor(people + 1e-9), 1).astype(np.int64), return_counts=True)
    return Sizes(sizes, counts)


def zayatz(sample: Sizes, population: int) -> float:
    """Unique people of the population, from how likely a class of any size is drawn as one (Zayatz 1991).

    Of n people out of N drawn without replacement, those of a class of i are met exactly once with the hypergeometric
    probability i n/N prod((N - n - t) / (N - 1 - t), t = 0 .. i - 2).
    """
    n = sample.people
    t = np.arange(int(sample.sizes[-1]) - 1)
    with np.errstate(divide="ignore"):
        missed = np.append(
            0.0, np.cumsum(np.log(np.maximum(population - n - t, 0) / np.maximum(population - 1 - t, 1)))
        )
    once = sample.sizes * n / population * np.exp(missed[sample.sizes - 1])
    unique = sample.of(1)
    return float(unique * (unique * n / population) / (sample.counts @ once) * population / n)


def pitman(sample: Sizes, population: int) -> float:
    """Unique people of the population under Pitman's sampling formula (Hoshino 2001, JOS 17(4), eq. 11 and section 3).

    Maximizes the likelihood in theta > 0 and 0 < alpha < 1; then gamma(theta + 1) / gamma(theta + alpha) N^alpha are
    unique. Not a number where the likelihood has no such maximum.
    """
    n, u, c1, c2 = sample.people, sample.classes, sample.of(1), max(sample.of(2), 1)
    ratio = c1 * (c1 - 1) / c2
    with np.errstate(divide="ignore", invalid="ignore"):
        theta = np.divide(n * u * ratio - c1 * (n - 1) * (2 * u + ratio), 2 * c1 * u + c1 * ratio - n * ratio)
        alpha = (theta * (c1 - n) + (n - 1) * c1) / (n * u)
    larger = sample.sizes > 1
    sizes, counts = sample.sizes[larger], sample.counts[larger]

    def score(at: np.ndarray) -> np.ndarray:
        t, a = np.exp(at[0]), expit(at[1])
        growth = digamma(u + t / a) - digamma(1 + t / a)
        by_theta = growth / a - (digamma(n + t) - digamma(1 + t))
        by_alpha = (u - 1 - t / a * growth) / a - counts @ (digamma(sizes - a) - digamma(1 - a))
        return np.array([by_theta * t, by_alpha * a * (1 - a)]) / u

    starts = [(theta, alpha)] if theta > 0 and 0 < alpha < 1 else []
    found = _solved(score, [np.array([np.log(t), logit(a)]) for t, a in [*starts, (u, 0.5), (u / 10, 0.9), (1, 0.5)]])
    if found is None:
        return float("nan")
    t, a = float(np.exp(found[0])), float(expit(found[1]))
    return float(np.exp(gammaln(t + 1) - gammaln(t + a) + a * np.log(population)))


def snb(sample: Sizes, population: int) -> float:
    """Unique people under a shifted negative binomial size of classes (Chen and Keller-McNulty 1998, JOS 14(1)).

    With K classes in the population (Shlosser's estimator, modified by Haas and Stokes 1998), finds the alpha > 0 and
    0 < beta < 1 that expect as many sampled classes of one and of two as there are; K beta^alpha are unique. Not a
    number where there are none.
    """
    f, c1, c2 = sample.people / population, sample.of(1), sample.of(2)
    k = _shlosser(sample, f)
    if f >= 1:
        return float(c1)

    def surplus(at: np.ndarray) -> np.ndarray:
        a, b = np.exp(at[0]), expit(at[1])
        d = (1 - f) * (1 - b)
        drawn_once = k * f * (b / (1 - d)) ** a * (a * d / (1 - d) + 1)
        drawn_twice = k * a * b**a * f**2 * (1 - b) / (2 * (1 - d) ** (a + 2)) * (2 - (1 - a) * d)
        return np.array([drawn_once - c1, drawn_twice - c2]) / max(c1, 1)

    found = _solved(surplus, [np.array([np.log(a), logit(b)]) for a in (0.05, 0.3, 1.0, 5.0) for b in (0.05, 0.3, 0.7)])
    return float("nan") if found is None else float(k * expit(found[1]) ** np.exp(found[0]))


def _shlosser(sample: Sizes, f: float) -> float:
    """Classes in the population, from those in a sample with fraction f."""
    i, c = sample.sizes.astype(float), sample.counts
    missed = (1 - f) ** i
    first = (c @ (i * f**2 * (1 - f**2) ** (i - 1))) / (c @ (missed * ((1 + f) ** i - 1))) if f < 1 else 0.0
    second = (c @ missed) / (c @ (i * f * (1 - f) ** (i - 1)))
    return float(sample.classes + sample.of(1) * first * second**2)


def dankar(sample: Sizes, population: int) -> float:
    """Pitman's estimate of a sample of at most a tenth, the smaller of Zayatz's and the negative binomial's beyond."""
    if sample.people <= population / 10:
        return pitman(sample, population)
    return float(np.fmin(zayatz(sample, population), snb(sample, population)))


def _solved(equations: Callable[[np.ndarray], np.ndarray], starts: list[np.ndarray]) -> np.ndarray | None:
    with np.errstate(all="ignore"):
        for start in starts:
            found = root(equations, start)
            if found.success and bool((np.abs(equations(found.x)) < _ACCURACY).all()):
                return np.asarray(found.x)
    return None


_ESTIMATORS: dict[UniquenessModel, Callable[[Sizes, int], float]] = {
    UniquenessModel.ZAYATZ: zayatz,
    UniquenessModel.PITMAN: pitman,
    UniquenessModel.SNB: snb,
    UniquenessModel.DANKAR: dankar,
}


def uniques(sample: Sizes, population: int, model: UniquenessModel) -> float:
    """People unique in the population; none where none is in the sample, infinite where no estimate is found."""
    if not sample.of(1):
        return 0.0
    estimate = _ESTIMATORS[model](sample, population)
    return estimate if 0 < estimate <= population else float("inf")


@dataclass(frozen=True)
class PopulationUniqueness:
    """At most a share `most` of the population is unique; sampled uniques are suppressed until that holds.

    Not monotone: estimates depend on all sizes of classes together, and may rise where some of them merge.
    """

    people: int
    most: float
    model: UniquenessModel
    monotone: ClassVar[bool] = False

    def suppressed(self, classes: Tuples, bad: np.ndarray, place: Callable[[], np.ndarray]) -> np.ndarray:
        """See TableCriterion; without any unique in the sample the criterion holds, so bisection ends."""
        if self._holds(classes, bad):
            return bad
        alone = np.flatnonzero(~bad & (classes.people < 2 - 1e-9))
        alone = alone[np.argsort(place()[alone])]
        too_few, enough = 0, len(alone)
        while enough - too_few > 1:
            half = (too_few + enough) // 2
            if self._holds(classes, self._without(bad, alone[:half])):
                enough = half
            else:
                too_few = half
        return self._without(bad, alone[:enough])

    def _without(self, bad: np.ndarray, more: np.ndarray) -> np.ndarray:
        grown = bad.copy()
        grown[more] = True
        return grown

    def _holds(self, classes: Tuples, bad: np.ndarray) -> bool:
        if bad.all():
            return True
        return uniques(class_sizes(classes.people[~bad]), self.people, self.model) <= self.most * self.people

    def unavoidable(self, classes: Tuples) -> float:  # noqa: ARG002 - other criteria look at the classes
        """See TableCriterion; nothing can be concluded."""
        return 0.0

    def describe(self) -> str:
        """As `at most 0.01 unique in a population of 250000 (dankar)`."""
        return f"at most {self.most:g} unique in a population of {self.people} ({self.model})"
