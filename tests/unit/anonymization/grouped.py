"""Rows in memory as tuples, for tests that begin with codes; what tasks.anonymization.counting does for tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.anonymization.classes import Tuples, pack_below, rank
from tasks.anonymization.histograms import Histogram, merged_histogram


def group(
    leaf_codes: np.ndarray, sizes: Sequence[int], people: np.ndarray, secrets: dict[str, np.ndarray]
) -> tuple[Tuples, np.ndarray]:
    """Group rows into tuples, in the order of their codes; also returns the tuple of each row, int32 (rows,).

    leaf_codes: int32 (rows, q) with sizes[j] different codes in column j.
    people: float64 (rows,), what each row counts as a person.
    secrets: int arrays (rows,) of codes by sensitive column.
    """
    keys, span = pack_below(list(leaf_codes.T), sizes)
    of_row, first = rank(keys, span)
    order = np.lexsort(leaf_codes[first].T[::-1])
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order))
    of_row, first = place[of_row], first[order]
    count = len(first)
    each_row = np.arange(len(of_row) + 1)
    tuples = Tuples(
        leaf_codes[first],
        np.bincount(of_row, minlength=count),
        np.bincount(of_row, weights=people, minlength=count),
        {
            name: merged_histogram(Histogram(each_row, codes.astype(np.int32), people), of_row, count)
            for name, codes in secrets.items()
        },
    )
    return tuples, of_row
