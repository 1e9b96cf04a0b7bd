"""What the scores of a model are worth: how well they rank people, and whether they are true as probabilities.

Ranking is the area under the ROC curve, with the variance of DeLong et al. 1988 (Biometrics 44(3)), which also holds
for the difference of two models on the same people. Calibration is the outcome less the mean predicted probability (in
the large, 0 if right), and the slope of the outcome's log odds on the predicted ones (1 if right, below 1 if
predictions are too extreme; Cox 1958, Biometrika 45).
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from scipy.special import expit, logit
from scipy.stats import rankdata

from tasks.fairness.rates import CONFIDENCE, Difference, estimate, largest
from tasks.utility.downstream import Estimate

_Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
_DRAWS = 1000
_STRATA = 10
_LEAST_PROBABILITY = 1e-6
_ITERATIONS = 50
_MOST_VARIANCE = 0.25  # of anything in [0, 1]; one person alone does not show any


def auc(labels: np.ndarray, scores: np.ndarray) -> Estimate:
    """Area under the ROC curve; bool (n,) and float64 (n,), both labels among them."""
    value, parts = _placements(labels, scores)
    half = _Z * np.sqrt(_variance(parts))
    return estimate(value, max(value - half, 0.0), min(value + half, 1.0))


def auc_change(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Estimate:
    """Area under the ROC curve of scores `after` less that of scores `before`, on the same people."""
    (was, was_parts), (now, now_parts) = _placements(labels, before), _placements(labels, after)
    half = _Z * np.sqrt(_variance([b - a for a, b in zip(was_parts, now_parts, strict=True)]))
    return estimate(now - was, now - was - half, now - was + half)


def _placements(labels: np.ndarray, scores: np.ndarray) -> tuple[float, list[np.ndarray]]:
    """The area, and for each positive and each negative the share of the others that it is rightly placed against."""
    positive, negative = scores[labels], scores[~labels]
    ranks = rankdata(np.concatenate([positive, negative]))
    of_positive = (ranks[: len(positive)] - rankdata(positive)) / len(negative)
    of_negative = 1 - (ranks[len(positive) :] - rankdata(negative)) / len(positive)
    return float(of_positive.mean()), [of_positive, of_negative]


def _variance(parts: list[np.ndarray]) -> float:
    return sum(float(part.var(ddof=1)) / len(part) if len(part) > 1 else _MOST_VARIANCE for part in parts)


def gap(labels: np.ndarray, scores: np.ndarray) -> Estimate:
    """Share with the outcome less the mean predicted probability, by Student's normal approximation."""
    rest = labels - scores
    half = _Z * _error(rest)
    return estimate(float(rest.mean()), float(rest.mean()) - half, float(rest.mean()) + half)


def _error(rest: np.ndarray) -> float:
    return float(rest.std(ddof=1) / np.sqrt(len(rest)))


def slope(labels: np.ndarray, scores: np.ndarray) -> Estimate | None:
    """Calibration slope with Wald's interval; None where it has none, as where all scores are alike."""
    odds = logit(np.clip(scores, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY))
    design = np.stack([np.ones(len(odds)), odds], axis=1)
    at = np.array([0.0, 1.0])
    for _ in range(_ITERATIONS):
        expected = expit(design @ at)
        information = design.T @ (design * (expected * (1 - expected))[:, None])
        if np.linalg.cond(information) > 1 / np.finfo(float).eps:
            return None
        step = np.linalg.solve(information, design.T @ (labels - expected))
        at += step
        if np.abs(step).max() < 1e-8:
            half = _Z * float(np.sqrt(np.linalg.inv(information)[1, 1]))
            return estimate(float(at[1]), float(at[1]) - half, float(at[1]) + half)
    return None


def gap_difference(
    labels: np.ndarray, scores: np.ndarray, place: np.ndarray, groups: list[int], rng: np.random.Generator
) -> Difference:
    """The largest difference of calibration gaps between two of the `groups`, by number in `place` (n,).

    The null hypothesis is that equal scores mean equal chances in whichever group, so chance is what permuting the
    groups among people of similar scores (tenths of them) would show, by the mean and covariance of that permutation.
    """
    rests = [(labels - scores)[place == number] for number in groups]
    values = np.array([rest.mean() for rest in rests])
    deviations = rng.normal(0.0, [_error(rest) for rest in rests], size=(_DRAWS, len(groups)))
    mean, covariance = _permuted(labels - scores, scores, place, groups)
    drawn = rng.multivariate_normal(mean, covariance, size=_DRAWS, method="eigh")
    return largest([values], [deviations], np.ptp(drawn, axis=1))


def _permuted(
    rest: np.ndarray, scores: np.ndarray, place: np.ndarray, groups: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the groups' mean residuals where groups are permuted within tenths of the scores."""
    inside = np.isin(place, groups)
    rest, scores, number = rest[inside], scores[inside], np.searchsorted(groups, place[inside])
    edges = np.quantile(scores, np.linspace(0, 1, _STRATA + 1)[1:-1])
    stratum = np.searchsorted(edges, scores, side="right")
    people = np.bincount(number, minlength=len(groups)).astype(float)
    mean, covariance = np.zeros(len(groups)), np.zeros((len(groups), len(groups)))
    for one in np.unique(stratum):
        here = rest[stratum == one]
        counts = np.bincount(number[stratum == one], minlength=len(groups)).astype(float)
        mean += counts * here.mean()
        spread = len(here) * np.diag(counts) - np.outer(counts, counts)
        covariance += here.var() / max(len(here) - 1, 1) * spread
    return mean / people, covariance / np.outer(people, people)
