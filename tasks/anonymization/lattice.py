"""The best generalization: exact best-first search in the lattice of levels.

A node gives each quasi-identifier a level. Its loss is the mean Normalized Certainty Penalty of a cell, a suppressed
row counting as fully lost. The loss without suppression is a lower bound that is cheap (it adds up over columns) and
grows upwards, so nodes are visited in its order and the search ends when the next bound exceeds the best loss found:
what was found is then optimal. Where a node budget ends the search first, the distance to the bound is reported.

Compare Kohlmayer et al. 2012 (Flash) for the lattice, Hart et al. 1968 for best-first search.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.anonymization.classes import Classes, Tuples, merge
from tasks.anonymization.criteria import Criterion, violating
from tasks.anonymization.hierarchies import Hierarchy

Node = tuple[int, ...]
NODE_BUDGET = 50_000


@dataclass(frozen=True)
class Solution:
    """A node that satisfies the criteria, and how good it is.

    loss, bound: in [0, 1]; no node has a loss below `bound`. optimal: loss is the least possible.
    suppressed: bool (n,), tuples left out. classes: those of the node, the violating ones included.
    """

    levels: Node
    loss: float
    bound: float
    suppressed: np.ndarray
    classes: Classes
    evaluated: int

    @property
    def optimal(self) -> bool:
        """Whether the search proved that nothing better exists."""
        return self.bound >= self.loss


class Lattice:
    """The tuples, their hierarchies and what has to hold, prepared for evaluating nodes."""

    def __init__(
        self,
        tuples: Tuples,
        hierarchies: Sequence[Hierarchy],
        weights: Sequence[float],
        criteria: list[Criterion],
        suppression: float,
        floor: Sequence[int] | None = None,
    ) -> None:
        """weights, floor: by column, how much its loss matters (relative) and its lowest permitted level."""
        self.tuples = tuples
        self.hierarchies = hierarchies
        self.criteria = criteria
        self.rows = int(tuples.rows.sum())
        self.most_suppressed = int(suppression * self.rows + 1e-9)
        self.floor: Node = tuple(floor or [0] * len(hierarchies))
        self.top: Node = tuple(hierarchy.levels - 1 for hierarchy in hierarchies)
        share = np.asarray(weights, dtype=float) / np.sum(weights)
        # By column: float64 (levels, n), the weighted loss of a tuple's cell, and its mean over rows.
        self._cells = [
            share[j] * hierarchy.loss[:, tuples.codes[:, j]] for j, hierarchy in enumerate(hierarchies)
        ]
        self._means = [cells @ (tuples.rows / self.rows) for cells in self._cells]
        self._labels = [hierarchy.codes[:, tuples.codes[:, j]] for j, hierarchy in enumerate(hierarchies)]
        self._sizes = [[len(labels) for labels in hierarchy.labels] for hierarchy in hierarchies]

    def bound(self, node: Node) -> float:
        """Loss of a node if nothing had to be suppressed; never above its loss, and growing upwards."""
        return float(sum(means[level] for means, level in zip(self._means, node, strict=True)))

    def classes(self, node: Node) -> Classes:
        """The equivalence classes of a node."""
        labels = [labels[level] for labels, level in zip(self._labels, node, strict=True)]
        sizes = [sizes[level] for sizes, level in zip(self._sizes, node, strict=True)]
        return merge(self.tuples, labels, sizes)

    def evaluate(self, node: Node) -> Solution | None:
        """The node as a solution (its bound is its own), or None where too many rows would be suppressed."""
        classes = self.classes(node)
        bad = violating(self.criteria, classes)
        lost_rows = int(classes.rows[bad].sum())
        if lost_rows > self.most_suppressed or lost_rows == self.rows:
            return None
        suppressed = bad[classes.of_tuple]
        cells = np.sum([cells[level] for cells, level in zip(self._cells, node, strict=True)], axis=0)
        loss = float(np.where(suppressed, 1.0, cells) @ self.tuples.rows) / self.rows
        return Solution(node, loss, self.bound(node), suppressed, classes, evaluated=1)

    def parents(self, node: Node) -> list[Node]:
        """Nodes one level more general in one column."""
        return [
            (*node[:j], level + 1, *node[j + 1 :]) for j, level in enumerate(node) if level < self.top[j]
        ]

    def children(self, node: Node) -> list[Node]:
        """Nodes one level less general in one column, not below the floor."""
        return [
            (*node[:j], level - 1, *node[j + 1 :]) for j, level in enumerate(node) if level > self.floor[j]
        ]


def search(lattice: Lattice, budget: int = NODE_BUDGET) -> Solution | None:
    """The node of least loss, or None where not even full generalization satisfies the criteria.

    Within `budget` evaluated nodes the answer is optimal; beyond, it is the best seen and carries a valid bound.
    """
    best = _descend(lattice)
    if best is None:
        return None
    evaluated = best.evaluated
    waiting = [(lattice.bound(lattice.floor), lattice.floor)]
    seen = {lattice.floor}
    bound = waiting[0][0]
    while waiting and evaluated < budget:
        bound, node = heapq.heappop(waiting)
        if bound >= best.loss:
            break
        evaluated += 1
        found = lattice.evaluate(node)
        if found is not None and found.loss < best.loss:
            best = found
        for parent in lattice.parents(node):
            if parent not in seen:
                seen.add(parent)
                heapq.heappush(waiting, (lattice.bound(parent), parent))
    proven = best.loss if not waiting or bound >= best.loss else bound
    return Solution(best.levels, best.loss, proven, best.suppressed, best.classes, evaluated)


def _descend(lattice: Lattice) -> Solution | None:
    """A good solution quickly: from the top always down to the child of least loss that still satisfies all."""
    here = lattice.evaluate(lattice.top)
    evaluated = 1
    while here is not None:
        children = [lattice.evaluate(child) for child in lattice.children(here.levels)]
        evaluated += len(children)
        better = min((child for child in children if child), key=lambda child: child.loss, default=None)
        if better is None or better.loss >= here.loss:
            return Solution(here.levels, here.loss, here.bound, here.suppressed, here.classes, evaluated)
        here = better
    return None
