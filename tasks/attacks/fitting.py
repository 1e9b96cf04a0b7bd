"""Which released rows fit a person: compiled, row by row, for adversaries who look at the rows that do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from tasks.attacks.space import Points


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop over arrays; the machine code is kept beside the module."""
    return numba.njit(cache=True, nogil=True)(function)


@compiled
def _labelled(points: Points, t: int, r: int, j: int) -> bool:
    """Whether row r's label covers target t's fact in the categorical column j."""
    fact = points.target_codes[t, j]
    return points.row_first[r, j] <= fact and fact <= points.row_last[r, j]


@compiled
def _covered(fact: float, low: float, high: float) -> bool:
    if np.isnan(fact) or np.isnan(low):
        return np.isnan(fact) and np.isnan(low)
    return low <= fact and fact <= high


@compiled
def fits(points: Points, t: int, r: int, used: np.ndarray) -> bool:
    """Whether the labels of the distinct row r cover all facts of target t in the columns `used`, bool (columns,)."""
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


@compiled
def gap(fact: float, low: float, high: float, scale: float) -> float:
    """Expected |fact - U| / scale for U uniform in [low, high], at most 1; 1 where only one side is missing."""
    if np.isnan(fact) or np.isnan(low):
        return 0.0 if np.isnan(fact) and np.isnan(low) else 1.0
    if fact <= low or fact >= high:
        return min(abs(fact - 0.5 * (low + high)) / scale, 1.0)
    return ((fact - low) ** 2 + (high - fact) ** 2) / (2.0 * (high - low) * scale)


@compiled
def gower(points: Points, t: int, r: int, limit: float) -> float:
    """Distance of target t to row r over all columns, or something beyond the limit if it is."""
    total = 0.0
    categories = points.target_codes.shape[1]
    for j in range(categories):
        total += points.row_blur[r, j] if _labelled(points, t, r, j) else 1.0
        if total > limit:
            return total
    for j in range(points.target_values.shape[1]):
        total += gap(points.target_values[t, j], points.row_low[r, j], points.row_high[r, j], points.ranges[j])
        if total > limit:
            return total
    return total


@compiled
def kernel_sums(points: Points, weights: np.ndarray, width: float, reach: float) -> np.ndarray:
    """Sum of exp(-distance / width) of all rows around each target, float64 (t, m), for each of m weightings (m, r).

    reach: beyond how many widths a row does not count.
    """
    sums = np.zeros((len(points.target_codes), len(weights)))
    limit = reach * width
    for t in range(len(sums)):
        for r in range(len(points.weights)):
            distance = gower(points, t, r, limit)
            if distance <= limit:
                kernel = np.exp(-distance / width)
                for m in range(len(weights)):
                    sums[t, m] += weights[m, r] * kernel
    return sums


@compiled
def nearest_others(points: Points, of_row: np.ndarray) -> np.ndarray:
    """Distance of each target to the nearest row but its own, where the rows are the targets; float64 (t,)."""
    nearest = np.full(len(points.target_codes), np.inf)
    for t in range(len(nearest)):
        for r in range(len(points.weights)):
            if r != of_row[t] or points.weights[r] > 1:
                nearest[t] = min(nearest[t], gower(points, t, r, nearest[t]))
    return nearest


@compiled
def fitting_people(points: Points, used: np.ndarray) -> np.ndarray:
    """How many targets fit each distinct row in the columns `used`, int64 (r,)."""
    counts = np.zeros(len(points.weights), dtype=np.int64)
    for t in range(len(points.target_codes)):
        for r in range(len(counts)):
            counts[r] += fits(points, t, r, used)
    return counts


@compiled
def chance_of_own_row(points: Points, known: np.ndarray, others: np.ndarray, company: np.ndarray) -> np.ndarray:
    """Chance of naming the right person for a row that fits, float64 (t,).

    known, others: bool (columns,). A target whom no row fits in both has none. Otherwise, with F rows that fit in
    `known`, it is the mean of 1 / (F + company[r]) over them; company int64 (r,) says how many people more could be
    named for a row.
    """
    chance = np.zeros(len(points.target_codes))
    fitting = np.empty(len(points.weights), dtype=np.int64)
    for t in range(len(chance)):
        count, rows, own = 0, 0, False
        for r in range(len(points.weights)):
            if fits(points, t, r, known):
                fitting[count] = r
                count += 1
                rows += points.weights[r]
                own = own or fits(points, t, r, others)
        if own:
            for r in fitting[:count]:
                chance[t] += points.weights[r] / rows / (rows + company[r])
    return chance


@compiled
def secrets_of_fitting_rows(
    points: Points,
    known: np.ndarray,
    starts: np.ndarray,
    labels: np.ndarray,
    counts: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    share: np.ndarray,
) -> np.ndarray:
    """What the rows that fit a target in the columns `known` say about its secret, float64 (t, 4).

    By column: how many rows fit; how many of them have a right label; the credit of those, a label that covers m
    values counting 1/m; how many different wrong labels there are. The other arguments are those of
    neighbours.Secrets.
    """
    found = np.zeros((len(points.target_codes), 4))
    seen_by = np.full(len(share), -1, dtype=np.int64)
    for t in range(len(found)):
        for r in range(len(points.weights)):
            if fits(points, t, r, known):
                found[t, 0] += points.weights[r]
                for j in range(starts[r], starts[r + 1]):
                    label = labels[j]
                    if first[t] <= label < last[t]:
                        found[t, 1] += counts[j]
                        found[t, 2] += counts[j] * share[label]
                    elif seen_by[label] != t:
                        seen_by[label] = t
                        found[t, 3] += 1
    return found
