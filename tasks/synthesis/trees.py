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
    """A tree for each column: whatever the rows stand in, then categories, the evenest first, then numbers.

    context: float (n, c), what is known of each row and not drawn.
    """

    epochs = None

    def __init__(
        self, rows: Coded, seed: int, progress: Progress = lambda _done, _of: None, context: np.ndarray | None = None
    ) -> None:
        """Learn each column from the context and the columns before it."""
        a, known = len(rows.sizes), np.zeros((len(rows), 0)) if context is None else context
        self._sizes, self._numbers = rows.sizes, rows.numbers.shape[1]
        exact = np.concatenate([rows.codes.astype(float), rows.numbers], axis=1)
        # The evenest categories first: what hardly varies, like a rare outcome, splits no other column, but is split
        # well by all of them.
        counts = [np.bincount(rows.codes[:, place], minlength=size) for place, size in enumerate(rows.sizes)]
        evenness = np.array([_entropy(each) for each in counts])
        self._order = [*np.argsort(-evenness, kind="stable").tolist(), *range(a, a + self._numbers)]
        self._columns = []
        for place, column in enumerate(self._order):
            features = _features(known, exact[:, self._order[:place]])
            self._columns.append(Column(features, exact[:, column], number=column >= a, seed=derive(seed, str(column))))
            progress(place + 1, len(self._order))

    @property
    def width(self) -> int:
        """How many columns are drawn."""
        return len(self._columns)

    def draw(self, rows: int, seed: int, given: Given | None = None) -> Coded:  # noqa: ARG002
        """New rows, learned without a context. Takes no conditions."""
        return self.draw_in(np.zeros((rows, 0)), seed)

    def draw_in(self, context: np.ndarray, seed: int) -> Coded:
        """A new row for each row of context."""
        rng, a = generator(seed, "trees"), len(self._sizes)
        made = np.zeros((len(context), a + self._numbers))
        for place, (column, tree) in enumerate(zip(self._order, self._columns, strict=True)):
            made[:, column] = tree.draw(_features(context, made[:, self._order[:place]]), rng)
        return Coded(made[:, :a].astype(np.int32), self._sizes, made[:, a:])


def _entropy(counts: np.ndarray) -> float:
    """Of a distribution, in nats."""
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(shares * np.log(shares)).sum())


def _features(known: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """What a tree looks at, in its precision."""
    return np.concatenate([known, drawn], axis=1).astype(np.float32)


def fit(rows: Coded, _settings: Synthesis, seed: int, _watch: Watch | None, progress: Progress) -> Trees:
    """Learn from coded rows."""
    return Trees(rows, seed, progress)
