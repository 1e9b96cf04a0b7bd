"""Counts that a party brings instead of its rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tasks.common.errors import InputError
from tasks.mpc.program import Given


def at_most(given: Mapping[str, np.ndarray], most: int, party: int) -> dict[str, np.ndarray]:
    """The counts, if they are of no more people in all than one party may have, for which the format is chosen.

    Raises:
        InputError: they are of more.
    """
    if (people := sum(int(each.sum()) for each in given.values())) > most:
        raise InputError(f"party {party}: {people:,} people are more than {most:,}, the most of one")
    return dict(given)


def totals(given: Given, name: str) -> np.ndarray:
    """The sum over parties of what they bring under a name."""
    return np.stack([given[party][name] for party in sorted(given)]).sum(axis=0)
