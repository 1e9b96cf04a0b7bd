"""The lattice of generalizations: what each node comes to.

A node gives each quasi-identifier a level. Its classes are merged from those of a node just below it where these are
still at hand, from the tuples themselves where not: rolling up (LeFevre et al. 2005, Incognito). Nothing here decides
which nodes to look at; see tasks.anonymization.search.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.anonymization import losses
from tasks.anonymization.classes import MOST_KEYS, Tuples, compiled, merge, pack_below
from tasks.anonymization.criteria import Criterion, violating
from tasks.anonymization.hierarchies import Hierarchy
from tasks.anonymization.losses import Loss

Node = tuple[int, ...]
# Classes kept for rolling up, as tuples of all nodes together; one takes about 100 bytes.
_KEPT_TUPLES = 4_000_000


@dataclass(frozen=True)
class Visit:
    """A node with its classes; loss is None where it does not satisfy the criteria.

    bound: in [0, 1], no node above has a smaller loss. violating: bool (classes,).
    """

    node: Node
    classes: Tuples
    violating: np.ndarray
    loss: float | None
    bound: float


class Lattice:
    """The tuples, their hierarchies, what has to hold and what is lost."""

    def __init__(
        self,
        tuples: Tuples,
        hierarchies: Sequence[Hierarchy],
        weights: Sequence[float],
        criteria: list[Criterion],
        suppression: float,
        floor: Sequence[int] | None = None,
        measure: Loss = Loss.NCP,
    ) -> None:
        """weights, floor: by column, how much its loss matters (relative) and its lowest permitted level."""
        self.tuples = tuples
        self.hierarchies = hierarchies
        self.criteria = criteria
        self.measure = measure
        self.rows = int(tuples.rows.sum())
        self.most_suppressed = int(suppression * self.rows + 1e-9)
        self.floor: Node = tuple(floor or [0] * len(hierarchies))
        self.top: Node = tuple(hierarchy.levels - 1 for hierarchy in hierarchies)
        self.monotone = all(criterion.monotone for criterion in criteria)
        self._sizes = [[len(labels) for labels in hierarchy.labels] for hierarchy in hierarchies]
        self._starts, self._labels, self._cells = self._tables(losses.normalized(weights))
        self._kept: OrderedDict[Node, Tuples] = OrderedDict()
        self.means = self._column_means()

    def _tables(self, shares: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """Every column's and level's labels and losses by leaf, in one array each; and where each level begins."""
        labels, cells, starts, end = [], [], [], 0
        for j, hierarchy in enumerate(self.hierarchies):
            levels, leaves = hierarchy.codes.shape
            starts.append(end + leaves * np.arange(levels))
            end += hierarchy.codes.size
            labels.append(hierarchy.codes.ravel())
            rows = np.bincount(self.tuples.codes[:, j], weights=self.tuples.rows, minlength=leaves)
            cells.append(shares[j] * losses.cell_losses(self.measure, hierarchy, rows).ravel())
        return starts, np.concatenate(labels), np.concatenate(cells)

    def _column_means(self) -> list[np.ndarray]:
        """By column and level, the weighted loss of the mean cell; zero where the measure is not of cells."""
        if not self.measure.of_cells:
            return [np.zeros(len(starts)) for starts in self._starts]
        weight = self.tuples.rows / self.rows
        return [
            np.array([self._cells[start + self.tuples.codes[:, j]] @ weight for start in starts])
            for j, starts in enumerate(self._starts)
        ]

    def bound(self, node: Node) -> float:
        """Cell loss of a node if nothing had to be suppressed; never above its loss, and growing upwards."""
        return float(sum(means[level] for means, level in zip(self.means, node, strict=True)))

    def classes(self, node: Node, below: Tuples | None = None) -> tuple[Tuples, np.ndarray]:
        """The classes of a node, and which of them each tuple of `below` went into, int64 (n,).

        below: classes of any node that is nowhere more general; the tuples themselves if not given.
        """
        below = self.tuples if below is None else below
        sizes = [sizes[level] for sizes, level in zip(self._sizes, node, strict=True)]
        starts = self._starts_at(node)
        if float(np.prod(np.asarray(sizes, dtype=float))) < MOST_KEYS:
            keys, span = _keys(below.codes, self._labels, starts, np.array(sizes)), int(np.prod(sizes))
        else:
            keys, span = pack_below([self._labels[s + below.codes[:, j]] for j, s in enumerate(starts)], sizes)
        return merge(below, keys, span)

    def visit(self, node: Node) -> Visit:
        """Evaluate a node."""
        classes, _ = self.classes(node, self._below(node))
        self._keep(node, classes)
        bad = violating(self.criteria, classes)
        lost_rows = int(classes.rows[bad].sum())
        good = lost_rows <= self.most_suppressed and lost_rows < self.rows
        return Visit(node, classes, bad, self._loss(node, classes, bad) if good else None, self._bound(node, classes))

    def _loss(self, node: Node, classes: Tuples, bad: np.ndarray) -> float:
        if not self.measure.of_cells:
            return losses.class_loss(self.measure, classes.rows, bad)
        here, top = self._starts_at(node), self._starts_at(self.top)
        if self.measure is Loss.NCP:  # a label loses the same, whichever of its leaves it stands for
            return _mean_loss(classes.codes, classes.rows, bad, self._cells, here, top)
        _, of_tuple = self.classes(node)
        return _mean_loss(self.tuples.codes, self.tuples.rows, bad[of_tuple], self._cells, here, top)

    def _starts_at(self, node: Node) -> np.ndarray:
        return np.array([starts[level] for starts, level in zip(self._starts, node, strict=True)])

    def _bound(self, node: Node, classes: Tuples) -> float:
        if self.measure.of_cells:
            return self.bound(node)
        return losses.class_loss(self.measure, classes.rows, np.zeros(len(classes), dtype=bool))

    def _below(self, node: Node) -> Tuples:
        """The fewest tuples at hand that the node's classes can be merged from."""
        found = [self._kept[child] for child in self.children(node) if child in self._kept]
        return min(found, key=len, default=self.tuples)

    def _keep(self, node: Node, classes: Tuples) -> None:
        self._kept[node] = classes
        while len(self._kept) > 1 and sum(len(kept) for kept in self._kept.values()) > _KEPT_TUPLES:
            self._kept.popitem(last=False)

    def parents(self, node: Node) -> list[Node]:
        """Nodes one level more general in one column."""
        return [(*node[:j], level + 1, *node[j + 1 :]) for j, level in enumerate(node) if level < self.top[j]]

    def children(self, node: Node) -> list[Node]:
        """Nodes one level less general in one column, not below the floor."""
        return [(*node[:j], level - 1, *node[j + 1 :]) for j, level in enumerate(node) if level > self.floor[j]]


@compiled
def _keys(codes: np.ndarray, labels: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    keys = np.empty(len(codes), dtype=np.int64)
    for i in range(len(codes)):
        key = 0
        for j in range(codes.shape[1]):
            key = key * sizes[j] + labels[starts[j] + codes[i, j]]
        keys[i] = key
    return keys


@compiled
def _mean_loss(
    codes: np.ndarray, rows: np.ndarray, suppressed: np.ndarray, cells: np.ndarray, here: np.ndarray, top: np.ndarray
) -> float:
    """Mean loss of a row; suppressed ones lose what `*` loses."""
    total, count = 0.0, 0
    for i in range(len(codes)):
        starts = top if suppressed[i] else here
        lost = 0.0
        for j in range(codes.shape[1]):
            lost += cells[starts[j] + codes[i, j]]
        total += rows[i] * lost
        count += rows[i]
    return total / count
