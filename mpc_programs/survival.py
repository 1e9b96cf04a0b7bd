"""Kaplan-Meier curves and the log-rank test of groups over hospitals, on a public grid of times.

Each hospital counts on its own side, by group and time, who has the event and who leaves without it. Counts cost the
same for a million patients as for ten, nobody learns a hospital's number of rows, and nothing of a single patient is
ever shared; rows of zeros and ones would cost and tell more, and give the same. Of each group and time the totals are
d events among n at risk; all that follows is worked out on shares.

A curve is a product of 1 - d / n (Kaplan and Meier 1958). It is shown only where at least `minimum` events have come
together since it last moved, and at least `minimum` people are at risk; in between it stays where it was. So each of
its drops stands for that many patients, as in OpenSAFELY's curves. With `minimum` 1 it is the usual curve.

The log-rank test (Mantel 1966) compares a group's events with n_g d / n, what it would have if groups were alike. It is
left out, as zeros, if a group has fewer than `minimum` events.

Leakage: which points of a curve moved, and whether each group has `minimum` events. A drop of a curve is close to a
quotient of two integers, so whoever has its digits may guess events and people at risk between two moves, and with
them how many left in between, which may be few. If all hospitals but one pool what they know, all this is of the other.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator
from scipy import stats

from mpc_programs import counts, quotients
from tasks.common.errors import ParametersError
from tasks.mpc.formats import FixedPoint, Shape
from tasks.mpc.program import Given, Outputs, Program


class LogRank(NamedTuple):
    """statistic, p_value: both are NaN if the test was left out, or nothing varies: all had the event at once."""

    statistic: float
    p_value: float


class Survival(Program):
    """groups, times: how many; the grid itself is the hospitals' affair. most_people: of one hospital. minimum: events
    for which a curve moves, of which it leaves as many at risk before, and of each group for the test.

    Reads events (groups, times) and left (groups, times), people by group and time. Who leaves at a time was at risk at
    it. Writes survival (groups, times), after each time; excess (groups,), events less those expected; and covariance
    (groups, groups), of the excess.
    """

    kind: Literal["survival"] = "survival"
    groups: Annotated[int, Field(ge=2, le=8)] = 2
    times: Annotated[int, Field(ge=1, le=500)]
    most_people: Annotated[int, Field(ge=1)]
    minimum: Annotated[int, Field(ge=1)] = 10
    format: FixedPoint = FixedPoint(bits=62, fraction=31)

    @model_validator(mode="after")
    def _possible(self) -> Survival:
        if 8 * self._people >= 2**self.format.fraction:
            raise ParametersError(
                f"{self._people:,} people in all are too many to divide by with {self.format.fraction} bits behind the "
                "point; take a format with more"
            )
        return self

    @property
    def name(self) -> str:
        return self.kind

    @property
    def _people(self) -> int:
        """At most, of all."""
        return self.parties * self.most_people

    def inputs(self, party: int) -> dict[str, Shape]:  # noqa: ARG002 - all bring the same
        people = Shape(shape=(self.groups, self.times), low=0, high=self.most_people, whole=True)
        return {"events": people, "left": people}

    def outputs(self) -> dict[str, Shape]:
        most = float(self._people)
        return {
            "survival": Shape(shape=(self.groups, self.times), low=0, high=1),
            "excess": Shape(shape=(self.groups,), low=-most, high=most),
            "covariance": Shape(shape=(self.groups, self.groups), low=-most, high=most),
        }

    def error(self) -> float:
        """A curve is a product of quotients, rounded each time. Excess adds a quotient for each event; covariance a
        product of three of them, which has the error of each and two roundings.
        """
        quotient, roundings = quotients.STEPS, 2
        curve = self.times * (quotient + roundings)
        return self.format.step * max(curve, self._people * (3 * quotient + roundings) + self.times * roundings)

    def largest(self) -> float:
        return self._people

    def checked_of(self, party: int, given: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """One party's inputs.

        Raises:
            InputError: as for every program, or there are more people in all than one party may have.
        """
        return counts.at_most(super().checked_of(party, given), self.most_people, party)

    def plainly(self, given: Given) -> Outputs:
        events, left = counts.totals(given, "events"), counts.totals(given, "left")
        at_risk = _at_risk(events + left)
        died, alive = events.sum(axis=0), at_risk.sum(axis=0)
        share = at_risk / np.maximum(alive, 1)
        weight = died * (alive - died) / np.maximum(alive - 1, 1)
        covariance = np.diag((weight * share).sum(axis=1)) - (weight * share) @ share.T
        is_compared = events.sum(axis=1).min() >= self.minimum
        return {
            "survival": self._curves(events, at_risk),
            "excess": (events - died * share).sum(axis=1) * is_compared,
            "covariance": covariance * is_compared,
        }

    def _curves(self, events: np.ndarray, at_risk: np.ndarray) -> np.ndarray:
        exact = np.cumprod(1 - events / np.maximum(at_risk, 1), axis=1)
        shown, gathered = np.ones((self.groups, self.times)), np.zeros(self.groups, dtype=np.int64)
        for time in range(self.times):
            gathered += events[:, time]
            moves = (gathered >= self.minimum) & (at_risk[:, time] >= self.minimum)
            shown[:, time] = np.where(moves, exact[:, time], shown[:, time - 1] if time else 1.0)
            gathered[moves] = 0
        return shown

    def log_rank(self, outputs: Outputs) -> LogRank:
        """The test of what everybody learned: excess' covariance^-1 excess, of all groups but one."""
        excess, covariance = outputs["excess"][:-1], outputs["covariance"][:-1, :-1]
        if np.trace(outputs["covariance"]) <= self.groups * self.error():
            return LogRank(np.nan, np.nan)
        statistic = float(excess @ np.linalg.pinv(covariance, hermitian=True) @ excess)
        return LogRank(statistic, float(stats.chi2.sf(statistic, self.groups - 1)))

    def settings(self) -> dict[str, int]:
        return {"groups": self.groups, "times": self.times, "minimum": self.minimum, "people": self._people}

    async def jointly(self, mpc: Any, own: dict[str, np.ndarray]) -> dict[str, Any]:
        both = np.vstack([own["events"], _at_risk(own["events"] + own["left"])])
        totals = functools.reduce(operator.add, mpc.shared(both, whole=True))
        events, at_risk = totals[: self.groups], totals[self.groups :]
        hazard, share, tied = _quotients(mpc, events, at_risk)
        is_compared = await _all_of(mpc, mpc.np_sum(events, axis=1) >= self.minimum)
        died = mpc.np_sum(events, axis=0)
        excess = mpc.np_sum(events - share * died, axis=1)
        weighted = share * (died * tied)
        covariance = [
            [mpc.np_sum(weighted[g] * (int(g == h) - share[h])) * is_compared for h in range(self.groups)]
            for g in range(self.groups)
        ]
        return {
            "survival": await self._shown(mpc, events, at_risk >= self.minimum, hazard),
            "excess": excess * is_compared,
            "covariance": np.array([[float(await mpc.output(each)) for each in row] for row in covariance]),
        }

    async def _shown(self, mpc: Any, events: Any, is_enough: Any, hazard: Any) -> np.ndarray:
        """Curves, opened where they move. That they do is opened as well, which they tell themselves."""
        kept = 1 - hazard
        exact, gathered = kept[:, 0], events[:, 0]
        shown = np.ones((self.groups, self.times + 1))
        for time in range(self.times):
            if time:
                exact, gathered = exact * kept[:, time], gathered + events[:, time]
            moves = np.rint(await mpc.output((gathered >= self.minimum) * is_enough[:, time])).astype(np.int64)
            gathered = gathered * (1 - moves)
            shown[:, time + 1] = np.where(moves, await mpc.output(exact * moves), shown[:, time])
        return shown[:, 1:]


def _at_risk(people: np.ndarray) -> np.ndarray:
    """Of people whose last time this is, by group and time: those who have this time or a later one."""
    return np.cumsum(people[:, ::-1], axis=1)[:, ::-1]


def _quotients(mpc: Any, events: Any, at_risk: Any) -> tuple[Any, Any, Any]:
    """All at once: events of those at risk, shares of groups of all at risk, and the variance's correction for ties."""
    groups = events.shape[0]
    died, alive = mpc.np_sum(events, axis=0, keepdims=True), mpc.np_sum(at_risk, axis=0, keepdims=True)
    not_zero = mpc.np_vstack((at_risk, alive))
    not_zero = not_zero + (not_zero < 1)
    above = mpc.np_vstack((events, at_risk, alive - died))
    below = mpc.np_vstack((not_zero[:groups], *[not_zero[groups:]] * groups, alive - 1 + 2 * (alive < 2)))
    found = quotients.quotient(above, below)
    return found[:groups], found[groups : 2 * groups], found[2 * groups]


async def _all_of(mpc: Any, bits: Any) -> int:
    return int(np.rint(await mpc.output(mpc.np_prod(bits))))
