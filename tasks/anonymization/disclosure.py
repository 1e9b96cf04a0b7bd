"""Limits on what a class tells about each single secret: delta-disclosure privacy and beta-likeness.

t-closeness bounds a sum over all secrets, which a rare one may hide in; these bound how much more, or how much more and
less, frequent each secret is in a class than in the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tasks.anonymization.classes import ROUNDING, Tuples, fewest_rows
from tasks.anonymization.histograms import Histogram
from tasks.common.compiling import compiled


@dataclass(frozen=True, eq=False)
class BetaLikeness:
    """No secret's share q exceeds its share p in the table by more than beta p (Cao and Karras 2012, VLDB 5(11), def.
    2).

    Enhanced: nor by more than -p ln p (def. 3), which keeps frequent secrets from becoming certain. overall: float64
    (m,). Monotone: the share in a merged class lies between those in its parts. Not absorbing: with caps p (1 + beta),
    a suppressed share s of a class leaves q <= (1 - s) cap + s, so s >= (q - cap) / (1 - cap).
    """

    column: str
    beta: float
    overall: np.ndarray
    enhanced: bool
    monotone: ClassVar[bool] = True

    @property
    def caps(self) -> np.ndarray:
        """Largest share of each secret in a class, float64 (m,)."""
        known = np.where(self.overall > 0, self.overall, 1.0)
        gain = np.minimum(self.beta, -np.log(known)) if self.enhanced else self.beta
        return self.overall * (1 + gain)

    def violated(self, classes: Tuples) -> np.ndarray:
        """Classes in which some secret is too frequent."""
        return self.judged(classes)[0]

    def judged(self, classes: Tuples, _settled: np.ndarray | None = None, /) -> tuple[np.ndarray, np.ndarray]:
        """See ClassCriterion."""
        excess = _excess(classes.secrets[self.column], self.caps)
        violated = excess > 0
        return violated, fewest_rows(classes, violated, classes.people * excess)

    def describe(self) -> str:
        """As `enhanced 1-likeness of result`."""
        return f"{'enhanced' if self.enhanced else 'basic'} {self.beta:g}-likeness of {self.column}"


@dataclass(frozen=True, eq=False)
class DeltaDisclosure:
    """|ln(q / p)| < delta for the share q of each secret of a class (Brickell and Shmatikov 2008, KDD, def. 3).

    As ARX and pycanon read it, for secrets that occur in the class; ARX takes logarithms to base 2. overall: float64
    (m,). Not monotone: a class without a secret satisfies it, and merged with one that has it may be left with too
    small a share. What is kept still satisfies the upper half, q < p e^delta, which counts as in beta-likeness.
    """

    column: str
    delta: float
    overall: np.ndarray
    monotone: ClassVar[bool] = False

    def violated(self, classes: Tuples) -> np.ndarray:
        """Classes in which the share of some secret is too far from that in the table."""
        return self.judged(classes)[0]

    def judged(self, classes: Tuples, _settled: np.ndarray | None = None, /) -> tuple[np.ndarray, np.ndarray]:
        """See ClassCriterion."""
        histogram = classes.secrets[self.column]
        furthest = _log_ratios(histogram.starts, histogram.codes, histogram.counts, self.overall)
        excess = _excess(histogram, self.overall * np.exp(self.delta))
        return furthest >= self.delta - ROUNDING, fewest_rows(classes, excess > 0, classes.people * excess)

    def describe(self) -> str:
        """As `1-disclosure privacy of result`."""
        return f"{self.delta:g}-disclosure privacy of {self.column}"


def _excess(histogram: Histogram, caps: np.ndarray) -> np.ndarray:
    """Least share of each class to suppress before no secret is above its cap, float64 (classes,)."""
    return _excess_of(histogram.starts, histogram.codes, histogram.counts, caps, ROUNDING)


@compiled
def _excess_of(
    starts: np.ndarray, codes: np.ndarray, counts: np.ndarray, caps: np.ndarray, rounding: float
) -> np.ndarray:
    excess = np.zeros(len(starts) - 1)
    for number in range(len(excess)):
        people = counts[starts[number] : starts[number + 1]].sum()
        for entry in range(starts[number], starts[number + 1]):
            cap = caps[codes[entry]]
            if counts[entry] / people > cap * (1 + rounding):
                excess[number] = max(excess[number], (counts[entry] / people - cap) / (1 - cap))
    return excess


@compiled
def _log_ratios(starts: np.ndarray, codes: np.ndarray, counts: np.ndarray, overall: np.ndarray) -> np.ndarray:
    furthest = np.zeros(len(starts) - 1)
    for number in range(len(furthest)):
        people = counts[starts[number] : starts[number + 1]].sum()
        for entry in range(starts[number], starts[number + 1]):
            furthest[number] = max(furthest[number], abs(np.log(counts[entry] / people / overall[codes[entry]])))
    return furthest
