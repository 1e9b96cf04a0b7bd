"""The best generalization: exact best-first search in the lattice of levels.

A node gives each quasi-identifier a level. Its loss is the mean Normalized Certainty Penalty of a cell, a suppressed
row counting as fully lost. The loss without suppression is a lower bound that is cheap (it adds up over columns) and
grows upwards, so nodes are visited in its order and the search ends when the next bound exceeds the best loss found:
what was found is then optimal. Where a node budget ends the search first, the distance to the bound is reported.

Classes roll up: those of a node are merged from those of the node below from which it was reached.

Compare Kohlmayer et al. 2012 (Flash) for the lattice, LeFevre et al. 2005 (Incognito) for rolling up, Hart et al. 1968
for best-first search.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.anonymization.classes import Tuples, merge
from tasks.anonymization.criteria import Criterion, violating
from tasks.anonymization.hierarchies import Hierarchy

Node = tuple[int, ...]
NODE_BUDGET = 50_000


@dataclass(frozen=True)
class Solution:
    """A node that satisfies the criteria, and how good it is.

    loss, bound: in [0, 1]; no node has a loss below `bound`. evaluated: nodes looked at.
    classes: the node's equivalence classes; violating: bool (classes,), those left out.
    """

    levels: Node
    loss: float
    bound: float
    evaluated: int
    classes: Tuples
    violating: np.ndarray

    @property
    def optimal(self) -> bool:
        """Whether the search proved that nothing better exists."""
        return self.bound >= self.loss


@dataclass(frozen=True)
class Visit:
    """A node with its classes; loss is None where it does not satisfy the criteria."""

    node: Node
    classes: Tuples
    violating: np.ndarray
    loss: float | None


class Lattice:
    """The tuples, their hierarchies and what has to hold."""

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
        self._losses = [s * hierarchy.loss for s, hierarchy in zip(share, hierarchies, strict=True)]
        self._sizes = [[len(labels) for labels in hierarchy.labels] for hierarchy in hierarchies]
        # By column and level, the weighted loss of the mean row.
        self._means = [loss[:, tuples.codes[:, j]] @ (tuples.rows / self.rows) for j, loss in enumerate(self._losses)]

    def bound(self, node: Node) -> float:
        """Loss of a node if nothing had to be suppressed; never above its loss, and growing upwards."""
        return float(sum(means[level] for means, level in zip(self._means, node, strict=True)))

    def classes(self, node: Node, below: Tuples | None = None) -> tuple[Tuples, np.ndarray]:
        """The classes of a node, and which of them each tuple of `below` went into.

        below: classes of any node that is nowhere more general; the tuples themselves if not given.
        """
        base = below or self.tuples
        labels = [
            h.codes[level][base.codes[:, j]] for j, (h, level) in enumerate(zip(self.hierarchies, node, strict=True))
        ]
        sizes = [sizes[level] for sizes, level in zip(self._sizes, node, strict=True)]
        return merge(base, labels, sizes)

    def visit(self, node: Node, below: Tuples | None = None) -> Visit:
        """Evaluate a node."""
        classes, _ = self.classes(node, below)
        bad = violating(self.criteria, classes)
        lost_rows = int(classes.rows[bad].sum())
        if lost_rows > self.most_suppressed or lost_rows == self.rows:
            return Visit(node, classes, bad, None)
        cells = np.zeros(len(classes.rows))
        for j, level in enumerate(node):
            # The loss of a label does not depend on which of its leaves stands for it.
            cells += self._losses[j][level][classes.codes[:, j]]
        loss = float(np.where(bad, 1.0, cells) @ classes.rows) / self.rows
        return Visit(node, classes, bad, loss)

    def parents(self, node: Node) -> list[Node]:
        """Nodes one level more general in one column."""
        return [(*node[:j], level + 1, *node[j + 1 :]) for j, level in enumerate(node) if level < self.top[j]]

    def children(self, node: Node) -> list[Node]:
        """Nodes one level less general in one column, not below the floor."""
        return [(*node[:j], level - 1, *node[j + 1 :]) for j, level in enumerate(node) if level > self.floor[j]]


def search(lattice: Lattice, budget: int = NODE_BUDGET) -> Solution | None:
    """The node of least loss, or None where not even full generalization satisfies the criteria.

    Within `budget` evaluated nodes the answer is optimal; beyond, it is the best seen and carries a valid bound.
    """
    best = lattice.visit(lattice.top)
    if best.loss is None:
        return None
    evaluated, bound = 1, lattice.bound(lattice.floor)
    waiting: list[tuple[float, Node, Tuples | None]] = [(bound, lattice.floor, None)]
    seen = {lattice.floor}
    while waiting and evaluated < budget:
        bound, node, below = heapq.heappop(waiting)
        if bound >= _loss(best):
            return _solution(best, np.inf, evaluated)
        visit = lattice.visit(node, below)
        evaluated += 1
        best = min(best, visit, key=_loss)
        for parent in lattice.parents(node):
            if parent not in seen:
                seen.add(parent)
                heapq.heappush(waiting, (lattice.bound(parent), parent, visit.classes))
    if not waiting:
        return _solution(best, np.inf, evaluated)
    found, more = _descend(lattice)
    return _solution(min(best, found, key=_loss), bound, evaluated + more)


def _descend(lattice: Lattice) -> tuple[Visit, int]:
    """A good node quickly: from the top always down to the child of least loss that still satisfies all."""
    here, evaluated = lattice.visit(lattice.top), 1
    while True:
        children = [lattice.visit(child) for child in lattice.children(here.node)]
        evaluated += len(children)
        better = min(children, key=_loss, default=here)
        if _loss(better) >= _loss(here):
            return here, evaluated
        here = better


def _loss(visit: Visit) -> float:
    return np.inf if visit.loss is None else visit.loss


def _solution(best: Visit, bound: float, evaluated: int) -> Solution:
    """The best visit as a solution; a bound beyond its loss means that it is optimal."""
    assert best.loss is not None, "only nodes that satisfy the criteria become solutions"
    return Solution(best.node, best.loss, min(bound, best.loss), evaluated, best.classes, best.violating)
