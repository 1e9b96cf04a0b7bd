"""Mondrian: local recoding by cutting the table again and again, always across its widest column.

LeFevre, DeWitt and Ramakrishnan 2006 (ICDE, "Mondrian Multidimensional K-Anonymity"). A region of tuples is cut in two
at the median of an ordered column, or into the children of its lowest common ancestor in a hierarchy, as long as all
parts satisfy the criteria; where not, the next widest column is tried. Regions that cannot be cut are the classes.

Strict: equal tuples stay together. Relaxed: rows at the median are divided so that both sides are equally large.

Beyond the paper, so that one rare value does not keep a column from being cut at all: of a hierarchy's children those
that can stand alone do and the others stay together under their ancestor; missing values are cut off first, and where
they are too few they stay with the greatest ones.

All regions take their next cut in the same round, so the work is a few hundred passes over arrays, however many regions
there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tasks.anonymization import axes as axes_
from tasks.anonymization.axes import Axes, Grid, Spans, leaves_of
from tasks.anonymization.classes import ROUNDING, Tuples, merge
from tasks.anonymization.criteria import Criterion, violating
from tasks.anonymization.recoding import (
    Recoded,
    fragments,
    judged_secrets,
    least_people,
    recoded,
    stricter,
    with_secrets,
)
from tasks.common.compiling import compiled
from tasks.common.errors import PolicyError

_WHOLE = -1


class Regions(NamedTuple):
    """r regions of f fragments. Region i has those at starts[i]:starts[i + 1], int64 (r + 1,).

    source: int64 (f,), each fragment's tuple. rows: int64 (f,), how many rows of it.
    """

    source: np.ndarray
    rows: np.ndarray
    starts: np.ndarray

    @property
    def of_fragment(self) -> np.ndarray:
        """The region of each fragment, int64 (f,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def __len__(self) -> int:
        return len(self.starts) - 1


@dataclass(frozen=True)
class _Open:
    """Regions that may still be cut, with what they span and how many cuts each has tried, int64 (r,).

    order: int64 (r, q), columns from the widest to the narrowest.
    """

    regions: Regions
    spans: Spans
    order: np.ndarray
    tried: np.ndarray


def recode(
    tuples: Tuples, over: Axes, criteria: Sequence[Criterion], suppression: float = 0.0, *, relaxed: bool = False
) -> Recoded:
    """Recode tuples of leaf codes so that the criteria hold.

    Each class satisfies those on classes; those on all classes together may take the share `suppression` of the rows.

    Raises:
        ThresholdNotReached: not even all rows together satisfy the criteria.
        PolicyError: relaxed, but some person has several rows.
    """
    if relaxed:
        _require_people(tuples)
        tuples = with_secrets(tuples, judged_secrets(criteria))
    for tightened in stricter(tuples, criteria):
        regions = partition(tuples, over, tightened, relaxed=relaxed)
        found = axes_.spans(tuples.codes, regions.source, regions.starts, over.grid)
        labels, codes = axes_.labels(found, over)
        of = regions.of_fragment
        result = recoded(
            tuples, regions.source, regions.rows, labels, codes[of], found.loss[of], tightened, suppression
        )
        if result is not None:
            return result
    raise AssertionError("criteria that nothing satisfies are refused before")


def _require_people(tuples: Tuples) -> None:
    if not np.allclose(tuples.people, tuples.rows):
        raise PolicyError(
            "`mondrian-relaxed` divides rows that are alike between classes and so needs each row to be a person of "
            "its own, but some people have several rows; use `recoding: mondrian`"
        )


def partition(
    tuples: Tuples, over: Axes, criteria: Sequence[Criterion], *, relaxed: bool = False, small: int = 1
) -> Regions:
    """The regions, each of which satisfies the criteria on classes if all tuples together do.

    Regions of at most `small` tuples are not cut further.
    """
    tuples = with_secrets(tuples, judged_secrets(criteria))
    divisible = _divisible(tuples) if relaxed else np.zeros(len(tuples), dtype=bool)
    everything = Regions(np.arange(len(tuples)), tuples.rows.astype(np.int64), np.array([0, len(tuples)]))
    done: list[Regions] = []
    now = _opened(tuples, everything, over.grid)
    while len(now.regions):
        now = _sieved(tuples, now, 2 * least_people(criteria), small, over.grid, done)
        now = _round(tuples, now, divisible, over.grid, criteria, relaxed)
    return _joined(done)


def _divisible(tuples: Tuples) -> np.ndarray:
    """bool (n,): tuples whose rows are alike in every secret, so that any of them may go anywhere."""
    alike = np.ones(len(tuples), dtype=bool)
    for name in tuples.secrets:
        alike &= tuples.distinct_secrets(name) == 1
    return alike


def _of_row(tuples: Tuples) -> np.ndarray:
    """What a row of each tuple counts as a person, float64 (n,)."""
    return tuples.people / np.maximum(tuples.rows, 1)


def _opened(tuples: Tuples, regions: Regions, grid: Grid) -> _Open:
    found = axes_.spans(tuples.codes, regions.source, regions.starts, grid)
    order = np.argsort(-np.round(found.loss * grid.weights, 12), axis=1, kind="stable")
    return _Open(regions, found, order, np.zeros(len(regions), dtype=np.int64))


def _sieved(tuples: Tuples, now: _Open, least: float, small: int, grid: Grid, done: list[Regions]) -> _Open:
    """Put regions that cannot be cut any more to those that are done, and move the others on to a cut that exists."""
    regions = now.regions
    people = _of_row(tuples)[regions.source] * regions.rows
    enough = np.bincount(regions.of_fragment, weights=people, minlength=len(regions)) >= least - ROUNDING
    enough &= np.diff(regions.starts) > small
    tried = _next(now.spans.level, now.order, now.tried, grid)
    goes_on = enough & (tried < 2 * now.order.shape[1])
    done.append(_chosen(regions, ~goes_on))
    kept = Spans(*(of_all[goes_on] for of_all in now.spans))
    return _Open(_chosen(regions, goes_on), kept, now.order[goes_on], tried[goes_on])


@compiled
def _next(level: np.ndarray, order: np.ndarray, tried: np.ndarray, grid: Grid) -> np.ndarray:
    """The next try that changes anything. Column by column two: the cut proper, and what to do where it fails."""
    found, columns = tried.copy(), order.shape[1]
    for r in range(len(tried)):
        while found[r] < 2 * columns:
            j = order[r, found[r] // 2]
            second = found[r] % 2 == 1
            if level[r, j] > (1 if second and grid.ordered[j] else 0):
                break
            found[r] += 1
    return found


def _chosen(regions: Regions, wanted: np.ndarray) -> Regions:
    inside = np.repeat(wanted, np.diff(regions.starts))
    starts = np.concatenate([[0], np.cumsum(np.diff(regions.starts)[wanted])]).astype(np.int64)
    return Regions(regions.source[inside], regions.rows[inside], starts)


def _joined(parts: list[Regions]) -> Regions:
    lengths = np.concatenate([np.diff(part.starts) for part in parts])
    return Regions(
        np.concatenate([part.source for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )


def _round(
    tuples: Tuples, now: _Open, divisible: np.ndarray, grid: Grid, criteria: Sequence[Criterion], relaxed: bool
) -> _Open:
    """Try one cut of every region; regions where it fails stay as they are, with one more cut tried."""
    if not len(now.regions):
        return now
    regions, tried = now.regions, now.tried
    people = _of_row(tuples)
    part, left = _cut(tuples.codes, people, divisible, regions, now.spans.level, now.order, tried, grid, relaxed)
    cut, part = _divided(regions, part, left)
    first = np.concatenate([[0], np.cumsum(_most(part, cut))])
    place = first[cut.of_fragment] + part
    pieces = fragments(tuples, cut.source, cut.rows)
    column = now.order[np.arange(len(regions)), tried // 2]
    regroup = (tried % 2 == 1) & ~grid.ordered[column]
    place, good = _tested(pieces, place, first, regroup, criteria)
    several = _differ(place, cut)
    good &= several
    fresh = _split(cut, place, good)
    opened = _opened(tuples, fresh, grid)
    stays = Spans(*(of_all[~good] for of_all in now.spans))
    return _Open(
        _joined([_chosen(regions, ~good), fresh]),
        Spans(*(np.concatenate(both) for both in zip(stays, opened.spans, strict=True))),
        np.concatenate([now.order[~good], opened.order]),
        np.concatenate([tried[~good] + 1, opened.tried]),
    )


@compiled
def _cut(
    codes: np.ndarray,
    people: np.ndarray,
    divisible: np.ndarray,
    regions: Regions,
    level: np.ndarray,
    order: np.ndarray,
    tried: np.ndarray,
    grid: Grid,
    relaxed: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """The part of its region that each fragment goes to, int64 (f,), and how many rows of it go to part 0 if divided.

    people: float64 (n,), what a row of each tuple counts. The second array is int64 (f,), -1 for fragments left whole.
    """
    part, left = np.zeros(len(regions.source), dtype=np.int64), np.full(len(regions.source), _WHOLE)
    seen = np.full(_most_leaves(grid), -1, dtype=np.int64)
    for r in range(len(order)):
        begin, end = regions.starts[r], regions.starts[r + 1]
        j = order[r, tried[r] // 2]
        leaves = codes[regions.source[begin:end], j]
        if not grid.ordered[j]:
            _by_child(leaves, level[r, j] - 1, j, grid, seen, part[begin:end])
        elif level[r, j] == 2 and tried[r] % 2 == 0:
            for i in range(end - begin):
                part[begin + i] = np.isnan(grid.position[grid.offsets[j] + leaves[i]])
        else:
            ranks = grid.rank[grid.offsets[j] + leaves]
            weights = people[regions.source[begin:end]] * regions.rows[begin:end]
            if relaxed:
                may = divisible[regions.source[begin:end]]
                _in_half(ranks, regions.rows[begin:end], may, part[begin:end], left[begin:end])
            else:
                _at_median(ranks, weights, part[begin:end])
    return part, left


@compiled
def _most_leaves(grid: Grid) -> int:
    most = len(grid.rank) - grid.offsets[-1]
    for j in range(len(grid.offsets) - 1):
        most = max(most, grid.offsets[j + 1] - grid.offsets[j])
    return most


@compiled
def _by_child(leaves: np.ndarray, level: int, j: int, grid: Grid, seen: np.ndarray, part: np.ndarray) -> None:
    """Number the labels one level below the common ancestor, by first appearance."""
    count = leaves_of(grid, j)
    start = grid.tree_starts[j] + level * count
    children = 0
    for i in range(len(leaves)):
        child = grid.trees[start + leaves[i]]
        if seen[child] < 0:
            seen[child] = children
            children += 1
        part[i] = seen[child]
    for i in range(len(leaves)):
        seen[grid.trees[start + leaves[i]]] = -1


@compiled
def _at_median(ranks: np.ndarray, weights: np.ndarray, part: np.ndarray) -> None:
    """Cut where the sides are most equal; where two cuts are, the median goes to the left, as in the paper."""
    order = np.argsort(ranks, kind="mergesort")
    total, before = weights.sum(), 0.0
    best, at = np.inf, ranks[order[0]]
    for i in range(len(order) - 1):
        before += weights[order[i]]
        if ranks[order[i]] == ranks[order[i + 1]]:
            continue
        gap = abs(2 * before - total)
        if gap <= best + ROUNDING:
            best, at = gap, ranks[order[i]]
        else:
            break
    for i in range(len(ranks)):
        part[i] = ranks[i] > at


@compiled
def _in_half(ranks: np.ndarray, rows: np.ndarray, divisible: np.ndarray, part: np.ndarray, left: np.ndarray) -> None:
    """Half of the rows to each side, the odd one to the left; one fragment at the median is divided."""
    order = np.argsort(ranks, kind="mergesort")
    half, before = (rows.sum() + 1) // 2, 0
    for i in order:
        fits = half - before
        before += rows[i]
        if fits <= 0:
            part[i] = 1
        elif fits < rows[i]:
            if divisible[i]:
                left[i] = fits
            else:
                part[i] = 2 * fits < rows[i]


def _divided(regions: Regions, part: np.ndarray, left: np.ndarray) -> tuple[Regions, np.ndarray]:
    """Regions with each divided fragment as two, and the parts that all go to."""
    divided = left != _WHOLE
    if not divided.any():
        return regions, part
    copies = 1 + divided
    second = np.cumsum(copies)[divided] - 1
    rows, parts = np.repeat(regions.rows, copies), np.repeat(part, copies)
    rows[second] -= left[divided]
    rows[second - 1] = left[divided]
    parts[second] = 1
    lengths = np.bincount(np.repeat(regions.of_fragment, copies), minlength=len(regions))
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Regions(np.repeat(regions.source, copies), rows, starts), parts


def _most(part: np.ndarray, regions: Regions) -> np.ndarray:
    """How many parts each region has, int64 (r,)."""
    return np.maximum.reduceat(part, regions.starts[:-1]) + 1


def _tested(
    pieces: Tuples, place: np.ndarray, first: np.ndarray, regroup: np.ndarray, criteria: Sequence[Criterion]
) -> tuple[np.ndarray, np.ndarray]:
    """The part each fragment ends up in, int64 (f,), and whether all parts of a region satisfy the criteria, bool (r,).

    Parts of region r are first[r]:first[r + 1]. Where `regroup`, those that fail stay together, first on their own,
    then with the smallest of the others.
    """
    of_part = np.repeat(np.arange(len(regroup)), np.diff(first))
    bad, people = _judged(pieces, place, int(first[-1]), criteria)
    for with_smallest in (False, True):
        failing = bad & regroup[of_part]
        if not failing.any():
            break
        into = _regrouped(failing, people, of_part, len(regroup), with_smallest=with_smallest)
        place = into[place]
        bad, people = _judged(pieces, place, int(first[-1]), criteria)
    return place, ~np.bincount(of_part, weights=bad, minlength=len(regroup)).astype(bool)


def _judged(
    pieces: Tuples, place: np.ndarray, count: int, criteria: Sequence[Criterion]
) -> tuple[np.ndarray, np.ndarray]:
    """Whether each part violates a criterion, bool (count,), and its people, float64 (count,); empty ones are fine."""
    classes, of_piece, _ = merge(pieces, place, count)
    bad, people = np.zeros(count, dtype=bool), np.zeros(count)
    found = violating(criteria, classes) & (classes.rows > 0)
    bad[place], people[place] = found[of_piece], classes.people[of_piece]
    return bad, people


def _regrouped(
    failing: np.ndarray, people: np.ndarray, of_part: np.ndarray, regions: int, *, with_smallest: bool
) -> np.ndarray:
    """Where each part goes, int64 (parts,): failing ones of a region together, with the smallest other one if asked."""
    joins = failing.copy()
    if with_smallest:
        others = np.where(failing | (people == 0), np.inf, people)
        order = np.lexsort((others, of_part))
        smallest = order[np.searchsorted(of_part[order], np.arange(regions))]
        has_failing = np.bincount(of_part, weights=failing, minlength=regions) > 0
        joins[smallest[has_failing & np.isfinite(others[smallest])]] = True
    target = np.full(regions, len(failing), dtype=np.int64)
    np.minimum.at(target, of_part[joins], np.flatnonzero(joins))
    return np.where(joins, target[of_part], np.arange(len(failing)))


def _differ(place: np.ndarray, regions: Regions) -> np.ndarray:
    """Whether the fragments of a region went to more than one part, bool (r,)."""
    lowest = np.minimum.reduceat(place, regions.starts[:-1])
    return np.maximum.reduceat(place, regions.starts[:-1]) > lowest


def _split(cut: Regions, place: np.ndarray, good: np.ndarray) -> Regions:
    """The parts of the regions that are cut, as regions."""
    inside = np.repeat(good, np.diff(cut.starts))
    source, rows, place = cut.source[inside], cut.rows[inside], place[inside]
    order = np.argsort(place, kind="stable")
    _, starts = np.unique(place[order], return_index=True)
    return Regions(source[order], rows[order], np.append(starts, len(order)).astype(np.int64))
