"""The best generalization: the node of least loss that satisfies the criteria, proven or with its distance to a bound.

Nodes are looked at in the order of a lower bound on their loss. One that satisfies the criteria may become the best;
one that is hopeless, itself and all below, is followed upwards to where hope begins, since everything below the last
hopeless node is ruled out at once. Where criteria are not monotone, or a suppressed class may spoil one that it merges
with, nodes may also violate them without being hopeless; those are ruled out one by one. The search ends when the
least bound of the nodes left reaches the best loss: what was found is then optimal. Where the budget ends first, that
bound is reported.

Compare Hart et al. 1968 for best-first search, Kohlmayer et al. 2012 (Flash) for tagging along paths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.anonymization import losses
from tasks.anonymization.branching import Boxes
from tasks.anonymization.candidates import Candidates, are_few
from tasks.anonymization.classes import Tuples
from tasks.anonymization.lattice import Lattice, Visit
from tasks.anonymization.rollup import Node


@dataclass(frozen=True)
class Budget:
    """When to be content with less than the optimum. The counts are the same on every machine.

    nodes: so many are evaluated. reads: so often tuples are gone through to bound what boxes of nodes lose.
    """

    nodes: int = 5_000
    reads: int = 25_000_000_000


@dataclass(frozen=True)
class Solution:
    """A node that satisfies the criteria, and how good it is.

    loss, bound: in [0, 1]; no node has a loss below `bound`. evaluated: nodes looked at.
    classes: the node's equivalence classes; violating: bool (classes,), those left out, or without rows from the start.
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


def search(lattice: Lattice, budget: Budget = Budget()) -> Solution | None:
    """The node of least loss, or None where no node satisfies the criteria, or none that was looked at.

    Within the budget the answer is optimal; beyond, it is the best seen and carries a valid bound.
    """
    looking = _Looking(lattice)
    if looking.visit(lattice.top).hopeless:
        return None
    few = are_few(lattice.means, lattice.floor)
    return looking.solution(_by_node(looking, budget) if few else _by_box(looking, budget))


def _by_node(looking: _Looking, budget: Budget) -> float:
    """Look at node after node; a bound for those that were not looked at."""
    left = Candidates(looking.lattice.means, looking.lattice.floor)
    left.rule_out(looking.lattice.top)
    bound = 0.0
    while looking.evaluated < budget.nodes:
        found = left.cheapest()
        if found is None:
            return np.inf
        node, bound = found
        if bound >= looking.best_loss:
            return bound
        looking.look_at(node, left)
    looking.descend()
    return bound


def _by_box(looking: _Looking, budget: Budget) -> float:
    """Split box after box of a lattice too large to list, down to single nodes; a bound for the boxes left."""
    lattice = looking.lattice
    looking.descend()
    alone = len(lattice.criteria[0]) + len(lattice.criteria[1]) == 1
    # k-anonymity bounds every box; what else has to hold is asked of its most general node.
    boxes = Boxes(
        lattice.tuples,
        lattice.hierarchies,
        lattice.means,
        lattice.floor,
        lattice.least_people,
        lattice.most_suppressed,
        (lambda _node: False) if alone else (lambda node: looking.visit(node).hopeless),
    )
    bound = 0.0
    while looking.evaluated < budget.nodes and boxes.read < budget.reads:
        box = boxes.cheapest()
        if box is None:
            return np.inf
        bound = box.bound
        if bound >= looking.best_loss:
            return bound
        if box.low == box.high:
            looking.visit(box.low)
        boxes.split()
    looking.descend()
    return bound


class _Looking:
    """A search under way: the best so far, and how many nodes were looked at."""

    def __init__(self, lattice: Lattice) -> None:
        self.lattice = lattice
        self.best: Visit | None = None
        self.best_loss = np.inf
        self.evaluated = 0
        self._hopeless, self._hopeful = _Nodes(len(lattice.top)), _Nodes(len(lattice.top))

    def look_at(self, node: Node, left: Candidates) -> None:
        """Evaluate the cheapest node left, and rule out what follows from it."""
        visit = self.visit(node)
        if not self.lattice.measure.of_cells:
            left.raise_above(node, visit.bound)
        if visit.hopeless:
            left.rule_out_below(self._last_hopeless(node))
        else:
            left.rule_out(node)

    def visit(self, node: Node) -> Visit:
        """Evaluate a node; it may become the best."""
        visit = self.lattice.visit(node)
        self.evaluated += 1
        (self._hopeless if visit.hopeless else self._hopeful).add(node)
        if visit.loss is not None and visit.loss < self.best_loss:
            self.best, self.best_loss = visit, visit.loss
        return visit

    def _last_hopeless(self, node: Node) -> Node:
        """Go up from a hopeless node, by the cheapest column that leaves it hopeless.

        Below a hopeless node all are, and above a hopeful one nearly none is, so neither is looked at again; nor are
        nodes whose bound says that they are not the best.
        """
        here = node
        open_columns = [j for j, level in enumerate(here) if level < self.lattice.top[j]]
        while open_columns:
            j = min(open_columns, key=lambda j: self._price(here, j))
            above = (*here[:j], here[j] + 1, *here[j + 1 :])
            if not self._is_hopeless(above):
                open_columns.remove(j)
                continue
            here = above
            if here[j] == self.lattice.top[j]:
                open_columns.remove(j)
        return here

    def _is_hopeless(self, node: Node) -> bool:
        if self.lattice.bound(node) >= self.best_loss or self._hopeful.any_below(node):
            return False
        return self._hopeless.any_above(node) or self.visit(node).hopeless

    def _price(self, node: Node, column: int) -> float:
        means = self.lattice.means[column]
        return float(means[node[column] + 1] - means[node[column]])

    def descend(self) -> None:
        """Improve on the best by going down from it, always to the child of least loss that satisfies all."""
        before = np.inf
        while self.best is not None and self.best_loss < before:
            before = self.best_loss
            for child in self.lattice.children(self.best.node):
                self.visit(child)

    def solution(self, bound: float) -> Solution | None:
        """The best as a solution, if there is one; a bound beyond its loss means that it is optimal."""
        best, measure = self.best, self.lattice.measure
        if best is None:
            return None
        loss, bound = losses.reported(measure, self.best_loss), losses.reported(measure, min(bound, self.best_loss))
        return Solution(best.node, loss, bound, self.evaluated, best.classes, best.violating)


class _Nodes:
    """A growing set of nodes that can be asked for order."""

    def __init__(self, columns: int) -> None:
        self._nodes = np.zeros((64, columns), dtype=np.int64)
        self._count = 0

    def add(self, node: Node) -> None:
        """Add a node."""
        if self._count == len(self._nodes):
            self._nodes = np.concatenate([self._nodes, np.zeros_like(self._nodes)])
        self._nodes[self._count] = node
        self._count += 1

    def any_below(self, node: Node) -> bool:
        """Whether one of them is nowhere more general."""
        return bool(np.any(np.all(self._nodes[: self._count] <= node, axis=1)))

    def any_above(self, node: Node) -> bool:
        """Whether one of them is nowhere less general."""
        return bool(np.any(np.all(self._nodes[: self._count] >= node, axis=1)))
