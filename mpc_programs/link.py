"""From a score to a probability, the same in the clear, in `.mpc` programs and for the embedded engine.

The sigmoid itself takes an exponential and a quotient. Here it is a polynomial of degree 5 within scores of -4 and 4,
and constant outside: at most 0.0090 from the sigmoid anywhere, which no other of the kind is nearer. No polynomial
alone would do: beyond its range it runs away from any probability, and descent with it. Straight pieces cost a
comparison each, where a degree costs a product: three, with as many comparisons as here, are 0.041 off at best. It
rises everywhere within its range, so that what is descended is convex.

Sources: Mohassel, Zhang, S&P 2017 (pieces instead of the sigmoid); Kim et al., BMC Med Genomics 2018 (polynomials).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

# 1/2 + SCALE * t * ((t**2 + SHIFT)**2 + REST), where t is the score over RANGE, within -1 and 1. Minimax, which a test
# finds again as a linear program.
RANGE: Final = 4.0
SCALE: Final = 0.28773898
SHIFT: Final = -1.26967886
REST: Final = 1.63370475
# Of the link from the sigmoid, and its steepest slope, at 0.
LINK_ERROR: Final = 0.0090
SLOPE: Final = SCALE * (SHIFT**2 + REST) / RANGE


def link(score: np.ndarray) -> np.ndarray:
    """A probability, within `LINK_ERROR` of the sigmoid."""
    return 0.5 + SCALE * bent(np.clip(score / RANGE, -1, 1))


def bent(t: Any) -> Any:
    """The polynomial of scores over `RANGE`, shared or in the clear, before it is scaled and lifted."""
    near = t * t + SHIFT
    return t * (near * near + REST)


def within_one(mpc: Any, t: Any, most: float) -> Any:
    """Shared numbers where they are within -1 and 1, and the nearer of these elsewhere. All are within ±most."""
    count = t.size
    beyond = mpc.below_zero(mpc.np_hstack([t + 1, 1 - t]), most + 2)
    low, high = beyond[:count], beyond[count:]
    return t - (low + high) * t + (high - low)
