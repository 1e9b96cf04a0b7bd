"""Logistic regression as statisticians mean it: without a penalty, with standard errors."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression

_TOLERANCE = 1e-6


def independent(design: np.ndarray) -> np.ndarray:
    """Which columns do not follow from an intercept and the columns before them, bool (columns,).

    design: float64 (rows, columns).
    """
    spread = design - design.mean(axis=0)
    length = np.linalg.norm(spread, axis=0)
    scaled = spread / np.where(length > 0, length, 1.0)
    # Each diagonal entry is how far a column reaches out of the space of those before it; there are as many as rows.
    reach = np.abs(np.diagonal(np.linalg.qr(scaled, mode="r")))
    kept = np.zeros(design.shape[1], dtype=bool)
    kept[: len(reach)] = reach > _TOLERANCE
    return kept


def fit(design: np.ndarray, outcome: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maximum-likelihood coefficients and their standard errors, float64 (1 + columns,) each, the intercept first.

    design: float64 (rows, columns), its columns independent; outcome: bool (rows,), both there. Standard errors are
    Wald's, from the Fisher information X' W X at the estimate, where W is p (1 - p). An outcome that a column separates
    shows as a standard error beyond reason, or as none (inf).
    """
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8, max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of separation, which the caller sees by the standard errors
        model.fit(design, outcome)
    chances = model.predict_proba(design)[:, 1]
    full = np.column_stack([np.ones(len(design)), design])
    information = full.T @ (full * (chances * (1 - chances))[:, None])
    variance = np.diagonal(np.linalg.pinv(information, hermitian=True))
    errors = np.where(variance > 0, np.sqrt(np.abs(variance)), np.inf)
    return np.concatenate([model.intercept_, model.coef_[0]]), errors


def chances(design: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Fitted probabilities, float64 (rows,)."""
    return 1 / (1 + np.exp(-np.clip(coefficients[0] + design @ coefficients[1:], -700, 700)))
