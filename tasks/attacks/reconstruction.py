"""Reconstruction: what does a label of a locally recoded table really stand for?

Local recoding gives different rows different levels of detail, always as much as it can. Whoever knows that can tell
which of the values under a label are not behind it. Chhillar et al. 2025 (arXiv 2509.03350) call this combinatorial
refinement: the values under the labels of a class are the cells of a box, and how the table was recoded constrains how
many of the class's rows lie in which cells. Two kinds of recoding are known here:

- greedy (the local recoding of ARX, the paper's subject): generalizations are tried from the least loss upwards, of
  equal losses those of fewer levels first, and rows that form a class of k leave the table. A cell in the box of an
  earlier class holds no row of a later class (overlap). A part of a box that is one step finer holds fewer than k of
  its rows, or would have been a class (sparse); so there are rows in more than one part (halves). Rows of nothing but
  `*` are what is left, fewer than k it may be: they come last, under the same rules (algorithm 4).
- partition (Mondrian, LeFevre et al. 2006, ICDE; clustering): labels are the lowest that cover all rows of the class,
  so that the rows are not all under the same child of a label (halves); boxes may overlap, and tell nothing by it.

The paper solves an integer program for each class to count the solutions. Here the adversary knows which class a person
is in (by a secret that is not shared, say) and all quasi-identifiers but one. The box then shrinks to the line of the
missing one, and the probability of each of its cells has a closed form or a short recursion: rows are independent and
uniform over the line, given the constraints. The likeliest cell is guessed. Each quasi-identifier is the missing one
in turn. Cells are values, for numbers and dates the finest intervals of the hierarchy (the paper's basic segments).

What the label itself says is published. The attack is therefore compared with the guess of someone who takes all
values under a label for equally likely, on the same people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tasks.anonymization import hierarchies
from tasks.anonymization.hierarchies import ANY, Hierarchy, Label
from tasks.attacks import refining, space
from tasks.attacks.adversary import Adversary, Method
from tasks.common import reading
from tasks.common.errors import TableError
from tasks.common.policy import Column, Kind, Policy


@dataclass(frozen=True)
class Guesses:
    """Probability of guessing the missing value right, float64 (people,): refined, and by the label alone.

    pinned: share of the missing values that the label leaves open and refining does not, float64 (people,).
    """

    refined: np.ndarray
    plain: np.ndarray
    pinned: np.ndarray


@dataclass(frozen=True)
class _Axis:
    """One quasi-identifier with c cells and d labels.

    facts int32 (people,): the cell of each person. labels int32 (rows,). part int32 (d, c): the child of the label that
    the cell is under, numbered from 0, or -1 where the label does not cover the cell. share float64 (d,): of the
    domain, in the mean over labels of the level. level int64 (d,): 0 for a value, -1 where it is not known, as of a
    label of several levels; height: the most general one.
    """

    facts: np.ndarray
    labels: np.ndarray
    part: np.ndarray
    share: np.ndarray
    level: np.ndarray
    height: int


def guess(adversary: Adversary, release: pa.Table, people: pa.Table, policy: Policy) -> Guesses:
    """Guess each quasi-identifier of each person from the others; means over the quasi-identifiers.

    Raises:
        TableError: the release has labels that the policy's hierarchies do not know.
    """
    names = [name for name in policy.quasi if name in release.column_names]
    axes = [_axis(name, policy.columns[name], people[name], release[name]) for name in names]
    boxes, rows = np.unique(np.stack([axis.labels for axis in axes], axis=1), axis=0, return_counts=True)
    found = refining.guess(
        np.stack([axis.facts for axis in axes], axis=1).astype(np.int32),
        boxes.astype(np.int32),
        rows.astype(np.int64),
        _ranks(axes, boxes, int(rows.sum())),
        _flat([axis.part for axis in axes]),
        np.cumsum([0, *[axis.part.size for axis in axes]])[:-1],
        np.array([axis.part.shape[1] for axis in axes]),
        adversary.method is Method.GREEDY,
    )
    return Guesses(*found.T)


def _ranks(axes: list[_Axis], boxes: np.ndarray, rows: int) -> np.ndarray:
    """Place of each class in the order in which a greedy recoding makes them, int64 (b,); equal where it is not known.

    The loss is the paper's, the geometric mean of 1 + n times the share of the domain (its eq. 2). Of equal losses the
    one of fewer levels comes first (its c1), then that of less height on average (c2); c3 needs the table itself.
    """
    loss, levels, heights = np.zeros((3, len(boxes)))
    unknown = np.zeros(len(boxes), dtype=bool)
    for axis, labels in zip(axes, boxes.T, strict=True):
        loss += np.log1p(rows * axis.share[labels])
        levels += axis.level[labels]
        heights += axis.level[labels] / max(axis.height, 1)
        unknown |= axis.level[labels] < 0
    of_loss = np.unique(np.round(loss, 9), return_inverse=True)[1]
    level_of_all = ~np.isin(of_loss, of_loss[unknown])
    places = np.round(np.stack([of_loss, levels * level_of_all, heights * level_of_all], axis=1), 9)
    return np.unique(places, axis=0, return_inverse=True)[1].ravel()


def _flat(tables: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([table.ravel() for table in tables]).astype(np.int32)


def _axis(name: str, column: Column, facts: pa.ChunkedArray, released: pa.ChunkedArray) -> _Axis:
    values, codes = space.factorize(facts)
    labels, row_labels = space.factorize(released)
    tree = hierarchies.build(name, column, _domain(name, column, values, labels))
    measured = column.kind in {Kind.NUMERIC, Kind.DATE}
    floor = 1 if measured and tree.levels > 2 else 0
    cell_of_leaf = tree.codes[floor]
    place = {leaf: number for number, leaf in enumerate(tree.leaves)}
    part = np.full((len(labels), int(cell_of_leaf.max()) + 1), -1, dtype=np.int32)
    share, levels = np.ones(len(labels)), np.full(len(labels), -1)
    level_of = _levels(tree)
    spans: np.ndarray | None = None
    for number, label in enumerate(labels):
        known = label if label in level_of else space.as_fact(label, column)
        if known not in level_of and measured:
            spans = _spans(name, facts, released, column) if spans is None else spans
            _cover_interval(part[number], cell_of_leaf, tree, spans[int((row_labels == number).argmax())])
            share[number] = (part[number] >= 0).mean()
            continue
        if known not in level_of:
            raise TableError(f"column `{name}` of the release has a label that the policy's hierarchy does not know")
        level = level_of[known]
        if sum(known in names for names in tree.labels) == 1:
            levels[number] = level
        under = tree.codes[level] == tree.labels[level].index(known)
        part[number, cell_of_leaf[under]] = _children(tree, level, floor, under)
        share[number] = max(float(tree.loss[level].mean()), 1 / len(tree.leaves))
    return _Axis(
        cell_of_leaf[[place[value] for value in values]][codes], row_labels, part, share, levels, tree.levels - 1
    )


def _spans(name: str, facts: pa.ChunkedArray, released: pa.ChunkedArray, column: Column) -> np.ndarray:
    """What the label of each row covers, both ends included, float64 (rows, 2); for intervals not of the hierarchy."""
    alone = Policy(name="alone", columns={name: column})
    place = space.build(pa.table({name: facts}), pa.table({name: released}), [name], alone, {})
    return np.concatenate([place.points.row_low, place.points.row_high], axis=1)[place.of_row]


def _cover_interval(part: np.ndarray, cell_of_leaf: np.ndarray, tree: Hierarchy, span: np.ndarray) -> None:
    """Fill in the cells in an interval, its lower and its upper half as its parts.

    The ends of an interval made for a class are values of the class, one in each half.
    """
    known = [place for place, leaf in enumerate(tree.leaves) if leaf is not None]
    values = reading.floats(pa.chunked_array([[tree.leaves[place] for place in known]]))
    inside = (values >= span[0]) & (values <= span[1])
    upper = values > (span[0] + span[1]) / 2
    part[cell_of_leaf[np.array(known)[inside]]] = upper[inside]


def _domain(name: str, column: Column, values: list[Label], labels: list[Label]) -> list[Label]:
    """Leaves that the hierarchy lists, or else those that occur."""
    listed = hierarchies.listed_leaves(name, column)
    if listed is not None:
        return [*listed, None] if None in [*values, *labels] and None not in listed else listed
    if column.kind in {Kind.NUMERIC, Kind.DATE}:
        labels = [fact for label in labels if (fact := space.as_fact(label, column)) is not None or label is None]
    return list(dict.fromkeys([*values, *(label for label in labels if ANY not in str(label))]))


def _levels(tree: Hierarchy) -> dict[Label, int]:
    """The lowest level that has the label."""
    found: dict[Label, int] = {}
    for level, labels in enumerate(tree.labels):
        for label in labels:
            found.setdefault(label, level)
    return found


def _children(tree: Hierarchy, level: int, floor: int, under: np.ndarray) -> np.ndarray:
    """The next finer label, numbered from 0, of each leaf under a label, int32; 0 for all if nothing is finer.

    floor: the level of the cells, the finest that counts.
    """
    for finer in range(level - 1, floor - 1, -1):
        codes = np.unique(tree.codes[finer][under], return_inverse=True)[1]
        if codes.max() > 0:
            return codes.astype(np.int32)
    return np.zeros(int(under.sum()), dtype=np.int32)
