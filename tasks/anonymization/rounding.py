"""Rounding numbers to multiples of a step, and what that costs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

# As people write numbers: 0.3 and not 0.30000000000000004.
_DIGITS = 12


def multiples(values: pa.Array, step: float) -> pa.Array:
    """The nearest multiple of `step` for each number, halves to even; missing values stay missing."""
    numbers = values.to_numpy(zero_copy_only=False)
    return pa.array(np.round(np.round(numbers / step) * step, _DIGITS), mask=np.isnan(numbers))


class Rounding:
    """Rounds a column batch by batch, and measures what that does to it.

    Errors and spread are added up as in Chan et al. 1979 (updating formulas), so large numbers lose no digits.
    """

    def __init__(self, step: float) -> None:
        self._step = step
        self._count, self._mean, self._spread, self._errors = 0, 0.0, 0.0, 0.0

    @property
    def type(self) -> pa.DataType:
        """Multiples of an integer are integers."""
        return pa.int64() if float(self._step).is_integer() else pa.float64()

    @property
    def loss(self) -> float:
        """Root mean square of the rounding errors in standard deviations, at most 1; 0 for a constant column."""
        return float(min(np.sqrt(self._errors / self._spread), 1.0)) if self._spread > 0 else 0.0

    def __call__(self, values: pa.Array) -> pa.Array:
        """One more batch, float64 or integers."""
        rounded = multiples(values, self._step)
        self._note(values.to_numpy(zero_copy_only=False), rounded.to_numpy(zero_copy_only=False))
        return rounded.cast(self.type)

    def _note(self, exact: np.ndarray, rounded: np.ndarray) -> None:
        known = ~np.isnan(exact)
        count = int(known.sum())
        if not count:
            return
        mean = float(exact[known].mean())
        apart, total = mean - self._mean, self._count + count
        self._spread += float(((exact[known] - mean) ** 2).sum()) + apart**2 * self._count * count / total
        self._mean += apart * count / total
        self._count = total
        self._errors += float(((exact[known] - rounded[known]) ** 2).sum())
