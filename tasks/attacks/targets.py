"""Whom to attack: one row for each person, half of the weight on the people who stand out.

Averages hide the patients at risk: most rows have look-alikes, outliers do not (Meeus et al. 2023, ESORICS, "Achilles'
heels"). The people whose row is farthest from its neighbours are therefore a stratum of their own with half of the
weight, in the release as in the control.

Who is far is decided by the fifth neighbour among all people, none left out. The yardstick, the distance that a
fifth of the people exceed, is a quantile of the distances of a random sample of people; whether someone exceeds it
takes a search that ends at the fifth neighbour within it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tasks.attacks import neighbours, space
from tasks.common.policy import Policy

OUTLIER_SHARE = 0.2
MOST = 10_000  # targets a side, where the policy leaves the number to the threshold
_NEIGHBOUR = 5
_MEASURED = 4_000  # the standard error of the share beyond their quantile is 0.6 %


@dataclass(frozen=True)
class Targets:
    """People to attack: their rows (typed, as the original has them) and which of them stand out, bool (rows,).

    everyone: all rows of the group that they are from, for adversaries who do not choose whom to attack.
    """

    rows: pa.Table
    outlier: np.ndarray
    everyone: pa.Table | None = None

    def some(self, most: int, rng: np.random.Generator) -> Targets:
        """At most `most` of them at random, half of them outliers where there are so many."""
        if most >= len(self.outlier):
            return self
        kept = _thin(self.outlier, most, rng)
        return Targets(self.rows.take(pa.array(kept)), self.outlier[kept], self.everyone)


@dataclass(frozen=True)
class Choice:
    """Positions of the chosen rows in their group, int64 (n,), and which of them stand out, bool (n,)."""

    positions: np.ndarray
    outlier: np.ndarray

    def of(self, rows: pa.Table) -> Targets:
        """The chosen of the group's typed rows."""
        return Targets(rows.take(pa.array(self.positions)), self.outlier, rows)


def choose(
    groups: list[tuple[pa.Table, np.ndarray | None]],
    most: int | None,
    policy: Policy,
    rng: np.random.Generator,
    cores: int = 1,
) -> list[Choice]:
    """Targets from each group of people, at most `most` (MOST) from a group, outliers by one yardstick for all groups.

    groups: typed rows and person codes (None where each row is a person). cores: threads that look for neighbours; the
    result does not depend on it.
    """
    most = most or MOST
    positions = [_one_row_each(persons, rows.num_rows, rng) for rows, persons in groups]
    everyone = pa.concat_tables([rows.take(pa.array(kept)) for (rows, _), kept in zip(groups, positions, strict=True)])
    starts = np.cumsum([0, *(len(kept) for kept in positions)])
    # So many that half of the targets can be outliers.
    few = [np.sort(rng.permutation(len(kept))[: math.ceil(most / 2 / OUTLIER_SHARE)]) for kept in positions]
    candidates = np.concatenate([start + some for start, some in zip(starts[:-1], few, strict=True)])
    outlier = np.split(_outliers(everyone, candidates, policy, rng, cores), np.cumsum([len(some) for some in few])[:-1])
    chosen = []
    for kept, some, apart in zip(positions, few, outlier, strict=True):
        taken = _thin(apart, most, rng)
        chosen.append(Choice(kept[some[taken]], apart[taken]))
    return chosen


def _one_row_each(persons: np.ndarray | None, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of one random row of each person, int64."""
    if persons is None:
        return np.arange(rows)
    order = rng.permutation(rows)
    _, first = np.unique(persons[order], return_index=True)
    return np.sort(order[first])


def _outliers(
    everyone: pa.Table, candidates: np.ndarray, policy: Policy, rng: np.random.Generator, cores: int
) -> np.ndarray:
    """Whether each candidate stands out among everyone, bool (candidates,)."""
    exact = policy.model_copy(update={"columns": {n: c.as_released_exactly() for n, c in policy.columns.items()}})
    names = [name for name in everyone.column_names if name in policy.released]
    people = space.build(everyone, everyone, names, exact, {})
    sample = rng.permutation(candidates)[:_MEASURED]
    yardstick = np.quantile(neighbours.nearest_distances(people.only(sample), _NEIGHBOUR, cores), 1 - OUTLIER_SHARE)
    return ~neighbours.has_neighbours(people.only(candidates), _NEIGHBOUR, float(yardstick), cores)


def _thin(outlier: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of at most `most` targets, half of them outliers where there are so many."""
    strata = (np.flatnonzero(outlier), np.flatnonzero(~outlier))
    return np.sort(np.concatenate([rng.permutation(stratum)[: math.ceil(most / 2)] for stratum in strata]))
