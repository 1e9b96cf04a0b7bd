"""The rows that fit a person, and the rows around a person, for adversaries who look at each of them.

Searches go down the tree of boxes, as in tasks.attacks.neighbours, and are exact.
"""

from __future__ import annotations

import numpy as np

from tasks.attacks.gaps import fits
from tasks.attacks.neighbours import Secrets
from tasks.attacks.space import Points, Space
from tasks.attacks.tree import Boxes, Tree, grow, least_distance, may_fit, measure
from tasks.common.compiling import compiled


def chance_of_own_row(space: Space, known: np.ndarray, company: np.ndarray) -> np.ndarray:
    """Chance of naming the right person for a row that fits, float64 (t,).

    known: bool (columns,). A target whom no row fits in all columns has none. Otherwise, with F rows that fit in
    `known`, it is the mean of 1 / (F + company[r]) over them; company int64 (r,) says how many people more could be
    named for a row.
    """
    tree = grow(space.points, known)
    chance = np.zeros(space.targets)
    _chance_of_own_row(tree.points, tree.boxes, known, ~known, company[tree.row], chance)
    return chance


def fitting_people(space: Space, known: np.ndarray) -> np.ndarray:
    """How many targets fit each distinct row in the columns `known`, int64 (r,)."""
    tree = grow(space.points, known)
    counts = np.zeros(len(tree.row), dtype=np.int64)
    _fitting_people(tree.points, tree.boxes, known, counts)
    in_order = np.empty_like(counts)
    in_order[tree.row] = counts
    return in_order


def secrets_of_fitting_rows(space: Space, known: np.ndarray, secrets: Secrets) -> np.ndarray:
    """What the rows that fit a target in the columns `known` say about its secret, float64 (t, 4).

    By column: how many rows fit; how many of them have a right label; the credit of those, a label that covers m
    values counting 1/m; how many different wrong labels there are.
    """
    found = np.zeros((space.targets, 4))
    _secrets_of_fitting_rows(grow(space.points, known), known, secrets, found)
    return found


def kernel_sums(space: Space, weights: np.ndarray, width: float, reach: float, blur: np.ndarray) -> np.ndarray:
    """Sum of the kernels of all rows around each target, float64 (t, m), for each of m weightings (m, r).

    The kernel is exp(-(distance - blur) / width), and at most 1. reach: beyond how many widths a row does not count.
    blur: float64 (t,), a distance at which a row counts as on the spot.
    """
    tree = grow(space.points, np.ones(len(space.names), dtype=bool))
    sums = np.zeros((space.targets, len(weights)))
    _kernel_sums(tree, np.ascontiguousarray(weights[:, tree.row].T), width, reach, blur, sums)
    return sums


@compiled
def _fitting(points: Points, boxes: Boxes, t: int, known: np.ndarray, stack: np.ndarray, found: np.ndarray) -> int:
    """Put the rows that fit target t into `found`; how many they are."""
    count = 0
    stack[0], top = 0, 1
    while top > 0:
        top -= 1
        box = stack[top]
        if not may_fit(points, boxes, box, t, known):
            continue
        if boxes.child[box] >= 0:
            stack[top], stack[top + 1] = boxes.child[box], boxes.child[box] + 1
            top += 2
            continue
        for r in range(boxes.start[box], boxes.stop[box]):
            if fits(points, t, r, known):
                found[count] = r
                count += 1
    return count


@compiled
def _chance_of_own_row(
    points: Points, boxes: Boxes, known: np.ndarray, others: np.ndarray, company: np.ndarray, chance: np.ndarray
) -> None:
    stack, found = np.empty(len(boxes.start) + 1, dtype=np.int64), np.empty(len(company), dtype=np.int64)
    for t in range(len(chance)):
        count, rows, own = _fitting(points, boxes, t, known, stack, found), 0, False
        for r in found[:count]:
            rows += points.weights[r]
            own = own or fits(points, t, r, others)
        if own:
            for r in found[:count]:
                chance[t] += points.weights[r] / rows / (rows + company[r])


@compiled
def _fitting_people(points: Points, boxes: Boxes, known: np.ndarray, counts: np.ndarray) -> None:
    stack, found = np.empty(len(boxes.start) + 1, dtype=np.int64), np.empty(len(counts), dtype=np.int64)
    for t in range(len(points.target_codes)):
        for r in found[: _fitting(points, boxes, t, known, stack, found)]:
            counts[r] += 1


@compiled
def _secrets_of_fitting_rows(tree: Tree, known: np.ndarray, secrets: Secrets, found: np.ndarray) -> None:
    stack = np.empty(len(tree.boxes.start) + 1, dtype=np.int64)
    rows = np.empty(len(tree.row), dtype=np.int64)
    seen_by = np.full(len(secrets.share), -1, dtype=np.int64)
    for t in range(len(found)):
        for r in rows[: _fitting(tree.points, tree.boxes, t, known, stack, rows)]:
            found[t, 0] += tree.points.weights[r]
            for j in range(secrets.starts[tree.row[r]], secrets.starts[tree.row[r] + 1]):
                label = secrets.labels[j]
                if secrets.first[t] <= label < secrets.last[t]:
                    found[t, 1] += secrets.counts[j]
                    found[t, 2] += secrets.counts[j] * secrets.share[label]
                elif seen_by[label] != t:
                    seen_by[label] = t
                    found[t, 3] += 1


@compiled
def _kernel_sums(
    tree: Tree, weights: np.ndarray, width: float, reach: float, blur: np.ndarray, sums: np.ndarray
) -> None:
    stack = np.empty(len(tree.boxes.start) + 1, dtype=np.int64)
    away = np.empty(len(tree.row), dtype=np.float32)
    for t in range(len(sums)):
        limit = blur[t] + reach * width
        stack[0], top = 0, 1
        while top > 0:
            top -= 1
            box = stack[top]
            if least_distance(tree.points, tree.boxes, box, t, tree.columns, limit) > limit:
                continue
            if tree.boxes.child[box] >= 0:
                stack[top], stack[top + 1] = tree.boxes.child[box], tree.boxes.child[box] + 1
                top += 2
                continue
            start, stop = tree.boxes.start[box], tree.boxes.stop[box]
            measure(tree, t, start, stop, away)
            for r in range(start, stop):
                if away[r - start] <= limit:
                    kernel = np.exp(-max(away[r - start] - blur[t], 0.0) / width)
                    for m in range(sums.shape[1]):
                        sums[t, m] += weights[r, m] * kernel
