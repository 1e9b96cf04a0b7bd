"""What a generalization costs: measures of information loss, each in [0, 1], and 1 where nothing but `*` is left.

Two kinds. The loss of cells adds up over columns, weighted, and depends on a cell's leaf and level alone; a suppressed
row counts as one of nothing but `*`. The loss of classes depends on how large they are, whatever was done to get there.
Both grow upwards in the lattice as long as nothing is suppressed, so a node's loss without suppression bounds its loss
and that of all nodes above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from tasks.anonymization.hierarchies import Hierarchy


class Loss(StrEnum):
    """Measures of information loss."""

    NCP = "ncp"  # Normalized Certainty Penalty: Xu et al. 2006, KDD, def. 2; the Loss of Iyengar 2002
    GEOMETRIC = "geometric"  # geometric mean over columns of 1 + NCP, less 1: ARX's Loss with its default aggregate
    ENTROPY = "entropy"  # non-uniform entropy: Gionis and Tassa 2009, TKDE 21(2), def. 4.2, as a share of all bits
    DISCERNIBILITY = "discernibility"  # Bayardo and Agrawal 2005, ICDE, eq. 1, as a share of rows squared
    CLASS_SIZE = "class-size"  # average class size: LeFevre et al. 2006, ICDE, section 2.2, as a share of the rows

    @property
    def of_cells(self) -> bool:
        """Whether it adds up over cells, and so over columns."""
        return self in {Loss.NCP, Loss.GEOMETRIC, Loss.ENTROPY}


def cell_losses(measure: Loss, hierarchy: Hierarchy, rows: np.ndarray) -> np.ndarray:
    """Loss of a cell by level and leaf, float64 (levels, leaves); rows: int (leaves,), how often each leaf occurs.

    Where only `*` is left, the mean over the rows is 1; of single cells entropy may take more.
    """
    if measure is not Loss.ENTROPY:
        return hierarchy.loss
    bits = np.stack([_bits_lost(codes, rows) for codes in hierarchy.codes])
    most = float(bits[-1] @ rows) / max(float(rows.sum()), 1.0)
    return bits / most if most > 0 else bits


def _bits_lost(codes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """-log2 of the leaf's share in its label, float64 (leaves,); 0 for leaves that do not occur."""
    within = np.bincount(codes, weights=rows)[codes]
    return np.log2(np.divide(within, rows, out=np.ones(len(rows)), where=rows > 0))


def terms(measure: Loss, shares: np.ndarray | float, columns: np.ndarray) -> np.ndarray:
    """What columns add to the loss of a node, whose mean cells lose `columns`; shares: their weights, summing to 1.

    Logarithms where the measure is a geometric mean, so that what a search compares adds up over columns.
    """
    return shares * (np.log1p(columns) if measure is Loss.GEOMETRIC else columns)


def reported(measure: Loss, loss: float) -> float:
    """A sum of terms as a loss in [0, 1]."""
    return float(np.expm1(loss)) if measure is Loss.GEOMETRIC else loss


def class_loss(measure: Loss, sizes: np.ndarray, suppressed: np.ndarray) -> float:
    """Loss of classes of `sizes` rows (int64 (c,)), those with `suppressed` (bool (c,)) left out.

    Classes without rows are none of the table's.
    """
    rows = float(sizes.sum())
    kept = sizes[~suppressed & (sizes > 0)].astype(float)
    lost = rows - kept.sum()
    if measure is Loss.DISCERNIBILITY:
        return float((kept @ kept + lost * rows) / rows**2)
    return 1.0 / max(len(kept) + (lost > 0), 1)


def normalized(weights: Sequence[float]) -> np.ndarray:
    """Weights of columns as shares of 1, float64 (q,)."""
    return np.asarray(weights, dtype=float) / np.sum(weights)
