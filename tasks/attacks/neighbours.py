"""Exact searches over all released rows, for many targets at once. Nothing is sampled, ties are kept.

A tie set is the set of all rows at the least distance from a target. An adversary who has to choose picks one of them
at random; successes are expected values over that choice, so that it brings no noise.

A search goes down the tree of boxes (tasks.attacks.tree), the nearer half first, leaves out the boxes that are farther
than what it has found, and stops adding up the distance of a row once that is beyond it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from tasks.attacks.gaps import compiled, covers, gap
from tasks.attacks.space import Points, Space
from tasks.attacks.tree import Boxes, Tree, grow, least_distance, may_fit

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
    tree = grow(space.points, known.any(axis=0))
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


def link(space: Space, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As link_probability, and the sum of the two least distances, float64 (t,) each."""
    same, distance = np.zeros(space.targets), np.zeros(space.targets)
    _link(grow(space.points, left), grow(space.points, right), same, distance)
    return same, distance


def nearest_distances(space: Space, order: int, cores: int = 1) -> np.ndarray:
    """Distance to the `order`-th nearest released row, or to the farthest if there are fewer, float64 (t,).

    cores: how many threads share the targets. The result does not depend on it.
    """
    tree = grow(space.points, np.ones(len(space.names), dtype=bool))
    nearest = np.zeros(space.targets)
    _by_chunk(space.targets, cores, lambda start, stop: _nearest_distances(tree, order, start, stop, nearest))
    return nearest


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
def _distance(points: Points, t: int, r: int, columns: np.ndarray, limit: float) -> float:
    """Distance of target t to row r over the columns; may stop adding up once beyond `limit`."""
    total = 0.0
    for column in columns:
        total += gap(points, t, r, column)
        if total > limit:
            return total
    return total


@compiled
def _fits(points: Points, t: int, r: int, used: np.ndarray) -> bool:
    for column in range(len(used)):  # noqa: SIM110 - generators are not compiled
        if used[column] and not covers(points, t, r, column):
            return False
    return True


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


@compiled
def _nearest(tree: Tree, t: int, stack: np.ndarray, bounds: np.ndarray) -> float:
    """Least distance of target t to any row."""
    best = np.inf
    stack[0], bounds[0], top = 0, 0.0, 1
    while top > 0:
        top -= 1
        box = stack[top]
        if bounds[top] > best:
            continue
        if tree.boxes.child[box] >= 0:
            top = _push_halves(tree, box, t, best, stack, bounds, top)
            continue
        stop = tree.boxes.start[box] + 1 if tree.boxes.alike[box] else tree.boxes.stop[box]
        for r in range(tree.boxes.start[box], stop):
            best = min(best, _distance(tree.points, t, r, tree.columns, best))
    return best


@compiled
def _within(tree: Tree, t: int, limit: float, stack: np.ndarray, bounds: np.ndarray, found: np.ndarray) -> int:
    """Put the rows (of the tree's order) at most `limit` away from target t into `found`; how many they are."""
    count = 0
    stack[0], bounds[0], top = 0, 0.0, 1
    while top > 0:
        top -= 1
        box = stack[top]
        if tree.boxes.child[box] >= 0:
            top = _push_halves(tree, box, t, limit, stack, bounds, top)
            continue
        start, stop = tree.boxes.start[box], tree.boxes.stop[box]
        if tree.boxes.alike[box]:
            if _distance(tree.points, t, start, tree.columns, limit) <= limit:
                for r in range(start, stop):
                    found[count] = r
                    count += 1
            continue
        for r in range(start, stop):
            if _distance(tree.points, t, r, tree.columns, limit) <= limit:
                found[count] = r
                count += 1
    return count


@compiled
def _scratch(tree: Tree) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Room for a search: boxes to look into, their bounds, rows found."""
    boxes, rows = len(tree.boxes.start) + 1, len(tree.row)
    return np.empty(boxes, dtype=np.int64), np.empty(boxes), np.empty(rows, dtype=np.int64)


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
                if _fits(points, t, r, known[t]):
                    counts[t] += points.weights[r]


@compiled
def _guess_credit(tree: Tree, secrets: Secrets, credit: np.ndarray) -> None:
    stack, bounds, found = _scratch(tree)
    for t in range(len(credit)):
        limit = _nearest(tree, t, stack, bounds) + _TIE
        right, tied = 0.0, 0.0
        for r in found[: _within(tree, t, limit, stack, bounds, found)]:
            tied += tree.points.weights[r]
            for j in range(secrets.starts[tree.row[r]], secrets.starts[tree.row[r] + 1]):
                label = secrets.labels[j]
                if secrets.first[t] <= label < secrets.last[t]:
                    right += secrets.counts[j] * secrets.share[label]
        credit[t] = right / tied


@compiled
def _link(left: Tree, right: Tree, same: np.ndarray, distance: np.ndarray) -> None:
    left_stack, left_bounds, found = _scratch(left)
    right_stack, right_bounds, _ = _scratch(right)
    picked_for = np.full(len(left.row), -1, dtype=np.int64)
    for t in range(len(same)):
        by_left = _nearest(left, t, left_stack, left_bounds)
        by_right = _nearest(right, t, right_stack, right_bounds)
        in_left, in_right, in_both = 0.0, 0.0, 0.0
        for r in found[: _within(left, t, by_left + _TIE, left_stack, left_bounds, found)]:
            picked_for[left.row[r]] = t
            in_left += left.points.weights[r]
        for r in found[: _within(right, t, by_right + _TIE, right_stack, right_bounds, found)]:
            in_right += right.points.weights[r]
            if picked_for[right.row[r]] == t:
                in_both += right.points.weights[r]
        same[t] = in_both / (in_left * in_right)
        distance[t] = by_left + by_right


@compiled
def _nearest_distances(tree: Tree, order: int, begin: int, end: int, nearest: np.ndarray) -> None:
    stack, bounds, _ = _scratch(tree)
    best, weights = np.empty(order), np.empty(order, dtype=np.int64)
    for t in range(begin, end):
        best[:], weights[:] = np.inf, 0
        stack[0], bounds[0], top = 0, 0.0, 1
        limit = np.inf
        while top > 0:
            top -= 1
            box = stack[top]
            if bounds[top] > limit:
                continue
            if tree.boxes.child[box] >= 0:
                top = _push_halves(tree, box, t, limit, stack, bounds, top)
                continue
            for r in range(tree.boxes.start[box], tree.boxes.stop[box]):
                distance = _distance(tree.points, t, r, tree.columns, limit)
                if distance < best[-1]:
                    limit = _insert(best, weights, distance, tree.points.weights[r])
        nearest[t] = limit if limit < np.inf else best[best < np.inf].max()


@compiled
def _insert(best: np.ndarray, weights: np.ndarray, distance: float, weight: int) -> float:
    """Keep the nearest in order; the distance within which there are as many rows as asked for."""
    place = len(best) - 1
    while place > 0 and best[place - 1] > distance:
        best[place], weights[place] = best[place - 1], weights[place - 1]
        place -= 1
    best[place], weights[place] = distance, weight
    seen = 0
    for place in range(len(best)):
        seen += weights[place]
        if seen >= len(best):
            return best[place]
    return np.inf
