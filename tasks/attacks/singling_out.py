"""Singling out: is there exactly one released row that fits what is known of a person?

The isolation of Cohen and Nissim 2020 (PNAS 117(15)), asked person by person: a predicate made of the person's facts
matches exactly one row. Asked of people in the release and of people in the control against the same release, it does
not depend on how many of each there are.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tasks.attacks import neighbours, space
from tasks.attacks.adversary import Adversary
from tasks.common.policy import Policy

_FEWEST_FACTS = 2


def succeed(
    adversary: Adversary,
    release: pa.Table,
    people: pa.Table,
    policy: Policy,
    rounding: dict[str, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """1 for each person whom the adversary singles out, float64 (people,)."""
    place = space.build(people, release, list(adversary.knows), policy, rounding)
    known = _known(adversary, place, rng)
    return (neighbours.fitting_rows(place, known, enough=2) == 1).astype(float)


def naive(
    adversary: Adversary,
    release: pa.Table,
    people: pa.Table,
    policy: Policy,
    rounding: dict[str, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """The same for predicates made up from facts of different people, float64 (people,)."""
    made_up = pa.table({name: people[name].take(pa.array(rng.permutation(len(people)))) for name in adversary.knows})
    return succeed(adversary, release, made_up, policy, rounding, rng)


def _known(adversary: Adversary, place: space.Space, rng: np.random.Generator) -> np.ndarray:
    """Which facts the adversary has of each target, bool (targets, columns)."""
    columns = len(place.names)
    if adversary.every_fact or columns <= _FEWEST_FACTS:
        return np.broadcast_to(place.mask(adversary.knows), (place.targets, columns)).copy()
    amount = rng.integers(_FEWEST_FACTS, columns + 1, size=place.targets)
    rank = rng.random((place.targets, columns)).argsort(axis=1).argsort(axis=1)
    return rank < amount[:, None]
