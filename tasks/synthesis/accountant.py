"""The only way to learn from rows under a privacy budget: spend first, then draw.

Whatever an engine wants to know of the rows it asks the accountant for, who enters it in the ledger before a number is
drawn, and refuses where the budget has too little left. Rows of one person are protected together: with r rows each,
counts change by r at most and noise is r times as wide (group privacy of zCDP, Bun & Steinke 2016, proposition 1.9).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.common.errors import PolicyError
from tasks.synthesis.budget import Ledger, Mechanism, Part, spent
from tasks.synthesis.noise import LARGEST_SIGMA, Noise, Source, variance_for

_GRAIN = 1024  # scores are compared in steps of 1 / 1024
_EPSILON_GRAIN = 2**20
_SMALLEST_SIGMA, _LARGEST_MULTIPLIER = 1e-3, 1e6


@dataclass(frozen=True)
class Noisy:
    """Counts with noise of standard deviation `sigma`, int64."""

    counts: np.ndarray
    sigma: float


class Accountant:
    """Learns from rows for an engine, and keeps the ledger."""

    def __init__(self, ledger: Ledger, source: Source = os.urandom) -> None:
        """source: random bytes; anything but the system's is for tests, since whoever can repeat it sees the rows."""
        self.ledger = ledger
        self.noise = Noise(source)

    @property
    def rows(self) -> int:
        """Rows that are protected together."""
        return self.ledger.rows_per_person

    def count(self, name: str, exact: np.ndarray, rho: float) -> Noisy:
        """Counts of rows by cell, int64, of which each row is in one at most, with discrete Gaussian noise.

        Raises:
            BudgetExhausted: `rho` is not left.
            PolicyError: the noise would drown any table.

        Source: Canonne et al. 2020, theorem 4: rho = sensitivity^2 / (2 variance).
        """
        variance = variance_for(self._sigma(name, rho))
        sigma = math.sqrt(variance)
        self._spend(name, Mechanism.GAUSSIAN, sigma=sigma, rho=self.rows**2 / (2 * float(variance)))
        return Noisy(exact + self.noise.gaussian(variance, exact.size).reshape(exact.shape), sigma)

    def labels(self, name: str, values: pa.ChunkedArray | pa.Array, rho: float, delta: float) -> list[str]:
        """Labels among words that enough rows have, sorted.

        A label that no other person has must not be seen: the threshold is such that noise lifts none of a person's
        labels over it, but with probability `delta`.

        Raises:
            BudgetExhausted, PolicyError: as `count` does.
        """
        variance = variance_for(self._sigma(name, rho))
        sigma = math.sqrt(variance)
        threshold = self.rows + lifted_by_noise(sigma, delta / self.rows)
        self._spend(name, Mechanism.THRESHOLD, sigma=sigma, rho=self.rows**2 / (2 * float(variance)), delta=delta)
        found = pc.value_counts(values.drop_null())
        noisy = found.field("counts").to_numpy() + self.noise.gaussian(variance, len(found))
        kept = found.field("values").filter(pa.array(noisy >= threshold))
        return sorted(kept.to_pylist())

    def choose(self, name: str, scores: np.ndarray, rho: float, *, sensitivity: float = 1.0) -> int:
        """The place of one of the scores, the higher the likelier, by the exponential mechanism.

        sensitivity: by how much one row changes a score at most. Drawn exactly, by proposing places evenly and
        accepting each with probability exp(-epsilon * (best - score) / (2 * sensitivity)).

        Raises:
            BudgetExhausted: `rho` is not left.

        Source: McSherry & Talwar 2007 (FOCS); rho = epsilon^2 / 8 by Cesar & Rogers 2021 (ALT, arXiv 2004.07223).
        """
        # Downwards, so that rho is kept; as is the sensitivity of scores that are rounded to the grain.
        steps = int(math.sqrt(8 * rho) * _EPSILON_GRAIN)
        changes = math.ceil(sensitivity * self.rows * _GRAIN) + 1
        self._spend(
            name, Mechanism.EXPONENTIAL, sensitivity=sensitivity * self.rows, rho=(steps / _EPSILON_GRAIN) ** 2 / 8
        )
        grains = np.round(scores * _GRAIN).astype(np.int64)
        behind = (grains.max() - grains).astype(object) * steps
        while True:
            proposed = self.noise.below(np.full(4 * len(scores) + 16, len(scores)))
            accepted = self.noise.decays(behind[proposed], 2 * changes * _EPSILON_GRAIN)
            if accepted.any():
                return int(proposed[accepted.argmax()])

    def gradients(self, name: str, *, rate: float, steps: int) -> float:
        """Spends all that is left on `steps` sums of clipped gradients, each of rows drawn with probability `rate`.

        Returns the standard deviation of the noise to add to each sum, as a multiple of the clipping norm. Of r rows of
        a person at least one is drawn with probability 1 - (1 - rate)^r, and then they move the sum by r at most: the
        divergence of the mixture over how many are drawn is at most that of such a mechanism, being quasi-convex.

        Raises:
            BudgetExhausted: no noise is wide enough for what is left.

        Source: Abadi et al. 2016 (CCS, arXiv 1607.00133); accounting by Mironov et al. 2019, as opacus has it.
        """
        together = 1 - (1 - rate) ** self.rows

        def part(multiplier: float) -> Part:
            return Part(
                name=name,
                mechanism=Mechanism.SAMPLED_GAUSSIAN,
                sensitivity=float(self.rows),
                sigma=multiplier * self.rows,
                rate=together,
                steps=steps,
            )

        budget, parts = self.ledger.budget, self.ledger.parts
        low, high = 0.0, 1.0
        while spent((*parts, part(high)), budget.delta) > budget.epsilon and high < _LARGEST_MULTIPLIER:
            low, high = high, 2 * high
        while high < _LARGEST_MULTIPLIER and high - low > 1e-3 * high and high > _SMALLEST_SIGMA:
            middle = (low + high) / 2
            fits = spent((*parts, part(middle)), budget.delta) <= budget.epsilon
            low, high = (low, middle) if fits else (middle, high)
        self.ledger = self.ledger.spend(part(high))
        return high * self.rows

    def _sigma(self, name: str, rho: float) -> float:
        sigma = self.rows / math.sqrt(2 * rho) if rho > 0 else math.inf
        if sigma > LARGEST_SIGMA:
            raise PolicyError(
                f"the privacy budget leaves so little for {name} that the noise would be wider than "
                f"{LARGEST_SIGMA:,.0f} rows; raise `synthesis.privacy.epsilon`, or lower `rows_per_person`"
            )
        return max(sigma, _SMALLEST_SIGMA)

    def _spend(
        self, name: str, mechanism: Mechanism, *, rho: float, sigma: float | None = None,
        sensitivity: float | None = None, delta: float = 0.0,
    ) -> None:  # fmt: skip
        size = float(self.rows) if sensitivity is None else sensitivity
        part = Part(name=name, mechanism=mechanism, sensitivity=size, sigma=sigma, rho=rho, delta=delta)
        self.ledger = self.ledger.spend(part)


def lifted_by_noise(sigma: float, delta: float) -> int:
    """Smallest whole number that discrete Gaussian noise reaches with probability `delta` at most."""
    most = math.ceil(sigma * (math.sqrt(2 * math.log(1 / delta)) + 2)) + 2
    weights = np.exp(-0.5 * (np.arange(most + 1) / sigma) ** 2)
    # Of the smallest first, so that the tail is not lost in rounding; what lies beyond `most` is far below delta.
    tail = np.cumsum(weights[::-1])[::-1] / (2 * weights.sum() - 1)
    return int(np.argmax(tail <= delta)) if (tail <= delta).any() else most
