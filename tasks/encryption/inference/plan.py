"""A model as it is evaluated under encryption: layers, polynomials, and the ranges that they hold on.

Both sides have the plan. The owner uses it to bring features to [-1, 1] and to refuse people on whom a polynomial
would be asked outside its range; the evaluator has nothing else. Predictions of a plan differ from the model's by no
more than `approximation`, and encryption adds what the job states.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from pydantic import model_validator

from tasks.common.errors import InputError, ParametersError, WouldBeWrong
from tasks.common.values import Value, content_hash
from tasks.encryption.inference.activations import Activation
from tasks.encryption.inference.network import Link, response


class Layer(Value):
    """An affine map and what follows it. weights: (outputs, inputs); bias: (outputs,)."""

    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]
    activation: Activation | None = None

    @property
    def matrix(self) -> np.ndarray:
        """weights, float64."""
        return np.array(self.weights)


class Plan(Value):
    """What is evaluated.

    features: a name a column. low, high: what a feature may be. layers: the first takes features as they are, with any
    scaling folded in; the last gives the linear predictor. classes: of the response, the second is what a logistic
    link gives the chance of. origin: the model that it was.
    """

    origin: str
    features: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    layers: tuple[Layer, ...]
    link: Link
    classes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Plan:
        width = len(self.features)
        if not (width == len(self.low) == len(self.high)) or not self.layers:
            raise ParametersError("a plan needs a lowest and a highest value for every feature, and a layer")
        if not all(np.isfinite([*self.low, *self.high])) or any(
            a > b for a, b in zip(self.low, self.high, strict=True)
        ):
            raise ParametersError("the range of a feature is not one")
        for layer in self.layers:
            if {len(row) for row in layer.weights} != {width} or len(layer.bias) != len(layer.weights):
                raise ParametersError(f"a layer does not take the {width} values that the one before it gives")
            if not np.isfinite(layer.matrix).all() or not np.isfinite(layer.bias).all():
                raise ParametersError("a weight is missing or infinite; the model was not fitted rightly")
            if not layer.matrix.any(axis=1).all():
                raise ParametersError("the model ignores all features; what it predicts is a constant")
            width = len(layer.weights)
        if any(layer.activation is None for layer in self.layers[:-1]) or self.layers[-1].activation is not None:
            raise ParametersError("there is an activation after every layer but the last")
        return self

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell plans apart."""
        return content_hash(self)[:16]

    @property
    def outputs(self) -> int:
        """How many predictors a person gets."""
        return len(self.layers[-1].bias)

    @property
    def middle(self) -> np.ndarray:
        """Of each feature's range, float64 (features,)."""
        return (np.array(self.low) + np.array(self.high)) / 2

    @property
    def half(self) -> np.ndarray:
        """Half the width of each feature's range, float64 (features,); 1 where there is none."""
        half = (np.array(self.high) - np.array(self.low)) / 2
        return np.where(half > 0, half, 1.0)

    @property
    def approximation(self) -> float:
        """How far a predictor may be from the model's own, since activations are polynomials.

        An activation adds its error to what its slope makes of the error of its argument.
        """
        error = np.zeros(len(self.features))
        for layer in self.layers:
            error = np.abs(layer.matrix) @ error
            if layer.activation is not None:
                error = layer.activation.steepest * error + layer.activation.error
        return float(error.max())

    def entering(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights and bias of the first layer, for features that were brought to [-1, 1]."""
        first = self.layers[0]
        return first.matrix * self.half, np.array(first.bias) + first.matrix @ self.middle

    def entered(self, data: np.ndarray) -> np.ndarray:
        """Features in [-1, 1], float64 (rows, features).

        Raises:
            InputError: the shape is another one.
            WouldBeWrong: a value is missing or infinite, a feature is out of its range, or an activation would be.
        """
        values = self._checked(data)
        below, above = (values < self.low).sum(axis=0), (values > self.high).sum(axis=0)
        for name, count in zip(self.features, below + above, strict=True):
            if count:
                raise WouldBeWrong(
                    f"{count:,} values of {name} are out of the range that the plan was made for; leave these people "
                    "out, or make the plan from data that has such people"
                )
        self._require_ranges(values)
        return np.clip((values - self.middle) / self.half, -1.0, 1.0)

    def predictor(self, data: np.ndarray) -> np.ndarray:
        """The linear predictor with the activations themselves, as the model has it: float64 (rows, outputs)."""
        values = self._checked(data)
        for layer in self.layers:
            values = values @ layer.matrix.T + np.array(layer.bias)
            if layer.activation is not None:
                values = layer.activation.exactly(values)
        return values

    def response(self, predictor: np.ndarray) -> np.ndarray:
        """What the link makes of it: float64 (rows, outputs)."""
        return response(self.link, predictor)

    def decisions(self, predictor: np.ndarray) -> np.ndarray:
        """The number of the likelier class, int64 (rows,)."""
        if self.link is Link.LOGISTIC:
            return (predictor[:, 0] > 0).astype(np.int64)
        if self.link is not Link.SOFTMAX:
            raise ParametersError("a model without classes takes no decisions")
        return predictor.argmax(axis=1)

    def _require_ranges(self, values: np.ndarray) -> None:
        for number, layer in enumerate(self.layers[:-1], start=1):
            activation = layer.activation
            assert activation is not None
            values = values @ layer.matrix.T + np.array(layer.bias)
            if count := int((np.abs(values) > activation.radius).any(axis=1).sum()):
                raise WouldBeWrong(
                    f"for {count:,} people what enters the activation of layer {number} is out of the range of its "
                    "polynomial, so that their predictions would be wrong; leave them out, or make the plan from data "
                    "that has such people, or with a larger margin"
                )
            values = activation(values)

    def _checked(self, data: np.ndarray) -> np.ndarray:
        values = np.asarray(data)
        if values.ndim != 2 or values.shape[1] != len(self.features) or not len(values):
            raise InputError(f"data needs one row a person and {len(self.features)} columns, not shape {values.shape}")
        if values.dtype.kind not in "biuf":
            raise InputError(f"features are numbers, not {values.dtype}; encode categories as the model had them")
        values = values.astype(np.float64)
        if bad := int((~np.isfinite(values)).sum()):
            raise WouldBeWrong(f"{bad:,} values are missing or infinite")
        return values
