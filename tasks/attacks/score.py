"""The anonymization score and its gate.

score = 100 * (1 - the largest upper bound over all attacks). The bounds hold together at the stated confidence
(Bonferroni), so the worst of them is no accident of having looked often.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from tasks.attacks.adversary import Goal
from tasks.attacks.attack import Evidence
from tasks.attacks.risk import Interval, excess_risk, success_rate
from tasks.common.values import Value


class Gate(StrEnum):
    """What follows from the risks for the threshold of the sharing context."""

    PASSES = "passes"  # every upper bound is at most the threshold
    FAILS = "fails"  # some risk is above the threshold for sure
    INCONCLUSIVE = "inconclusive"  # neither: too few attacks to decide, or too close


class Finding(Value):
    """One attack in numbers. Rates and risks are in [0, 1]; trials are on released people and on the control.

    extras: further figures that an attack of this kind is reported by, such as `tpr_at_fpr_0.01`.
    needed: trials a side that it takes to certify the threshold; None where their number was given.
    """

    name: str
    goal: Goal
    description: str
    trials: int
    control_trials: int
    success: float
    control: float
    baseline: float
    risk: float
    low: float
    high: float
    extras: dict[str, float] = Field(default_factory=dict)
    needed: int | None = None

    @property
    def people_missing(self) -> int:
        """How many more trials a side it takes to certify the threshold, if it can be; 0 if that is not known."""
        return max((self.needed or 0) - min(self.trials, self.control_trials), 0)


class Scorecard(Value):
    """The score, what set it, and every attack. `worst` is the attack with the largest upper bound."""

    score: float
    gate: Gate
    threshold: float
    confidence: float
    worst: str
    attacks: tuple[Finding, ...]

    @property
    def worst_finding(self) -> Finding:
        """The attack that set the score."""
        return next(finding for finding in self.attacks if finding.name == self.worst)

    @property
    def shortage(self) -> str | None:
        """Why an inconclusive gate cannot decide, where that is for want of people; in a sentence."""
        open_ones = [f for f in self.attacks if f.high > self.threshold and f.people_missing]
        if self.gate is not Gate.INCONCLUSIVE or not open_ones:
            return None
        most = max(open_ones, key=lambda finding: finding.needed or 0)
        return (
            f"{most.name} had {most.trials:,} trials on the release and {most.control_trials:,} on the control; "
            f"to certify {self.threshold} takes about {most.needed:,} on each side"
        )


def score(evidence: list[Evidence], threshold: float, confidence: float) -> Scorecard:
    """Sum up the evidence of all adversaries.

    confidence: of all intervals together; each has 1 - (1 - confidence) / number of attacks.
    """
    each = 1 - (1 - confidence) / len(evidence)
    findings = tuple(_finding(item, each) for item in evidence)
    worst = max(findings, key=lambda finding: finding.high)
    return Scorecard(
        score=100 * (1 - worst.high),
        gate=_gate(findings, threshold),
        threshold=threshold,
        confidence=confidence,
        worst=worst.name,
        attacks=findings,
    )


def _finding(evidence: Evidence, confidence: float) -> Finding:
    risk: Interval = excess_risk(evidence.attack, evidence.control, confidence)
    return Finding(
        name=evidence.adversary.name,
        goal=evidence.adversary.goal,
        description=evidence.adversary.describe(),
        trials=evidence.attack.count,
        control_trials=evidence.control.count,
        success=success_rate(evidence.attack, confidence).value,
        control=success_rate(evidence.control, confidence).value,
        baseline=evidence.baseline,
        risk=risk.value,
        low=risk.low,
        high=risk.high,
        extras=evidence.extras,
        needed=evidence.needed,
    )


def _gate(findings: tuple[Finding, ...], threshold: float) -> Gate:
    if any(finding.low > threshold for finding in findings):
        return Gate.FAILS
    if all(finding.high <= threshold for finding in findings):
        return Gate.PASSES
    return Gate.INCONCLUSIVE
