"""Diversity of secrets within a class (Machanavajjhala et al. 2007, TKDD 1(1)): distinct, entropy and recursive.

A class whose people share a secret gives it away, however many they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tasks.anonymization.classes import ROUNDING, Tuples, fewest_rows
from tasks.common.compiling import compiled


@dataclass(frozen=True)
class DistinctDiversity:
    """At least l different secrets in a class (section 4.2).

    Monotone and absorbing: a class that merges with any other keeps its secrets.
    """

    column: str
    l: int  # noqa: E741 - the field's own name
    monotone: ClassVar[bool] = True

    def violated(self, classes: Tuples) -> np.ndarray:
        """Classes with fewer than l different values of the column."""
        return classes.distinct_secrets(self.column) < self.l

    def judged(self, classes: Tuples, _settled: np.ndarray | None = None, /) -> tuple[np.ndarray, np.ndarray]:
        """See ClassCriterion; no part of a violating class can be kept."""
        violated = self.violated(classes)
        return violated, np.where(violated, classes.rows, 0)

    def describe(self) -> str:
        """As `distinct 2-diversity of result`."""
        return f"distinct {self.l}-diversity of {self.column}"


@dataclass(frozen=True)
class EntropyDiversity:
    """Entropy of the secrets in a class at least log l (def. 4.1); l need not be whole.

    Monotone: entropy is concave, so a mixture of classes has at least the least entropy among them. Not absorbing:
    where n people have entropy H, what is kept of them has at least log l, so that H >= (1 - s) log l for a suppressed
    share s, and s >= 1 - H / log l. Of a class of fewer than l secrets nothing can be kept.
    """

    column: str
    l: float  # noqa: E741 - the field's own name
    monotone: ClassVar[bool] = True

    def violated(self, classes: Tuples) -> np.ndarray:
        """Classes with less entropy than l equally frequent secrets."""
        return self.judged(classes)[0]

    def judged(self, classes: Tuples, _settled: np.ndarray | None = None, /) -> tuple[np.ndarray, np.ndarray]:
        """See ClassCriterion."""
        histogram = classes.secrets[self.column]
        entropy = _entropies(histogram.starts, histogram.counts)
        violated = entropy < np.log(self.l) - ROUNDING
        fewest = fewest_rows(classes, violated, classes.people * (1 - entropy / np.log(self.l)))
        return violated, np.where(classes.distinct_secrets(self.column) < self.l - ROUNDING, classes.rows, fewest)

    def describe(self) -> str:
        """As `entropy 1.8-diversity of result`."""
        return f"entropy {self.l:g}-diversity of {self.column}"


@dataclass(frozen=True)
class RecursiveDiversity:
    """The most frequent secret less frequent than c times all from the l-th on together, r1 < c (rl + ... + rm) (def.
    4.3).

    Monotone: r1 + c (r1 + ... + r(l-1)) - c n < 0 says the same, and sums of the largest counts are subadditive. Not
    absorbing: a suppressed person lowers that expression by at most 1, so at least as many people as it is above zero.
    """

    column: str
    c: float
    l: int  # noqa: E741 - the field's own name
    monotone: ClassVar[bool] = True

    def violated(self, classes: Tuples) -> np.ndarray:
        """Classes whose most frequent secret is too frequent; classes of fewer than l secrets are among them."""
        return self.judged(classes)[0]

    def judged(self, classes: Tuples, _settled: np.ndarray | None = None, /) -> tuple[np.ndarray, np.ndarray]:
        """See ClassCriterion."""
        histogram = classes.secrets[self.column]
        excess = _recursive_excess(histogram.starts, histogram.counts, self.c, self.l)
        violated = excess > -ROUNDING
        fewest = fewest_rows(classes, violated, excess)
        return violated, np.where(classes.distinct_secrets(self.column) < self.l, classes.rows, fewest)

    def describe(self) -> str:
        """As `recursive (3, 2)-diversity of result`."""
        return f"recursive ({self.c:g}, {self.l})-diversity of {self.column}"


@compiled
def _entropies(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Entropy of each class in nats, float64 (classes,); 0 of an empty one."""
    entropies = np.zeros(len(starts) - 1)
    for number in range(len(entropies)):
        people, weighted = 0.0, 0.0
        for entry in range(starts[number], starts[number + 1]):
            people += counts[entry]
            weighted += counts[entry] * np.log(counts[entry])
        if people > 0:
            entropies[number] = max(np.log(people) - weighted / people, 0.0)
    return entropies


@compiled
def _recursive_excess(starts: np.ndarray, counts: np.ndarray, c: float, l: int) -> np.ndarray:  # noqa: E741
    """How far each class's most frequent secret is above c times the tail, float64 (classes,)."""
    excess = np.zeros(len(starts) - 1)
    for number in range(len(excess)):
        sorted_counts = np.sort(counts[starts[number] : starts[number + 1]])
        if len(sorted_counts) > 0:
            tail = sorted_counts[: max(len(sorted_counts) - l + 1, 0)].sum()
            excess[number] = sorted_counts[-1] - c * tail
    return excess
