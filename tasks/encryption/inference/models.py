"""Fitted models of scikit-learn, lifelines and PyTorch as networks, and what is said of those that cannot be.

A model is recognised by its class and read from its fitted attributes. What is missing here is refused by name, with
what can be used instead.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn import linear_model, neural_network, pipeline, preprocessing

from tasks.common.errors import ParametersError
from tasks.encryption.inference.activations import Function
from tasks.encryption.inference.network import Link, Network

POSSIBLE = (
    "linear, ridge, lasso, elastic-net and logistic regression, MLPClassifier and MLPRegressor of scikit-learn (in a "
    "Pipeline after StandardScaler, MinMaxScaler, MaxAbsScaler or RobustScaler), CoxPHFitter of lifelines, and "
    "torch.nn.Sequential of Linear, ReLU, Tanh, Sigmoid, SiLU, GELU and Identity"
)
TREES = "compare features with thresholds, which CKKS cannot; TFHE can, with `secured run encrypted-tree`"
_LINEAR = (
    linear_model.LinearRegression, linear_model.Ridge, linear_model.RidgeCV, linear_model.Lasso, linear_model.LassoCV,
    linear_model.ElasticNet, linear_model.ElasticNetCV,
)  # fmt: skip
_LOGISTIC = (linear_model.LogisticRegression, linear_model.LogisticRegressionCV)
_NETWORKS = (neural_network.MLPClassifier, neural_network.MLPRegressor)
_SCALERS = (
    preprocessing.StandardScaler, preprocessing.MinMaxScaler, preprocessing.MaxAbsScaler, preprocessing.RobustScaler,
)  # fmt: skip
_SKLEARN_FUNCTIONS = {"relu": Function.RELU, "tanh": Function.TANH, "logistic": Function.LOGISTIC}


def network_of(model: Any) -> Network:
    """The network that a fitted model is.

    Raises:
        ParametersError: it is not fitted, or cannot be evaluated as affine layers and smooth functions.
    """
    if isinstance(model, pipeline.Pipeline):
        return _pipeline(model)
    if isinstance(model, _LINEAR):
        return _linear(model)
    if isinstance(model, _LOGISTIC):
        return _logistic(model)
    if isinstance(model, _NETWORKS):
        return _perceptron(model)
    module = type(model).__module__
    if module.startswith("lifelines.") and type(model).__name__ == "CoxPHFitter":
        return _cox(model)
    if module.startswith("torch.nn."):
        from tasks.encryption.inference.torch_models import sequential

        return sequential(model)
    raise ParametersError(f"a {type(model).__name__} {_why(model)}; what can be transformed: {POSSIBLE}")


def response_of(model: Any, data: ArrayLike) -> np.ndarray:
    """What the model itself says of people: float64 (rows,) or (rows, outputs). Of two classes, of the second."""
    values = np.asarray(data, dtype=np.float64)
    if type(model).__module__.startswith("torch."):
        import torch

        with torch.no_grad():
            return copy.deepcopy(model).double()(torch.from_numpy(values)).numpy()
    if hasattr(model, "predict_partial_hazard"):
        frame = pd.DataFrame(values, columns=model.params_.index)
        return np.asarray(model.predict_partial_hazard(frame), dtype=np.float64)
    names = _names(model)
    given = pd.DataFrame(values, columns=list(names)) if names else values
    if hasattr(model, "predict_proba"):
        chances = np.asarray(model.predict_proba(given))
        return chances[:, 1] if chances.shape[1] == 2 else chances
    return np.asarray(model.predict(given), dtype=np.float64)


def _why(model: Any) -> str:
    """What makes a model impossible, where its kind is known."""
    name = type(model).__name__
    if any(part in name for part in ("Tree", "Forest", "Boosting", "XGB", "LGBM")):
        return f"is of trees, which {TREES}"
    if "SV" in name or "Neighbors" in name or "Gaussian" in name:
        return "computes distances to the people it was trained on, whom it would give away besides"
    return "is no model of affine layers that is known here"


def _fitted(model: Any, *names: str) -> None:
    if any(not hasattr(model, name) for name in names):
        raise ParametersError(f"this {type(model).__name__} is not fitted; call fit first")


def _names(model: Any) -> tuple[str, ...]:
    return tuple(map(str, getattr(model, "feature_names_in_", ())))


def _linear(model: Any) -> Network:
    _fitted(model, "coef_", "intercept_")
    weights = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64))
    biases = np.broadcast_to(np.asarray(model.intercept_, dtype=np.float64), len(weights)).copy()
    return Network((weights,), (biases,), (), Link.IDENTITY, f"scikit-learn {type(model).__name__}", _names(model))


def _logistic(model: Any) -> Network:
    _fitted(model, "coef_", "intercept_", "classes_")
    weights = np.asarray(model.coef_, dtype=np.float64)
    if len(weights) > 1 and (model.solver == "liblinear" or getattr(model, "multi_class", None) == "ovr"):
        raise ParametersError(
            "a logistic regression of one class against the rest each has no common predictor; fit it with a solver "
            "other than liblinear, which gives a multinomial model"
        )
    link = Link.LOGISTIC if len(weights) == 1 else Link.SOFTMAX
    biases = np.asarray(model.intercept_, dtype=np.float64)
    classes = tuple(map(str, model.classes_))
    origin = f"scikit-learn {type(model).__name__}"
    return Network((weights,), (biases,), (), link, origin, _names(model), classes)


def _perceptron(model: Any) -> Network:
    _fitted(model, "coefs_", "intercepts_", "out_activation_")
    weights = tuple(np.asarray(coefficients, dtype=np.float64).T for coefficients in model.coefs_)
    biases = tuple(np.asarray(intercept, dtype=np.float64) for intercept in model.intercepts_)
    links = {"identity": Link.IDENTITY, "logistic": Link.LOGISTIC, "softmax": Link.SOFTMAX, "exp": Link.EXPONENTIAL}
    if model.out_activation_ == "logistic" and len(weights[-1]) > 1:
        raise ParametersError("a network for several labels at once is not known here; fit one for each label")
    functions: tuple[Function, ...] = ()
    if model.activation == "identity":
        weights, biases = _multiplied(weights, biases)
    else:
        functions = (_SKLEARN_FUNCTIONS[model.activation],) * (len(weights) - 1)
    origin = f"scikit-learn {type(model).__name__} ({model.activation})"
    classes = tuple(map(str, getattr(model, "classes_", ())))
    return Network(weights, biases, functions, links[model.out_activation_], origin, _names(model), classes)


def _multiplied(
    weights: tuple[np.ndarray, ...], biases: tuple[np.ndarray, ...]
) -> tuple[tuple[np.ndarray], tuple[np.ndarray]]:
    """Layers without activations between them are one layer."""
    matrix, offset = weights[0], biases[0]
    for weight, bias in zip(weights[1:], biases[1:], strict=True):
        matrix, offset = weight @ matrix, weight @ offset + bias
    return (matrix,), (offset,)


def _cox(model: Any) -> Network:
    _fitted(model, "params_", "_norm_mean")
    names = tuple(map(str, model.params_.index))
    columns = set(map(str, model._norm_mean.index))
    formula = getattr(model, "formula", None)
    if model.baseline_estimation_method != "breslow" or set(names) != columns:
        raise ParametersError("only Cox models with Breslow's baseline are known here")
    if formula is not None and set(names) != {term.strip() for term in str(formula).split("+")}:
        raise ParametersError(
            "this Cox model's formula makes columns of its own; make them before, and fit the model without a formula"
        )
    weights = np.asarray(model.params_, dtype=np.float64)[None, :]
    biases = -(weights @ np.asarray(model._norm_mean[model.params_.index], dtype=np.float64))
    return Network((weights,), (biases,), (), Link.EXPONENTIAL, "lifelines CoxPHFitter", names)


def _pipeline(model: pipeline.Pipeline) -> Network:
    *before, (_, last) = model.steps
    network = network_of(last)
    for _, step in reversed(before):
        if step in (None, "passthrough"):
            continue
        if not isinstance(step, _SCALERS):
            raise ParametersError(
                f"the pipeline's {type(step).__name__} cannot be folded into the model; do it before, on plain data, "
                "or use StandardScaler, MinMaxScaler, MaxAbsScaler or RobustScaler"
            )
        network = network.after(*_scaling(step, network.weights[0].shape[1]))
    first = next((step for _, step in model.steps if step not in (None, "passthrough")), last)
    return Network(
        network.weights, network.biases, network.functions, network.link, network.origin,
        _names(first) or network.features, network.classes,
    )  # fmt: skip


def _scaling(step: Any, width: int) -> tuple[np.ndarray, np.ndarray]:
    """What a scaler multiplies columns with, and then adds."""
    _fitted(step, "n_features_in_")
    if isinstance(step, preprocessing.MinMaxScaler):
        if step.clip:
            raise ParametersError("a MinMaxScaler that clips is not affine; fit it with clip=False")
        return np.asarray(step.scale_), np.asarray(step.min_)
    center = getattr(step, "mean_" if isinstance(step, preprocessing.StandardScaler) else "center_", None)
    if isinstance(step, preprocessing.StandardScaler) and not step.with_mean:
        center = None
    scale = 1 / (np.ones(width) if step.scale_ is None else np.asarray(step.scale_, dtype=np.float64))
    return scale, (np.zeros(width) if center is None else -np.asarray(center, dtype=np.float64) * scale)
