"""Inference by a learned model: whoever has the release trains on it, and guesses the secret of people they know.

A forest of extremely randomized trees (Geurts et al. 2006, Machine Learning 63) from the known columns to the secret,
grown so deep that it keeps what single rows tell. Released labels enter as the middle of what they cover, the facts of
a person as the middle of the label that covers them, so it works on generalized releases. A guess is drawn from what
the trees say, and its expected success counted, which varies less than that of one guess. The usual values of a secret
weigh as much as the rare ones, since successes do. What the model has learned about the population it guesses of the
control too, by which it is subtracted.
"""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from tasks.attacks import space

_TREES = 10
# Values beyond the most frequent ones are not guessed: nobody learns a value from a handful of rows.
_VALUES = 20


def guess_labels(place: space.Space, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, int (n,), and how sure the model is of each for each target, float64 (targets, n).

    place: targets and release over the known columns. labels: int (rows,), the secret in the release.
    """
    counts = np.bincount(labels)
    frequent = np.argsort(-counts, kind="stable")[:_VALUES]
    kept = np.isin(labels, frequent)
    released, targets = _features(place)
    model = ExtraTreesClassifier(_TREES, class_weight="balanced", n_jobs=1, random_state=seed)
    model.fit(released[kept], labels[kept])
    return model.classes_, model.predict_proba(targets)


def guess_numbers(place: space.Space, values: np.ndarray, seed: int) -> np.ndarray:
    """The numbers that the trees guess, float64 (trees, targets); values float64 (rows,), of which some are known."""
    known = ~np.isnan(values)
    released, targets = _features(place)
    model = ExtraTreesRegressor(_TREES, n_jobs=1, random_state=seed).fit(released[known], values[known])
    return np.stack([tree.predict(targets) for tree in model.estimators_])


def _features(place: space.Space) -> tuple[np.ndarray, np.ndarray]:
    """The released rows and the targets, float32 (rows, columns) and (targets, columns); -1e9 for missing numbers."""
    points = place.points
    middles = np.hstack([(points.row_first + points.row_last) / 2, (points.row_low + points.row_high) / 2])
    facts = np.hstack([points.target_codes.astype(float), points.target_values])
    for column in range(points.row_first.shape[1]):
        facts[:, column] = _snapped(points.row_first[:, column], points.row_last[:, column], facts[:, column])
    return _plain(middles[place.of_row]), _plain(facts)


def _snapped(first: np.ndarray, last: np.ndarray, facts: np.ndarray) -> np.ndarray:
    """Facts as the middle of the label that covers them, where one does."""
    runs = np.unique(np.stack([first, last], axis=1), axis=0)
    at = np.maximum(np.searchsorted(runs[:, 0], facts, side="right") - 1, 0)
    inside = (runs[at, 0] <= facts) & (facts <= runs[at, 1])
    return np.where(inside, runs[at].mean(axis=1), facts)


def _plain(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values, nan=-1e9).astype(np.float32)
