"""Privacy criteria on equivalence classes, that is on merged tuples. Each says which classes violate it.

Both are monotone: merging two classes that satisfy a criterion gives one that does, so the rows to suppress only
shrink on the way up the lattice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from tasks.anonymization.classes import Tuples

# `people` is a sum of fractions 1/n; a class of exactly k people may come out at k - 1e-15.
_ROUNDING = 1e-9


class Criterion(Protocol):
    """A condition that each class of a release has to satisfy."""

    @property
    def monotone(self) -> bool:
        """Whether merging classes that satisfy it gives one that does."""
        ...

    def violated(self, classes: Tuples) -> np.ndarray:
        """bool (c,), true for classes that do not satisfy it."""
        ...

    def describe(self) -> str:
        """The criterion in the field's terms."""
        ...


@dataclass(frozen=True)
class KAnonymity:
    """At least k people in a class (Sweeney 2002, IJUFKS 10(5), def. 3), counted as people and not as rows."""

    k: int
    monotone: ClassVar[bool] = True

    def violated(self, classes: Tuples) -> np.ndarray:
        """Classes of fewer than k people."""
        return classes.people < self.k - _ROUNDING

    def describe(self) -> str:
        """As `5-anonymity`."""
        return f"{self.k}-anonymity"


@dataclass(frozen=True)
class DistinctDiversity:
    """At least l different secrets in a class (Machanavajjhala et al. 2007, TKDD 1(1), distinct l-diversity)."""

    column: str
    l: int  # noqa: E741 - the field's own name
    monotone: ClassVar[bool] = True

    def violated(self, classes: Tuples) -> np.ndarray:
        """Classes with fewer than l different values of the column."""
        return classes.distinct_secrets(self.column) < self.l

    def describe(self) -> str:
        """As `distinct 2-diversity of result`."""
        return f"distinct {self.l}-diversity of {self.column}"


def violating(criteria: list[Criterion], classes: Tuples) -> np.ndarray:
    """bool (c,), true for classes that violate at least one criterion."""
    bad = np.zeros(len(classes.rows), dtype=bool)
    for criterion in criteria:
        bad |= criterion.violated(classes)
    return bad
