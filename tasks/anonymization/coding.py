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


def moved_loss(exact: pa.Array | pa.ChunkedArray, released: pa.Array | pa.ChunkedArray) -> float:
    """Root mean square of how far numbers or dates moved, in standard deviations of the exact ones, at most 1.

    The measure that rounding is charged by, so that a transformation costs what the same blur would by rounding.
    """
    before, after = _floats(exact), _floats(released)
    known = ~(np.isnan(before) | np.isnan(after))
    spread = float(np.std(before[known])) if known.any() else 0.0
    if spread == 0.0:
        return 0.0
    return min(float(np.sqrt(np.mean((after[known] - before[known]) ** 2))) / spread, 1.0)


def _position(limit: Limit) -> float:
    return float(limit.toordinal() - _EPOCH) if isinstance(limit, dt.date) else float(limit)


def _floats(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_date(values.type):
        values = values.cast(pa.int32())
    return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False))
