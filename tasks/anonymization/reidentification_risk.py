"""Average risk of re-identification, over all records of a release (El Emam 2013, Guide to the De-Identification of
Personal Health Information, ch. 16; the same in ARX).

f people of the table and F of the population in each of J classes that are kept, n people in all: a prosecutor, who
knows that the target is in the table, is right in J / n of all attempts on average; a journalist, who shows off with
anyone, in the larger of J / sum(F) and the marketer's average, sum(f / F) / n, which is the share of records that a
match with a register of the population gets right. Their maxima, 1 / min(f) and 1 / min(F), are k-anonymity and k-map.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import numpy as np

from tasks.anonymization.classes import ROUNDING, Tuples
from tasks.anonymization.population import living


class Average(StrEnum):
    """What is averaged."""

    PROSECUTOR = "prosecutor"  # J / n
    POPULATION = "population"  # J / sum(F), a part of the journalist's risk
    MARKETER = "marketer"  # sum(f / F) / n, the other part


@dataclass(frozen=True)
class AverageRisk:
    """An average risk of at most `most`: classes of most excess over it for their rows are suppressed until it holds.

    Each class has an excess, and the risk holds where the excess of all that are kept is not positive. With equal
    people and rows, the smallest classes go first, and no other choice would suppress fewer people.
    Monotone: merging adds up excess of the marketer at most and counts a class less otherwise. What any node below
    suppresses is at least what the best fractions of classes here would take.
    """

    average: Average
    most: float
    monotone: ClassVar[bool] = True

    def suppressed(self, classes: Tuples, bad: np.ndarray, place: Callable[[], np.ndarray]) -> np.ndarray:
        """See TableCriterion."""
        excess = self._excess(classes)
        left = float(excess[~bad].sum())
        if left <= ROUNDING:
            return bad
        candidates = np.flatnonzero(~bad & (excess > 0))
        worth = excess[candidates] / np.maximum(classes.people[candidates], ROUNDING)
        first = candidates[np.lexsort((place()[candidates], -worth))]
        enough = int(np.searchsorted(np.cumsum(excess[first]), left - ROUNDING)) + 1
        grown = bad.copy()
        grown[first[:enough]] = True
        return grown

    def unavoidable(self, classes: Tuples) -> float:
        """See TableCriterion."""
        present = classes.rows > 0
        excess, people = self._excess(classes)[present], classes.people[present]
        left, gains = float(excess.sum()), excess > 0
        if left <= ROUNDING:
            return 0.0
        excess, people = excess[gains], people[gains]
        first = np.argsort(-excess / np.maximum(people, ROUNDING))
        gained, spent = np.cumsum(excess[first]), np.cumsum(people[first])
        last = min(int(np.searchsorted(gained, left)), len(first) - 1)
        over = max(gained[last] - left, 0.0) / excess[first[last]]
        return max(float(spent[last] - over * people[first[last]]) - 1e-6, ROUNDING)

    def _excess(self, classes: Tuples) -> np.ndarray:
        if self.average is Average.PROSECUTOR:
            return 1 - self.most * classes.people
        people = living(classes)
        if self.average is Average.POPULATION:
            return 1 - self.most * people
        return classes.people / np.maximum(people, ROUNDING) - self.most * classes.people

    def describe(self) -> str:
        """As `average prosecutor risk of at most 0.05`."""
        return f"average {self.average} risk of at most {self.most:g}"
