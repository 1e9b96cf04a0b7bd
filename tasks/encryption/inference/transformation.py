"""From a network to a plan: ranges from data, polynomials as short as the error asked for allows, and a check."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tasks.common.errors import InputError, ParametersError
from tasks.encryption.inference.activations import DEGREES, Activation, approximate
from tasks.encryption.inference.models import network_of, response_of
from tasks.encryption.inference.network import Network
from tasks.encryption.inference.plan import Layer, Plan

MARGIN = 0.1
TOLERANCE = 1e-3
# What rounding in floating point explains, as a share of the largest predictor.
_ROUNDING = 1e-9


def transformed(network: Network, data: ArrayLike, *, margin: float = MARGIN, tolerance: float = TOLERANCE) -> Plan:
    """The plan of a network.

    data: (rows, features) that it will see the like of, in the model's order. margin: how much wider than observed the
    ranges are, as a share. tolerance: how far predictors may be off since activations are polynomials.

    Raises:
        InputError: the data do not fit, or are not finite.
        ParametersError: no polynomial is close enough, or the model is a constant.
    """
    values = np.asarray(data, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != network.weights[0].shape[1] or not len(values):
        raise InputError(f"the model takes {network.weights[0].shape[1]} features; the data has shape {values.shape}")
    if not np.isfinite(values).all():
        raise InputError("the data that ranges are taken from has missing or infinite values")
    if margin < 0 or tolerance <= 0:
        raise ParametersError("a margin is at least 0, a tolerance more than 0")
    network = network.without_constants()
    low, high = values.min(axis=0), values.max(axis=0)
    room = margin * (high - low)
    features = network.features or tuple(f"feature {number}" for number in range(values.shape[1]))
    plan = Plan(
        origin=network.origin, features=features, low=_floats(low - room), high=_floats(high + room),
        layers=_layers(network, values, margin, tolerance), link=network.link, classes=network.classes,
    )  # fmt: skip
    plan.entered(values)
    return plan


def plan_of(model: Any, data: ArrayLike, *, margin: float = MARGIN, tolerance: float = TOLERANCE) -> Plan:
    """The plan of a fitted model, checked against what the model itself says of the data.

    Raises:
        ParametersError: the model cannot be transformed, or its plan does not say the same.
        InputError, ParametersError: as in `transformed`.
    """
    plan = transformed(network_of(model), data, margin=margin, tolerance=tolerance)
    require_parity(plan, data, response_of(model, data))
    return plan


def require_parity(plan: Plan, data: ArrayLike, response: np.ndarray) -> None:
    """Refuse a plan that does not say what its model says.

    response: float64 (rows,) or (rows, outputs), of the model itself.

    Raises:
        ParametersError: they differ by more than rounding explains.
    """
    said = plan.response(plan.predictor(np.asarray(data, dtype=np.float64)))
    expected = np.asarray(response, dtype=np.float64).reshape(said.shape)
    off = float(np.abs(said - expected).max())
    if not off <= _ROUNDING * max(1.0, float(np.abs(expected).max())):
        raise ParametersError(
            f"the plan's predictions differ from those of {plan.origin} by up to {off:.2g}, so it was not read "
            "rightly; please report which model this is"
        )


def _layers(network: Network, values: np.ndarray, margin: float, tolerance: float) -> tuple[Layer, ...]:
    """The layers with polynomials of the lowest degree, the same for all, that keeps the tolerance."""
    radii = [float(np.abs(z).max()) * (1 + margin) or 1.0 for z in network.arguments(values)[:-1]]
    best = np.inf
    for degree in DEGREES:
        chosen = [
            approximate(function, radius, degree) for function, radius in zip(network.functions, radii, strict=True)
        ]
        off = _off(network, chosen)
        if off <= tolerance:
            pairs = zip(network.weights, network.biases, [*chosen, None], strict=True)
            return tuple(
                Layer(weights=tuple(map(_floats, weights)), bias=_floats(bias), activation=activation)
                for weights, bias, activation in pairs
            )
        best = min(best, off)
    widest = ", ".join(f"{f} on ±{r:.3g}" for f, r in zip(network.functions, radii, strict=True))
    raise ParametersError(
        f"as polynomials of up to degree {DEGREES[-1]}, the activations ({widest}) put predictions off by up to "
        f"{best:.2g}, which is more than the {tolerance:g} asked for; accept that error, or train with tanh, "
        "logistic or silu and a stronger penalty on weights, which keeps ranges small"
    )


def _off(network: Network, chosen: list[Activation]) -> float:
    """How far predictors may be off; see `Plan.approximation`."""
    error = np.zeros(network.weights[0].shape[1])
    for weights, activation in zip(network.weights, [*chosen, None], strict=True):
        error = np.abs(weights) @ error
        if activation is not None:
            error = activation.steepest * error + activation.error
    return float(error.max())


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
