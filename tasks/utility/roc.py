"""The area under the ROC curve, and what it could have been with other people in the test.

By ranks: it is the share of pairs of a positive and a negative row that the scores put in the right order, ties
counting half (Mann-Whitney; Hanley & McNeil 1982, Radiology 143:29). Rows are drawn again by counting how often each
rank comes, so that the ranks are worked out once.
"""

from __future__ import annotations

import numpy as np

BOOTSTRAPS = 200


def area(labels: np.ndarray, scores: np.ndarray) -> float:
    """The area for labels bool (rows,), both of which are there, and scores float64 (rows,)."""
    ranks, places = _ranks(scores)
    return _area(labels, ranks, places, np.arange(len(labels)))


def areas(labels: np.ndarray, scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Areas of bootstrap draws, float64 (200,), drawn within each label so that both are always there.

    The same generator state gives the same draws of rows, so two models on the same rows can be compared in pairs.
    """
    ranks, places = _ranks(scores)
    yes, no = np.flatnonzero(labels), np.flatnonzero(~labels)
    draws = (np.concatenate([rng.choice(yes, len(yes)), rng.choice(no, len(no))]) for _ in range(BOOTSTRAPS))
    return np.array([_area(labels, ranks, places, rows) for rows in draws])


def _ranks(scores: np.ndarray) -> tuple[np.ndarray, int]:
    known, ranks = np.unique(scores, return_inverse=True)
    return ranks, len(known)


def _area(labels: np.ndarray, ranks: np.ndarray, places: int, rows: np.ndarray) -> float:
    positive = np.bincount(ranks[rows[labels[rows]]], minlength=places)
    negative = np.bincount(ranks[rows[~labels[rows]]], minlength=places)
    below = np.cumsum(negative) - negative / 2
    return float(positive @ below / (positive.sum() * negative.sum()))
