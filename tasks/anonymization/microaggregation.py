"""Microaggregation: small groups of similar people, each released as its group's centroid.

MDAV (Maximum Distance to Average Vector; Domingo-Ferrer and Mateo-Sanz 2002, TKDE 14(1)) in its form for mixed types
(MDAV-generic, Domingo-Ferrer and Torra 2005, DMKD 11(2), section 3): the record farthest from the average of those left
gathers the nearest until it has k people, then the record farthest from it does, until fewer than 3k people are left.

A centroid is the mean of numbers, rounded to as many decimals as the values have, the median of dates and the mode of
categories. Centroids are values and no ancestors of what they replace. Squared distances are in units of what two
random people differ by in the column: of numbers and dates the squared difference over twice the variance, of
categories one over the chance to differ. Numbers alone are thus standardized as in the papers.

The work is quadratic in distinct tuples, so large tables are first cut into blocks by Mondrian. Tuples of k people stay
as they are. Groups that violate a criterion join the nearest group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tasks.anonymization import axes as axes_
from tasks.anonymization import mondrian
from tasks.anonymization.axes import Axes
from tasks.anonymization.centroids import centroids, modes
from tasks.anonymization.classes import ROUNDING, Tuples, merge
from tasks.anonymization.criteria import Criterion, KAnonymity, violating
from tasks.anonymization.recoding import Recoded, least_people, recoded, stricter, subset
from tasks.common.compiling import compiled

_BLOCK_TUPLES = 8192


@dataclass(frozen=True)
class Microaggregated:
    """Centroids by tuple, and the information they lose.

    sse_share: float64 (q,), SSE / SST by column: the share of the rows' variance that lies within groups, in [0, 1] but
    for the rounding of centroids; NaN for columns that are neither numbers nor dates.
    recoded.loss is the Normalized Certainty Penalty of the smallest interval or group that covers the whole group.
    """

    recoded: Recoded
    sse_share: np.ndarray


class _Points(NamedTuple):
    """n tuples in space. numbers: float64 (n, a), NaN for missing; categories: int32 (n, b); people: float64 (n,).

    unknown: float64 (a,), squared distance of a missing value to any other; differ: float64 (b,), of two categories.
    """

    numbers: np.ndarray
    categories: np.ndarray
    people: np.ndarray
    unknown: np.ndarray
    differ: np.ndarray


def recode(
    tuples: Tuples, over: Axes, criteria: Sequence[Criterion], suppression: float = 0.0, *, block: int = _BLOCK_TUPLES
) -> Microaggregated:
    """Recode tuples of leaf codes so that the criteria hold.

    Each class satisfies those on classes; those on all classes together may take the share `suppression` of the rows.

    block: most tuples that are compared with each other.

    Raises:
        ThresholdNotReached: not even all rows together satisfy the criteria.
    """
    points = _points(tuples, over)
    for tightened in stricter(tuples, criteria):
        group = _settled(tuples, points, _groups(tuples, over, points, least_people(tightened), block), tightened)
        count = int(group.max()) + 1
        names, codes = centroids(tuples, group, count, over)
        loss = axes_.spans_of(group, count, tuples.codes, over).loss
        every, rows = np.arange(len(tuples)), tuples.rows
        result = recoded(tuples, every, rows, names, codes[group], loss[group], tightened, suppression)
        if result is not None:
            return Microaggregated(result, _sse_share(tuples, result, over))
    raise AssertionError("criteria that nothing satisfies are refused before")


def _points(tuples: Tuples, over: Axes) -> _Points:
    numbers, categories, unknown, differ = [], [], [], []
    for j, tree in enumerate(over.hierarchies):
        codes, weight = tuples.codes[:, j], over.grid.weights[j]
        if over.grid.ordered[j]:
            values = axes_.values(tree.leaves)[codes]
            numbers.append(_standardized(values, tuples.people) * np.sqrt(weight / 2))
            unknown.append(weight)
        else:
            shares = np.bincount(codes, weights=tuples.people) / tuples.people.sum()
            chance = 1 - shares @ shares
            categories.append(codes)
            differ.append(weight / chance if chance > 0 else 0.0)
    return _Points(
        np.stack(numbers, axis=1) if numbers else np.zeros((len(tuples), 0)),
        np.stack(categories, axis=1).astype(np.int32) if categories else np.zeros((len(tuples), 0), dtype=np.int32),
        tuples.people,
        np.array(unknown),
        np.array(differ),
    )


def _standardized(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    total = weights[known].sum()
    if total == 0:
        return values
    mean = values[known] @ weights[known] / total
    spread = np.sqrt((values[known] - mean) ** 2 @ weights[known] / total)
    return (values - mean) / spread if spread > 0 else values - mean


def _groups(tuples: Tuples, over: Axes, points: _Points, k: int, block: int) -> np.ndarray:
    """The group of each tuple by MDAV, int64 (n,)."""
    alone = tuples.people >= k - ROUNDING
    group = np.zeros(len(tuples), dtype=np.int64)
    group[alone] = np.arange(alone.sum())
    count = int(alone.sum())
    others = np.flatnonzero(~alone)
    for members in _blocks(tuples, others, over, k, block):
        inside = points._replace(
            numbers=points.numbers[members], categories=points.categories[members], people=points.people[members]
        )
        found = _mdav(inside, _most_categories(points), float(k))
        group[members] = count + found
        count += int(found.max()) + 1
    return group


def _most_categories(points: _Points) -> int:
    return int(points.categories.max(initial=0)) + 1


def _blocks(tuples: Tuples, others: np.ndarray, over: Axes, k: int, block: int) -> list[np.ndarray]:
    if not len(others):
        return []
    if len(others) <= block:
        return [others]
    regions = mondrian.partition(subset(tuples, others), over, [KAnonymity(k)], small=block)
    return [others[members] for members in np.split(regions.source, regions.starts[1:-1])]


@compiled
def _mdav(points: _Points, categories: int, k: float) -> np.ndarray:
    """The group of each point, int64 (n,); the last may have fewer than k people."""
    n = len(points.people)
    group, left = np.full(n, -1, dtype=np.int64), np.arange(n)
    count, people = 0, points.people.sum()
    distance = np.empty(n, dtype=np.float64)
    while people >= 2 * k - ROUNDING:
        start = _farthest_from_average(points, left, categories)
        for around in range(2 if people >= 3 * k - ROUNDING else 1):
            if around == 1:
                start = int(left[np.argmax(distance[: len(left)])])
            for i in range(len(left)):
                distance[i] = _between(points, left[i], start)
            people -= _gather(points, left, distance, k, group, count)
            left, distance = _remaining(left, distance, group)
            count += 1
    group[left] = count
    return group


@compiled
def _between(points: _Points, i: int, other: int) -> float:
    """Squared distance of two points."""
    total = 0.0
    for j in range(points.numbers.shape[1]):
        gap = points.numbers[i, j] - points.numbers[other, j]
        if np.isnan(gap):
            both = np.isnan(points.numbers[i, j]) and np.isnan(points.numbers[other, j])
            total += 0.0 if both else points.unknown[j]
        else:
            total += gap * gap
    for j in range(points.categories.shape[1]):
        if points.categories[i, j] != points.categories[other, j]:
            total += points.differ[j]
    return total


@compiled
def _farthest_from_average(points: _Points, left: np.ndarray, categories: int) -> int:
    """The point farthest from the mean, or mode, of those left."""
    far = np.zeros(len(left), dtype=np.float64)
    for j in range(points.numbers.shape[1]):
        mean = _mean(points.numbers[:, j], points.people, left)
        for place in range(len(left)):
            value = points.numbers[left[place], j]
            if np.isnan(value) != np.isnan(mean):
                far[place] += points.unknown[j]
            elif not np.isnan(value):
                far[place] += (value - mean) ** 2
    for j in range(points.categories.shape[1]):
        people = np.zeros(categories, dtype=np.float64)
        for i in left:
            people[points.categories[i, j]] += points.people[i]
        mode = np.argmax(people)
        for place in range(len(left)):
            if points.categories[left[place], j] != mode:
                far[place] += points.differ[j]
    return int(left[np.argmax(far)])


@compiled
def _mean(values: np.ndarray, people: np.ndarray, left: np.ndarray) -> float:
    """Mean of the known values, NaN where most are not known."""
    total, known, unknown = 0.0, 0.0, 0.0
    for i in left:
        if np.isnan(values[i]):
            unknown += people[i]
        else:
            total += values[i] * people[i]
            known += people[i]
    return np.nan if unknown > known else total / known


@compiled
def _gather(points: _Points, left: np.ndarray, distance: np.ndarray, k: float, group: np.ndarray, number: int) -> float:
    """Put the fewest nearest points that are k people into group `number`; returns how many people these are."""
    nearest = np.empty(len(left), dtype=np.int64)
    count, people = 0, 0.0
    for i in range(len(left)):
        if people >= k - ROUNDING and distance[i] >= distance[nearest[count - 1]]:
            continue
        at = count
        while at > 0 and distance[nearest[at - 1]] > distance[i]:
            nearest[at] = nearest[at - 1]
            at -= 1
        nearest[at] = i
        count += 1
        people += points.people[left[i]]
        while people - points.people[left[nearest[count - 1]]] >= k - ROUNDING:
            people -= points.people[left[nearest[count - 1]]]
            count -= 1
    for place in nearest[:count]:
        group[left[place]] = number
    return people


@compiled
def _remaining(left: np.ndarray, distance: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kept = 0
    for i in range(len(left)):
        if group[left[i]] < 0:
            left[kept], distance[kept] = left[i], distance[i]
            kept += 1
    return left[:kept], distance


def _settled(tuples: Tuples, points: _Points, group: np.ndarray, criteria: Sequence[Criterion]) -> np.ndarray:
    """Groups that violate a criterion join the nearest one, until none does; numbered from 0, int64 (n,)."""
    while True:
        classes, of_tuple, _ = merge(tuples, group, int(group.max()) + 1)
        bad = violating(criteria, classes) & (classes.rows > 0)
        if not bad.any() or len(classes) == 1:
            return of_tuple.astype(np.int64)
        centres = _centres(points, of_tuple, len(classes))
        failing = np.flatnonzero(bad)
        nearest = _nearest(centres, failing)
        links = coo_array((np.ones(len(failing)), (failing, nearest)), shape=(len(classes), len(classes)))
        _, joined = connected_components(links, directed=False)
        group = joined[of_tuple].astype(np.int64)


def _centres(points: _Points, of_tuple: np.ndarray, count: int) -> _Points:
    """Means and modes of `count` groups as points."""
    numbers = np.full((count, points.numbers.shape[1]), np.nan)
    for j in range(points.numbers.shape[1]):
        known = ~np.isnan(points.numbers[:, j])
        people = np.where(known, points.people, 0.0)
        weights = np.bincount(of_tuple, weights=people, minlength=count)
        total = np.bincount(of_tuple, weights=people * np.where(known, points.numbers[:, j], 0.0), minlength=count)
        numbers[:, j] = np.divide(total, weights, out=np.full(count, np.nan), where=weights > 0)
    categories = [modes(points.categories[:, j], of_tuple, points.people, count) for j in range(points.differ.size)]
    return _Points(
        numbers,
        np.stack(categories, axis=1).astype(np.int32) if categories else np.zeros((count, 0), dtype=np.int32),
        np.bincount(of_tuple, weights=points.people, minlength=count),
        points.unknown,
        points.differ,
    )


@compiled
def _nearest(centres: _Points, wanted: np.ndarray) -> np.ndarray:
    """The nearest other point of each of the `wanted` ones, int64."""
    found = np.empty(len(wanted), dtype=np.int64)
    for place in range(len(wanted)):
        best = np.inf
        for other in range(len(centres.people)):
            if other != wanted[place]:
                distance = _between(centres, wanted[place], other)
                if distance < best:
                    best, found[place] = distance, other
    return found


def _sse_share(tuples: Tuples, result: Recoded, over: Axes) -> np.ndarray:
    """SSE / SST by column over rows whose value and centroid are known."""
    shares = np.full(len(over.columns), np.nan)
    for j in np.flatnonzero(over.grid.ordered):
        before = axes_.values(over.hierarchies[j].leaves)[tuples.codes[:, j]]
        after = axes_.values(result.labels[j])[result.codes[:, j]]
        known = ~np.isnan(before) & ~np.isnan(after) & ~result.suppressed
        rows = tuples.rows[known]
        if known.any():
            mean = before[known] @ rows / rows.sum()
            total = (before[known] - mean) ** 2 @ rows
            shares[j] = (before[known] - after[known]) ** 2 @ rows / total if total > 0 else 0.0
    return shares
