"""Logistic, linear and ridge regression by gradient descent over rows that lie at several parties.

Each step takes all rows. Probabilities are those of mpc_programs/link.py, within 0.0090 of the sigmoid's, and
coefficients approach those that are best under that link. What is descended is convex, and of the rates that are
allowed no step makes an error grow.

Linear regression never looks at rows twice: products of columns are summed once, and steps are on these.

Leakage: coefficients, and each party's number of rows. If all but one pool what they know, coefficients are a function
of the other's rows alone; after many steps on few rows they fit these.

Source: Nesterov 2004, theorem 2.1.12 (steps on convex functions bring points no farther from each other).
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import Field, model_validator

from mpc_programs.link import RANGE, REST, SCALE, SHIFT, SLOPE, bent, link, within_one
from tasks.common.errors import InputError, ParametersError
from tasks.mpc.formats import Shape
from tasks.mpc.program import Given, Outputs, Program

# The farthest that a residual goes before it is scaled.
_MOST_RESIDUAL: Final = 1 / SCALE
_Real = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RegressionTraining(Program):
    """rows: of each party, which may have none. features: columns besides the intercept. model: what is fitted.
    steps, rate: of descent. penalty: of the squares of coefficients, by half of it, against the mean loss of a row; the
    intercept bears none. With a penalty a linear model is ridge regression.

    most: of the magnitude of features; most_outcome: of the outcome in linear regression. longest: of a row with its
    1 for the intercept, as a vector, if it is less than `most` in all features; curvature: of the pooled rows'
    products, their mean square along any direction. Standardized features have at most one more than features.
    start: whether party 0 brings coefficients to start from, to update a model; most_start: of their magnitude.

    Reads features (rows, features), outcome (rows,), which is 0 or 1 in logistic regression, and of party 0 start
    (features + 1,), the intercept last. Writes coefficients (features,) and intercept (1,).
    """

    kind: Literal["regression_training"] = "regression_training"
    rows: tuple[Annotated[int, Field(ge=0)], ...]
    features: Annotated[int, Field(ge=1)]
    model: Literal["logistic", "linear"] = "logistic"
    steps: Annotated[int, Field(ge=1, le=10_000)] = 20
    rate: _Real = 0.1
    penalty: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    most: _Real = 8.0
    most_outcome: _Real = 8.0
    longest: _Real | None = None
    curvature: _Real | None = None
    start: bool = False
    most_start: _Real = 8.0

    @model_validator(mode="after")
    def _possible(self) -> RegressionTraining:
        if len(self.rows) != self.parties:
            raise ParametersError(f"rows has {len(self.rows)} numbers for {self.parties} parties")
        if self._count < 2:
            raise ParametersError("there have to be 2 rows or more in all")
        most_rate = 2 / (self._slope * self._curvature + self.penalty)
        if self.rate > most_rate:
            raise ParametersError(
                f"a rate of {self.rate:g} may diverge on rows of curvature {self._curvature:g}; take at most "
                f"{most_rate:.3g}, or say a curvature that the pooled rows have"
            )
        return self

    @property
    def name(self) -> str:
        return self.kind

    @property
    def _is_logistic(self) -> bool:
        return self.model == "logistic"

    @property
    def _count(self) -> int:
        return sum(self.rows)

    @property
    def _length(self) -> float:
        return self.longest or math.sqrt(1 + self.features * self.most**2)

    @property
    def _curvature(self) -> float:
        return self.curvature or self.features + 1.0

    @property
    def _slope(self) -> float:
        return SLOPE if self._is_logistic else 1.0

    @property
    def _most_off(self) -> float:
        """Of a residual."""
        return 1.0 if self._is_logistic else self.most_outcome

    def _reach(self, step: int) -> float:
        """The Euclidean length of coefficients after a step: a step's gradient is at most that of all residuals."""
        first = self.most_start * math.sqrt(self.features + 1) if self.start else 0.0
        return first + step * self.rate * math.sqrt(self._curvature) * self._most_off

    def inputs(self, party: int) -> dict[str, Shape]:
        rows, outcome = self.rows[party], Shape(shape=(self.rows[party],), low=0, high=1, whole=True)
        if not self._is_logistic:
            outcome = Shape(shape=(rows,), low=-self.most_outcome, high=self.most_outcome)
        features = Shape(shape=(rows, self.features), low=-self.most, high=self.most)
        start = Shape(shape=(self.features + 1,), low=-self.most_start, high=self.most_start)
        return {"features": features, "outcome": outcome} | ({"start": start} if self.start and party == 0 else {})

    def outputs(self) -> dict[str, Shape]:
        most = self._reach(self.steps)
        return {
            "coefficients": Shape(shape=(self.features,), low=-most, high=most),
            "intercept": Shape(shape=(1,), low=-most, high=most),
        }

    def checked_of(self, party: int, given: Mapping[str, Any]) -> dict[str, np.ndarray]:
        found = super().checked_of(party, given)
        lengths = np.sqrt(1 + (found["features"] ** 2).sum(axis=1))
        if bad := int((lengths > self._length).sum()):
            raise InputError(f"party {party}: {bad:,} of {len(lengths):,} rows are longer than {self._length:g}")
        return found

    def error(self) -> float:
        """What each step adds by rounding, at most; no step makes it grow. Holds where the curvature does."""
        each = self._error_of_a_link if self._is_logistic else self._error_of_products
        around = math.sqrt(self.features + 1) * self.format.step
        steps = (self.rate * each(step) + around * (1 + 2 * self.rate) for step in range(self.steps))
        return around + sum(steps)

    def _error_of_a_link(self, step: int) -> float:
        """Of a gradient: scores are off by what features are rounded by and scores shortened to, products by a step."""
        shortened = RANGE * 2.0 ** (self.format.fraction - self._short)
        off = SLOPE * (shortened + math.sqrt(self.features + 1) * self._reach(step) / 2) + 2
        return self.format.step * (math.sqrt(self._curvature) * off + math.sqrt(self.features + 1))

    def _error_of_products(self, step: int) -> float:
        """Of a gradient: means of products are off by two steps and by what their factors are rounded by."""
        size = self.features + 1
        products = size * (2 + self.most) * self._reach(step)
        outcome = math.sqrt(size) * (4 + (self.most + self.most_outcome) / 2)
        return self.format.step * (products + outcome)

    def largest(self) -> float:
        reach, column = self._reach(self.steps), max(1.0, self.most)
        # Sums over rows are of products, for which there is room for the square.
        if self._is_logistic:
            return max(self._length * reach, math.sqrt(self._count * column * _MOST_RESIDUAL), column * _MOST_RESIDUAL)
        products = column * max(column, self.most_outcome)
        return max(math.sqrt(self._count * products), self._curvature * reach + products)

    def plainly(self, given: Given) -> Outputs:
        rows = np.concatenate([given[party]["features"] for party in range(self.parties)])
        outcome = np.concatenate([given[party]["outcome"] for party in range(self.parties)]).astype(np.float64)
        rows = np.column_stack([rows, np.ones(len(rows))])
        held = np.append(np.full(self.features, self.penalty), 0.0)
        found = given[0]["start"].astype(np.float64) if self.start else np.zeros(self.features + 1)
        for _ in range(self.steps):
            said = link(rows @ found) if self._is_logistic else rows @ found
            found = found - self.rate * (rows.T @ (said - outcome) / self._count + held * found)
        return {"coefficients": found[:-1], "intercept": found[-1:]}

    @property
    def _short(self) -> int:
        """Bits behind the point of a score over `RANGE`, of which a product of five and three bits more fit."""
        return min(self.format.fraction, (2 * self.format.bits - 3) // 5)

    @property
    def _halvings(self) -> int:
        """By which sums over rows become less than a mean."""
        return math.ceil(math.log2(self._count))

    def settings(self) -> dict[str, int]:
        rows = {f"rows_{party}": rows for party, rows in enumerate(self.rows)}
        pace = self.rate * 2**self._halvings / self._count * (SCALE if self._is_logistic else 1.0)
        behind = self.format.bits - 2 - max(0, math.ceil(math.log2(max(pace, self.rate * self.penalty, 1.0))))
        short = self._short
        bent = {"alpha": round(SHIFT * 2 ** (2 * short)), "gamma": round(REST * 2 ** (4 * short)), "short": short}
        residual = {"half": round(0.5 / SCALE / self.format.step), "whole": round(1 / SCALE / self.format.step)}
        return {
            **rows, "features": self.features, "logistic": int(self._is_logistic), "steps": self.steps,
            "start": int(self.start), "halvings": self._halvings, "behind": behind, "pace": round(pace * 2**behind),
            "decay": round(self.rate * self.penalty * 2**behind), **bent, **residual,
        }  # fmt: skip

    async def jointly(self, mpc: Any, own: dict[str, np.ndarray]) -> dict[str, Any]:
        sums = self._count * self._length * max(_MOST_RESIDUAL, self._length, self._most_off, self._reach(self.steps))
        fixed = mpc.fine(self.largest(), sums)
        begin = own["start"] if self.start and mpc.pid == 0 else np.zeros(self.features + 1)
        found = mpc.shared_by(0, begin, fixed)
        held = np.append(np.full(self.features, self.rate * self.penalty), 0.0)
        gradient = await (self._gradient_of_rows if self._is_logistic else self._gradient_of_products)(mpc, own, fixed)
        for _ in range(self.steps):
            change = gradient(found) + (found * held if self.penalty else 0)
            found = found - change
        return {"coefficients": found[: self.features], "intercept": found[self.features :]}

    async def _gradient_of_rows(self, mpc: Any, own: dict[str, np.ndarray], fixed: type) -> Any:
        """Of logistic regression times the rate, from shared coefficients. Rows are shared as quarters."""
        rows, outcome = [], []
        for party, count in enumerate(self.rows):
            if count:
                is_own = party == mpc.pid
                columns = np.column_stack([own["features"], np.ones(count)]) if is_own else None
                truth = own["outcome"] - 0.5 if is_own else np.zeros(count)
                quarters = columns / RANGE if columns is not None else np.zeros((count, self.features + 1))
                rows.append(mpc.shared_by(party, quarters, fixed))
                outcome.append(mpc.shared_by(party, truth / SCALE, fixed))
        shared, truth = mpc.np_vstack(rows), mpc.np_hstack(outcome)
        turned, pace = mpc.np_transpose(shared), self.rate * RANGE * SCALE / self._count

        def gradient(found: Any) -> Any:
            t = within_one(mpc, shared @ found, self.largest())
            return (turned @ (bent(t) - truth)) * pace

        return gradient

    async def _gradient_of_products(self, mpc: Any, own: dict[str, np.ndarray], fixed: type) -> Any:
        """Of linear regression times the rate. Each party multiplies its own columns before it shares anything."""
        rows = np.column_stack([own["features"], np.ones(len(own["features"]))])
        products = np.column_stack([rows.T @ rows, rows.T @ own["outcome"]]) * (self.rate / self._count)
        every = [mpc.shared_by(p, products if p == mpc.pid else 0 * products, fixed) for p in range(self.parties)]
        pooled = functools.reduce(operator.add, every)
        squares, crossed = pooled[:, :-1], pooled[:, -1]
        return lambda found: squares @ found - crossed
