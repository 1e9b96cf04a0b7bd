"""Linkability: do two sources, each knowing some facts of a person, find the same released row?

Giomi et al. 2023, section 3.2, with one neighbour and all ties: each source picks one of its nearest rows at random,
and succeeds with the probability that both pick the same.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tasks.attacks import neighbours, space
from tasks.attacks.adversary import Adversary
from tasks.common.policy import Policy


def succeed(
    adversary: Adversary, release: pa.Table, people: pa.Table, policy: Policy, rounding: dict[str, float]
) -> np.ndarray:
    """Probability that the two sources are joined, for each person, float64 (people,)."""
    place = space.build(people, release, [*adversary.knows, *adversary.linked], policy, rounding)
    return neighbours.link_probability(place, place.mask(adversary.knows), place.mask(adversary.linked))


def naive(release: pa.Table, people: pa.Table) -> np.ndarray:
    """Both sources pick any row, float64 (people,)."""
    return np.full(people.num_rows, 1 / release.num_rows)
