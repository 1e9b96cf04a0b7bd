"""Classes of nodes, each merged from those of a node below it that is still at hand (LeFevre et al. 2005, Incognito).

Where the labels of all columns fit into 62 bits, classes carry them as one key, and going up changes only the bits of
the columns that are raised.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.anonymization.classes import MOST_KEYS, Tuples, merge, pack_below
from tasks.anonymization.hierarchies import Hierarchy
from tasks.common.compiling import compiled

Node = tuple[int, ...]
# Tuples are merged by these many columns of most labels first.
_STOPOVER_COLUMNS = 2
# Classes kept for rolling up, as tuples of all nodes together; one takes about 70 bytes.
_KEPT_TUPLES = 2_000_000


@dataclass(frozen=True)
class _Kept:
    """Classes of a node and, where they fit, their labels as keys, int64 (classes,)."""

    classes: Tuples
    keys: np.ndarray | None


class Rollup:
    """Tuples and their hierarchies, and the classes of the nodes that were asked for last."""

    def __init__(self, tuples: Tuples, hierarchies: Sequence[Hierarchy]) -> None:
        self.tuples = tuples
        self._hierarchies = hierarchies
        self._sizes = [[len(labels) for labels in hierarchy.labels] for hierarchy in hierarchies]
        bits = [max(sizes) - 1 for sizes in self._sizes]
        self._bits = np.array([max(most.bit_length(), 1) for most in bits], dtype=np.int64)
        self._shifts = np.cumsum(self._bits) - self._bits
        self._packed = int(self._bits.sum()) < MOST_KEYS.bit_length()
        self._bottom: Node = (0,) * len(hierarchies)
        self._longest = sorted(range(len(hierarchies)), key=lambda j: -self._sizes[j][0])[:_STOPOVER_COLUMNS]
        self._poor: set[Node] = set()
        self._raising: dict[tuple[int, int, int], np.ndarray] = {}
        self._kept: OrderedDict[Node, _Kept] = OrderedDict()
        self._count = 0
        # Turned, a node in each column: numpy compares long rows faster.
        self._nodes = np.zeros((len(hierarchies), 64), dtype=np.int64)
        self._lengths = np.full(64, np.iinfo(np.int64).max)
        self._places: dict[Node, int] = {}
        keys = self._packed_labels(tuples.codes) if self._packed else None
        self._below_all = _Kept(tuples, keys)

    def labels(self, node: Node, codes: np.ndarray) -> list[np.ndarray]:
        """By column the labels of leaf codes int32 (n, q) at a node, int32 (n,)."""
        levels = zip(self._hierarchies, node, strict=True)
        return [hierarchy.codes[level][codes[:, j]] for j, (hierarchy, level) in enumerate(levels)]

    def merged(self, node: Node, below: Tuples) -> tuple[Tuples, np.ndarray]:
        """The classes of a node, and which of them each tuple of `below` went into, int32 (n,).

        below: classes of any node that is nowhere more general, or the tuples themselves.
        """
        sizes = [sizes[level] for sizes, level in zip(self._sizes, node, strict=True)]
        classes, of_tuple, _ = merge(below, *pack_below(self.labels(node, below.codes), sizes))
        return classes, of_tuple

    def classes(self, node: Node) -> Tuples:
        """The classes of a node, merged from the fewest at hand, and kept."""
        if node in self._kept:
            self._kept.move_to_end(node)
            return self._kept[node].classes
        below_node, below = self._fewest_below(node)
        if below_node == self._bottom and (stop := self._stopover(node)) not in {node, self._bottom, *self._poor}:
            self._stop(stop)
            below_node, below = self._fewest_below(node)
        if node == below_node:
            made = below
        elif below.keys is None:
            made = _Kept(self.merged(node, below.classes)[0], None)
        else:
            keys = self._raised(below.keys, below_node, node)
            classes, _, first = merge(below.classes, keys, 1 << int(self._bits.sum()))
            made = _Kept(classes, keys.take(first))
        self._keep(node, made)
        return made.classes

    def _stopover(self, node: Node) -> Node:
        """The node below that is raised in the columns of most labels only: many nodes lie above it."""
        return tuple(level if j in self._longest else 0 for j, level in enumerate(node))

    def _stop(self, node: Node) -> None:
        """Merge a stopover; one that leaves most tuples as they are is not kept, nor tried again."""
        if 2 * len(self.classes(node)) > len(self.tuples):
            self._poor.add(node)
            self._drop(node)

    def _packed_labels(self, codes: np.ndarray) -> np.ndarray:
        keys = np.zeros(len(codes), dtype=np.int64)
        for labels, shift in zip(self.labels(self._bottom, codes), self._shifts, strict=True):
            keys |= labels.astype(np.int64) << shift
        return keys

    def _raised(self, keys: np.ndarray, below: Node, node: Node) -> np.ndarray:
        columns = [j for j, (low, high) in enumerate(zip(below, node, strict=True)) if low != high]
        steps = [self._steps(j, below[j], node[j]) for j in columns]
        starts = np.cumsum([0, *(len(step) for step in steps)])
        return _raise(keys, self._shifts[columns], (1 << self._bits[columns]) - 1, np.concatenate(steps), starts)

    def _steps(self, column: int, low: int, high: int) -> np.ndarray:
        """By label at level `low`, what to add to get its label at level `high`, int64 (labels,)."""
        place = (column, low, high)
        if place not in self._raising:
            codes = self._hierarchies[column].codes
            steps = np.zeros(self._sizes[column][low], dtype=np.int64)
            steps[codes[low]] = codes[high].astype(np.int64) - codes[low]
            self._raising[place] = steps
        return self._raising[place]

    def _fewest_below(self, node: Node) -> tuple[Node, _Kept]:
        count = len(self._places)
        below = (self._nodes[:, :count] <= np.array(node)[:, None]).all(axis=0)
        if below.any():
            place = int(np.where(below, self._lengths[:count], np.iinfo(np.int64).max).argmin())
            if self._lengths[place] < len(self.tuples):
                found = tuple(self._nodes[:, place].tolist())
                self._kept.move_to_end(found)
                return found, self._kept[found]
        return self._bottom, self._below_all

    def _keep(self, node: Node, made: _Kept) -> None:
        self._kept[node] = made
        self._count += len(made.classes)
        while len(self._kept) > 1 and self._count > _KEPT_TUPLES:
            self._drop(next(iter(self._kept)))
        place = len(self._places)
        if place == len(self._lengths):
            self._nodes = np.concatenate([self._nodes, np.zeros_like(self._nodes)], axis=1)
            self._lengths = np.concatenate([self._lengths, np.zeros_like(self._lengths)])
        self._places[node] = place
        self._nodes[:, place], self._lengths[place] = node, len(made.classes)

    def _drop(self, node: Node) -> None:
        self._count -= len(self._kept.pop(node).classes)
        self._forget(node)

    def _forget(self, node: Node) -> None:
        """Close the gap that a node leaves in the arrays with their last row."""
        place, last = self._places.pop(node), len(self._places)
        if place != last:
            moved = tuple(self._nodes[:, last].tolist())
            self._nodes[:, place], self._lengths[place] = self._nodes[:, last], self._lengths[last]
            self._places[moved] = place


@compiled
def _raise(
    keys: np.ndarray, shifts: np.ndarray, masks: np.ndarray, steps: np.ndarray, starts: np.ndarray
) -> np.ndarray:
    raised = np.empty(len(keys), dtype=np.int64)
    for i in range(len(keys)):
        key = keys[i]
        for c in range(len(shifts)):
            key += steps[starts[c] + ((key >> shifts[c]) & masks[c])] << shifts[c]
        raised[i] = key
    return raised
