"""What stands for a group of people: the mean of its numbers, the median of its dates, the mode of its categories.

People count, not rows: someone with many rows shall not decide alone what a group looks like. A centroid is missing
where most of the group's values are.
"""

from __future__ import annotations

import datetime as dt

import numpy as np

from tasks.anonymization import axes as axes_
from tasks.anonymization.axes import Axes, Labels
from tasks.anonymization.classes import Tuples
from tasks.anonymization.hierarchies import Label
from tasks.common.policy import Kind

_MOST_DECIMALS = 6


def centroids(tuples: Tuples, group: np.ndarray, count: int, over: Axes) -> tuple[Labels, np.ndarray]:
    """The distinct centroids of each column, and the place there of each of `count` groups', int32 (count, q).

    group: int64 (n,), the group of each tuple.
    """
    names: list[tuple[Label, ...]] = []
    codes = np.zeros((count, len(over.columns)), dtype=np.int32)
    for j, (column, tree) in enumerate(zip(over.columns, over.hierarchies, strict=True)):
        leaf = tuples.codes[:, j]
        if over.grid.ordered[j] and column.kind is Kind.NUMERIC:
            found = _means(axes_.values(tree.leaves), leaf, group, tuples.people, count)
            distinct, place = np.unique(found, return_inverse=True)
            labels: list[Label] = [None if np.isnan(value) else value for value in distinct.tolist()]
        elif over.grid.ordered[j]:
            found = _medians(axes_.values(tree.leaves)[leaf], group, tuples.people, count)
            distinct, place = np.unique(found, return_inverse=True)
            labels = [None if np.isnan(day) else dt.date.fromordinal(int(day)) for day in distinct.tolist()]
        else:
            distinct, place = np.unique(modes(leaf, group, tuples.people, count), return_inverse=True)
            labels = [tree.leaves[code] for code in distinct.tolist()]
        names.append(tuple(labels))
        codes[:, j] = place
    return tuple(names), codes


def _means(leaves: np.ndarray, leaf: np.ndarray, group: np.ndarray, people: np.ndarray, count: int) -> np.ndarray:
    values = leaves[leaf]
    known = ~np.isnan(values)
    weights = np.bincount(group[known], weights=people[known], minlength=count)
    total = np.bincount(group[known], weights=people[known] * values[known], minlength=count)
    means = np.divide(total, weights, out=np.full(count, np.nan), where=weights > 0)
    return np.where(_mostly_known(known, group, people, count), np.round(means, decimals(leaves)), np.nan)


def _mostly_known(known: np.ndarray, group: np.ndarray, people: np.ndarray, count: int) -> np.ndarray:
    inside = np.bincount(group, weights=people, minlength=count)
    return 2 * np.bincount(group, weights=people * known, minlength=count) >= inside


def decimals(values: np.ndarray) -> int:
    """How many decimals numbers have, 6 at most."""
    known = values[~np.isnan(values)]
    for digits in range(_MOST_DECIMALS):
        if np.allclose(known, np.round(known, digits), rtol=0, atol=1e-9):
            return digits
    return _MOST_DECIMALS


def _medians(days: np.ndarray, group: np.ndarray, people: np.ndarray, count: int) -> np.ndarray:
    """The first day by which half of the people whose day is known are reached."""
    known = ~np.isnan(days)
    order = np.flatnonzero(known)[np.lexsort((days[known], group[known]))]
    reached = np.cumsum(people[order])
    inside = np.bincount(group[order], weights=people[order], minlength=count)
    before = np.concatenate([[0.0], np.cumsum(inside)])[:-1]
    half = reached - before[group[order]] >= inside[group[order]] / 2 - 1e-9
    places, first = np.unique(group[order][half], return_index=True)
    found = np.full(count, np.nan)
    found[places] = days[order][half][first]
    return np.where(_mostly_known(known, group, people, count), found, np.nan)


def modes(codes: np.ndarray, group: np.ndarray, people: np.ndarray, count: int) -> np.ndarray:
    """The code that most people of each group have, the lowest where several are, int64 (count,)."""
    width = int(codes.max(initial=0)) + 1
    pairs, place = np.unique(group.astype(np.int64) * width + codes, return_inverse=True)
    weights = np.round(np.bincount(place, weights=people), 9)
    order = np.lexsort((pairs % width, -weights, pairs // width))
    _, first = np.unique((pairs // width)[order], return_index=True)
    assert len(first) == count, "each group has someone"
    return (pairs % width)[order][first]
