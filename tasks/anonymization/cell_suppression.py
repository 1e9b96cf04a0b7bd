"""Cell suppression: rows that full-domain generalization leaves in classes too small lose cells, not everything.

A cell that is suppressed is released as `*`, and rows form a class where all their labels are equal, `*` among them.
Fewest cells is NP-hard (Meyerson and Williams 2004, PODS, section 2), so this is greedy: sets of columns by their size,
and among equally large ones always the set that saves most rows, until no set saves any. Up to a few thousand sets all
are considered; of more columns those in which violating classes differ from their likes. What no set saves joins the
class of saved rows that loses fewest cells by it, unless these are more than would be lost with the rows. The rest is
suppressed by record. Rows that satisfied the criteria are never touched.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from tasks.anonymization.axes import Labels, of_one_type
from tasks.anonymization.classes import Tuples, merge, pack_below
from tasks.anonymization.criteria import Criterion, violating
from tasks.anonymization.hierarchies import ANY, Hierarchy, Label
from tasks.anonymization.recoding import Recoded, recoded, subset
from tasks.common.errors import ThresholdNotReached

_MOST_SETS = 4096
_MOST_WORK = 400_000_000
_LIKES = 8
_MOST_JOINING = 2000
_MOST_TRIED = 8
_HIDDEN = -1


def recode(
    tuples: Tuples,
    hierarchies: Sequence[Hierarchy],
    levels: Sequence[int],
    criteria: Sequence[Criterion],
    suppression: float,
) -> Recoded:
    """Full-domain generalization to `levels`, by column, with cells suppressed where classes violate the criteria.

    suppression: largest share of rows that may be left out all the same.

    Raises:
        ThresholdNotReached: more rows would have to be.
    """
    trees = list(zip(hierarchies, levels, strict=True))
    codes = np.stack([tree.codes[level][tuples.codes[:, j]] for j, (tree, level) in enumerate(trees)], axis=1)
    sizes = [len(tree.labels[level]) for tree, level in trees]
    classes, of_tuple, _ = merge(tuples.with_codes(codes.astype(np.int32)), *pack_below(list(codes.T), sizes))
    hidden = _hidden(classes, sizes, criteria)[of_tuple]
    loss = np.stack([tree.loss[level][tuples.codes[:, j]] for j, (tree, level) in enumerate(trees)], axis=1)
    names, any_codes = _with_any([tree.labels[level] for tree, level in trees], hidden)
    shown, lost = np.where(hidden, any_codes, codes), np.where(hidden, 1.0, loss)
    every, rows = np.arange(len(tuples)), tuples.rows
    result = recoded(tuples, every, rows, names, shown, lost, criteria, suppression)
    if result is None:
        wanted = " and ".join(criterion.describe() for criterion in criteria)
        raise ThresholdNotReached(
            f"{wanted} cannot be reached at these levels: even with cells suppressed more than {suppression:.1%} of "
            "the rows would have to be left out"
        )
    return result


def _with_any(labels: Sequence[tuple[Label, ...]], hidden: np.ndarray) -> tuple[Labels, np.ndarray]:
    """Labels with `*` among them where a cell is hidden, and its place by column, int32 (q,); hidden: bool (n, q)."""
    added = [ANY not in column and bool(hidden[:, j].any()) for j, column in enumerate(labels)]
    names = tuple(of_one_type((*column, ANY) if new else column) for column, new in zip(labels, added, strict=True))
    return names, np.array([column.index(ANY) if ANY in column else -1 for column in names], dtype=np.int32)


def _hidden(classes: Tuples, sizes: Sequence[int], criteria: Sequence[Criterion]) -> np.ndarray:
    """Which cells of each class are suppressed, bool (c, q); none where that would not save it."""
    hidden = np.zeros(classes.codes.shape, dtype=bool)
    left = np.flatnonzero(violating(criteria, classes) & (classes.rows > 0))
    useful = np.flatnonzero(np.array(sizes) > 1)
    if not len(left) or not len(useful):
        return hidden
    sets = _sets(classes.codes[left][:, useful])
    for size in range(1, len(useful) + 1):
        equally_large = [useful[chosen] for chosen in sets if len(chosen) == size]
        left = _save(classes, left, equally_large, sizes, criteria, hidden)
    _join(classes, left, useful, criteria, hidden)
    return hidden


def _save(
    classes: Tuples,
    left: np.ndarray,
    sets: list[np.ndarray],
    sizes: Sequence[int],
    criteria: Sequence[Criterion],
    hidden: np.ndarray,
) -> np.ndarray:
    """Suppress sets of columns, always the one that saves most rows; returns the classes that no set saves.

    What a set saves was found before others took their rows, so the best is tested again before it is taken; criteria
    that merging keeps satisfied make the first finding an upper bound.
    """
    queue = []
    for number, columns in enumerate(sets):
        if rows := int(classes.rows[_saved(classes, left, columns, sizes, criteria)].sum()):
            queue.append((-rows, number))
    heapq.heapify(queue)
    while queue and len(left):
        _, number = heapq.heappop(queue)
        saved = _saved(classes, left, sets[number], sizes, criteria)
        rows = int(classes.rows[saved].sum())
        if rows and queue and -rows > queue[0][0]:
            heapq.heappush(queue, (-rows, number))
        elif rows:
            hidden[np.ix_(saved, sets[number])] = True
            left = np.setdiff1d(left, saved, assume_unique=True)
    return left


def _saved(
    classes: Tuples, left: np.ndarray, columns: np.ndarray, sizes: Sequence[int], criteria: Sequence[Criterion]
) -> np.ndarray:
    """Those of the classes `left` that satisfy the criteria once `columns` are suppressed."""
    if not len(left):
        return left
    shown = [j for j in range(len(sizes)) if j not in set(columns.tolist())]
    candidates = subset(classes, left)
    keys = (np.zeros(len(left), dtype=np.int64), 1)
    if shown:
        keys = pack_below([candidates.codes[:, j] for j in shown], [sizes[j] for j in shown])
    merged, of_class, _ = merge(candidates, *keys)
    return left[~violating(criteria, merged)[of_class]]


def _join(
    classes: Tuples, left: np.ndarray, useful: np.ndarray, criteria: Sequence[Criterion], hidden: np.ndarray
) -> None:
    """Let classes that no set saved join others that lost cells, the largest first, where these lose little by it."""
    saved = np.flatnonzero(hidden.any(axis=1))
    shown, group = np.unique(
        np.where(hidden[saved], _HIDDEN, classes.codes[saved])[:, useful], axis=0, return_inverse=True
    )
    members = [saved[group.reshape(-1) == number] for number in range(len(shown))]
    rows = np.array([int(classes.rows[inside].sum()) for inside in members], dtype=np.int64)
    for joining in left[np.argsort(-classes.rows[left], kind="stable")][:_MOST_JOINING]:
        differ = (shown != classes.codes[joining, useful]) & (shown != _HIDDEN)
        taken = rows * differ.sum(axis=1)
        own = classes.rows[joining] * (differ | (shown == _HIDDEN)).sum(axis=1)
        affordable = np.flatnonzero(taken <= classes.rows[joining] * len(useful))
        for number in affordable[np.argsort((taken + own)[affordable], kind="stable")][:_MOST_TRIED]:
            wider = np.where(differ[number], _HIDDEN, shown[number])
            alike = np.flatnonzero((shown == wider).all(axis=1))
            together = np.concatenate([members[number], [joining], *(members[i] for i in alike if i != number)])
            if not _violates(classes, together, criteria):
                shown[number], members[number], rows[number] = wider, together, classes.rows[together].sum()
                hidden[np.ix_(together, useful[wider == _HIDDEN])] = True
                others = [i for i in alike if i != number]
                keep = np.setdiff1d(np.arange(len(rows)), others)
                shown, rows, members = shown[keep], rows[keep], [members[i] for i in keep]
                break


def _violates(classes: Tuples, together: np.ndarray, criteria: Sequence[Criterion]) -> bool:
    merged, _, _ = merge(subset(classes, together), np.zeros(len(together), dtype=np.int64), 1)
    return bool(violating(criteria, merged)[0])


def _sets(codes: np.ndarray) -> list[np.ndarray]:
    """Sets of columns to consider, as places; codes: int32 (c, u), labels of violating classes."""
    columns = codes.shape[1]
    most = int(np.clip(_MOST_WORK // max(codes.size, 1), 64, _MOST_SETS))
    if 2**columns <= most:
        return [np.flatnonzero(_bits(number, columns)) for number in range(1, 2**columns)]
    differ = np.concatenate([_differences(codes, shift) for shift in range(columns)])
    found, counts = np.unique(differ, axis=0, return_counts=True)
    frequent = found[np.lexsort((*found.T, -counts))[:most]]
    chosen = {row.tobytes(): row for row in frequent if row.any()}
    for count in range(1, columns + 1):  # a chain up to everything, so that nothing is lost that could be saved
        widest = np.zeros(columns, dtype=bool)
        widest[np.argsort([-len(np.unique(column)) for column in codes.T], kind="stable")[:count]] = True
        chosen.setdefault(widest.tobytes(), widest)
    return [np.flatnonzero(row) for row in chosen.values()]


def _bits(number: int, columns: int) -> np.ndarray:
    return (number >> np.arange(columns)) & 1


def _differences(codes: np.ndarray, shift: int) -> np.ndarray:
    """In which columns classes differ from those near them, sorted from column `shift` on, bool (pairs, u)."""
    turned = np.roll(np.arange(codes.shape[1]), -shift)
    ordered = codes[np.lexsort(codes[:, turned[::-1]].T)]
    return np.concatenate(
        [ordered[near:] != ordered[:-near] for near in range(1, min(_LIKES, len(codes) - 1) + 1)]
        or [np.zeros((0, codes.shape[1]), dtype=bool)]
    )
