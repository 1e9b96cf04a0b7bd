"""The sum of a vector of each party, or the mean weighted by what each vector stands for.

Leakage: with two parties, or if all but one pool what they know, the sum tells the other's vector.
"""

from __future__ import annotations

import functools
import operator
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from tasks.common.errors import ParametersError
from tasks.mpc.formats import Shape
from tasks.mpc.program import Given, Outputs, Program

# The weights' sum is at least this, so that division stays within its error.
_LEAST_WEIGHT = 1.0
# Behind the point, of what MP-SPDZ divides rightly: 31 of 62 bits did in all tests, 36 of 48 in none.
_LONGEST_FRACTION = 31


class SecureSum(Program):
    """length: of each vector; most: of the magnitude of its numbers. weighted: each party also brings a weight.

    Reads vector (length,) and, if weighted, weight (1,), from 1 to `most_weight`. Writes total (length,), or mean
    (length,) and weight (1,), the sum of all.
    """

    kind: Literal["secure_sum"] = "secure_sum"
    length: Annotated[int, Field(ge=1)]
    most: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    weighted: bool = False
    most_weight: Annotated[float, Field(ge=_LEAST_WEIGHT, allow_inf_nan=False)] = 1000.0

    @model_validator(mode="after")
    def _divides(self) -> SecureSum:
        if self.weighted and self.format.fraction > _LONGEST_FRACTION:
            raise ParametersError(
                f"quotients with {self.format.fraction} bits behind the point were found wrong in MP-SPDZ's rings; "
                f"they are right with up to {_LONGEST_FRACTION}"
            )
        return self

    @property
    def name(self) -> str:
        return self.kind

    def inputs(self, party: int) -> dict[str, Shape]:  # noqa: ARG002 - all bring the same
        vector = {"vector": Shape(shape=(self.length,), low=-self.most, high=self.most)}
        weight = {"weight": Shape(shape=(1,), low=_LEAST_WEIGHT, high=self.most_weight)}
        return vector | (weight if self.weighted else {})

    def outputs(self) -> dict[str, Shape]:
        if not self.weighted:
            most = self.parties * self.most
            return {"total": Shape(shape=(self.length,), low=-most, high=most)}
        weights = self.parties * self.most_weight
        return {
            "mean": Shape(shape=(self.length,), low=-self.most, high=self.most),
            "weight": Shape(shape=(1,), low=_LEAST_WEIGHT, high=weights),
        }

    def error(self) -> float:
        """Inputs are rounded once each; products once more; a quotient by Goldschmidt's method to a few steps."""
        step = self.format.step
        if not self.weighted:
            return self.parties * step
        return 4 * step * (1 + self.most) * self.parties * self.most_weight

    def largest(self) -> float:
        return self.parties * (max(1.0, self.most) * self.most_weight if self.weighted else self.most)

    def plainly(self, given: Given) -> Outputs:
        vectors = np.stack([given[party]["vector"] for party in range(self.parties)])
        if not self.weighted:
            return {"total": vectors.sum(axis=0)}
        weights = np.array([given[party]["weight"][0] for party in range(self.parties)])
        return {"mean": weights @ vectors / weights.sum(), "weight": weights.sum(keepdims=True)}

    def settings(self) -> dict[str, int]:
        return {"length": self.length, "weighted": int(self.weighted)}

    async def jointly(self, mpc: Any, own: dict[str, np.ndarray]) -> dict[str, Any]:
        vector = own["vector"] * own["weight"] if self.weighted else own["vector"]
        total = functools.reduce(operator.add, mpc.shared(vector))
        if not self.weighted:
            return {"total": total}
        # The weights' sum is an output, so that dividing by it in the clear tells nothing that the mean does not.
        weights = await mpc.output(functools.reduce(operator.add, mpc.shared(own["weight"])))
        return {"mean": await mpc.output(total) / weights, "weight": weights}
