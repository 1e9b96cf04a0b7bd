"""Taking the relation between a protected group and the outcome out of the training rows.

First by rows: synthetic ones are drawn from where a group has too few positives or negatives for its outcome rate to
equal everyone's (conditional sampling). Then by weights: what is left is balanced by reweighing (Kamiran and Calders
2012, Knowl. Inf. Syst. 33(1), eq. 3), w(group, outcome) = P(group) P(outcome) / P(group, outcome).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tasks.common.policy import Downstream
from tasks.fairness.groups import group_of
from tasks.utility import downstream as model


def balancing_rows(
    rows: pa.Table,
    pool: pa.Table,
    protected: list[str],
    task: Downstream,
    most: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Positions in `pool` of synthetic rows that bring each group's outcome rate towards everyone's, at most `most`.

    A group below the overall rate gets positive rows, a group above it negative ones, as many as the pool has; where
    `most` is too few for all, every group gets the same share of what it needs.
    """
    groups, labels = group_of(rows, protected), model.positives(rows, task)
    pool_groups, pool_labels = group_of(pool, protected), model.positives(pool, task)
    rate = labels.mean()
    wanted: list[tuple[np.ndarray, int]] = []
    for name in sorted(set(groups)):
        inside = groups == name
        positive, negative = int(labels[inside].sum()), int((~labels[inside]).sum())
        lacking_positive = positive < rate * (positive + negative)
        lacks = rate / (1 - rate) * negative - positive if lacking_positive else positive * (1 - rate) / rate - negative
        there = np.flatnonzero((pool_groups == name) & (pool_labels == lacking_positive))
        wanted.append((there, min(round(lacks), len(there))))
    total = sum(count for _, count in wanted)
    share = min(most / total, 1.0) if total else 0.0
    chosen = [rng.permutation(there)[: int(count * share)] for there, count in wanted]
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=np.int64)


def weights(rows: pa.Table, protected: list[str], task: Downstream) -> np.ndarray:
    """Weight of each row that makes group and outcome independent, float64 (rows,); they add up to the rows.

    A group in which an outcome does not occur stays as it is: there is no row to give its weight to.
    """
    groups, labels = group_of(rows, protected), model.positives(rows, task)
    _, place = np.unique(groups, return_inverse=True)
    cell = 2 * place + labels
    count = len(labels)
    by_cell = np.bincount(cell, minlength=2 * (place.max() + 1))
    by_group, by_label = np.bincount(place), np.bincount(labels.astype(int), minlength=2)
    balanced = by_group[place] * by_label[labels.astype(int)] / (count * by_cell[cell])
    return balanced * count / balanced.sum()
