"""Top and bottom coding: values beyond a limit are released as the limit, which then stands for all beyond it.

A released 90 under `top: 90` means 90 or more, and is drawn so by whoever reads the policy. Columns stay numbers (or
dates), so everything downstream goes on working. The standing example is HIPAA's Safe Harbor, which asks for ages over
89 to become one category of 90 and older: `top: 90` (45 CFR 164.514(b)(2)(i)(C)).

Source: Hundepool et al. 2012, Statistical Disclosure Control, 3.2.3 (top and bottom coding as global recoding).
"""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.common.policy import Column
from tasks.common.reading import floats
from tasks.common.transformation_forms import Limit

_EPOCH = dt.date(1970, 1, 1).toordinal()


def coded(values: pa.Array | pa.ChunkedArray, column: Column) -> pa.Array | pa.ChunkedArray:
    """Values of a numeric or date column with those beyond its limits replaced by them; missing ones stay missing."""
    for limit, beyond in ((column.bottom, pc.less), (column.top, pc.greater)):
        if limit is not None:
            edge = pa.scalar(limit, values.type)
            values = pc.if_else(beyond(values, edge), edge, values)
    return values


def span(position: float, column: Column) -> tuple[float, float] | None:
    """What a released number (a date as days since 1970) covers if it is one of the column's limits, else None."""
    if column.bottom is not None and position <= _position(column.bottom):
        return (-math.inf, _position(column.bottom))
    if column.top is not None and position >= _position(column.top):
        return (_position(column.top), math.inf)
    return None


class Moved:
    """How far numbers or dates moved, added up batch by batch (Chan et al. 1979, updating formulas)."""

    def __init__(self) -> None:
        self._count, self._mean, self._spread, self._errors = 0, 0.0, 0.0, 0.0

    @property
    def loss(self) -> float:
        """Root mean square of the moves in standard deviations of the exact values, at most 1; 0 for a constant column.

        The measure that rounding is charged by, so that a transformation costs what the same blur would by rounding.
        """
        return min(float(np.sqrt(self._errors / self._spread)), 1.0) if self._spread > 0 else 0.0

    def add(self, exact: pa.Array | pa.ChunkedArray, released: pa.Array | pa.ChunkedArray) -> None:
        """One more batch of values before and after."""
        before, after = floats(exact), floats(released)
        known = ~(np.isnan(before) | np.isnan(after))
        before, after, count = before[known], after[known], int(known.sum())
        if count == 0:
            return
        mean, total = float(before.mean()), self._count + count
        self._spread += float(((before - mean) ** 2).sum()) + (mean - self._mean) ** 2 * self._count * count / total
        self._mean += (mean - self._mean) * count / total
        self._errors += float(((after - before) ** 2).sum())
        self._count = total


def moved_loss(exact: pa.Array | pa.ChunkedArray, released: pa.Array | pa.ChunkedArray) -> float:
    """The loss of a whole column at once; see Moved."""
    moved = Moved()
    moved.add(exact, released)
    return moved.loss


def _position(limit: Limit) -> float:
    return float(limit.toordinal() - _EPOCH) if isinstance(limit, dt.date) else float(limit)
