"""Models out of files that cannot run code: skops for scikit-learn, safetensors with a description for networks.

A pickle runs whatever its author wants when it is read, so pickles and joblib files are refused.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError, model_validator

from tasks.common.errors import InputError, MissingPart, ParametersError, SecuredError
from tasks.common.values import Value
from tasks.encryption.inference.activations import Function
from tasks.encryption.inference.models import TREES
from tasks.encryption.inference.network import Link, Network

_LENGTH = struct.Struct("<Q")
_MOST_HEADER = 100 << 20
_TREE_TYPES = ("sklearn.tree._tree.Tree",)
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


class Description(Value):
    """What a file of tensors is a network of.

    layers: names of the Linear layers in order, for tensors NAME.weight (outputs, inputs) and NAME.bias (outputs,).
    functions: after each but the last. features, classes: their names, where there are any.
    """

    layers: tuple[str, ...]
    functions: tuple[Function, ...] = ()
    link: Literal["identity", "logistic", "softmax", "exponential"] = "identity"
    features: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Description:
        if len(self.layers) != len(self.functions) + 1:
            raise ParametersError("a description has a function after every layer but the last")
        return self


def from_skops(path: Path) -> Any:
    """The fitted scikit-learn model of a skops file that has nothing but numpy's and scikit-learn's own types.

    Raises:
        InputError: the file cannot be read, or has a type that is not trusted.
        ParametersError: it is of trees.
        MissingPart: skops is not installed.
    """
    return _skops(path, ())


def tree_from_skops(path: Path) -> Any:
    """The same of a tree. Its nodes are arrays, which are read and never run.

    Raises:
        InputError, MissingPart: as in `from_skops`.
    """
    return _skops(path, _TREE_TYPES)


def _skops(path: Path, trusted: tuple[str, ...]) -> Any:
    try:
        from skops import io
    except ImportError:
        raise MissingPart("models in files need the package skops, which comes with mlflow; `make env`") from None
    content = _read(path)
    if not content.startswith(b"PK"):
        raise InputError(f"{path} is no skops file; pickles can run code and are refused: save it with skops.io.dump")
    try:
        unknown = set(io.get_untrusted_types(data=content)) - set(trusted)
        if unknown & set(_TREE_TYPES):
            raise ParametersError(f"{path} has trees, which {TREES}")
        if unknown:
            raise InputError(f"{path} has types that are not trusted: {', '.join(sorted(map(str, unknown)))}")
        return io.loads(content, trusted=list(trusted))
    except SecuredError:
        raise
    except Exception as error:  # whatever a damaged file makes of the reader
        raise InputError(f"{path} cannot be read as a skops file: {error}") from None


def from_safetensors(path: Path, description: Path) -> Network:
    """The network whose tensors are in a safetensors file, and whose shape a JSON file describes.

    Raises:
        InputError: a file cannot be read, or a tensor is missing or has another shape or type.
    """
    try:
        described = Description.model_validate_json(_read(description))
    except ValidationError as error:
        raise InputError(f"{description} does not describe a network: {error.errors()[0]['msg']}") from None
    tensors = _tensors(path)
    weights, biases = [], []
    for layer in described.layers:
        weight = _named(path, tensors, f"{layer}.weight", 2)
        weights.append(weight)
        biases.append(
            _named(path, tensors, f"{layer}.bias", 1) if f"{layer}.bias" in tensors else np.zeros(len(weight))
        )
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        inputs = weights[number - 1].shape[0] if number else weight.shape[1]
        if bias.shape != (weight.shape[0],) or weight.shape[1] != inputs:
            raise InputError(f"{path}: the tensors of layer {described.layers[number]} do not fit the others")
    if described.features and len(described.features) != weights[0].shape[1]:
        raise InputError(f"{description} names {len(described.features)} features, {path} takes {weights[0].shape[1]}")
    return Network(
        tuple(weights), tuple(biases), described.functions, Link(described.link), f"safetensors {path.name}",
        described.features, described.classes,
    )  # fmt: skip


def _tensors(path: Path) -> dict[str, np.ndarray]:
    """All floating-point tensors, as float64.

    The format is the length of a JSON header (8 bytes, little endian), the header, and the tensors one after another.
    Source: github.com/huggingface/safetensors, README, "Format".
    """
    content = _read(path)
    try:
        (length,) = _LENGTH.unpack_from(content)
        if length > min(_MOST_HEADER, len(content)):
            raise ValueError("its header is longer than the file")
        header = json.loads(content[_LENGTH.size : _LENGTH.size + length])
        body = content[_LENGTH.size + length :]
        found = {}
        for name, entry in header.items():
            if name != "__metadata__" and entry["dtype"] in _TYPES:
                start, end = entry["data_offsets"]
                if not 0 <= start <= end <= len(body):
                    raise ValueError(f"tensor {name} is cut off")
                values = np.frombuffer(body[start:end], dtype=_TYPES[entry["dtype"]])
                found[name] = values.reshape(entry["shape"]).astype(np.float64)
        return found
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} cannot be read as safetensors: {error}") from None


def _named(path: Path, tensors: dict[str, np.ndarray], name: str, dimensions: int) -> np.ndarray:
    if name not in tensors or tensors[name].ndim != dimensions:
        raise InputError(f"{path} has no floating-point tensor {name} of {dimensions} dimensions")
    return tensors[name]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"the model {path} cannot be read ({error.strerror})") from error
