"""A Gaussian copula: each column by what it is distributed like, and how columns hang together by correlations.

As in the Synthetic Data Vault (Patki, Wedge, Veeramachaneni 2016, IEEE DSAA, section III): every column becomes
standard normal, a category by a random place in the interval that its frequency has; new rows are draws from the normal
distribution with the same correlations. Columns are mapped by their empirical distribution, not by a fitted family.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from tasks.common.seeds import generator
from tasks.common.synthesis_forms import Synthesis
from tasks.synthesis.coded import Coded, Given
from tasks.synthesis.networks import Progress, Watch


class Copula:
    """Empirical distributions of a columns, and the correlation of their normal scores (a, a)."""

    epochs = None

    def __init__(self, rows: Coded, rng: np.random.Generator) -> None:
        self._sizes = rows.sizes
        counts = [np.bincount(rows.codes[:, column], minlength=size) for column, size in enumerate(rows.sizes)]
        self._ends = [np.cumsum(each) / len(rows) for each in counts]
        self._sorted = [np.sort(rows.numbers[:, c]) for c in range(rows.numbers.shape[1])]
        scores = np.stack(
            [self._category_scores(rows.codes[:, c], c, rng) for c in range(len(rows.sizes))]
            + [number_scores(rows.numbers[:, c], rng) for c in range(rows.numbers.shape[1])],
            axis=1,
        )
        covariance = np.atleast_2d(np.cov(scores, rowvar=False))
        # A draw is this times independent normal ones; negative variances are rounding, and none.
        values, vectors = np.linalg.eigh(covariance)
        self._root = vectors * np.sqrt(np.maximum(values, 0))

    def draw(self, rows: int, seed: int, given: Given | None = None) -> Coded:  # noqa: ARG002
        """New rows. Takes no conditions."""
        normal = generator(seed, "copula").standard_normal((rows, len(self._root))) @ self._root.T
        uniform = ndtr(normal)
        a = len(self._sizes)
        codes = np.zeros((rows, a), dtype=np.int32)
        for column, ends in enumerate(self._ends):
            codes[:, column] = np.minimum(np.searchsorted(ends, uniform[:, column], side="right"), len(ends) - 1)
        numbers = np.zeros((rows, len(self._sorted)))
        for column, values in enumerate(self._sorted):
            numbers[:, column] = np.quantile(values, uniform[:, a + column])
        return Coded(codes, self._sizes, numbers)

    def _category_scores(self, codes: np.ndarray, column: int, rng: np.random.Generator) -> np.ndarray:
        ends = self._ends[column]
        starts = np.concatenate([[0.0], ends[:-1]])
        place = starts[codes] + rng.random(len(codes)) * (ends - starts)[codes]
        return ndtri(np.clip(place, 1e-9, 1 - 1e-9))


def number_scores(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Normal scores by rank, (rank - 1/2) / n; equal values in random order."""
    order = np.lexsort((rng.random(len(values)), values))
    rank = np.empty(len(values))
    rank[order] = np.arange(len(values))
    return ndtri((rank + 0.5) / len(values))


def fit(rows: Coded, _settings: Synthesis, seed: int, _watch: Watch | None, _progress: Progress) -> Copula:
    """Learn from coded rows."""
    return Copula(rows, generator(seed, "copula"))
