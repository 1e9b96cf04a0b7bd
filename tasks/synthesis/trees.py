"""Column after column by decision trees: each is drawn from the rows in the leaf that the columns before it lead to.

Sequential CART synthesis (Reiter 2005, J. Official Statistics 21(3)), as the synthpop package does it (Nowok, Raab,
Dibben 2016, J. Stat. Software 74(11)). A leaf holds at least 40 rows, so that no value is anyone's own; numbers are
drawn between those of their leaf, not from among them.
"""

from __future__ import annotations

import numpy as np
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from tasks.common.seeds import derive, generator
from tasks.common.synthesis_forms import Synthesis
from tasks.synthesis.coded import Coded, Given
from tasks.synthesis.networks import Progress, Watch

_LEAF = 40
_MOST_CLASSES = 100  # a tree tells apart at most so many values of a category; beyond, it goes by their frequency


class Column:
    """One column: the tree that leads to a leaf (none for the first), and what lies in each leaf.

    starts: int64 (leaves + 1,); values: the column in the order of leaves, sorted within each.
    """

    def __init__(self, features: np.ndarray, values: np.ndarray, *, number: bool, seed: int) -> None:
        self._number = number
        self._tree: DecisionTreeClassifier | DecisionTreeRegressor | None = None
        leaf = np.zeros(len(values), dtype=np.int64)
        if features.shape[1] and len(np.unique(values)) > 1:
            kind = DecisionTreeRegressor if number or values.max() >= _MOST_CLASSES else DecisionTreeClassifier
            self._tree = kind(min_samples_leaf=_LEAF, random_state=seed).fit(features, values)
            leaf = self._tree.apply(features)
        nodes = int(leaf.max()) + 1
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(leaf, minlength=nodes))])
        self._values = values[np.lexsort((values, leaf))]

    def draw(self, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A value for each row of features."""
        rows = len(features)
        leaf = self._tree.apply(features) if self._tree is not None and rows else np.zeros(rows, dtype=np.int64)
        first, count = self._starts[leaf], self._starts[leaf + 1] - self._starts[leaf]
        if not self._number:
            return self._values[first + (rng.random(rows) * count).astype(np.int64)]
        at = rng.random(rows) * (count - 1)
        below = np.minimum(at.astype(np.int64), np.maximum(count - 2, 0))
        above = np.minimum(below + 1, count - 1)
        low, high = self._values[first + below], self._values[first + above]
        return low + (at - below) * (high - low)


class Trees:
    """A tree for each column, in the order of `order`: numbers of columns, categories before numbers."""

    epochs = None

    def __init__(self, rows: Coded, seed: int, progress: Progress) -> None:
        self._sizes, self._numbers = rows.sizes, rows.numbers.shape[1]
        together = np.concatenate([rows.codes.astype(np.float32), rows.numbers.astype(np.float32)], axis=1)
        exact = np.concatenate([rows.codes.astype(float), rows.numbers], axis=1)
        a = len(rows.sizes)
        # Columns of few values first, since they split the others best.
        self._order = [*np.argsort(rows.sizes, kind="stable").tolist(), *range(a, a + self._numbers)]
        self._columns = []
        for place, column in enumerate(self._order):
            features, values = together[:, self._order[:place]], exact[:, column]
            self._columns.append(Column(features, values, number=column >= a, seed=derive(seed, str(column))))
            progress(place + 1, len(self._order))

    def draw(self, rows: int, seed: int, given: Given | None = None) -> Coded:  # noqa: ARG002
        """New rows. Takes no conditions."""
        rng, a = generator(seed, "trees"), len(self._sizes)
        made = np.zeros((rows, a + self._numbers))
        for place, (column, tree) in enumerate(zip(self._order, self._columns, strict=True)):
            features = made[:, self._order[:place]].astype(np.float32)
            made[:, column] = tree.draw(features, rng)
        return Coded(made[:, :a].astype(np.int32), self._sizes, made[:, a:])


def fit(rows: Coded, _settings: Synthesis, seed: int, _watch: Watch | None, progress: Progress) -> Trees:
    """Learn from coded rows."""
    return Trees(rows, seed, progress)
