"""Logistic regression on encrypted rows: a few steps of gradient descent, after which the owner decrypts coefficients.

Following Kim, Song, Kim, Lee, Cheon, Logistic regression model training based on the approximate homomorphic encryption
(BMC Medical Genomics 11:83, 2018): the sigmoid is a polynomial of degree 3, the least-squares fit over a stated range,
and a row z = ±(1, x) carries its label as its sign, so that a step is β += rate/m · Σ z·p(-z·β). It differs in layout:
a column is a ciphertext and people are slots. Then z·β is a sum of ciphertexts, and the sum over people fills all slots
by itself, so that no masks are needed. With rows scaled by s = (rate·|a₃|/m)^¼ the cubic term has the factor 1, and

    Σ z·q(t) = Σ (z·t)·(t² - c₁) + c₀·Σ z        with t = z·β

takes three levels. The last sum is linear in the rows and the same in every step: the owner encrypts it beforehand. It
also is the first step, from coefficients of zero; the evaluator takes the others. Rows beyond the slots become
mini-batches, that steps take in turn. Steps are plain gradient descent; momentum would cost a level each.

That nothing wraps around is proven, not assumed: rows have a stated norm, so that a step lengthens the coefficients by
at most rate·max |p|, and |t| is at most their length. Outside of the range of the fit p is no sigmoid any more, but the
steps are still those of `plainly`.

Who learns what. The evaluator: how many rows and columns, rate and steps. The owner, who has the rows: coefficients.
"""

from __future__ import annotations

import functools
import math
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from tasks.common.errors import InputError, ParametersError, WouldBeWrong
from tasks.encryption import approximate
from tasks.encryption.approximate import Approximate, inner
from tasks.encryption.ciphertext import Encrypted
from tasks.encryption.job import Job, Messages, Needs
from tasks.encryption.jobs import fitting
from tasks.encryption.jobs.messages import labelled, require_keys, take, taken
from tasks.encryption.jobs.slots import doublings, folded
from tasks.encryption.parameters import Parameters
from tasks.encryption.security import most_bits
from tasks.encryption.session import Session

_LEVELS = 3  # of a step
_DEGREES = (16384, 32768)
_SPECIAL_BITS = 60
_LEAST_SCALE, _MOST_SCALE = 40, 50
# Coefficients that no scale has room for.
_FURTHEST = 2.0**20
# How much longer than stated a row may be by floating point.
_OFF = 1e-9


class Sigmoid(NamedTuple):
    """1/2 + linear·t + cubic·t³, the polynomial that stands for 1/(1 + exp(-t))."""

    linear: float
    cubic: float

    def at(self, t: np.ndarray) -> np.ndarray:
        """Its values."""
        return 0.5 + self.linear * t + self.cubic * t**3

    def most(self, reach: float) -> float:
        """Its largest absolute value over ±reach."""
        turn = math.sqrt(-self.linear / (3 * self.cubic))
        at = [reach, min(turn, reach)]
        return max(float(np.abs(self.at(np.array([sign * t for t in at for sign in (1, -1)]))).max()), 0.5)


class LogisticTraining(Job):
    """Steps of gradient descent for the logistic model of a label, 0 or 1, by features.

    norm: of the longest row with a 1 for the intercept, ‖(1, x)‖. steps: altogether. rate: of a step, for rows divided
    by the norm. reach: the range of the fit of the sigmoid. Data are (rows, features + 1), the label last, in random
    order if there are more than a ciphertext has slots. The result, by the name of coefficients, is float64
    (features + 1,), the intercept first.

    So few steps get far only if features are whitened, that is uncorrelated with variance 1 (the owner can do that).
    """

    kind: Literal["logistic-training"] = "logistic-training"
    rows: Annotated[int, Field(ge=2)]
    features: Annotated[int, Field(ge=1)]
    norm: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    steps: Annotated[int, Field(ge=2, le=7)] = 3
    rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2.0
    reach: Annotated[float, Field(ge=2, le=20)] = 8.0

    def needs(self) -> Needs:
        parameters = _parameters(self)
        return Needs(parameters=parameters, rotations=doublings(1, parameters.slots), products=True)

    def encrypt(self, owner: Session, data: np.ndarray) -> dict[str, Encrypted]:
        require_keys(self, owner)
        rows, made, scaling = self._rows(data), {}, _scaling(self)
        for batch in range(scaling.batches):
            chosen = rows[batch :: scaling.batches]
            for column in range(self.features + 1):
                slots = np.zeros(owner.slots)
                slots[: len(chosen)] = chosen[:, column] * scaling.s
                made[_row(batch, column)] = approximate.encrypt(owner, slots, bound=scaling.s * (1 + _OFF))
                constant = scaling.c0 * float(slots.sum())
                made[_constant(batch, column)] = approximate.encrypt(
                    owner, np.full(owner.slots, constant), bound=self.rate / 2 * (1 + 2 * _OFF)
                )
        return {name: labelled(self, name, each) for name, each in made.items()}

    def evaluate(self, evaluator: Session, messages: Messages) -> dict[str, Encrypted]:
        require_keys(self, evaluator)
        columns, batches = range(self.features + 1), _scaling(self).batches
        coefficients: list[Any] = taken(self, messages, [_constant(0, column) for column in columns])
        for step in range(1, self.steps):
            batch = step % batches
            rows = taken(self, messages, [_row(batch, column) for column in columns])
            products = self._products(rows, coefficients, step)
            for column, product in enumerate(products):
                constant = take(self, messages, _constant(batch, column))
                moved = coefficients[column] + constant + self._summed(product, step)
                coefficients[column] = _within(moved, _reaches(self)[step])
        return {_coefficient(k): labelled(self, _coefficient(k), each) for k, each in enumerate(coefficients)}

    def decrypt(self, owner: Session, messages: Messages) -> dict[str, Any]:
        require_keys(self, owner)
        found = []
        for answer in taken(self, messages, [_coefficient(column) for column in range(self.features + 1)]):
            slots = approximate.decrypt(answer)
            if np.ptp(slots) > 2 * answer.error:
                raise WouldBeWrong("the slots of a coefficient differ, so that it is none; it was not made rightly")
            found.append(float(slots.mean()) / self.norm)
        return {"coefficients": np.array(found)}

    def plainly(self, data: np.ndarray) -> dict[str, Any]:
        rows, sigmoid, batches = self._rows(data), sigmoid_fit(self.reach), _scaling(self).batches
        coefficients = np.zeros(self.features + 1)
        for step in range(self.steps):
            batch = rows[step % batches :: batches]
            errors = sigmoid.at(-batch @ coefficients)
            coefficients += self.rate / math.ceil(self.rows / batches) * (errors @ batch)
        return {"coefficients": coefficients / self.norm}

    def stated_error(self, messages: Messages) -> float:
        return super().stated_error(messages) / self.norm

    def _products(self, rows: list[Approximate], coefficients: list[Any], step: int) -> list[Approximate]:
        """(z·t)·(t² - c₁) of each person and column, not yet rescaled."""
        scaling, reached = _scaling(self), _reaches(self)[step - 1]
        level = coefficients[0].level
        t = _within(inner([row.at(level, row.scale) for row in rows], coefficients).rescaled(), scaling.s * reached)
        rest = inner([t], [t]).rescaled() - scaling.c1
        turned = [inner([row.at(t.level, row.scale)], [t]).rescaled() for row in rows]
        return [inner([each], [rest]) for each in turned]

    def _summed(self, product: Approximate, step: int) -> Approximate:
        """Over people, in all slots. No more than the step's length, as the rest of the sigmoid is bounded."""
        total = folded(product, self.needs().rotations).rescaled()
        return _within(total, self.rate * (sigmoid_fit(self.reach).most(_reaches(self)[step - 1]) + 0.5))

    def _rows(self, data: np.ndarray) -> np.ndarray:
        """±(1, x) / norm."""
        data = np.asarray(data)
        if data.shape != (self.rows, self.features + 1) or data.dtype.kind not in "biuf":
            raise InputError(f"the rows have to be numbers, {self.rows:,} by {self.features:,} features and the label")
        if missing := int((~np.isfinite(data)).sum()):
            raise InputError(f"{missing:,} values are missing or infinite")
        label = data[:, -1]
        if not np.isin(label, (0, 1)).all():
            raise InputError("labels are 0 or 1")
        rows = np.column_stack([np.ones(self.rows), data[:, :-1]]) / self.norm
        if longer := int((np.linalg.norm(rows, axis=1) > 1 + _OFF).sum()):
            raise InputError(f"{longer:,} rows are longer than the norm of {self.norm:g}; scale or clip features")
        return rows * np.where(label == 1, 1.0, -1.0)[:, None]


class Scaling(NamedTuple):
    """What rows are multiplied with, and the polynomial of what they then are; mini-batches."""

    s: float
    c0: float
    c1: float
    batches: int


@functools.lru_cache(maxsize=16)
def sigmoid_fit(reach: float) -> Sigmoid:
    """The least-squares polynomial of degree 3 over ±reach, by Gauss-Legendre quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    t, root = nodes * reach, np.sqrt(weights)
    odd = np.stack([t, t**3], axis=1)
    linear, cubic = np.linalg.lstsq(odd * root[:, None], (1 / (1 + np.exp(-t)) - 0.5) * root, rcond=None)[0]
    return Sigmoid(float(linear), float(cubic))


def _reaches(job: LogisticTraining) -> list[float]:
    """How long coefficients of normed rows, and thus |z·β|, can be after each step.

    Raises:
        ParametersError: longer than anything has room for.
    """
    sigmoid, reaches = sigmoid_fit(job.reach), [job.rate / 2]
    for _ in range(1, job.steps):
        reaches.append(reaches[-1] + job.rate * sigmoid.most(reaches[-1]))
        if reaches[-1] > _FURTHEST:
            raise _too_far(job)
    return reaches


@functools.lru_cache(maxsize=16)
def _scaling(job: LogisticTraining) -> Scaling:
    batches = math.ceil(job.rows / (_parameters(job).slots))
    sigmoid, people = sigmoid_fit(job.reach), math.ceil(job.rows / batches)
    return Scaling(*_factors(job.rate, sigmoid, people), batches)


def _factors(rate: float, sigmoid: Sigmoid, people: int) -> tuple[float, float, float]:
    s = (rate * -sigmoid.cubic / people) ** 0.25
    return s, rate / (2 * people * s), rate * sigmoid.linear / (people * s**2)


@functools.lru_cache(maxsize=16)
def _parameters(job: LogisticTraining) -> Parameters:
    levels = _LEVELS * (job.steps - 1)
    for degree in _DEGREES:
        people = math.ceil(job.rows / math.ceil(job.rows / (degree // 2)))
        bound = _most(job, people, degree // 2)
        room = math.ceil(math.log2(4 * bound))
        scale_bits = min(_MOST_SCALE, (most_bits(degree, 128) - _SPECIAL_BITS - room) // (levels + 1))
        if scale_bits >= _LEAST_SCALE and scale_bits + room <= _SPECIAL_BITS:
            return fitting.approximate(levels=levels, scale_bits=scale_bits, bound=bound, least_degree=degree)
    raise _too_far(job)


def _too_far(job: LogisticTraining) -> ParametersError:
    return ParametersError(
        f"{job.steps} steps at a rate of {job.rate:g} need more levels, or more room, than any ring has; take fewer or "
        "smaller steps"
    )


def _most(job: LogisticTraining, people: int, slots: int) -> float:
    """Of a sum over slots as its guard bounds it, and of coefficients."""
    s, _, c1 = _factors(job.rate, sigmoid_fit(job.reach), people)
    reaches = _reaches(job)
    t = s * reaches[-2]
    return max(slots * s * t * (t**2 + c1), reaches[-1], 1.0)


def _within(ciphertext: Approximate, bound: float) -> Any:
    """The same, known by proof to be smaller than the operations alone tell."""
    return ciphertext.like(ciphertext.native, bound=min(ciphertext.bound, bound), error=ciphertext.error)


def _row(batch: int, column: int) -> str:
    return f"column{column:04d}.batch{batch:04d}"


def _constant(batch: int, column: int) -> str:
    return f"constant{column:04d}.batch{batch:04d}"


def _coefficient(column: int) -> str:
    return f"coefficient{column:04d}"
