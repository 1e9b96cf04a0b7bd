"""Mean, variance and histogram of a column over hospitals with different numbers of rows.

Cells of the histogram with fewer than a minimum of rows are suppressed before anything is opened, and so are all cells
where the suppressed ones together have fewer: the number of rows is known, and what is missing would be theirs.

Leakage: each hospital's number of rows is public. Mean and variance are of at least `minimum` rows, but if all
hospitals but one pool what they know, those tell the other's mean and variance, and cells tell its cells. A suppressed
cell looks like an empty one; together suppressed cells have what is missing to all rows, which bounds each.
"""

from __future__ import annotations

import functools
import itertools
import operator
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from tasks.common.errors import ParametersError
from tasks.mpc.formats import Shape
from tasks.mpc.program import Given, Outputs, Program


class MeanVariance(Program):
    """rows: of each party. low, high: of values. bins: cells of equal width, each with its lower edge; `high` is in the
    last. minimum: rows of a cell that is shown.

    Reads values (rows of the party,). Writes mean (1,), variance (1,), with n - 1 below the fraction, and histogram
    (bins,), with 0 for suppressed cells.
    """

    kind: Literal["mean_variance"] = "mean_variance"
    rows: tuple[Annotated[int, Field(ge=1)], ...]
    low: Annotated[float, Field(allow_inf_nan=False)]
    high: Annotated[float, Field(allow_inf_nan=False)]
    bins: Annotated[int, Field(ge=1, le=100)] = 10
    minimum: Annotated[int, Field(ge=2)] = 10

    @model_validator(mode="after")
    def _possible(self) -> MeanVariance:
        if len(self.rows) != self.parties:
            raise ParametersError(f"rows has {len(self.rows)} numbers for {self.parties} parties")
        if any(left >= right for left, right in itertools.pairwise(self._edges)):
            raise ParametersError(f"{self.bins} cells from {self.low:g} to {self.high:g} are narrower than a step")
        if self._count < self.minimum:
            raise ParametersError(f"{self._count} rows in all are fewer than the minimum, {self.minimum}")
        return self

    @property
    def name(self) -> str:
        return self.kind

    @property
    def _count(self) -> int:
        return sum(self.rows)

    @property
    def _half(self) -> float:
        return (self.high - self.low) / 2

    @property
    def _edges(self) -> list[int]:
        """Of cells, in steps of the format."""
        low, high = self._steps(self.low), self._steps(self.high)
        return [(low * (self.bins - cell) + high * cell) // self.bins for cell in range(self.bins + 1)]

    @property
    def _middle(self) -> float:
        """What is taken from values before they are squared."""
        return (self._steps(self.low) + self._steps(self.high)) // 2 * self.format.step

    def _steps(self, value: float) -> int:
        return round(value / self.format.step)

    def inputs(self, party: int) -> dict[str, Shape]:
        return {"values": Shape(shape=(self.rows[party],), low=self.low, high=self.high)}

    def outputs(self) -> dict[str, Shape]:
        most = self._half**2 * self._count / (self._count - 1)
        return {
            "mean": Shape(shape=(1,), low=self.low, high=self.high),
            "variance": Shape(shape=(1,), low=0, high=most),
            "histogram": Shape(shape=(self.bins,), low=0, high=self._count, whole=True),
        }

    def error(self) -> float:
        """Each value is rounded, each square as well, and the sum's square by a step of the mean."""
        return 8 * self.format.step * (1 + self._half)

    def largest(self) -> float:
        return max(abs(self.low), abs(self.high), self._count * max(1.0, self._half, self._half**2))

    def plainly(self, given: Given) -> Outputs:
        values = np.concatenate([given[party]["values"] for party in range(self.parties)])
        counts = self._counts(values)
        small = counts[counts < self.minimum].sum()
        shown = np.where(counts >= self.minimum, counts, 0) if not 0 < small < self.minimum else np.zeros_like(counts)
        return {"mean": values.mean(keepdims=True), "variance": values.var(ddof=1, keepdims=True), "histogram": shown}

    def _counts(self, values: np.ndarray) -> np.ndarray:
        """Rows by cell, of values as MP-SPDZ rounds them to steps: halves away from 0."""
        steps = np.trunc(values / self.format.step + np.copysign(0.5, values)).astype(np.int64)
        cells = np.searchsorted(np.array(self._edges[1:-1], dtype=np.int64), steps, side="right")
        return np.bincount(cells, minlength=self.bins)

    def settings(self) -> dict[str, int]:
        rows = {f"rows_{party}": rows for party, rows in enumerate(self.rows)}
        ends = {"low": self._steps(self.low), "high": self._steps(self.high)}
        return {**rows, **ends, "bins": self.bins, "minimum": self.minimum}

    async def jointly(self, mpc: Any, own: dict[str, np.ndarray]) -> dict[str, Any]:
        values, count = own["values"], self._count
        off = values - self._middle
        moments = functools.reduce(operator.add, mpc.shared(np.array([off.sum(), (off**2).sum()])))
        # The sums are what mean and variance tell, since the number of rows is known.
        total, squares = await mpc.output(moments)
        variance = (squares - total * total / count) / (count - 1)
        counts = functools.reduce(operator.add, mpc.shared(self._counts(values), whole=True))
        kept = counts * (counts >= self.minimum)
        missing = count - mpc.np_sum(kept)
        is_telling = (missing >= 1) * (missing < self.minimum)
        return {"mean": self._middle + total / count, "variance": variance, "histogram": kept * (1 - is_telling)}
