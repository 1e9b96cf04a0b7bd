"""Re-identification: which released row is this person's?

The adversary knows a person's quasi-identifiers and picks one of the F released rows that fit them. With the person in
the release one of them is the person's own, and the chance of picking it is 1/F: the probability that the European
Medicines Agency's threshold of 0.09 is about (External guidance on Policy 0070, 5.4). Whether the own row is among them
is seen from the other released columns: one of the fitting rows has to fit the person in all of them. Rows therefore
need no identifier, synthetic rows are judged by the same measure, and what fits people who are not in the release by
coincidence is subtracted by their success.

Prosecutor, journalist and marketer (El Emam and Dankar 2008, JAMIA 15(5); El Emam 2013, ch. 16) differ in whom they
look for and in where they look for look-alikes:

- prosecutor: looks for a certain person who is known to be in the table. 1/F.
- journalist: cannot know who is in the table, and names one of the people in a register of everyone who have the same
  quasi-identifiers. The register holds the people of the release and of the control: 1/(F + C), with C the people of
  the control who fit the class of the person's rows.
- marketer: names someone for each row, and counts how many are right. 1/F as for the prosecutor, but each person
  counts alike, whether standing out or not.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tasks.attacks import fitting, space
from tasks.attacks.adversary import Adversary, Method
from tasks.common.policy import Policy

_ROUNDING = 1e-9


def succeed(
    adversary: Adversary,
    release: pa.Table,
    people: pa.Table,
    control: pa.Table | None,
    policy: Policy,
    rounding: dict[str, float],
) -> np.ndarray:
    """Chance of naming the right person for a row that fits, for each person, float64 (people,).

    control: the people in the journalist's register who are not in the table.
    """
    place = space.build(people, release, [n for n in policy.released if n in release.column_names], policy, rounding)
    known = place.mask(adversary.knows)
    company = np.zeros(len(place.points.weights), dtype=np.int64)
    if adversary.method is Method.JOURNALIST and control is not None:
        company[place.of_row] = _registered(adversary, release, control, policy, rounding)
    return fitting.chance_of_own_row(place, known, company)


def extras(chances: np.ndarray, threshold: float) -> dict[str, float]:
    """Share of people in the release whose chance is above the threshold (El Emam 2013, ch. 16, the risk pRa)."""
    return {"above_threshold": float((chances > threshold + _ROUNDING).mean())}


def _registered(
    adversary: Adversary, release: pa.Table, control: pa.Table, policy: Policy, rounding: dict[str, float]
) -> np.ndarray:
    """How many people of the control fit each released row, int64 (rows,)."""
    place = space.build(control, release, list(adversary.knows), policy, rounding)
    return fitting.fitting_people(place, place.mask(adversary.knows))[place.of_row]
