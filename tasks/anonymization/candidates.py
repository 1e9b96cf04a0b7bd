"""The nodes of a lattice that may still be the best, as an array, while there are few enough to list them.

A node that violates monotone criteria rules out every node below it (predictive tagging: Kohlmayer et al. 2012, Flash):
a box of the array. Lattices beyond are searched by boxes that are never listed; see tasks.anonymization.branching.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.anonymization.rollup import Node

MOST_NODES = 1_000_000


def are_few(means: Sequence[np.ndarray], floor: Node) -> bool:
    """Whether the nodes from `floor` upwards can be listed."""
    nodes = np.prod([len(levels) - low for levels, low in zip(means, floor, strict=True)], dtype=float)
    return bool(nodes <= MOST_NODES)


class Candidates:
    """The lattice as an array of bounds with one axis for each column; infinite where a node is ruled out.

    means: by column, what each level loses of the mean row, rising.
    """

    def __init__(self, means: Sequence[np.ndarray], floor: Node) -> None:
        self._floor = floor
        self._bounds = np.zeros(())
        for levels, low in zip(means, floor, strict=True):
            self._bounds = self._bounds[..., None] + levels[low:]
        self._flat = self._bounds.ravel()

    def cheapest(self) -> tuple[Node, float] | None:
        """The node of least bound and that bound, or None where no node is left."""
        place = int(self._flat.argmin())
        if np.isinf(self._flat[place]):
            return None
        above = np.unravel_index(place, self._bounds.shape)
        return tuple(int(a) + low for a, low in zip(above, self._floor, strict=True)), float(self._flat[place])

    def rule_out(self, node: Node) -> None:
        """Leave out one node."""
        self._bounds[self._place(node)] = np.inf

    def rule_out_below(self, node: Node) -> None:
        """Leave out a node and all that are nowhere more general."""
        self._bounds[tuple(slice(None, place + 1) for place in self._place(node))] = np.inf

    def raise_above(self, node: Node, bound: float) -> None:
        """Nodes that are nowhere less general than `node` lose at least `bound`."""
        above = self._bounds[tuple(slice(place, None) for place in self._place(node))]
        np.maximum(above, bound, out=above)

    def raise_below(self, node: Node, terms: Sequence[np.ndarray]) -> None:
        """Nodes nowhere more general lose the sum of their columns' terms at least, by level up to the node's."""
        least = np.zeros(())
        for levels, low in zip(terms, self._floor, strict=True):
            least = least[..., None] + levels[low:]
        below = self._bounds[tuple(slice(None, place + 1) for place in self._place(node))]
        np.maximum(below, least, out=below)

    def _place(self, node: Node) -> Node:
        return tuple(level - low for level, low in zip(node, self._floor, strict=True))
