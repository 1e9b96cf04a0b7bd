"""How many people to attack, so that a release that deserves it can pass.

The upper bound of a risk has to come below the threshold T. Let the control's rate be c, the true risk r = T/3, so that
the attack succeeds with a = c + r (1 - c). The estimated ratio of failures R = (1 - a) / (1 - c) = 1 - r has, with n
people a side and the design effect D of the strata (Kish 1965, Survey Sampling, 8.2), by the delta method the variance

    s^2 / n,   s = R sqrt(D (a / (1 - a) + c / (1 - c))).

The bound is below T where the estimate stays z s / sqrt(n) above 1 - T, with z for the confidence of one of m
simultaneous intervals (Bonferroni), and does so with probability 0.9 if its mean is another 1.28 s / sqrt(n) above:

    n = ((z + 1.28) s / (T - r))^2

(the sample size for two proportions, Fleiss et al. 2003, ch. 4, on the scale of the ratio). With r = 0, c = 0.75, T =
0.09, z = 1.96 and no reserve for the power this is 2,845. Since Wilson's bounds are wider at rates near 0, n grows
until they agree.

c and D come from a pilot on few people of the control; that the release's own people are not looked at keeps the
number from depending on what it is to decide.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from tasks.attacks.risk import Stratum, Trials, excess_risk
from tasks.common.policy import Policy
from tasks.common.values import Value

PILOT = 1_000
POWER = 0.9
_WELL_BELOW = 1 / 3
_STEP = 1.05
_MOST = 10**7


class Aim(Value):
    """What is to be certified: a threshold, at a confidence over so many attacks together."""

    threshold: float
    confidence: float
    attacks: int

    @property
    def each(self) -> float:
        """Confidence of one interval."""
        return 1 - (1 - self.confidence) / self.attacks


def aim(policy: Policy, attacks: int, *, while_adjusting: bool = False) -> Aim | None:
    """What the score cards of a policy are to certify; None where the policy gives the number of trials.

    while_adjusting: whether the working threshold has to hold too, and two cards together.
    """
    if policy.attacks.trials is not None:
        return None
    if while_adjusting:
        return Aim(threshold=policy.working_threshold, confidence=policy.verdict_confidence, attacks=attacks)
    return Aim(threshold=policy.threshold, confidence=policy.attacks.confidence, attacks=attacks)


def needed(control: Trials, aim: Aim) -> int:
    """The least number of trials a side that certifies a risk of a third of the threshold with probability 0.9.

    control: a pilot, whose rate and strata stand for those to come. At most 10 million: a control that always succeeds
    leaves nothing to gain, and no number is enough.
    """
    trials, successes = control.count + 2, control.rate * control.count + 1
    rate = successes / trials
    effect = control.count * sum(s.weight**2 * s.variance_of_rate() for s in control.strata) / (rate * (1 - rate))
    true = _WELL_BELOW * aim.threshold
    attacked = rate + true * (1 - rate)
    spread = (1 - true) * math.sqrt(effect * (attacked / (1 - attacked) + rate / (1 - rate)))
    normal = NormalDist()
    reserve = normal.inv_cdf(POWER) * spread
    z = normal.inv_cdf(0.5 + aim.each / 2)
    count = ((z * spread + reserve) / (aim.threshold - true)) ** 2
    while count < _MOST and _bound(rate, true + reserve / math.sqrt(count), count / effect, aim.each) > aim.threshold:
        count *= _STEP
    return min(math.ceil(count), _MOST)


def _bound(control: float, risk: float, count: float, confidence: float) -> float:
    """Upper bound of a risk measured as `risk` with so many independent trials a side."""
    attack = min(control + risk * (1 - control), 1.0)
    return excess_risk(_coin(attack, count), _coin(control, count), confidence).high


def _coin(rate: float, count: float) -> Trials:
    trials = max(round(count), 1)
    hits = rate * trials
    return Trials(strata=(Stratum(name="all", weight=1, trials=trials, successes=hits, squares=hits),))
