"""Coded rows as the inputs and outputs of a network, and back.

A category takes a place for each value. A number takes a place for each of its modes and one for where in the mode it
is: mode-specific normalization (Xu et al. 2019, arXiv 1907.00503, section 4.2). Modes are those of a variational
Gaussian mixture, found on a sample of the rows and kept, since engines and seeds ask for them again.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.mixture import BayesianGaussianMixture

from tasks.synthesis.coded import Coded

_MOST_MODES = 10
_LEAST_WEIGHT = 0.005
_MODE_ROWS = 6_000
_WIDTHS = 4  # standard deviations on either side of a mode that its normalized values span
_EDGE = 0.99


@dataclass(frozen=True)
class Modes:
    """Where a numeric column gathers: float64 (m,) each."""

    weights: np.ndarray
    means: np.ndarray
    deviations: np.ndarray

    def posterior(self, values: np.ndarray) -> np.ndarray:
        """Probability of each mode for each value, float64 (n, m)."""
        away = (values[:, None] - self.means) / self.deviations
        log = np.log(self.weights / self.deviations) - away**2 / 2
        powers = np.exp(log - log.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Place:
    """A run of places that belong together: `width` of them from `start`; one number, or one of several values."""

    start: int
    width: int
    number: bool = False
    category: bool = False


class Encoding:
    """Numbers first, each with its modes, then categories."""

    def __init__(self, rows: Coded) -> None:
        """Find the modes of the numbers."""
        self.sizes = rows.sizes
        self.modes = [find_modes(rows.numbers[:, place]) for place in range(rows.numbers.shape[1])]
        widths = list(itertools.chain.from_iterable((1, len(modes.means)) for modes in self.modes))
        starts = np.cumsum([0, *widths, *rows.sizes.tolist()])
        self.width = int(starts[-1])
        self.places = [
            Place(int(start), int(width), number=n < len(widths) and n % 2 == 0, category=n >= len(widths))
            for n, (start, width) in enumerate(zip(starts[:-1], (*widths, *rows.sizes), strict=True))
        ]

    def encode(self, rows: Coded, rng: np.random.Generator) -> np.ndarray:
        """float32 (n, width). A number is put into one of its modes by chance, by their probabilities."""
        made = np.zeros((len(rows), self.width), dtype=np.float32)
        every = np.arange(len(rows))
        for place, modes in enumerate(self.modes):
            start, values = self.places[2 * place].start, rows.numbers[:, place]
            lot = rng.random((len(rows), 1))
            mode = (np.cumsum(modes.posterior(values), axis=1)[:, :-1] <= lot).sum(axis=1)
            within = (values - modes.means[mode]) / (_WIDTHS * modes.deviations[mode])
            made[:, start] = np.clip(within, -_EDGE, _EDGE)
            made[every, start + 1 + mode] = 1
        for column, category in enumerate(self.places[2 * len(self.modes) :]):
            made[every, category.start + rows.codes[:, column]] = 1
        return made

    def decode(self, made: np.ndarray) -> Coded:
        """The rows that a network's outputs (n, width) say: the likeliest value and mode of each column."""
        numbers = np.zeros((len(made), len(self.modes)))
        for place, modes in enumerate(self.modes):
            at, choice = self.places[2 * place].start, self.places[2 * place + 1]
            mode = made[:, choice.start : choice.start + choice.width].argmax(axis=1)
            within = np.clip(made[:, at].astype(float), -1, 1)
            numbers[:, place] = within * _WIDTHS * modes.deviations[mode] + modes.means[mode]
        codes = np.zeros((len(made), len(self.sizes)), dtype=np.int32)
        for column, category in enumerate(self.places[2 * len(self.modes) :]):
            codes[:, column] = made[:, category.start : category.start + category.width].argmax(axis=1)
        return Coded(codes, self.sizes, numbers)


def find_modes(values: np.ndarray) -> Modes:
    """The modes of a numeric column, at most 10, by at most 6,000 of its values: the same ones for the same column."""
    some = values if len(values) <= _MODE_ROWS else np.random.default_rng(0).choice(values, _MODE_ROWS, replace=False)
    digest = hashlib.sha256(np.ascontiguousarray(some).tobytes()).digest()
    with _LOCK:
        if digest not in _KNOWN:
            if len(_KNOWN) == _MOST_KNOWN:
                _KNOWN.pop(next(iter(_KNOWN)))
            _KNOWN[digest] = _fitted(some)
        return _KNOWN[digest]


_KNOWN: dict[bytes, Modes] = {}
_MOST_KNOWN = 1_000
_LOCK = threading.Lock()


def _fitted(values: np.ndarray) -> Modes:
    mixture = BayesianGaussianMixture(
        n_components=min(_MOST_MODES, len(values)),
        weight_concentration_prior_type="dirichlet_process",
        weight_concentration_prior=0.001,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it may stop before it converges, and does well all the same
        mixture.fit(values.reshape(-1, 1))
    kept = mixture.weights_ > _LEAST_WEIGHT
    deviations = np.sqrt(mixture.covariances_).reshape(-1)[kept]
    return Modes(mixture.weights_[kept], mixture.means_.reshape(-1)[kept], deviations)
