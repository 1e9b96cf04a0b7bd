"""Estimates that papers report, odds ratios and hazard ratios, from real rows and from synthetic ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from tasks.common.values import Value
from tasks.utility import logistic, terms
from tasks.utility.downstream import Estimate
from tasks.utility.terms import Design, Side, Term, Terms

NORMAL_95 = NormalDist().inv_cdf(0.975)
# A standard error of a log ratio beyond this comes of separated outcomes: 30 rows with one event have about 1.
_SEPARATED = 5.0
_MOST_ROUNDS = 25

# Log ratios and standard errors of a design's columns, float64 (columns,) each.
Fit = Callable[[Design], tuple[np.ndarray, np.ndarray]]


class Effect(Value):
    """A ratio with its 95 % interval in real and in synthetic rows.

    level: the label that is compared with `reference`; None for a number, whose ratio is of one standard deviation.
    """

    column: str
    level: str | None
    reference: str | None
    real: Estimate
    synthetic: Estimate

    @property
    def overlap(self) -> float:
        """How far the two intervals overlap on the log scale, 1 if they are the same and 0 if they do not touch.

        The mean of the shared length as a share of either interval's (Karr, Kohnen, Oganian, Reiter & Sanil 2006, The
        American Statistician 60:224); negative values, of intervals that do not touch, are set to 0.
        """
        real, synthetic = _logs(self.real), _logs(self.synthetic)
        shared = min(real[1], synthetic[1]) - max(real[0], synthetic[0])
        return max(sum(shared / (high - low) for low, high in (real, synthetic)) / 2, 0.0)

    @property
    def same_direction(self) -> bool:
        """Whether both ratios are on the same side of 1."""
        return (self.real.value >= 1) == (self.synthetic.value >= 1)

    @property
    def same_significance(self) -> bool:
        """Whether both intervals leave 1 out, or both hold it."""
        return _significant(self.real) == _significant(self.synthetic)

    @property
    def agrees(self) -> bool:
        """Whether a reader would draw the same conclusion: no effect shown by either, or one of the same direction."""
        return self.same_significance and (self.same_direction or not _significant(self.real))


def odds_ratios(real: Side, synthetic: Side, columns: list[str]) -> tuple[tuple[Effect, ...], tuple[str, ...]]:
    """Odds ratios of the outcome by logistic regression on these columns, and in words what was left out."""

    def fit(design: Design) -> tuple[np.ndarray, np.ndarray]:
        coefficients, errors = logistic.fit(design.matrix, design.outcome)
        return coefficients[1:], errors[1:]

    return compare(real, synthetic, columns, fit, fit)


def compare(
    real: Side, synthetic: Side, columns: list[str], fit_real: Fit, fit_synthetic: Fit
) -> tuple[tuple[Effect, ...], tuple[str, ...]]:
    """Ratios of the same terms in both tables; terms that separate the outcomes in one of them are left out."""
    banned: frozenset[Term] = frozenset()
    for _ in range(_MOST_ROUNDS):
        found = terms.build(real, synthetic, columns, banned)
        if not found.terms:
            return (), found.left_out
        ratios = [fit(design) for fit, design in ((fit_real, found.real), (fit_synthetic, found.synthetic))]
        separated = _separated(found, ratios)
        if separated is None:
            return _effects(found, ratios), found.left_out
        banned |= {separated}
    return (), (*found.left_out, "the outcomes are separated, so ratios have no finite estimate")


def _separated(found: Terms, ratios: list[tuple[np.ndarray, np.ndarray]]) -> Term | None:
    """The term without a finite estimate that tells the outcomes apart the most.

    One at a time: where outcomes are wholly separated, the others lose their estimates to it.
    """
    count = len(found.terms)
    told = np.zeros(count)
    for (logs, errors), design in zip(ratios, (found.real, found.synthetic), strict=True):
        endless = ~(errors[:count] <= _SEPARATED)  # missing numbers too
        told = np.maximum(told, np.where(endless, np.abs(logs[:count]) * design.matrix[:, :count].std(axis=0), 0))
    return found.terms[int(np.argmax(told))] if told.any() else None


def _effects(found: Terms, ratios: list[tuple[np.ndarray, np.ndarray]]) -> tuple[Effect, ...]:
    (real, real_errors), (synthetic, synthetic_errors) = ratios
    return tuple(
        Effect(
            column=term.column,
            level=term.level,
            reference=term.reference,
            real=_ratio(real[place], real_errors[place]),
            synthetic=_ratio(synthetic[place], synthetic_errors[place]),
        )
        for place, term in enumerate(found.terms)
    )


def _ratio(log: float, error: float) -> Estimate:
    reach = NORMAL_95 * error
    return Estimate(value=math.exp(log), low=math.exp(log - reach), high=math.exp(log + reach))


def _logs(ratio: Estimate) -> tuple[float, float]:
    return math.log(ratio.low), math.log(ratio.high)


def _significant(ratio: Estimate) -> bool:
    return ratio.low > 1 or ratio.high < 1
