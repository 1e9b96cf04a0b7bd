"""What a decision tree that one party keeps secret says of rows that another one keeps secret.

The tree is complete to its depth: a leaf that is higher up is one below splits that do not matter. Every row is
compared at every split, of a feature that a secret choice picks, and every path is weighed by whether it was taken; so
nothing tells which it was. Others help to compute, bring nothing, and learn what is revealed.

Leakage: the depth, the numbers of features and rows. Values tell rows with the same value from others, and of enough
rows they tell splits (Tramèr et al., USENIX Security 2016).

Source: Wu, Feng, Naehrig, Lauter, PoPETs 2016/4 (private evaluation of decision trees).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from mpc_programs.inference import MODEL, ROWS
from tasks.common.errors import InputError
from tasks.mpc.formats import Shape
from tasks.mpc.program import Given, Outputs, Program

_Real = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class TreeInference(Program):
    """rows, features: of the table; depth: splits on a path. most: of features and thresholds; most_value: of leaves.

    Reads of party 0 choice (splits, features), a 1 in each row at the feature that is split, threshold (splits,) and
    leaf (splits + 1,), splits by level and leaves from left to right; of party 1 features (rows, features). A row goes
    right where its feature is above the threshold, both rounded to the format's steps. Writes value (rows,).
    """

    kind: Literal["tree_inference"] = "tree_inference"
    rows: Annotated[int, Field(ge=1)]
    features: Annotated[int, Field(ge=1)]
    depth: Annotated[int, Field(ge=1, le=10)]
    most: _Real = 100.0
    most_value: _Real = 1.0

    @property
    def name(self) -> str:
        return self.kind

    @property
    def _splits(self) -> int:
        return 2**self.depth - 1

    def inputs(self, party: int) -> dict[str, Shape]:
        if party == MODEL:
            return {
                "choice": Shape(shape=(self._splits, self.features), low=0, high=1, whole=True),
                "threshold": Shape(shape=(self._splits,), low=-self.most, high=self.most),
                "leaf": Shape(shape=(self._splits + 1,), low=-self.most_value, high=self.most_value),
            }
        features = Shape(shape=(self.rows, self.features), low=-self.most, high=self.most)
        return {"features": features} if party == ROWS else {}

    def outputs(self) -> dict[str, Shape]:
        return {"value": Shape(shape=(self.rows,), low=-self.most_value, high=self.most_value)}

    def checked_of(self, party: int, given: Mapping[str, Any]) -> dict[str, np.ndarray]:
        found = super().checked_of(party, given)
        if party == MODEL and (bad := int((found["choice"].sum(axis=1) != 1).sum())):
            raise InputError(f"party {party}: {bad:,} of {self._splits:,} rows of choice are not a single 1 among 0")
        return found

    def error(self) -> float:
        """Leaves are rounded once, and paths are exact."""
        return self.format.step

    def largest(self) -> float:
        return max(2 * self.most, self.most_value) + 1

    def plainly(self, given: Given) -> Outputs:
        model, rows = given[MODEL], self._rounded(given[ROWS]["features"])
        feature, threshold = model["choice"].argmax(axis=1), self._rounded(model["threshold"])
        at = np.zeros(self.rows, dtype=np.int64)
        for _ in range(self.depth):
            at = 2 * at + 1 + (rows[np.arange(self.rows), feature[at]] > threshold[at])
        return {"value": model["leaf"][at - self._splits]}

    def _rounded(self, values: np.ndarray) -> np.ndarray:
        """As MP-SPDZ rounds them: halves away from 0."""
        return np.trunc(values / self.format.step + np.copysign(0.5, values)) * self.format.step

    def settings(self) -> dict[str, int]:
        return {"rows": self.rows, "features": self.features, "depth": self.depth}

    async def jointly(self, mpc: Any, own: dict[str, np.ndarray]) -> dict[str, Any]:
        fixed = mpc.fine(self.largest(), self.features * self.largest())
        shared = {
            name: mpc.shared_by(party, self._own(own, name, shape), fixed)
            for party in (MODEL, ROWS)
            for name, shape in self.inputs(party).items()
        }
        picked = shared["choice"] @ mpc.np_transpose(shared["features"])
        # Half a step, so that what the engine's own rounding does to equal numbers does not matter.
        beyond = mpc.np_reshape(shared["threshold"], (self._splits, 1)) - picked + self.format.step / 2
        right = mpc.below_zero(beyond, self.largest())
        taken = [1 - right[0], right[0]]
        for level in range(1, self.depth):
            splits = [right[2**level - 1 + place] for place in range(2**level)]
            both = mpc.np_vstack(taken) * mpc.np_vstack(splits)
            taken = [each for place in range(2**level) for each in (taken[place] - both[place], both[place])]
        return {"value": shared["leaf"] @ mpc.np_vstack(taken)}

    def _own(self, own: dict[str, np.ndarray], name: str, shape: Shape) -> np.ndarray:
        """A party's own input, rounded to steps, or what another party puts in its place."""
        return self._rounded(own[name].astype(np.float64)) if name in own else np.zeros(shape.shape)


def completed(tree: Any, features: int) -> tuple[int, dict[str, np.ndarray]]:
    """The depth of a fitted tree of scikit-learn, and what its owner brings: leaves say the share of the second class,
    or a regression's value. Where the tree ends early, the splits below do not matter.

    tree: `tree_` of a DecisionTreeClassifier of two classes, or a DecisionTreeRegressor.
    """
    values = tree.value[:, 0, :]
    said = values[:, 0] if values.shape[1] == 1 else values[:, 1] / values.sum(axis=1)
    depth = max(1, int(tree.max_depth))
    level, feature, threshold = [0], [], []
    for _ in range(depth):
        ends = [tree.children_left[node] < 0 for node in level]
        feature += [0 if end else int(tree.feature[node]) for node, end in zip(level, ends, strict=True)]
        threshold += [0.0 if end else float(tree.threshold[node]) for node, end in zip(level, ends, strict=True)]
        sides = (tree.children_left, tree.children_right)
        level = [
            node if end else int(side[node]) for node, end in zip(level, ends, strict=True) for side in sides
        ]  # fmt: skip
    return depth, {
        "choice": np.eye(features, dtype=np.int64)[feature], "threshold": np.array(threshold), "leaf": said[level]
    }  # fmt: skip
