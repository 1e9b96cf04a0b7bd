"""What mitigation costs: how much worse the model ranks people and finds cases, on the same people.

Before and after are compared person by person, which tells much smaller changes from noise than two intervals do.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from tasks.common.values import Value
from tasks.fairness import rates, scores
from tasks.fairness.measure import Tested
from tasks.utility.downstream import Estimate

_Z = NormalDist().inv_cdf(0.5 + rates.CONFIDENCE / 2)


class Cost(Value):
    """Of the model before and after, and after less before, with 95 % intervals.

    auc: area under the ROC curve; thresholds do not change it. flagged: share of all people. found: share of those with
    the outcome who were flagged.
    """

    auc_before: Estimate
    auc_after: Estimate
    auc_change: Estimate
    flagged_before: Estimate
    flagged_after: Estimate
    found_before: Estimate
    found_after: Estimate
    found_change: Estimate


def cost(before: Tested, after: Tested) -> Cost:
    """Compare a model before and after mitigation; both were tested on the same people, in the same order."""
    labels = before.labels
    was, now = before.flagged[labels], after.flagged[labels]
    return Cost(
        auc_before=scores.auc(labels, before.scores),
        auc_after=scores.auc(labels, after.scores),
        auc_change=scores.auc_change(labels, before.scores, after.scores),
        flagged_before=rates.wilson(int(before.flagged.sum()), len(labels)),
        flagged_after=rates.wilson(int(after.flagged.sum()), len(labels)),
        found_before=rates.wilson(int(was.sum()), len(was)),
        found_after=rates.wilson(int(now.sum()), len(now)),
        found_change=_paired(was, now),
    )


def _paired(was: np.ndarray, now: np.ndarray) -> Estimate:
    """Difference of two proportions of the same people, with Wald's interval after half a person in each of four cells.

    Source: Agresti and Min 2005, Statistics in Medicine 24(5).
    """
    count, gained, lost = len(was) + 2, int((now & ~was).sum()) + 0.5, int((was & ~now).sum()) + 0.5
    middle = (gained - lost) / count
    half = _Z * float(np.sqrt(gained + lost - (gained - lost) ** 2 / count)) / count
    return rates.estimate(float(now.mean() - was.mean()), middle - half, middle + half)
