"""Rows as engines take and make them: categories by number, and numbers without gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Coded:
    """n rows with a categorical and b numeric columns.

    codes: int32 (n, a), the value of each categorical column by number; sizes: int64 (a,), how many values each has.
    numbers: float64 (n, b), none of them missing.
    """

    codes: np.ndarray
    sizes: np.ndarray
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: np.ndarray) -> Coded:
        """The same columns of some rows, by position."""
        return Coded(self.codes[rows], self.sizes, self.numbers[rows])


@dataclass(frozen=True)
class Given:
    """What drawn rows shall have: in categorical column `column` one of `codes`, each as often as `shares` says."""

    column: int
    codes: np.ndarray
    shares: np.ndarray


def concatenated(parts: list[Coded]) -> Coded:
    """Rows of the same columns under each other."""
    return Coded(
        np.concatenate([part.codes for part in parts]),
        parts[0].sizes,
        np.concatenate([part.numbers for part in parts]),
    )
