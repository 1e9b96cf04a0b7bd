"""A privacy budget, and the ledger of what was spent of it.

Neighbouring tables differ by one row, added or removed. Parts are accounted as zero-concentrated differential privacy
(Bun & Steinke 2016, arXiv 1605.02065): a part costs rho, and parts add up. Training by noisy gradients of sampled rows
is accounted by its Rényi divergences (Mironov et al. 2019, arXiv 1908.10530), to which rho adds as rho * alpha. The sum
becomes (epsilon, delta) by the conversion of Canonne, Kamath & Steinke 2020 (arXiv 2004.00010, proposition 12).

What one part may fail by (a label that betrays a single row, say) is its own delta, taken off the budget's
(approximate zCDP, Bun & Steinke 2016, section 8).
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Self

import numpy as np
from pydantic import Field
from scipy import optimize

from tasks.common.errors import BudgetExhausted
from tasks.common.values import Value

# Any order gives a valid bound; these are opacus' and a few beyond, for small budgets.
ORDERS = np.array([*(1 + step / 10 for step in range(1, 100)), *range(12, 64), 96, 128, 192, 256, 512])
# What is asked for stays under the budget by more than sums and solvers round.
_MARGIN = 1e-7


class Mechanism(StrEnum):
    """What was drawn to protect the rows."""

    GAUSSIAN = "discrete Gaussian"  # added to counts
    THRESHOLD = "discrete Gaussian with threshold"  # added to counts of labels; only large ones are seen
    EXPONENTIAL = "exponential"  # one of several was chosen by score
    SAMPLED_GAUSSIAN = "Gaussian on sampled rows"  # added to clipped gradients


class Budget(Value):
    """How much may be learned about one row (or person): (epsilon, delta)-differential privacy."""

    epsilon: Annotated[float, Field(gt=0)]
    delta: Annotated[float, Field(gt=0, lt=1)]


class Part(Value):
    """Something that was learned from the rows, and what it cost.

    sensitivity: by how much one row (or person) can change it: counts in their Euclidean norm, scores, or clipped
    gradients as multiples of the clipping norm. sigma: standard deviation of the noise in the same unit; none where the
    noise is a choice. rate, steps: share of the rows in each of so many batches, for gradients.
    """

    name: str
    mechanism: Mechanism
    sensitivity: float
    sigma: float | None = None
    rho: Annotated[float, Field(ge=0)] = 0.0
    delta: Annotated[float, Field(ge=0)] = 0.0
    rate: float | None = None
    steps: int | None = None

    def divergences(self) -> np.ndarray:
        """Rényi divergence that the part allows at each of ORDERS."""
        if self.rate is None or self.steps is None or self.sigma is None:
            return self.rho * ORDERS
        from opacus.accountants.analysis.rdp import compute_rdp

        return compute_rdp(
            q=self.rate, noise_multiplier=self.sigma / self.sensitivity, steps=self.steps, orders=ORDERS.tolist()
        )


class Ledger(Value):
    """What was spent of a budget, part by part. `epsilon` is the total at the budget's delta."""

    budget: Budget
    parts: tuple[Part, ...] = ()
    rows_per_person: Annotated[int, Field(ge=1)] = Field(1, description="Rows that are protected together.")
    epsilon: float = 0.0

    def spend(self, part: Part) -> Self:
        """The ledger with one more part.

        Raises:
            BudgetExhausted: the budget does not have that much left.
        """
        parts = (*self.parts, part)
        epsilon = spent(parts, self.budget.delta)
        if not epsilon <= self.budget.epsilon:
            raise BudgetExhausted(
                f"the privacy budget of epsilon {self.budget.epsilon:g} and delta {self.budget.delta:g} does not have "
                f"enough left for {part.name}: it would come to epsilon {epsilon:.3g}. Nothing was learned from the "
                "rows for it; raise `synthesis.privacy.epsilon`, or keep what was made before"
            )
        return self.model_copy(update={"parts": parts, "epsilon": epsilon})

    def rho_left(self, delta: float = 0.0) -> float:
        """Largest rho that can still be spent if `delta` is taken off as well, 0 for none."""
        rest = self.budget.delta - delta - sum(part.delta for part in self.parts)
        if rest <= 0:
            return 0.0
        if all(part.rate is None for part in self.parts):
            left = rho_within(self.budget.epsilon, rest) - sum(part.rho for part in self.parts)
        else:
            left = float(np.nanmax((self.budget.epsilon - _failing(rest) - _together(self.parts)) / ORDERS))
        return max(left - _MARGIN * rho_within(self.budget.epsilon, rest), 0.0)


def spent(parts: tuple[Part, ...], delta: float) -> float:
    """Smallest known epsilon of all parts together, at `delta`; infinite where their own deltas exceed it."""
    rest = delta - sum(part.delta for part in parts)
    if rest <= 0:
        return math.inf
    if all(part.rate is None for part in parts):
        return epsilon_of(sum(part.rho for part in parts), rest)
    return float(max(np.nanmin(_together(parts) + _failing(rest)), 0.0))


def _together(parts: tuple[Part, ...]) -> np.ndarray:
    """Rényi divergence of all parts at each of ORDERS."""
    return np.sum([part.divergences() for part in parts], axis=0)


def _failing(delta: float) -> np.ndarray:
    """What is added to a divergence at each of ORDERS for the epsilon at `delta`."""
    return np.log1p(-1 / ORDERS) - (math.log(delta) + np.log(ORDERS)) / (ORDERS - 1)


def log_delta_of(rho: float, epsilon: float) -> float:
    """Logarithm of the delta that rho-zCDP implies at `epsilon`, at most 0.

    Source: Canonne et al. 2020, proposition 12, at its best order, where the derivative by the order is 0.
    """
    if rho == 0:
        return -math.inf

    def slope(order: float) -> float:
        return (2 * order - 1) * rho - epsilon + math.log1p(-1 / order)

    least = 1 + 1e-6  # any order gives a bound; the best lies below only where there is hardly any privacy left
    order = least if slope(least) >= 0 else optimize.brentq(slope, least, (epsilon + 1) / (2 * rho) + 2)
    exponent = (order - 1) * (order * rho - epsilon) + order * math.log1p(-1 / order) - math.log(order - 1)
    return float(min(exponent, 0.0))


def epsilon_of(rho: float, delta: float) -> float:
    """Smallest epsilon for which rho-zCDP implies (epsilon, delta)."""
    aim = math.log(delta)
    if log_delta_of(rho, 0.0) <= aim:
        return 0.0
    most = rho + 2 * math.sqrt(rho * -aim)  # Bun & Steinke 2016, proposition 1.3
    return float(optimize.brentq(lambda epsilon: log_delta_of(rho, epsilon) - aim, 0.0, most * 1.01, xtol=1e-12))


def rho_within(epsilon: float, delta: float) -> float:
    """Largest rho for which rho-zCDP implies (epsilon, delta)."""
    aim = math.log(delta)
    return float(optimize.brentq(lambda rho: log_delta_of(rho, epsilon) - aim, 1e-15, epsilon + 1, xtol=1e-15))
