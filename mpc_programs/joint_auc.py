"""The area under the ROC curve of a score over all its holders, without pooling rows.

It is the chance that a positive's score is above a negative's, where equal ones count half (Hanley and McNeil 1982). On
a public grid of scores each holder counts its positives and negatives by bin; the wins are one inner product of totals,
whatever the number of rows. To compare every positive with every negative would take as many secure comparisons as
there are pairs, a million for 2,000 rows, and give more digits than the AUC of so many rows means.

Of scores that are multiples of a bin's width the AUC is exact. Of others it is that of scores rounded down to bins,
and off by at most half the share of pairs that fall into one bin, which `within` gives: pairs in different bins are
compared rightly. All outputs are integers, and have no error.

Leakage: the AUC of so many positives and negatives as a fraction, and how many pairs share a bin, which tells
something of how scores lie; nothing if there are fewer than `minimum` positives or negatives, but that there are. If
all holders but one pool what they know, how many positives and negatives it has, and what of the wins are not among
their own rows.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from mpc_programs import counts
from tasks.common.errors import InputError
from tasks.mpc.formats import FixedPoint, Shape
from tasks.mpc.program import Given, Outputs, Program


class Auc(NamedTuple):
    """value: on the grid. within: how far that of the scores themselves may be. Both are NaN if it is not shown."""

    value: float
    within: float


class JointAuc(Program):
    """bins: of the score. most_people: of one holder. minimum: positives, and negatives, for which anything is shown.

    Reads positives (bins,) and negatives (bins,), rows by bin of their score. Writes doubled_wins (1,), twice the pairs
    of a positive and a negative that the positive wins, with ties as halves; ties (1,), pairs in one bin; and positives
    (1,) and negatives (1,), rows in all.
    """

    kind: Literal["joint_auc"] = "joint_auc"
    bins: Annotated[int, Field(ge=2, le=100_000)] = 1000
    most_people: Annotated[int, Field(ge=1)]
    minimum: Annotated[int, Field(ge=1)] = 10
    format: FixedPoint = FixedPoint(bits=48, fraction=4)

    @property
    def name(self) -> str:
        return self.kind

    @property
    def _people(self) -> int:
        return self.parties * self.most_people

    def binned(self, scores: np.ndarray, is_positive: np.ndarray, *, low: float, high: float) -> dict[str, np.ndarray]:
        """A holder's inputs from its rows: bins of equal width with their lower edge, and `high` in the last.

        Raises:
            InputError: scores are missing or out of range, or not one for each outcome.
        """
        if scores.shape != is_positive.shape or not ((scores >= low) & (scores <= high)).all():
            raise InputError(f"scores have to be one for each outcome, from {low:g} to {high:g}")
        cells = np.minimum(np.floor((scores - low) / (high - low) * self.bins).astype(np.int64), self.bins - 1)
        outcomes = is_positive.astype(bool)
        of = {"positives": cells[outcomes], "negatives": cells[~outcomes]}
        return {name: np.bincount(each, minlength=self.bins) for name, each in of.items()}

    def inputs(self, party: int) -> dict[str, Shape]:  # noqa: ARG002 - all bring the same
        rows = Shape(shape=(self.bins,), low=0, high=self.most_people, whole=True)
        return {"positives": rows, "negatives": rows}

    def outputs(self) -> dict[str, Shape]:
        pairs = self._people**2 / 4
        most = {"doubled_wins": 2 * pairs, "ties": pairs, "positives": self._people, "negatives": self._people}
        return {name: Shape(shape=(1,), low=0, high=high, whole=True) for name, high in most.items()}

    def error(self) -> float:
        return 0.0

    def largest(self) -> float:
        return max(self._people, self._people**2 / 2)

    def checked_of(self, party: int, given: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """One party's inputs.

        Raises:
            InputError: as for every program, or there are more people in all than one party may have.
        """
        return counts.at_most(super().checked_of(party, given), self.most_people, party)

    def plainly(self, given: Given) -> Outputs:
        positives, negatives = counts.totals(given, "positives"), counts.totals(given, "negatives")
        found = {
            "doubled_wins": positives @ _doubled_losers(negatives),
            "ties": positives @ negatives,
            "positives": positives.sum(),
            "negatives": negatives.sum(),
        }
        is_shown = min(positives.sum(), negatives.sum()) >= self.minimum
        return {name: np.atleast_1d(number * is_shown) for name, number in found.items()}

    def auc(self, outputs: Outputs) -> Auc:
        """The AUC of what everybody learned."""
        wins, ties, positives, negatives = (int(outputs[name][0]) for name in self.outputs())
        if not positives * negatives:
            return Auc(np.nan, np.nan)
        return Auc(wins / (2 * positives * negatives), ties / (2 * positives * negatives))

    def settings(self) -> dict[str, int]:
        return {"bins": self.bins, "minimum": self.minimum, "people": self._people}

    async def jointly(self, mpc: Any, own: dict[str, np.ndarray]) -> dict[str, Any]:
        rows = np.stack([own["positives"], own["negatives"], _doubled_losers(own["negatives"])])
        positives, negatives, losers = functools.reduce(operator.add, mpc.shared(rows, whole=True))
        sums = [mpc.np_sum(positives), mpc.np_sum(negatives)]
        is_shown = (sums[0] >= self.minimum) * (sums[1] >= self.minimum)
        found = [mpc.np_sum(positives * losers), mpc.np_sum(positives * negatives), *sums]
        return {name: each * is_shown for name, each in zip(self.outputs(), found, strict=True)}


def _doubled_losers(negatives: np.ndarray) -> np.ndarray:
    """By bin, twice the negatives that a positive there wins over."""
    return 2 * np.cumsum(negatives) - negatives
