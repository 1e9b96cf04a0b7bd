"""Exact searches over all released rows, for many targets at once. Nothing is sampled, ties are kept.

A tie set is the set of all rows at the least distance from a target. An adversary who has to choose picks one of them
at random; successes are expected values over that choice, so that it brings no noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np

from tasks.attacks.space import Points, Space

_TIE = 1e-6


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return numba.njit(cache=True, nogil=True)(function)


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


def fitting_rows(space: Space, known: np.ndarray) -> np.ndarray:
    """How many released rows fit each target in the columns known of it, int64 (t,); known is bool (t, columns)."""
    return _fitting_rows(space.points, known)


def guess_credit(space: Space, known: np.ndarray, secrets: Secrets) -> np.ndarray:
    """Expected credit of a guess from the tie set over the known columns, float64 (t,); known is bool (columns,)."""
    return _guess_credit(space.points, known, secrets)


def link_probability(space: Space, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Probability that two searches, by `left` and by `right` columns, pick the same row, float64 (t,)."""
    return _link_probability(space.points, left, right)


def nearest_distances(space: Space, order: int) -> np.ndarray:
    """Distance to the `order`-th nearest released row, or to the farthest if there are fewer, float64 (t,)."""
    return _nearest_distances(space.points, order)


@_compiled
def _gap(fact: float, low: float, high: float, scale: float) -> float:
    """Expected |fact - U| / scale for U uniform in [low, high]; 1 where only one side is missing."""
    if np.isnan(fact) or np.isnan(low):
        return 0.0 if np.isnan(fact) and np.isnan(low) else 1.0
    if fact <= low or fact >= high:
        return min(abs(fact - 0.5 * (low + high)) / scale, 1.0)
    return ((fact - low) ** 2 + (high - fact) ** 2) / (2.0 * (high - low) * scale)


@_compiled
def _covered(fact: float, low: float, high: float) -> bool:
    if np.isnan(fact) or np.isnan(low):
        return np.isnan(fact) and np.isnan(low)
    return low <= fact and fact <= high


@_compiled
def _measure(points: Points, t: int, used: np.ndarray, out: np.ndarray) -> None:
    """Distance of target t to every row over the columns `used`, into `out`."""
    categories = points.target_codes.shape[1]
    out[:] = 0.0
    for j in range(categories):
        if used[j] and points.widths[j] == 0:
            for r in range(len(out)):
                out[r] += points.row_codes[r, j] != points.target_codes[t, j]
        elif used[j]:
            start = points.offsets[j] + points.target_codes[t, j] * points.widths[j]
            for r in range(len(out)):
                out[r] += points.distances[start + points.row_codes[r, j]]
    for j in range(points.target_values.shape[1]):
        if used[categories + j]:
            fact, scale = points.target_values[t, j], points.ranges[j]
            for r in range(len(out)):
                out[r] += _gap(fact, points.row_low[r, j], points.row_high[r, j], scale)


@_compiled
def _labelled(points: Points, t: int, r: int, j: int) -> bool:
    """Whether row r's label covers target t's fact in the categorical column j."""
    fact, label = points.target_codes[t, j], points.row_codes[r, j]
    if points.widths[j] == 0:
        return fact == label
    return points.covers[points.offsets[j] + fact * points.widths[j] + label]


@_compiled
def _fits(points: Points, t: int, r: int, used: np.ndarray) -> bool:
    categories = points.target_codes.shape[1]
    for j in range(categories):
        if used[j] and not _labelled(points, t, r, j):
            return False
    for j in range(points.target_values.shape[1]):
        if used[categories + j] and not _covered(
            points.target_values[t, j], points.row_low[r, j], points.row_high[r, j]
        ):
            return False
    return True


@_compiled
def _fitting_rows(points: Points, known: np.ndarray) -> np.ndarray:
    counts = np.zeros(len(points.target_codes), dtype=np.int64)
    for t in range(len(counts)):
        for r in range(len(points.weights)):
            if _fits(points, t, r, known[t]):
                counts[t] += points.weights[r]
    return counts


@_compiled
def _guess_credit(points: Points, known: np.ndarray, secrets: Secrets) -> np.ndarray:
    credit = np.zeros(len(points.target_codes))
    distance = np.empty(len(points.weights))
    for t in range(len(credit)):
        _measure(points, t, known, distance)
        limit = distance.min() + _TIE
        right, tied = 0.0, 0.0
        for r in range(len(distance)):
            if distance[r] <= limit:
                tied += points.weights[r]
                for j in range(secrets.starts[r], secrets.starts[r + 1]):
                    label = secrets.labels[j]
                    if secrets.first[t] <= label < secrets.last[t]:
                        right += secrets.counts[j] * secrets.share[label]
        credit[t] = right / tied
    return credit


@_compiled
def _link_probability(points: Points, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    same = np.zeros(len(points.target_codes))
    by_left, by_right = np.empty(len(points.weights)), np.empty(len(points.weights))
    for t in range(len(same)):
        _measure(points, t, left, by_left)
        _measure(points, t, right, by_right)
        left_limit, right_limit = by_left.min() + _TIE, by_right.min() + _TIE
        in_left, in_right, in_both = 0.0, 0.0, 0.0
        for r in range(len(by_left)):
            near_left, near_right = by_left[r] <= left_limit, by_right[r] <= right_limit
            in_left += near_left * points.weights[r]
            in_right += near_right * points.weights[r]
            in_both += (near_left and near_right) * points.weights[r]
        same[t] = in_both / (in_left * in_right)
    return same


@_compiled
def _nearest_distances(points: Points, order: int) -> np.ndarray:
    nearest = np.zeros(len(points.target_codes))
    used = np.ones(points.target_codes.shape[1] + points.target_values.shape[1], dtype=np.bool_)
    distance = np.empty(len(points.weights))
    best, best_weights = np.empty(order), np.empty(order, dtype=np.int64)
    for t in range(len(nearest)):
        _measure(points, t, used, distance)
        best[:], best_weights[:] = np.inf, 0
        for r in range(len(distance)):
            if distance[r] < best[-1]:
                place = order - 1
                while place > 0 and best[place - 1] > distance[r]:
                    best[place], best_weights[place] = best[place - 1], best_weights[place - 1]
                    place -= 1
                best[place], best_weights[place] = distance[r], points.weights[r]
        seen = 0
        for place in range(order):
            if seen < order and best[place] < np.inf:
                seen += best_weights[place]
                nearest[t] = best[place]
    return nearest
