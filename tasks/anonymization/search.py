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
from tasks.anonymization.candidates import Candidates, candidates
from tasks.anonymization.classes import Tuples
from tasks.anonymization.lattice import Lattice, Visit
from tasks.anonymization.rollup import Node


@dataclass(frozen=True)
class Budget:
    """When to be content with less than the optimum: after so many nodes. The count is the same on every machine."""

    nodes: int = 5_000


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
    """The node of least loss, or None where not even full generalization satisfies the criteria.

    Within the budget the answer is optimal; beyond, it is the best seen and carries a valid bound.
    """
    best = lattice.visit(lattice.top)
    if best.loss is None:
        return None
    looking = _Looking(lattice, candidates(lattice.means, lattice.floor), best)
    bound = 0.0
    while looking.evaluated < budget.nodes:
        found = looking.left.cheapest()
        if found is None:
            bound = np.inf
            break
        node, bound = found
        if bound >= looking.best_loss:
            break
        looking.look_at(node)
    else:
        looking.descend()
    return looking.solution(bound)


class _Looking:
    """A search under way: the best so far, the nodes left, how many were looked at."""

    def __init__(self, lattice: Lattice, left: Candidates, best: Visit) -> None:
        self.lattice = lattice
        self.left = left
        self.best = best
        self.evaluated = 1

    @property
    def best_loss(self) -> float:
        assert self.best.loss is not None, "the search starts from a node that satisfies the criteria"
        return self.best.loss

    def look_at(self, node: Node) -> None:
        """Evaluate the cheapest node left, and rule out what follows from it."""
        visit = self._visit(node)
        if not self.lattice.measure.of_cells:
            self.left.raise_above(node, visit.bound)
        if visit.hopeless:
            self.left.rule_out_below(self._last_hopeless(node))
        else:
            self.left.rule_out(node)

    def _visit(self, node: Node) -> Visit:
        visit = self.lattice.visit(node)
        self.evaluated += 1
        if visit.loss is not None and visit.loss < self.best_loss:
            self.best = visit
        return visit

    def _last_hopeless(self, node: Node) -> Node:
        """Go up from a hopeless node, by the cheapest column that leaves it hopeless."""
        here = node
        open_columns = [j for j, level in enumerate(here) if level < self.lattice.top[j]]
        while open_columns:
            j = min(open_columns, key=lambda j: self._price(here, j))
            above = (*here[:j], here[j] + 1, *here[j + 1 :])
            if not self._visit(above).hopeless:
                open_columns.remove(j)
                continue
            here = above
            if here[j] == self.lattice.top[j]:
                open_columns.remove(j)
        return here

    def _price(self, node: Node, column: int) -> float:
        means = self.lattice.means[column]
        return float(means[node[column] + 1] - means[node[column]])

    def descend(self) -> None:
        """Improve on the best by going down from it, always to the child of least loss that satisfies all."""
        while True:
            here = self.best_loss
            for child in self.lattice.children(self.best.node):
                self._visit(child)
            if self.best_loss >= here:
                return

    def solution(self, bound: float) -> Solution:
        """The best as a solution; a bound beyond its loss means that it is optimal."""
        best, measure = self.best, self.lattice.measure
        loss, bound = losses.reported(measure, self.best_loss), losses.reported(measure, min(bound, self.best_loss))
        return Solution(best.node, loss, bound, self.evaluated, best.classes, best.violating)
