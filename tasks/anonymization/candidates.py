"""The nodes that may still be the best, and which of them loses least: two ways to keep them.

A node that violates monotone criteria rules out every node below it (predictive tagging: Kohlmayer et al. 2012, Flash).
Up to a million nodes the whole lattice is an array, and ruling out is setting a box of it. Beyond, the nodes are the
solutions of a linear program in zeros and ones, and every ruling out is a row of it: what was learned at one node is a
set that each remaining node has to hit (implicit hitting sets: Chandrasekaran et al. 2011, SODA).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

Node = tuple[int, ...]
MOST_IN_ARRAY = 1_000_000


class Candidates(Protocol):
    """Nodes that are not ruled out yet."""

    def cheapest(self) -> tuple[Node, float] | None:
        """The node of least bound and that bound, or None where no node is left."""
        ...

    def rule_out(self, node: Node) -> None:
        """Leave out one node."""
        ...

    def rule_out_below(self, node: Node) -> None:
        """Leave out a node and all that are nowhere more general."""
        ...

    def raise_above(self, node: Node, bound: float) -> None:
        """Nodes that are nowhere less general than `node` lose at least `bound`."""
        ...


def candidates(means: Sequence[np.ndarray], floor: Node) -> Candidates:
    """All nodes from `floor` upwards; means: by column, what each level loses of the mean row, rising."""
    nodes = float(np.prod([len(levels) - low for levels, low in zip(means, floor, strict=True)], dtype=float))
    return Listed(means, floor) if nodes <= MOST_IN_ARRAY else Implied(means, floor)


class Listed:
    """The lattice as an array of bounds with one axis for each column; infinite where a node is ruled out."""

    def __init__(self, means: Sequence[np.ndarray], floor: Node) -> None:
        self._floor = floor
        self._bounds = np.zeros(())
        for levels, low in zip(means, floor, strict=True):
            self._bounds = self._bounds[..., None] + levels[low:]
        self._flat = self._bounds.ravel()

    def cheapest(self) -> tuple[Node, float] | None:
        """See Candidates."""
        place = int(self._flat.argmin())
        if np.isinf(self._flat[place]):
            return None
        above = np.unravel_index(place, self._bounds.shape)
        return tuple(int(a) + low for a, low in zip(above, self._floor, strict=True)), float(self._flat[place])

    def rule_out(self, node: Node) -> None:
        """See Candidates."""
        self._bounds[self._place(node)] = np.inf

    def rule_out_below(self, node: Node) -> None:
        """See Candidates."""
        self._bounds[tuple(slice(None, place + 1) for place in self._place(node))] = np.inf

    def raise_above(self, node: Node, bound: float) -> None:
        """See Candidates."""
        above = self._bounds[tuple(slice(place, None) for place in self._place(node))]
        np.maximum(above, bound, out=above)

    def _place(self, node: Node) -> Node:
        return tuple(level - low for level, low in zip(node, self._floor, strict=True))


class Implied:
    """The lattice as a program: a variable for each column and level above the floor says whether it is reached."""

    def __init__(self, means: Sequence[np.ndarray], floor: Node) -> None:
        self._floor = floor
        self._heights = [len(levels) - 1 - low for levels, low in zip(means, floor, strict=True)]
        self._first = np.cumsum([0, *self._heights])
        self._base = float(sum(levels[low] for levels, low in zip(means, floor, strict=True)))
        self._costs = np.concatenate([np.diff(levels[low:]) for levels, low in zip(means, floor, strict=True)])
        self._rows: list[dict[int, float]] = []
        self._least: list[float] = []
        for first, height in zip(self._first, self._heights, strict=False):
            for level in range(height - 1):  # a level is reached only by way of the one below
                self._require({first + level: 1.0, first + level + 1: -1.0}, 0.0)

    def cheapest(self) -> tuple[Node, float] | None:
        """See Candidates."""
        found = milp(
            self._costs,
            integrality=np.ones(len(self._costs)),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(self._matrix(), np.array(self._least)),
            options={"mip_rel_gap": 0.0},
        )
        if found.x is None:
            return None
        reached = np.add.reduceat(np.append(np.round(found.x), 0.0), self._first[:-1]).astype(int)
        heights = np.where(np.array(self._heights) > 0, reached, 0)
        node = tuple(low + int(height) for low, height in zip(self._floor, heights, strict=True))
        # The solver's dual bound, since its tolerance must not make a claim stronger than it is.
        return node, self._base + float(found.mip_dual_bound)

    def rule_out(self, node: Node) -> None:
        """See Candidates."""
        terms, reached = self._above(node), 0
        for first, low, level in zip(self._first, self._floor, node, strict=False):
            if level > low:
                terms[first + level - low - 1] = -1.0
                reached += 1
        self._require(terms, 1.0 - reached)

    def rule_out_below(self, node: Node) -> None:
        """See Candidates."""
        self._require(self._above(node), 1.0)

    def raise_above(self, node: Node, bound: float) -> None:
        """Bounds that do not add up over columns are not kept here; the search then proves less."""

    def _above(self, node: Node) -> dict[int, float]:
        """A term for each column that says whether it is above the node's level."""
        places = zip(self._first, self._heights, self._floor, node, strict=False)
        return {first + level - low: 1.0 for first, height, low, level in places if level - low < height}

    def _require(self, terms: dict[int, float], least: float) -> None:
        self._rows.append(terms)
        self._least.append(least)

    def _matrix(self) -> csr_array:
        values = [value for row in self._rows for value in row.values()]
        columns = [column for row in self._rows for column in row]
        ends = np.cumsum([0, *(len(row) for row in self._rows)])
        return csr_array((values, columns, ends), shape=(len(self._rows), len(self._costs)))
