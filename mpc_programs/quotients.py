"""Quotients of shared integers by the embedded engine, each closer than a few steps of the format.

MPyC multiplies by a reciprocal that is off by a step or two, so that a quotient is off by as many steps as what is
divided is large. Each correction adds what is left over, a - b q, by the same reciprocal: of an error of e steps
remains the part e b 2^-fraction, and a rounding or two.

For MP-SPDZ, programs have `divided` (Goldschmidt's method), which normalizes only as many bits as the integers have. It
rounds nine numbers of at most 2, whose errors are at most doubled by what follows, except the last.
"""

from __future__ import annotations

from typing import Any, Final

# Steps of the format that a quotient of at most 2 is off by, under every engine.
STEPS: Final = 16
_CORRECTIONS = 2


def quotient(above: Any, below: Any) -> Any:
    """above / below, elementwise. Both are shared integers, 0 <= above <= 2 * below and 1 <= below < 2^fraction / 8."""
    reciprocal = 1 / below
    found = above * reciprocal
    for _ in range(_CORRECTIONS):
        found = found + (above - below * found) * reciprocal
    return found
