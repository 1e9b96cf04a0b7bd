"""The best generalization: the node of least loss that satisfies the criteria, proven or with its distance to a bound.

Nodes are looked at in the order of a lower bound on their loss. One that satisfies the criteria may become the best;
one that is hopeless, itself and all below, is followed upwards to where hope begins, since everything below the last
hopeless node is ruled out at once. Where criteria are not monotone, or a suppressed class may spoil one that it merges
with, nodes may also violate them without being hopeless; those are ruled out one by one. The search ends when the
least bound of the nodes left reaches the best loss: what was found is then optimal. Where the budget ends first, that
bound is reported. Rows that are suppressed in a node and all below raise the bounds there.

Compare Hart et al. 1968 for best-first search, Kohlmayer et al. 2012 (Flash) for tagging along paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.anonymization import losses
from tasks.anonymization.branching import Boxes
from tasks.anonymization.candidates import Candidates, are_few
from tasks.anonymization.classes import Tuples
from tasks.anonymization.lattice import Lattice, Visit
from tasks.anonymization.rollup import Node

# A hopeless node is so by far where this many times as many rows are suppressed below it as may be.
_FAR = 2
# Where a path is cut to find where hope begins: near its end, where nodes have few classes.
_CUT = 0.8
# Columns in which a hopeless node is followed up until hope begins, before it is good enough.
_CLOSED = 3


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
    left = Candidates(lattice.means, lattice.floor) if are_few(lattice.means, lattice.floor) else None
    looking = _Looking(lattice, left)
    if looking.visit(lattice.top).hopeless:
        return None
    return looking.solution(_by_box(looking, budget) if left is None else _by_node(looking, left, budget))


def _by_node(looking: _Looking, left: Candidates, budget: Budget) -> float:
    """Look at node after node; a bound for those that were not looked at."""
    left.rule_out(looking.lattice.top)
    bound = 0.0
    while looking.evaluated < budget.nodes:
        found = left.cheapest()
        if found is None:
            return np.inf
        node, bound = found
        if bound >= looking.best_loss:
            return bound
        looking.look_at(node)
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
    """A search under way: the best so far, how many nodes were looked at, and which are left, where they are listed."""

    def __init__(self, lattice: Lattice, left: Candidates | None) -> None:
        self.lattice, self.left = lattice, left
        self.best: Visit | None = None
        self.best_loss = np.inf
        self.evaluated = 0
        self._hopeless, self._hopeful = _Highest(len(lattice.top)), _Lowest(len(lattice.top))
        self._unavoidable: dict[Node, float] = {}  # of nodes visited: rows suppressed there and below, at least
        self._near = False

    def look_at(self, node: Node) -> None:
        """Look at the cheapest node left, and rule out what follows from it."""
        assert self.left is not None, "nodes are looked at one by one where they are listed"
        hopeless = self._last_hopeless(node)
        if hopeless is not None:
            self.left.rule_out_below(hopeless)
            return
        if node not in self._unavoidable:
            self.visit(node)
        self.left.rule_out(node)

    def visit(self, node: Node) -> Visit:
        """Evaluate a node; it may become the best."""
        visit = self.lattice.visit(node)
        self.evaluated += 1
        self._unavoidable[node] = visit.unavoidable
        (self._hopeless if visit.hopeless else self._hopeful).add(node)
        if self.left is not None:
            self._raise(visit, self.left)
        if visit.loss is not None and visit.loss < self.best_loss:
            self.best, self.best_loss = visit, visit.loss
        return visit

    def _raise(self, visit: Visit, left: Candidates) -> None:
        """Raise the bounds of other nodes left by what was seen of one."""
        if not self.lattice.measure.of_cells:
            left.raise_above(visit.node, visit.bound)
        elif visit.unavoidable > 0 and not visit.hopeless:
            left.raise_below(visit.node, self.lattice.terms_below(visit.node, visit.unavoidable))

    def _last_hopeless(self, node: Node) -> Node | None:
        """The node below which hope ends for good, found by going up from a hopeless one; None where there is hope.

        At first only where the best may be. A node that is hopeless by far is so because of a few of its columns: it is
        followed up in the others too, where no node is the best any more, since that rules out more of those below.
        """
        open_columns = [j for j, level in enumerate(node) if level < self.lattice.top[j]]
        here = self._followed(node, open_columns, self.best_loss, self._near)
        self._near = here is None  # nodes with hope come in a row
        if here is None or not open_columns:
            return here
        if self._unavoidable.get(here, np.inf) > _FAR * self.lattice.most_suppressed:
            here = self._followed(here, open_columns, np.inf, near=True)
        return here

    def _followed(self, here: Node, open_columns: list[int], limit: float, near: bool) -> Node | None:
        """Go up in open columns while it stays hopeless, its bound below a limit; None where there is hope at once.

        The column that brings hope is closed, and the path goes on in the others, for a few columns: the last ones cost
        more than they rule out.
        """
        for _ in range(_CLOSED):
            steps = [(-1, here), *self._steps(here, open_columns, limit)]
            count = self._hopeless_steps(steps, near)
            if count == 0:
                return None
            here = steps[count - 1][1]
            if count == len(steps):
                break
            open_columns.remove(steps[count][0])
            near = True
        return here

    def _hopeless_steps(self, steps: Sequence[tuple[int, Node]], near: bool) -> int:
        """On how many steps from the first on there is no hope, by bisection; from the first one up where hope is near.

        Below a hopeless node all are, and above a hopeful one nearly none is.
        """
        begin, end = 0, len(steps)
        if near:
            probe = 1
            while probe <= len(steps) and self._is_hopeless(steps[probe - 1][1]):
                begin, probe = probe, 2 * probe
            end = min(probe - 1, end)
        while begin < end:
            middle = begin + int(_CUT * (end - begin))
            if self._is_hopeless(steps[middle][1]):
                begin = middle + 1
            else:
                end = middle
        return begin

    def _steps(self, here: Node, columns: Sequence[int], limit: float) -> list[tuple[int, Node]]:
        """The path up in these columns that is cheapest at each step: the column of each, and the node it leads to."""
        steps, open_columns = [], [j for j in columns if here[j] < self.lattice.top[j]]
        while open_columns:
            j = min(open_columns, key=lambda j: self._price(here, j))
            here = (*here[:j], here[j] + 1, *here[j + 1 :])
            if self.lattice.bound(here) >= limit:
                break
            steps.append((j, here))
            if here[j] == self.lattice.top[j]:
                open_columns.remove(j)
        return steps

    def _is_hopeless(self, node: Node) -> bool:
        if self._hopeful.any_below(node):
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


class _Lowest:
    """A growing set of nodes, of which only the least general matter."""

    def __init__(self, columns: int) -> None:
        self._nodes = np.zeros((columns, 0), dtype=np.int64)

    def add(self, node: Node) -> None:
        """Add a node."""
        if not self.any_below(node):
            new = np.array(node)[:, None]
            self._nodes = np.concatenate([self._nodes[:, ~(self._nodes >= new).all(axis=0)], new], axis=1)

    def any_below(self, node: Node) -> bool:
        """Whether one of them is nowhere more general."""
        return bool((self._nodes <= np.array(node)[:, None]).all(axis=0).any())


class _Highest:
    """A growing set of nodes, of which only the most general matter."""

    def __init__(self, columns: int) -> None:
        self._turned = _Lowest(columns)

    def add(self, node: Node) -> None:
        """Add a node."""
        self._turned.add(tuple(-level for level in node))

    def any_above(self, node: Node) -> bool:
        """Whether one of them is nowhere less general."""
        return self._turned.any_below(tuple(-level for level in node))
