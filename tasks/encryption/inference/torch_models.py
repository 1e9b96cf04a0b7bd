"""PyTorch's Sequential as a network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import nn

from tasks.common.errors import ParametersError
from tasks.encryption.inference.activations import Function
from tasks.encryption.inference.network import Link, Network

_FUNCTIONS: dict[type[nn.Module], Function] = {
    nn.ReLU: Function.RELU, nn.Tanh: Function.TANH, nn.Sigmoid: Function.LOGISTIC, nn.SiLU: Function.SILU,
    nn.GELU: Function.GELU,
}  # fmt: skip
_KNOWN = "Linear, ReLU, Tanh, Sigmoid, SiLU, GELU, Identity, Dropout in evaluation mode, and Softmax at the end"


def sequential(model: Any) -> Network:
    """The network of a Sequential; a Sigmoid or Softmax at its end becomes the link.

    Raises:
        ParametersError: a module is in training mode where that matters, or is not known here.
    """
    if not isinstance(model, nn.Sequential):
        raise ParametersError(
            f"of PyTorch a Sequential can be transformed, not a {type(model).__name__}: what other modules compute "
            "stands in code, not in layers"
        )
    modules = list(_modules(model))
    link, classes = Link.IDENTITY, 0
    if modules and isinstance(modules[-1], nn.Sigmoid | nn.Softmax):
        link, classes = _link(modules.pop(), modules[-1] if modules else None)
    weights: list[np.ndarray] = []
    biases: list[np.ndarray] = []
    functions: list[Function] = []
    for module in modules:
        if isinstance(module, nn.Linear):
            weight, bias = _affine(module)
            if len(weights) > len(functions):  # two layers without an activation between them are one
                weight, bias = weight @ weights.pop(), weight @ biases.pop() + bias
            weights.append(weight)
            biases.append(bias)
        else:
            functions.append(_function(module))
            if len(functions) != len(weights):
                raise ParametersError(f"a {type(module).__name__} does not follow a Linear layer; put one before it")
    if len(weights) != len(functions) + 1:
        raise ParametersError("the model does not end with a Linear layer, or one and a Sigmoid or Softmax")
    names = tuple(map(str, range(classes)))
    return Network(tuple(weights), tuple(biases), tuple(functions), link, "PyTorch Sequential", (), names)


def _modules(model: nn.Sequential) -> Iterator[nn.Module]:
    """All that does something, in order."""
    for module in model:
        if isinstance(module, nn.Sequential):
            yield from _modules(module)
        elif isinstance(module, nn.Dropout | nn.AlphaDropout):
            if module.training and module.p > 0:
                raise ParametersError("the model is in training mode, in which dropout is random; call model.eval()")
        elif not isinstance(module, nn.Identity):
            yield module


def _affine(module: nn.Linear) -> tuple[np.ndarray, np.ndarray]:
    weight = module.weight.detach().cpu().double().numpy()
    bias = np.zeros(len(weight)) if module.bias is None else module.bias.detach().cpu().double().numpy()
    return weight, bias


def _function(module: nn.Module) -> Function:
    found = _FUNCTIONS.get(type(module))
    if found is None:
        raise ParametersError(f"a {type(module).__name__} cannot be evaluated under encryption here; known: {_KNOWN}")
    if isinstance(module, nn.GELU) and module.approximate != "none":
        raise ParametersError("GELU is known here as it is defined; use GELU(approximate='none')")
    return found


def _link(module: nn.Module, before: nn.Module | None) -> tuple[Link, int]:
    """What the last module makes of the last Linear layer, and of how many classes."""
    if not isinstance(before, nn.Linear):
        raise ParametersError(f"the {type(module).__name__} at the end does not follow a Linear layer")
    outputs = before.out_features
    if isinstance(module, nn.Softmax):
        if module.dim not in (1, -1):
            raise ParametersError("the Softmax at the end has to be over classes: dim=1")
        return Link.SOFTMAX, outputs
    if outputs != 1:
        raise ParametersError("a network for several labels at once is not known here; make one for each label")
    return Link.LOGISTIC, 2
