"""Exact searches over all released rows, for many targets at once. Nothing is sampled, ties are kept.

A tie set is the set of all rows at the least distance from a target. An adversary who has to choose picks one of them
at random; successes are expected values over that choice, so that it brings no noise.

A search goes down the tree of boxes (tasks.attacks.tree), the nearer half first, and leaves out the boxes that are
farther than what it has found. The rows of the others are measured many at a time in 32 bits; those that may be the
nearest are measured again in 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from tasks.attacks.gaps import distance, fits
from tasks.attacks.space import Points, Space
from tasks.attacks.tree import Boxes, Tree, grow, least_distance, may_fit, measure
from tasks.common.compiling import compiled

_TIE = 1e-6
_CHUNK = 256


class Secrets(NamedTuple):
    """A secret in the released rows and for the targets.

    starts int64 (r + 1,), labels int32 (m,), counts float64 (m,): distinct row i has counts[j] rows with the secret
    labels[j] for j in starts[i]:starts[i + 1].
    first, last int32 (t,): labels first <= label < last are right guesses for the target.
    share float32 (labels,): how much of a right guess a label is, 1/m if it covers m values.
    """

    starts: np.ndarray
    labels: np.ndarray
    counts: np.ndarray
    first: np.ndarray
    last: np.ndarray
    share: np.ndarray


def fitting_rows(space: Space, known: np.ndarray, enough: int = 2**62) -> np.ndarray:
    """How many released rows fit each target in the columns known of it, int64 (t,); known is bool (t, columns).

    enough: counting may stop here.
    """
    tree = grow(space.points, np.asarray(known.any(axis=0)))
    counts = np.zeros(space.targets, dtype=np.int64)
    _fitting_rows(tree.points, tree.boxes, known, enough, counts)
    return counts


def guess_credit(space: Space, known: np.ndarray, secrets: Secrets) -> np.ndarray:
    """Expected credit of a guess from the tie set over the known columns, float64 (t,); known is bool (columns,)."""
    credit = np.zeros(space.targets)
    _guess_credit(grow(space.points, known), secrets, credit)
    return credit


def link_probability(space: Space, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Probability that two searches, by `left` and by `right` columns, pick the same row, float64 (t,)."""
    return link(space, left, right)[0]


def link(space: Space, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As link_probability; the sum of the two least distances; how many pairs of nearest rows. float64 (t,) each."""
    same, away, picks = np.zeros(space.targets), np.zeros(space.targets), np.zeros(space.targets)
    _link(grow(space.points, left), grow(space.points, right), same, away, picks)
    return same, away, picks


def nearest_distances(space: Space, order: int, cores: int = 1) -> np.ndarray:
    """Distance to the `order`-th nearest released row, or to the farthest if there are fewer, float64 (t,).

    cores: how many threads share the targets. The result does not depend on it.
    """
    tree = grow(space.points, np.ones(len(space.names), dtype=bool))
    nearest = np.zeros(space.targets)
    _by_chunk(space.targets, cores, lambda start, stop: _nearest_distances(tree, order, start, stop, nearest))
    return nearest


def has_neighbours(space: Space, order: int, within: float, cores: int = 1) -> np.ndarray:
    """Whether at least `order` released rows are at most `within` away, bool (t,)."""
    tree = grow(space.points, np.ones(len(space.names), dtype=bool))
    found = np.zeros(space.targets, dtype=bool)
    _by_chunk(space.targets, cores, lambda start, stop: _has_neighbours(tree, order, within, start, stop, found))
    return found


def _by_chunk(targets: int, cores: int, search: Callable[[int, int], None]) -> None:
    """Searches for each chunk of targets; compiled code runs beside other threads, and each target on its own."""
    starts = range(0, targets, _CHUNK)
    if cores == 1:
        for start in starts:
            search(start, min(start + _CHUNK, targets))
        return
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(lambda start: search(start, min(start + _CHUNK, targets)), starts))


@compiled
def _push_halves(tree: Tree, box: int, t: int, limit: float, stack: np.ndarray, bounds: np.ndarray, top: int) -> int:
    """Put the halves of a box on the stack, the nearer one on top; the new height."""
    one = tree.boxes.child[box]
    two = one + 1
    near = least_distance(tree.points, tree.boxes, one, t, tree.columns, limit)
    far = least_distance(tree.points, tree.boxes, two, t, tree.columns, limit)
    if near > far:
        one, two, near, far = two, one, far, near
    if far <= limit:
        stack[top], bounds[top] = two, far
        top += 1
    if near <= limit:
        stack[top], bounds[top] = one, near
        top += 1
    return top


class _Scratch(NamedTuple):
    """Room for a search: boxes to look into with their bounds, distances within a box, rows found with theirs."""

    stack: np.ndarray
    bounds: np.ndarray
    block: np.ndarray
    found: np.ndarray
    away: np.ndarray


@compiled
def _scratch(tree: Tree) -> _Scratch:
    boxes, rows = len(tree.boxes.start) + 1, len(tree.row)
    block = 1
    for box in range(len(tree.boxes.start)):
        if tree.boxes.child[box] < 0 and not tree.boxes.alike[box]:
            block = max(block, tree.boxes.stop[box] - tree.boxes.start[box])
    return _Scratch(
        np.empty(boxes, dtype=np.int64),
        np.empty(boxes),
        np.empty(block, dtype=np.float32),
        np.empty(rows, dtype=np.int64),
        np.empty(rows),
    )


@compiled
def _nearest(tree: Tree, t: int, room: _Scratch) -> tuple[int, float]:
    """The tie set of target t (rows in the tree's order) into room.found: how many they are, and how far away."""
    slack = 2 * tree.lanes.error + _TIE
    best, count, top = np.inf, 0, 1
    room.stack[0], room.bounds[0] = 0, 0.0
    while top > 0:
        top -= 1
        box = room.stack[top]
        if room.bounds[top] > best + slack:
            continue
        if tree.boxes.child[box] >= 0:
            top = _push_halves(tree, box, t, best + slack, room.stack, room.bounds, top)
            continue
        start, stop = tree.boxes.start[box], tree.boxes.stop[box]
        alike = tree.boxes.alike[box]
        measure(tree, t, start, start + 1 if alike else stop, room.block)
        least = room.block[0] if alike else _least(room.block, stop - start)
        if least > best + slack:
            continue
        best = min(best, least)
        for r in range(start, stop):
            away = room.block[0 if alike else r - start]
            if away <= best + slack:
                room.found[count], room.away[count] = r, away
                count += 1
    return _exact_ties(tree, t, best + slack, count, room)


@compiled
def _least(values: np.ndarray, count: int) -> float:
    least = values[0]
    for i in range(1, count):
        least = min(least, values[i])
    return least


@compiled
def _exact_ties(tree: Tree, t: int, limit: float, count: int, room: _Scratch) -> tuple[int, float]:
    """Of the rows found, keep those that are nearest by exact distance."""
    kept, best = 0, np.inf
    for i in range(count):
        if room.away[i] <= limit:
            exact = distance(tree.points, t, room.found[i], tree.columns)
            room.found[kept], room.away[kept] = room.found[i], exact
            best = min(best, exact)
            kept += 1
    tied = 0
    for i in range(kept):
        if room.away[i] <= best + _TIE:
            room.found[tied] = room.found[i]
            tied += 1
    return tied, best


@compiled
def _fitting_rows(points: Points, boxes: Boxes, known: np.ndarray, enough: int, counts: np.ndarray) -> None:
    stack = np.empty(len(boxes.start) + 1, dtype=np.int64)
    for t in range(len(counts)):
        stack[0], top = 0, 1
        while top > 0 and counts[t] < enough:
            top -= 1
            box = stack[top]
            if not may_fit(points, boxes, box, t, known[t]):
                continue
            if boxes.child[box] >= 0:
                stack[top], stack[top + 1] = boxes.child[box], boxes.child[box] + 1
                top += 2
                continue
            for r in range(boxes.start[box], boxes.stop[box]):
                if fits(points, t, r, known[t]):
                    counts[t] += points.weights[r]


@compiled
def _guess_credit(tree: Tree, secrets: Secrets, credit: np.ndarray) -> None:
    room = _scratch(tree)
    for t in range(len(credit)):
        ties, _ = _nearest(tree, t, room)
        right, tied = 0.0, 0.0
        for r in room.found[:ties]:
            tied += tree.points.weights[r]
            for j in range(secrets.starts[tree.row[r]], secrets.starts[tree.row[r] + 1]):
                label = secrets.labels[j]
                if secrets.first[t] <= label < secrets.last[t]:
                    right += secrets.counts[j] * secrets.share[label]
        credit[t] = right / tied


@compiled
def _link(left: Tree, right: Tree, same: np.ndarray, away: np.ndarray, picks: np.ndarray) -> None:
    left_room, right_room = _scratch(left), _scratch(right)
    picked_for = np.full(len(left.row), -1, dtype=np.int64)
    for t in range(len(same)):
        left_ties, by_left = _nearest(left, t, left_room)
        right_ties, by_right = _nearest(right, t, right_room)
        in_left, in_right, in_both = 0.0, 0.0, 0.0
        for r in left_room.found[:left_ties]:
            picked_for[left.row[r]] = t
            in_left += left.points.weights[r]
        for r in right_room.found[:right_ties]:
            in_right += right.points.weights[r]
            if picked_for[right.row[r]] == t:
                in_both += right.points.weights[r]
        same[t] = in_both / (in_left * in_right)
        away[t], picks[t] = by_left + by_right, in_left * in_right


@compiled
def _nearest_distances(tree: Tree, order: int, begin: int, end: int, nearest: np.ndarray) -> None:
    """By rows that may be among the nearest in 32 bits, measured again in 64 bits."""
    room = _scratch(tree)
    best, weights = np.empty(order), np.empty(order, dtype=np.int64)
    slack = 2 * tree.lanes.error
    for t in range(begin, end):
        best[:], weights[:] = np.inf, 0
        room.stack[0], room.bounds[0], top = 0, 0.0, 1
        limit = np.inf
        while top > 0:
            top -= 1
            box = room.stack[top]
            if room.bounds[top] > limit + slack:
                continue
            if tree.boxes.child[box] >= 0:
                top = _push_halves(tree, box, t, limit + slack, room.stack, room.bounds, top)
                continue
            start, stop = tree.boxes.start[box], tree.boxes.stop[box]
            if tree.boxes.alike[box]:
                weight = tree.points.weights[start:stop].sum()
                limit = _insert(best, weights, distance(tree.points, t, start, tree.columns), weight)
                continue
            measure(tree, t, start, stop, room.block)
            for r in range(start, stop):
                if room.block[r - start] <= limit + slack:
                    limit = _insert(best, weights, distance(tree.points, t, r, tree.columns), tree.points.weights[r])
        nearest[t] = limit if limit < np.inf else best[best < np.inf].max()


@compiled
def _has_neighbours(tree: Tree, order: int, within: float, begin: int, end: int, found: np.ndarray) -> None:
    room = _scratch(tree)
    error = tree.lanes.error
    for t in range(begin, end):
        room.stack[0], room.bounds[0], top, seen = 0, 0.0, 1, 0
        while top > 0 and seen < order:
            top -= 1
            box = room.stack[top]
            if tree.boxes.child[box] >= 0:
                top = _push_halves(tree, box, t, within, room.stack, room.bounds, top)
                continue
            start, stop = tree.boxes.start[box], tree.boxes.stop[box]
            alike = tree.boxes.alike[box]
            measure(tree, t, start, start + 1 if alike else stop, room.block)
            for r in range(start, stop):
                away = room.block[0 if alike else r - start]
                # Measured again where 32 bits do not tell.
                if away <= within - error or (
                    away <= within + error and distance(tree.points, t, r, tree.columns) <= within
                ):
                    seen += tree.points.weights[r]
                    if seen >= order:
                        break
        found[t] = seen >= order


@compiled
def _insert(best: np.ndarray, weights: np.ndarray, away: float, weight: int) -> float:
    """Keep the nearest in order; the distance within which there are as many rows as asked for."""
    if away < best[-1]:
        place = len(best) - 1
        while place > 0 and best[place - 1] > away:
            best[place], weights[place] = best[place - 1], weights[place - 1]
            place -= 1
        best[place], weights[place] = away, weight
    seen = 0
    for place in range(len(best)):
        seen += weights[place]
        if seen >= len(best):
            return best[place]
    return np.inf
