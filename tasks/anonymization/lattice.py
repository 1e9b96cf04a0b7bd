"""The lattice of generalizations: what each node comes to.

A node gives each quasi-identifier a level. Nothing here decides which nodes to look at; see tasks.anonymization.search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.anonymization import losses
from tasks.anonymization.classes import Tuples
from tasks.anonymization.criteria import Criterion, KAnonymity, judge, split
from tasks.anonymization.hierarchies import Hierarchy
from tasks.anonymization.losses import Loss
from tasks.anonymization.rollup import Node, Rollup
from tasks.common.compiling import compiled


@dataclass(frozen=True)
class Visit:
    """A node with its classes; loss is None where it does not satisfy the criteria.

    loss, bound: in the lattice's own terms, see `losses.reported`; no node above has a smaller loss than `bound`.
    violating: bool (classes,), those left out. hopeless: no node below satisfies the criteria either.
    unavoidable: rows that are suppressed here and in every node below, at least.
    """

    node: Node
    classes: Tuples
    violating: np.ndarray
    loss: float | None
    bound: float
    hopeless: bool
    unavoidable: float


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
        self.criteria = split(criteria)
        self.measure = measure
        self.rows = int(tuples.rows.sum())
        self.most_suppressed = int(suppression * self.rows + 1e-9)
        self.floor: Node = tuple(floor or [0] * len(hierarchies))
        self.top: Node = tuple(hierarchy.levels - 1 for hierarchy in hierarchies)
        self._shares = losses.normalized(weights)
        self._starts, self._cells, self._raw_means, self._gaps = self._tables()
        self._rollup = Rollup(tuples, hierarchies)
        # By column and level, what it adds to a node's loss at least; zero where the measure is not of cells.
        self.means = (
            [losses.terms(measure, share, raw) for share, raw in zip(self._shares, self._raw_means, strict=True)]
            if measure.of_cells
            else [np.zeros(hierarchy.levels) for hierarchy in hierarchies]
        )

    def _tables(self) -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray], list[np.ndarray]]:
        """Every column's and level's losses by leaf in one array, where each level begins, its mean over rows, and by
        how much at least a cell loses more at the top."""
        cells, starts, means, gaps, end = [], [], [], [], 0
        for j, hierarchy in enumerate(self.hierarchies):
            levels, leaves = hierarchy.codes.shape
            starts.append(end + leaves * np.arange(levels))
            end += hierarchy.codes.size
            rows = np.bincount(self.tuples.codes[:, j], weights=self.tuples.rows, minlength=leaves)
            cells.append(losses.cell_losses(self.measure, hierarchy, rows))
            means.append(cells[j] @ rows / self.rows)
            gaps.append((cells[j][-1] - cells[j])[:, rows > 0].min(axis=1))
        return starts, np.concatenate([losses_of_column.ravel() for losses_of_column in cells]), means, gaps

    @property
    def least_people(self) -> int:
        """How many people k-anonymity asks for in a class, 1 if it is no criterion."""
        return max((criterion.k for criterion in self.criteria[0] if isinstance(criterion, KAnonymity)), default=1)

    def bound(self, node: Node) -> float:
        """Cell loss of a node if nothing had to be suppressed; never above its loss, and growing upwards."""
        return float(sum(means[level] for means, level in zip(self.means, node, strict=True)))

    def terms_below(self, node: Node, suppressed: float) -> list[np.ndarray]:
        """What columns add at least to the loss of a node below, by column and level up to the node's.

        So many rows are suppressed there. Each loses what `*` does: more than its cells, by the smallest gap at least.
        """
        share = suppressed / self.rows
        return [
            losses.terms(self.measure, weight, raw[: level + 1] + share * gaps[: level + 1])
            for weight, raw, gaps, level in zip(self._shares, self._raw_means, self._gaps, node, strict=True)
        ]

    def classes(self, node: Node, below: Tuples | None = None) -> tuple[Tuples, np.ndarray]:
        """The classes of a node, and which of them each tuple of `below` went into, int32 (n,).

        below: classes of any node that is nowhere more general; the tuples themselves if not given.
        Classes are numbered by their first tuple, and so as those of `visit`, whatever these were merged from.
        """
        return self._rollup.merged(node, self.tuples if below is None else below)

    def visit(self, node: Node) -> Visit:
        """Evaluate a node."""
        classes = self._rollup.classes(node)
        judgement = judge(self.criteria, classes, self.most_suppressed, lambda: self._places(node, classes))
        bad = judgement.violating
        good = judgement.satisfied and int(classes.rows[bad].sum()) < self.rows
        loss = self.loss(node, classes, bad) if good else None
        return Visit(node, classes, bad, loss, self._bound(node, classes), judgement.hopeless, judgement.unavoidable)

    def _places(self, node: Node, classes: Tuples) -> np.ndarray:
        """Places of classes when sorted by their labels, int64 (c,): the same whatever they were merged from."""
        places = np.empty(len(classes), dtype=np.int64)
        places[np.lexsort(self._rollup.labels(node, classes.codes))] = np.arange(len(classes))
        return places

    def loss(self, node: Node, classes: Tuples, suppressed: np.ndarray) -> float:
        """What the classes of a node lose where some are suppressed, bool (c,); never below the node's bound."""
        if not self.measure.of_cells:
            return losses.class_loss(self.measure, classes.rows, suppressed)
        columns = np.array([raw[level] for raw, level in zip(self._raw_means, node, strict=True)])
        here, top = self._starts_at(node), self._starts_at(self.top)
        lost = suppressed & (classes.rows > 0)
        # What `*` loses more than a label depends on the label alone, so any leaf under it will do.
        columns += _losses_more(classes.codes[lost], classes.rows[lost], self._cells, here, top) / self.rows
        return float(losses.terms(self.measure, self._shares, columns).sum())

    def _starts_at(self, node: Node) -> np.ndarray:
        return np.array([starts[level] for starts, level in zip(self._starts, node, strict=True)])

    def _bound(self, node: Node, classes: Tuples) -> float:
        if self.measure.of_cells:
            return self.bound(node)
        return losses.class_loss(self.measure, classes.rows, classes.rows == 0)

    def parents(self, node: Node) -> list[Node]:
        """Nodes one level more general in one column."""
        return [(*node[:j], level + 1, *node[j + 1 :]) for j, level in enumerate(node) if level < self.top[j]]

    def children(self, node: Node) -> list[Node]:
        """Nodes one level less general in one column, not below the floor."""
        return [(*node[:j], level - 1, *node[j + 1 :]) for j, level in enumerate(node) if level > self.floor[j]]


@compiled
def _losses_more(
    codes: np.ndarray, rows: np.ndarray, cells: np.ndarray, here: np.ndarray, top: np.ndarray
) -> np.ndarray:
    """What rows lose at the top beyond what they lose here, summed by column, float64 (q,)."""
    total = np.zeros(codes.shape[1])
    for i in range(len(codes)):
        for j in range(codes.shape[1]):
            total[j] += rows[i] * (cells[top[j] + codes[i, j]] - cells[here[j] + codes[i, j]])
    return total
