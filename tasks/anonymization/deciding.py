"""What becomes of each tuple: by the policy's method of recoding, so that the plan's criteria hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.anonymization import axes, cell_suppression, losses, microaggregation, mondrian
from tasks.anonymization.classes import Tuples, pack_below, rank
from tasks.anonymization.counting import Numbers
from tasks.anonymization.criteria import Criterion
from tasks.anonymization.hierarchies import ANY, Hierarchy
from tasks.anonymization.lattice import Lattice
from tasks.anonymization.plan import Plan
from tasks.anonymization.recoding import Recoded, subset
from tasks.anonymization.releasing import Labelling
from tasks.anonymization.search import Solution, search
from tasks.common.compiling import compiled
from tasks.common.errors import ThresholdNotReached
from tasks.common.policy import Policy
from tasks.common.recoding_forms import Method

_CHUNK_ROWS = 1 << 20


@dataclass(frozen=True)
class Decision:
    """What becomes of each fragment of a tuple.

    source: int64 (f,), the tuple, rising. rows: int64 (f,), how many of its rows. classes: those that are kept.
    column_loss: by quasi-identifier the mean loss of a cell of a row that is kept. solution: of full-domain methods.
    cells: share of quasi-identifying cells of kept rows that were suppressed one by one.
    """

    labelling: Labelling
    source: np.ndarray
    rows: np.ndarray
    classes: Tuples
    column_loss: dict[str, float]
    loss: float
    solution: Solution | None
    cells: float

    @property
    def kept(self) -> int:
        """Rows that are released."""
        return int(self.rows[~self.labelling.suppressed].sum())

    def class_of_fragment(self) -> np.ndarray:
        """The equivalence class of each fragment, int32 (f,), by its labels; those that are left out among them."""
        codes = list(self.labelling.codes.values())
        return rank(*pack_below(codes, [len(labels) for labels in self.labelling.labels.values()]))[0]

    def of_row(self, numbers: Numbers, into: np.ndarray) -> Numbers:
        """The fragment of each row. numbers: the tuple that each was counted in; into: which tuple that is here."""
        place = np.full(int(self.source[-1]) + 1, -1, dtype=np.int32)
        place[self.source[::-1]] = np.arange(len(self.source), dtype=np.int32)[::-1]
        found, left = Numbers(), self.rows.copy()
        divided = len(np.unique(self.source)) < len(self.source)
        for start in range(0, len(numbers), _CHUNK_ROWS):
            fragment = place[into[numbers.read(start, _CHUNK_ROWS)]]
            found.append(_dealt(fragment, place, self.source, left) if divided else fragment)
        return found


@compiled
def _dealt(first: np.ndarray, place: np.ndarray, source: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Give each row, whose tuple begins at fragment first[i], one of the places `left` in the tuple's fragments."""
    dealt = np.empty_like(first)
    for i in range(len(first)):
        tuple_ = source[first[i]]
        fragment = place[tuple_]
        while left[fragment] == 0:
            fragment += 1
        left[fragment] -= 1
        place[tuple_] = fragment
        dealt[i] = fragment
    return dealt


def decide(
    tuples: Tuples, trees: Mapping[str, Hierarchy], criteria: Sequence[Criterion], policy: Policy, plan: Plan
) -> Decision:
    """Decide by the policy's method; trees: hierarchies by quasi-identifier, in the order of the tuples' columns.

    Raises:
        ThresholdNotReached: the criteria cannot be met.
        PolicyError: rows of equal tuples would have to be divided, but some person has several.
    """
    match policy.recoding.method:
        case Method.FULL_DOMAIN:
            solution = _search(tuples, trees, criteria, policy, plan)
            if policy.recoding.cell_suppression:
                found = cell_suppression.recode(
                    tuples, list(trees.values()), solution.levels, criteria, plan.criteria.suppression
                )
                return _of_fragments(found, trees, policy, solution)
            return _full_domain(tuples, trees, solution)
        case Method.MICROAGGREGATION:
            over = axes.by_name(policy.columns, trees)
            made = microaggregation.recode(tuples, over, criteria, plan.criteria.suppression)
            return _of_fragments(made.recoded, trees, policy, None)
        case method:
            over, relaxed = axes.by_name(policy.columns, trees), method is Method.MONDRIAN_RELAXED
            found = mondrian.recode(tuples, over, criteria, plan.criteria.suppression, relaxed=relaxed)
            return _of_fragments(found, trees, policy, None)


def _search(
    tuples: Tuples, trees: Mapping[str, Hierarchy], criteria: Sequence[Criterion], policy: Policy, plan: Plan
) -> Solution:
    lattice = Lattice(
        tuples,
        list(trees.values()),
        [policy.columns[name].weight for name in trees],
        list(criteria),
        plan.criteria.suppression,
        [min(plan.floor.get(name, 0), tree.levels - 1) for name, tree in trees.items()],
    )
    solution = search(lattice)
    if solution is None:
        wanted = " and ".join(criterion.describe() for criterion in criteria)
        raise ThresholdNotReached(
            f"{wanted} cannot be reached: even with every quasi-identifier fully generalized more than "
            f"{plan.criteria.suppression:.1%} of the rows would have to be suppressed"
        )
    return solution


def _full_domain(tuples: Tuples, trees: Mapping[str, Hierarchy], solution: Solution) -> Decision:
    suppressed = _in_violating(tuples, trees, solution) | (tuples.rows == 0)
    labels, codes, lost = {}, {}, {}
    weights = np.where(suppressed, 0, tuples.rows)
    for j, (name, tree) in enumerate(trees.items()):
        level = solution.levels[j]
        labels[name], codes[name] = tree.labels[level], tree.codes[level][tuples.codes[:, j]]
        lost[name] = float(tree.loss[level][tuples.codes[:, j]] @ weights / max(weights.sum(), 1))
    kept = subset(solution.classes, np.flatnonzero(~solution.violating))
    every = np.arange(len(tuples))
    labelling = Labelling(labels, codes, suppressed)
    return Decision(labelling, every, tuples.rows, kept, lost, solution.loss, solution, 0.0)


def _in_violating(tuples: Tuples, trees: Mapping[str, Hierarchy], solution: Solution) -> np.ndarray:
    """Whether a tuple's class is left out, bool (n,). Tuples and classes are matched by their labels."""
    levels = list(zip(trees.values(), solution.levels, strict=True))
    both = np.concatenate([tuples.codes, solution.classes.codes])
    columns = [tree.codes[level][both[:, j]] for j, (tree, level) in enumerate(levels)]
    number, first = rank(*pack_below(columns, [len(tree.labels[level]) for tree, level in levels]))
    violating = np.zeros(len(first), dtype=bool)
    violating[number[len(tuples) :]] = solution.violating
    return violating[number[: len(tuples)]]


def _of_fragments(
    found: Recoded, trees: Mapping[str, Hierarchy], policy: Policy, solution: Solution | None
) -> Decision:
    names = list(trees)
    labels = {name: found.labels[j] for j, name in enumerate(names)}
    codes = {name: np.ascontiguousarray(found.codes[:, j]) for j, name in enumerate(names)}
    weights = np.where(found.suppressed, 0, found.rows)
    lost = {name: float(found.loss[:, j] @ weights / max(weights.sum(), 1)) for j, name in enumerate(names)}
    shares = losses.normalized([policy.columns[name].weight for name in names])
    labelling = Labelling(labels, codes, found.suppressed | (found.rows == 0))
    cells = _cells(found, weights, solution) if solution else 0.0
    return Decision(labelling, found.source, found.rows, found.classes, lost, found.mean_loss(shares), solution, cells)


def _cells(found: Recoded, weights: np.ndarray, solution: Solution) -> float:
    """Share of the kept rows' cells that are `*` though their column as a whole is not."""
    hidden = 0.0
    for j, labels in enumerate(found.labels):
        if ANY in labels and len(labels) > 1:
            hidden += float(weights[found.codes[:, j] == labels.index(ANY)].sum())
    return hidden / max(float(weights.sum()) * len(solution.levels), 1.0)
