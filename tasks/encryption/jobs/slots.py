"""Moving what is in slots: the rotations that a sum over slots needs, and the sum."""

from __future__ import annotations

from typing import Any


def doublings(least: int, most: int) -> tuple[int, ...]:
    """least, 2·least, 4·least ... below most; both are powers of two."""
    return tuple(least << k for k in range((most // least).bit_length() - 1))


def folded(ciphertext: Any, steps: tuple[int, ...]) -> Any:
    """The sum over all rotations by sums of some of the steps, by one rotation for each step.

    With the doublings of a to b on a circle of b slots, every slot gets the sum over all slots that are a multiple of a
    away from it: only totals are left, and no partial sum.
    """
    for step in steps:
        ciphertext = ciphertext + ciphertext.rotate(step)
    return ciphertext
