"""A fitted decision tree as comparisons and table lookups on small integers, which TFHE evaluates exactly.

A tree asks of a feature only on which side of its few thresholds it is. So the owner sends, encrypted, how many of a
feature's thresholds a person is above, and nothing is lost: x > threshold k exactly if that number is above k. Each
comparison is a lookup in a table of that number; each leaf is a lookup in how many comparisons of its path came out as
the path says; the class is the sum over leaves. Both sides have the plan; the evaluator learns nothing of a person.

Sources: Chillotti, Gama, Georgieva, Izabachène, J. Cryptology 33 (2020), for TFHE and its lookups; Frery et al.,
Privacy Preserving Tree-Based Inference with TFHE (MSPN 2023), for trees on integers.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field
from sklearn.tree import DecisionTreeClassifier

from tasks.common.errors import InputError, ParametersError, WouldBeWrong
from tasks.common.values import Value, content_hash

# Bits of a table's index: of how many thresholds a feature may have, and how long a path may be.
_BITS = 4
_MOST = (1 << _BITS) - 1


class Comparison(Value):
    """Whether a feature is above one of its thresholds; both by number."""

    feature: int
    threshold: int


class Leaf(Value):
    """path: (comparison, outcome) on the way to it, by number and 0 or 1. label: the number of its class."""

    path: tuple[tuple[int, int], ...]
    label: int


class TreePlan(Value):
    """What is evaluated. columns: of the data, those that the tree uses, by number; features: their names; thresholds:
    of each of them, growing. failure: the chance that a person's class comes out wrong by noise."""

    origin: str
    width: int
    columns: tuple[int, ...]
    features: tuple[str, ...]
    thresholds: tuple[tuple[float, ...], ...]
    comparisons: tuple[Comparison, ...]
    leaves: tuple[Leaf, ...]
    classes: tuple[str, ...]
    failure: Annotated[float, Field(gt=0, lt=0.01)] = 1e-6

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell plans apart."""
        return content_hash(self)[:16]

    def ranks(self, data: ArrayLike) -> np.ndarray:
        """How many thresholds of each feature a person is above: int64 (rows, features used).

        Raises:
            InputError: the shape is another one.
            WouldBeWrong: values are missing or infinite.
        """
        values = np.asarray(data)
        if values.ndim != 2 or values.shape[1] != self.width or not len(values) or values.dtype.kind not in "biuf":
            raise InputError(f"data needs one row a person and {self.width} columns of numbers, not {values.shape}")
        values = values.astype(np.float32)[:, list(self.columns)].astype(np.float64)  # as scikit-learn compares
        if bad := int((~np.isfinite(values)).sum()):
            raise WouldBeWrong(f"{bad:,} values that the tree uses are missing or infinite")
        pairs = zip(self.thresholds, values.T, strict=True)
        return np.column_stack([np.searchsorted(edges, column, side="left") for edges, column in pairs])

    def decisions(self, ranks: np.ndarray) -> np.ndarray:
        """The number of each person's class without encryption, int64 (rows,)."""
        above = np.column_stack([ranks[:, each.feature] > each.threshold for each in self.comparisons])
        found = np.zeros(len(ranks), dtype=np.int64)
        for leaf in self.leaves:
            hit = np.all([above[:, comparison] == bool(side) for comparison, side in leaf.path], axis=0)
            found += leaf.label * hit
        return found


def tree_plan(model: Any, failure: float = 1e-6) -> TreePlan:
    """The plan of a fitted DecisionTreeClassifier.

    Raises:
        ParametersError: it is no such tree, is not fitted, decides nothing, or is too large for tables of 4 bits.
    """
    if not isinstance(model, DecisionTreeClassifier):
        raise ParametersError(f"of trees, a DecisionTreeClassifier can be transformed, not a {type(model).__name__}")
    if not hasattr(model, "tree_"):
        raise ParametersError("this tree is not fitted; call fit first")
    if model.n_outputs_ != 1:
        raise ParametersError("a tree of several outcomes is not known here; fit one for each")
    tree = model.tree_
    inner = [node for node in range(tree.node_count) if tree.children_left[node] >= 0]
    columns = sorted({int(tree.feature[node]) for node in inner})
    thresholds = [sorted({float(tree.threshold[n]) for n in inner if tree.feature[n] == c}) for c in columns]
    leaves = tuple(_leaves(model, inner))
    if len({leaf.label for leaf in leaves}) < 2:
        raise ParametersError("the tree decides the same for everybody; there is nothing to evaluate")
    if (
        max(map(len, thresholds)) > _MOST
        or max(len(leaf.path) for leaf in leaves) > _MOST
        or len(model.classes_) > _MOST
    ):
        raise ParametersError(f"the tree needs tables of more than {_BITS} bits; fit it with a smaller max_depth")
    names = getattr(model, "feature_names_in_", [f"feature {number}" for number in range(model.n_features_in_)])
    return TreePlan(
        origin="scikit-learn DecisionTreeClassifier", width=model.n_features_in_, columns=tuple(columns),
        features=tuple(str(names[column]) for column in columns), thresholds=tuple(map(tuple, thresholds)),
        comparisons=tuple(
            Comparison(
                feature=(feature := columns.index(int(tree.feature[node]))),
                threshold=thresholds[feature].index(float(tree.threshold[node])),
            )
            for node in inner
        ),
        leaves=leaves, classes=tuple(map(str, model.classes_)), failure=failure,
    )  # fmt: skip


def _leaves(model: DecisionTreeClassifier, inner: list[int]) -> list[Leaf]:
    """Leaves with the way to them."""
    tree, found = model.tree_, []
    waiting: list[tuple[int, tuple[tuple[int, int], ...]]] = [(0, ())]
    while waiting:
        node, path = waiting.pop()
        if len(path) > len(inner):
            raise ParametersError("this is no tree; its nodes go round in a circle")
        if tree.children_left[node] < 0:
            found.append(Leaf(path=path, label=int(np.argmax(tree.value[node][0]))))
            continue
        number = inner.index(node)
        waiting.append((int(tree.children_left[node]), (*path, (number, 0))))
        waiting.append((int(tree.children_right[node]), (*path, (number, 1))))
    return found
