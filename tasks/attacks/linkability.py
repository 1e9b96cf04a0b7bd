"""Linkability: do two sources, each knowing some facts of a person, find the same released row?

Giomi et al. 2023, section 3.2, with one neighbour and all ties: each source picks one of its nearest rows at random,
and succeeds with the probability that both pick the same.

The columns are split between the sources as the policy says, or at random, in several ways. An attacker need not try
everyone: the confident one joins only those it finds the closest matches for (the paper leaves the choice of guesses to
the attacker). A release that copies few people is caught by that, where an average over all people would hide them.
"""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa

from tasks.attacks import neighbours, space
from tasks.attacks.adversary import Adversary, Method
from tasks.attacks.targets import Targets
from tasks.common.policy import Policy
from tasks.common.seeds import generator

SPLITS = 5
CONFIDENT_SHARE = 0.1


def succeed(
    adversary: Adversary, release: pa.Table, people: pa.Table, policy: Policy, rounding: dict[str, float]
) -> np.ndarray:
    """Probability that the two sources are joined, for each person, float64 (people,)."""
    if adversary.method is Method.RANDOM:
        return _by_random_halves(adversary, release, people, policy, rounding)
    place = space.build(people, release, [*adversary.knows, *adversary.linked], policy, rounding)
    return neighbours.link_probability(place, place.mask(adversary.knows), place.mask(adversary.linked))


def _by_random_halves(
    adversary: Adversary, release: pa.Table, people: pa.Table, policy: Policy, rounding: dict[str, float]
) -> np.ndarray:
    """Each person by one of SPLITS random halvings of the columns, the same ones for every group of people."""
    rng = generator(policy.seed, "halves", adversary.name)
    place = space.build(people, release, list(adversary.knows), policy, rounding)
    width, found = len(place.names), np.zeros(place.targets)
    for split in range(SPLITS):
        left = np.zeros(width, dtype=bool)
        left[rng.permutation(width)[: width // 2]] = True
        mine = np.arange(split, place.targets, SPLITS)
        found[mine] = neighbours.link_probability(place.only(mine), left, ~left)
    return found


def confident(
    adversary: Adversary, release: pa.Table, people: Targets, policy: Policy, rounding: dict[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the people whom the adversary is surest of, int64 (n,), and their successes, float64 (n,).

    It knows how close the nearest rows are that both searches find, and how many of them there are: it takes the
    closest, the least ambiguous first, a tenth of the people who stand out and of the others. The same share is taken
    of every group, so that a release that knows nothing of either treats both alike, and there are always enough.
    """
    place = space.build(people.rows, release, [*adversary.knows, *adversary.linked], policy, rounding)
    joined, away, picks = neighbours.link(place, place.mask(adversary.knows), place.mask(adversary.linked))
    order = np.lexsort((picks, np.round(away, 6)))
    surest = [order[people.outlier[order] == apart] for apart in (False, True)]
    chosen = np.concatenate([some[: math.ceil(CONFIDENT_SHARE * len(some))] for some in surest])
    return chosen, joined[chosen]


def naive(release: pa.Table, people: pa.Table) -> np.ndarray:
    """Both sources pick any row, float64 (people,)."""
    return np.full(people.num_rows, 1 / release.num_rows)
