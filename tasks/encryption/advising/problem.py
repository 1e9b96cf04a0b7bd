"""What somebody wants computed on data that the computer must not see: the question that the advisor answers."""

from __future__ import annotations

import difflib
import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from tasks.common import policy_file
from tasks.common.errors import ParametersError
from tasks.common.values import Value
from tasks.encryption.security import Level


class Operation(StrEnum):
    """What is computed."""

    SUM = "sum"  # of every column, over all rows
    MEAN = "mean"
    VARIANCE = "variance"
    HISTOGRAM = "histogram"  # counts by bin; owners send a column of 0 and 1 for each bin
    LINEAR = "linear"  # X·w + b
    LOGISTIC = "logistic"  # the same; the link is applied after decryption
    COX = "cox"  # the same, without intercept
    POLYGENIC_SCORE = "polygenic-score"  # genotypes 0, 1, 2 times effects
    POLYNOMIAL = "polynomial"  # of every value
    NETWORK = "network"  # dense layers with polynomial activations
    MATRIX_VECTOR = "matrix-vector"  # a plaintext matrix times encrypted vectors
    KMEANS_STEP = "kmeans-step"  # distances to centroids, and new sums by encrypted assignment
    TRAINING = "training"  # gradient steps of logistic regression on encrypted rows
    AGGREGATION = "aggregation"  # the sum of vectors (model updates) of several parties
    LOOKUP = "lookup"  # entries of a table, asked for by an encrypted column of 0 and a single 1
    REGRIDDING = "regridding"  # an image or volume, zoomed by a whole factor with linear interpolation
    COMPARISON = "comparison"  # is a value above a threshold
    TREE = "tree"  # decision trees


class KeyHolder(StrEnum):
    """Who can decrypt."""

    OWNER = "owner"  # the one owner of the data, or one of several that the others trust with it
    THIRD_PARTY = "third-party"  # somebody who sees results only, never ciphertexts of others
    NOBODY = "nobody"  # nobody alone
    EVALUATOR = "evaluator"  # who computes


class Model(StrEnum):
    """Who knows the model, matrix, table or coefficients."""

    EVALUATOR = "evaluator"  # in plaintext, the owner of the data does not
    ENCRYPTED = "encrypted"  # the evaluator must not know it either
    PUBLIC = "public"  # everybody


Count = Annotated[int, Field(ge=1, le=10**12)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

# What each operation has to know besides rows, and what it may be told.
_NEEDED: dict[Operation, tuple[str, ...]] = {
    Operation.HISTOGRAM: ("bins",),
    Operation.LINEAR: ("features",),
    Operation.LOGISTIC: ("features",),
    Operation.COX: ("features",),
    Operation.POLYGENIC_SCORE: ("features",),
    Operation.POLYNOMIAL: ("degree",),
    Operation.NETWORK: ("features", "layers"),
    Operation.MATRIX_VECTOR: ("features", "outputs"),
    Operation.KMEANS_STEP: ("features", "clusters"),
    Operation.TRAINING: ("features", "iterations"),
    Operation.AGGREGATION: ("features", "parties"),
    Operation.LOOKUP: ("entries",),
    Operation.REGRIDDING: ("shape", "factor"),
    Operation.TREE: ("nodes",),
}
_ALLOWED: dict[Operation, tuple[str, ...]] = {
    Operation.SUM: ("features",),
    Operation.MEAN: ("features",),
    Operation.VARIANCE: ("features",),
    Operation.NETWORK: ("activation",),
    Operation.TRAINING: ("rate",),
    Operation.COMPARISON: ("features",),
    Operation.TREE: ("features",),
}
_SIZES = (
    "features", "bins", "degree", "layers", "activation", "outputs", "clusters", "iterations", "rate", "entries",
    "shape", "factor", "nodes",
)  # fmt: skip
_WITH_MODEL = {
    Operation.LINEAR, Operation.LOGISTIC, Operation.COX, Operation.POLYGENIC_SCORE, Operation.POLYNOMIAL,
    Operation.NETWORK, Operation.MATRIX_VECTOR, Operation.LOOKUP, Operation.KMEANS_STEP, Operation.TREE,
}  # fmt: skip
_COUNTS = {Operation.HISTOGRAM, Operation.LOOKUP}


class Problem(Value):
    """One computation under encryption.

    rows: of the table; vectors or queries that a model, matrix or table is applied to. range: the largest absolute
    value in the data. weights: the same for the model. precision: the largest absolute error that a result may have.
    depth: products one after another that there shall be room for, if more than the operation has. per_day: how often
    it runs. deadline: seconds of one run at the evaluator.
    """

    operation: Operation
    name: str = "problem"
    rows: Count = 1
    features: Count = 1
    parties: Count = 1
    bins: Count | None = None
    degree: Annotated[int, Field(ge=2, le=63)] | None = None
    layers: Annotated[tuple[Count, ...], Field(min_length=1, max_length=64)] | None = None
    activation: Annotated[int, Field(ge=2, le=15)] = 2
    outputs: Count | None = None
    clusters: Annotated[int, Field(ge=2, le=1000)] | None = None
    iterations: Annotated[int, Field(ge=1, le=10_000)] | None = None
    rate: Positive = 1.0
    entries: Annotated[int, Field(ge=2, le=10**9)] | None = None
    shape: tuple[Count, ...] | None = None
    factor: Annotated[int, Field(ge=2, le=8)] | None = None
    nodes: Count | None = None
    range: Positive = 1.0
    weights: Positive = 1.0
    exact: bool = False
    precision: Positive | None = None
    depth: Annotated[int, Field(ge=0, le=1000)] | None = None
    key: KeyHolder = KeyHolder.OWNER
    model: Model = Model.EVALUATOR
    per_day: Positive = 1.0
    security: Level = 128
    deadline: Positive | None = None

    @field_validator("operation", mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        names = [operation.value for operation in Operation]
        if given in names:
            return given
        close = difflib.get_close_matches(str(given), names, n=1, cutoff=0.5)
        hint = f"did you mean `{close[0]}`?" if close else f"there are {', '.join(names)}"
        raise ValueError(f"there is no operation `{given}`; {hint}")

    @model_validator(mode="after")
    def _whole(self) -> Problem:
        needed = _NEEDED.get(self.operation, ())
        told = {name for name in self.model_fields_set if getattr(self, name) != type(self).model_fields[name].default}
        if missing := [name for name in needed if name not in self.model_fields_set or getattr(self, name) is None]:
            raise ValueError(f"operation names `{self.operation}`, which needs {_listed(missing)}")
        allowed = {*needed, *_ALLOWED.get(self.operation, ())}
        if strange := [name for name in _SIZES if name in told and name not in allowed]:
            raise ValueError(f"operation names `{self.operation}`, which has no {_listed(strange)}; leave it out")
        if "model" in told and self.operation not in _WITH_MODEL:
            raise ValueError(f"operation names `{self.operation}`, which has no `model:`; leave it out")
        if self.shape is not None and len(self.shape) not in (2, 3):
            raise ValueError("shape names `2 or 3 numbers`: rows and columns of an image, or slices before them")
        self._require_answerable()
        return self

    def _require_answerable(self) -> None:
        if self.exact and self.precision is not None:
            raise ValueError("exact names `true`, and an exact result has no error: leave `precision:` out")
        if not self.exact and self.precision is None and not self.decides and self.operation not in _COUNTS:
            raise ValueError("precision is missing: the largest absolute error of a result, or say `exact: true`")
        if self.exact and (self.range % 1 or self.weights % 1):
            raise ValueError("exact results are of integers: `range:` and `weights:` have to be whole numbers")
        if self.exact and self.operation in {Operation.TRAINING, Operation.REGRIDDING}:
            raise ValueError(f"operation names `{self.operation}`, which has fractions: give a `precision:`")

    @property
    def integers(self) -> bool:
        """Whether the result has to be exact."""
        return self.exact or (self.operation in _COUNTS and self.precision is None)

    @property
    def decides(self) -> bool:
        """Whether it compares, which no polynomial does exactly."""
        return self.operation in {Operation.COMPARISON, Operation.TREE}

    @property
    def wanted(self) -> float:
        """The error that is allowed; of integers, what rounding puts right."""
        return self.precision if self.precision is not None else 0.5

    @property
    def bits(self) -> int:
        """How many bits a value needs where it is compared."""
        step = 1.0 if self.integers else (self.precision or 1.0)
        return max(1, math.ceil(math.log2(2 * self.range / step + 1)))


_WORDS = policy_file.Words(
    form="problem",
    missing="`secured he advise --example logistic` prints one",
    schema="`secured he advise --example KIND`",
    error=ParametersError,
)


def read(path: Path | str) -> Problem:
    """Read a problem from YAML.

    Raises:
        InputError: the file is missing or not text.
        ParametersError: the YAML is broken, or says something impossible; the message names the line.
    """
    return policy_file.read_as(Problem, Path(path), _WORDS)


def _listed(names: list[str]) -> str:
    return " and ".join(f"`{name}:`" for name in names)
