"""Inference under encryption as a job: the linear predictor comes back encrypted, and the owner applies the link."""

from __future__ import annotations

from collections import defaultdict
from typing import Literal

import numpy as np

from tasks.common.errors import CiphertextError, InputError, KeyRefused, ParametersError
from tasks.encryption import approximate
from tasks.encryption.approximate import Approximate
from tasks.encryption.ciphertext import Encrypted
from tasks.encryption.inference import rows
from tasks.encryption.inference.evaluation import Layout, evaluated, levels, shapes
from tasks.encryption.inference.plan import Plan
from tasks.encryption.inference.sizing import Size, sized
from tasks.encryption.job import Job, Messages, Needs
from tasks.encryption.security import Level
from tasks.encryption.session import Session


class Inference(Job):
    """A plan on people.

    layout: columns for many people, who share ciphertexts; rows for one, or a few. precision: how much encryption may
    add to the error of a predictor. Messages are named batch/part; a batch is of people who share ciphertexts.
    """

    kind: Literal["inference"] = "inference"
    plan: Plan
    layout: Layout = Layout.COLUMNS
    precision: float = 1e-4
    security: Level = 128

    def size(self) -> Size:
        """Parameters, and the error that encryption adds at most.

        Raises:
            ParametersError: none are enough.
        """
        return sized(self.plan, self.layout, self.precision, self.security)

    @property
    def depth(self) -> int:
        """How many primes are dropped on the way; none in a linear model."""
        return levels(self.plan, self.size().babies)

    def needs(self) -> Needs:
        """No rotations where a ciphertext is a column, no products for a linear model."""
        rotations = {step for shape in shapes(self.plan) for step in shape.rotations}
        return Needs(
            parameters=self.size().parameters,
            rotations=tuple(sorted(rotations)) if self.layout is Layout.ROWS else (),
            products=len(self.plan.layers) > 1,
        )

    def encrypt(self, owner: Session, data: np.ndarray) -> dict[str, Encrypted]:
        """data: (rows, features), of the model's order and units.

        Raises:
            InputError: the shape is another one.
            WouldBeWrong: values are missing, or out of the ranges that the plan holds on.
        """
        values = self.plan.entered(data)
        if self.layout is Layout.ROWS:
            period = shapes(self.plan)[0].period
            return {
                name: self._encrypted(owner, name, rows.repeated(row, period, owner.slots))
                for name, row in ((f"{number:06d}/row", row) for number, row in enumerate(values))
            }
        made: dict[str, Encrypted] = {}
        for number, start in enumerate(range(0, len(values), owner.slots)):
            for feature, column in enumerate(values[start : start + owner.slots].T):
                name = f"{number:06d}/feature{feature:05d}"
                made[name] = self._encrypted(owner, name, column)
        return made

    def parts(self, names: list[str]) -> list[list[str]]:
        """Batches."""
        return list(_batches(names).values())

    def evaluate(self, evaluator: Session, messages: Messages) -> dict[str, Encrypted]:
        """Predictors of whole batches.

        Raises:
            CiphertextError: a ciphertext is missing, or not a fresh one of this job.
            ParametersError, KeyRefused: the keys are not made for this job.
        """
        self._require_keys(evaluator)
        batches = _batches(sorted(messages))
        count = len(self.plan.features) if self.layout is Layout.COLUMNS else 1
        given = []
        for batch, names in batches.items():
            if len(names) != count:
                raise CiphertextError(f"batch {batch} has {len(names)} ciphertexts instead of {count}")
            given.append([self._fresh(evaluator, name, messages[name]) for name in names])
        if not given:
            raise InputError("there is nothing to evaluate")
        made = evaluated(self.plan, self.layout, self.size().babies, given)
        answers: dict[str, Encrypted] = {}
        for batch, outputs in zip(batches, made, strict=True):
            for number, output in enumerate(outputs):
                output.layout = self._layout(name := f"{batch}/predictor{number:05d}")
                answers[name] = output
        return answers

    def decrypt(self, owner: Session, messages: Messages) -> dict[str, np.ndarray]:  # noqa: ARG002
        """predictor and response, float64 (rows, outputs) each.

        Raises:
            CiphertextError: an answer is missing, or not one of this job.
            KeyRefused, WouldBeWrong: as for ciphertexts.
        """
        found = []
        for names in _batches(sorted(messages)).values():
            columns = [approximate.decrypt(self._taken(name, messages[name])) for name in names]
            if len(columns) != (self.plan.outputs if self.layout is Layout.COLUMNS else 1):
                raise CiphertextError("an answer has another number of predictors than the plan")
            people = np.column_stack(columns) if self.layout is Layout.COLUMNS else columns[0][None, :]
            found.append(people[:, : self.plan.outputs])
        if not found:
            raise InputError("there is no answer to decrypt")
        predictor = np.concatenate(found)
        return {"predictor": predictor, "response": self.plan.response(predictor)}

    def stated_error(self, messages: Messages) -> float:
        """How far predictors out of these may be from the model's own, by encryption and by polynomials together."""
        return max(message.error for message in messages.values()) + self.plan.approximation

    def plainly(self, data: np.ndarray) -> dict[str, np.ndarray]:
        """predictor and response of the model itself."""
        predictor = self.plan.predictor(data)
        return {"predictor": predictor, "response": self.plan.response(predictor)}

    def _layout(self, name: str) -> str:
        """By which a message says that it is this one, of this job."""
        return f"{self.kind} {self.layout} of plan {self.plan.fingerprint}, {name}"

    def _encrypted(self, owner: Session, name: str, values: np.ndarray) -> Approximate:
        return approximate.encrypt(owner, values, self._layout(name), bound=1.0)

    def _taken(self, name: str, ciphertext: Encrypted) -> Approximate:
        if not isinstance(ciphertext, Approximate) or ciphertext.layout != self._layout(name):
            raise CiphertextError(f"{name} is not the message of that name of this job; it says {ciphertext.layout}")
        return ciphertext

    def _fresh(self, evaluator: Session, name: str, ciphertext: Encrypted) -> Approximate:
        given = self._taken(name, ciphertext)
        if given.level or given.scale != evaluator.scale or given.bound > 1:
            raise CiphertextError(f"{name} is not as the owner's encryption makes it; send a fresh one")
        return given

    def _require_keys(self, evaluator: Session) -> None:
        needs = self.needs()
        if evaluator.parameters != needs.parameters:
            raise ParametersError("these keys have other parameters than this job needs; make keys for it")
        if missing := sorted(set(needs.rotations) - evaluator.rotations):
            raise KeyRefused(f"these keys lack rotations that this job needs: {', '.join(map(str, missing))}")
        if needs.products and not evaluator.products:
            raise KeyRefused("these keys lack the one for products, which this job needs")


def _batches(names: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        found[name.partition("/")[0]].append(name)
    return found
