"""Quantiles of a column over hospitals: the first bin of a public grid up to which there is the wanted share of rows.

Each hospital counts its rows by bin. A bisection on shares of totals asks whether there are enough up to the middle.
Its answers are opened, so that as many comparisons as the grid has binary digits do: the bin that comes out tells the
answers, which therefore tell nothing else. It is the inverse of the empirical distribution function (definition 1 of
Hyndman and Fan 1996), to the width of a bin.

A quantile is left out, as -1, if fewer than `minimum` rows are on one of its sides: the largest of 50 values is one
patient's.

Leakage: which quantiles have so few rows. A bin that is narrow enough holds one patient's value, so take bins in which
many share a value, such as years of age. If all hospitals but one pool what they know, a quantile bounds how many of
its rows are on either side.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from mpc_programs import counts
from tasks.mpc.formats import FixedPoint, Shape
from tasks.mpc.program import Given, Outputs, Program

_WHOLE = 1000


class Quantile(Program):
    """thousandths: of rows that are up to each quantile: 500 for the median. bins: of the grid. most_rows: of one
    party. minimum: rows on each side of a quantile that is shown.

    Reads counts (bins,), rows by bin. Writes bin (as many as thousandths,), from 0, or -1.
    """

    kind: Literal["quantile"] = "quantile"
    thousandths: tuple[Annotated[int, Field(ge=1, le=_WHOLE - 1)], ...] = (250, 500, 750)
    bins: Annotated[int, Field(ge=2, le=100_000)] = 1000
    most_rows: Annotated[int, Field(ge=1)]
    minimum: Annotated[int, Field(ge=1)] = 10
    format: FixedPoint = FixedPoint(bits=48, fraction=4)

    @property
    def name(self) -> str:
        return self.kind

    @property
    def _rows(self) -> int:
        return self.parties * self.most_rows

    def inputs(self, party: int) -> dict[str, Shape]:  # noqa: ARG002 - all bring the same
        return {"counts": Shape(shape=(self.bins,), low=0, high=self.most_rows, whole=True)}

    def outputs(self) -> dict[str, Shape]:
        return {"bin": Shape(shape=(len(self.thousandths),), low=-1, high=self.bins - 1, whole=True)}

    def error(self) -> float:
        return 0.0

    def largest(self) -> float:
        return _WHOLE * max(self._rows, self.minimum)

    def checked_of(self, party: int, given: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """One party's inputs.

        Raises:
            InputError: as for every program, or there are more people in all than one party may have.
        """
        return counts.at_most(super().checked_of(party, given), self.most_rows, party)

    def plainly(self, given: Given) -> Outputs:
        up_to = np.cumsum(counts.totals(given, "counts"))
        wanted = np.array(self.thousandths)
        first = np.searchsorted(_WHOLE * up_to, wanted * up_to[-1])
        sides = np.minimum(wanted, _WHOLE - wanted) * up_to[-1]
        return {"bin": np.where(sides >= _WHOLE * self.minimum, first, -1)}

    def settings(self) -> dict[str, int]:
        wanted = {f"thousandths_{level}": each for level, each in enumerate(self.thousandths)}
        levels = len(self.thousandths)
        return {**wanted, "levels": levels, "bins": self.bins, "minimum": self.minimum, "people": self._rows}

    async def jointly(self, mpc: Any, own: dict[str, np.ndarray]) -> dict[str, Any]:
        up_to = functools.reduce(operator.add, mpc.shared(np.cumsum(own["counts"]), whole=True))
        wanted, rows = np.array(self.thousandths), up_to[self.bins - 1 :]
        enough = (rows * np.minimum(wanted, _WHOLE - wanted)) >= _WHOLE * self.minimum
        shown = np.rint(await mpc.output(enough)).astype(np.int64)
        first = np.zeros(len(wanted), dtype=np.int64)
        half = 1 << (self.bins - 1).bit_length()
        while half > 1:
            half //= 2
            # Up to the last bin there never are fewer than wanted.
            probe = np.minimum(first + half - 1, self.bins - 1)
            is_after = up_to[probe] * _WHOLE < rows * wanted
            first += half * np.rint(await mpc.output(is_after * shown)).astype(np.int64)
        return {"bin": shown * (first + 1) - 1}
