"""Bias with made-up numbers, for tests of what is done with it."""

from tasks.fairness.cost import Cost
from tasks.fairness.measure import Bias, GroupRates
from tasks.fairness.rates import Difference
from tasks.fairness.thresholds import Cut, Rule, Thresholds
from tasks.fairness.unbias import Fairness
from tasks.utility.downstream import Estimate


def share(value):
    return Estimate(value=value, low=value - 0.02, high=value + 0.02)


def bias(gap, column="sex", group="f"):
    """Groups flagged with this difference, where chance alone would show 0.02 and stays below 0.04."""
    difference = Difference(value=gap, low=max(gap - 0.03, 0), high=gap + 0.03, chance=0.02, chance_high=0.04)
    large = GroupRates(
        group=group, people=1200, positives=240, observed=share(0.2), selected=share(0.21), true_positive=share(0.52),
        false_positive=share(0.13), predictive=share(0.43), calibration=share(-0.031), slope=share(0.87),
        auc=share(0.78),
    )  # fmt: skip
    small = GroupRates(
        group="m", people=90, positives=None, observed=None, selected=share(0.21 - gap), true_positive=None,
        false_positive=None, predictive=None, calibration=None, slope=None, auc=None,
    )  # fmt: skip
    return Bias(
        column=column, groups=(large, small), left_out=("x",), parity_difference=difference,
        odds_difference=difference, opportunity_difference=difference, predictive_difference=None,
        calibration_difference=difference,
    )  # fmt: skip


def thresholds(**changes):
    rule = Rule(share=0.2, cuts=(Cut(threshold=0.31, chance=0.4), Cut(threshold=0.32, chance=0.6)))
    return Thresholds(equalized="demographic_parity", columns=("sex",), groups={"f": rule}, others=rule)


def fairness(**changes):
    made = {
        "before": (bias(0.15),), "after": (bias(0.01),), "unmeasured": (), "mitigation": ("rows", "weights"),
        "labels": "trusted", "added": 20, "thresholds": None, "tolerance": 0.05,
        "cost": Cost(
            auc_before=share(0.8), auc_after=share(0.78), auc_change=share(-0.019), flagged_before=share(0.2),
            flagged_after=share(0.2), found_before=share(0.52), found_after=share(0.49), found_change=share(-0.03),
        ),
    }  # fmt: skip
    return Fairness(**(made | changes))
