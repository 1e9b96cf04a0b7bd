"""Setting people aside before anything is learned from the table.

The working control is attacked over and over while the release is adjusted, the sealed control once, for the verdict.
People are drawn, not rows: all rows of a person go the same way.
"""

from __future__ import annotations

import numpy as np

from tasks.anonymization import longitudinal
from tasks.common import reading
from tasks.common.errors import TableError
from tasks.common.policy import Policy
from tasks.common.seeds import generator
from tasks.common.streaming import Chosen, InMemory, Rows, person_codes
from tasks.common.table import Table

_FEWEST_PEOPLE = 10


def persons(table: Table, policy: Policy) -> np.ndarray | None:
    """A number for the person behind each row, int64 (rows,), or None where each row is a person of its own.

    A row without a person's identifier is a person of its own.
    """
    if policy.person is None:
        return None
    return person_codes(InMemory(reading.read(table, policy, [policy.person])), policy.person)


def limited(rows: Rows, policy: Policy) -> tuple[Rows, np.ndarray | None]:
    """Rows without those that a person has beyond the policy's limit, and the person behind each that is left."""
    persons = person_codes(rows, policy.person)
    if policy.rows_per_person is None or persons is None:
        return rows, persons
    who = np.unique(persons, return_inverse=True)[1]
    kept = np.zeros(len(persons), dtype=bool)
    kept[longitudinal.capped(who, policy.rows_per_person, generator(policy.seed, "limit"))] = True
    return Chosen(rows, kept), persons[kept]


def split(table: Table, policy: Policy, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Row numbers of the file for `train`, `working` and `sealed`, int64.

    Rows that are excluded, or that a person has beyond the policy's limit, are in none of them.

    Raises:
        TableError: too few people for three groups.
    """
    rows = reading.included_rows(table, policy)
    numbers = persons(table, policy)
    who = rows if numbers is None else numbers[rows]
    people, place = np.unique(who, return_inverse=True)
    if policy.rows_per_person is not None:
        kept = longitudinal.capped(place, policy.rows_per_person, rng)
        rows, place = rows[kept], place[kept]
    shares = policy.attacks.holdout
    working, sealed = (round(share * len(people)) for share in (shares.working, shares.sealed))
    if min(working, sealed, len(people) - working - sealed) < _FEWEST_PEOPLE:
        raise TableError(
            f"the table holds {len(people)} people, too few to set {shares.working:.0%} and {shares.sealed:.0%} "
            f"of them aside as controls: each group needs at least {_FEWEST_PEOPLE}"
        )
    rank = rng.permutation(len(people))[place]
    file_rows = table.row_numbers()[rows]
    return {
        "train": file_rows[rank >= working + sealed],
        "working": file_rows[rank < working],
        "sealed": file_rows[(rank >= working) & (rank < working + sealed)],
    }
