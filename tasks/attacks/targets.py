"""Whom to attack: one row for each person, half of the weight on the people who stand out.

Averages hide the patients at risk: most rows have look-alikes, outliers do not (Meeus et al. 2023, ESORICS, "Achilles'
heels"). The people whose row is farthest from its neighbours are therefore a stratum of their own with half of the
weight, in the release as in the control.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tasks.attacks import neighbours, space
from tasks.common.policy import Policy

OUTLIER_SHARE = 0.2
_NEIGHBOUR = 5
_REFERENCE_ROWS = 4_000


@dataclass(frozen=True)
class Targets:
    """People to attack: their rows (typed, as the original has them) and which of them stand out, bool (rows,)."""

    rows: pa.Table
    outlier: np.ndarray


@dataclass(frozen=True)
class Choice:
    """Positions of the chosen rows in their group, int64 (n,), and which of them stand out, bool (n,)."""

    positions: np.ndarray
    outlier: np.ndarray

    def of(self, rows: pa.Table) -> Targets:
        """The chosen of the group's typed rows."""
        return Targets(rows.take(pa.array(self.positions)), self.outlier)


def choose(
    groups: list[tuple[pa.Table, np.ndarray | None]], most: int, policy: Policy, rng: np.random.Generator
) -> list[Choice]:
    """Targets from each group of people, at most `most` from a group, outliers by one yardstick for all groups.

    groups: typed rows and person codes (None where each row is a person).
    """
    positions = [_one_row_each(persons, rows.num_rows, rng) for rows, persons in groups]
    everyone = pa.concat_tables([rows.take(pa.array(kept)) for (rows, _), kept in zip(groups, positions, strict=True)])
    distance = _isolation(everyone, policy, rng)
    outlier = distance > np.quantile(distance, 1 - OUTLIER_SHARE)
    chosen = []
    for kept, apart in zip(positions, np.split(outlier, np.cumsum([len(p) for p in positions])[:-1]), strict=True):
        few = _thin(apart, most, rng)
        chosen.append(Choice(kept[few], apart[few]))
    return chosen


def _one_row_each(persons: np.ndarray | None, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of one random row of each person, int64."""
    if persons is None:
        return np.arange(rows)
    order = rng.permutation(rows)
    _, first = np.unique(persons[order], return_index=True)
    return np.sort(order[first])


def _isolation(everyone: pa.Table, policy: Policy, rng: np.random.Generator) -> np.ndarray:
    """Distance of each row to its fifth neighbour in a sample of all rows; only the ranking matters."""
    sample = rng.permutation(everyone.num_rows)[:_REFERENCE_ROWS]
    exact = policy.model_copy(update={"columns": {n: c.as_released_exactly() for n, c in policy.columns.items()}})
    names = [name for name in everyone.column_names if name in policy.released]
    reference = everyone.take(pa.array(np.sort(sample)))
    return neighbours.nearest_distances(space.build(everyone, reference, names, exact, {}), _NEIGHBOUR)


def _thin(outlier: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of at most `most` targets, half of them outliers where there are so many."""
    strata = (np.flatnonzero(outlier), np.flatnonzero(~outlier))
    return np.sort(np.concatenate([rng.permutation(stratum)[: most // 2] for stratum in strata]))
