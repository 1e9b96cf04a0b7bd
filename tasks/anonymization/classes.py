"""Equivalence classes over distinct weighted tuples.

Everything that the lattice search asks (how many people share these labels, how many secrets do they have) has the
same answer for rows that agree in all quasi-identifiers. Rows are therefore grouped once, into distinct tuples with
weights, and the search never touches a row again. Grouping is associative: counts of parts of a table add up.

A person may have several rows. `people` counts each row of a person with n rows as 1/n, so that the sum over a class
never exceeds the number of different people in it: a class that reaches k this way holds at least k people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_MOST_KEYS = 2**62


@dataclass(frozen=True)
class Histogram:
    """How often each value of a sensitive column occurs in each of n tuples.

    Tuple i has counts[j] people (float64 (m,)) with the value codes[j] (int32 (m,), rising) for j in
    starts[i]:starts[i + 1]; starts is int64 (n + 1,). Values that do not occur have no entry.
    """

    starts: np.ndarray
    codes: np.ndarray
    counts: np.ndarray

    @property
    def of_entry(self) -> np.ndarray:
        """The tuple of each entry, int64 (m,)."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def total(self, values: int) -> np.ndarray:
        """People by value in all tuples together, float64 (values,)."""
        return np.bincount(self.codes, weights=self.counts, minlength=values)


@dataclass(frozen=True)
class Tuples:
    """n distinct combinations of the q quasi-identifiers: of leaves, or of labels once they were merged.

    codes:  int32 (n, q), leaf codes by column; of merged tuples those of one of them, which has the same labels.
    rows:   int64 (n,), rows with the combination.
    people: float64 (n,), at most the number of people with it.
    secrets: by sensitive column the histogram of its values in each tuple.
    """

    codes: np.ndarray
    rows: np.ndarray
    people: np.ndarray
    secrets: dict[str, Histogram]

    def distinct_secrets(self, column: str) -> np.ndarray:
        """How many different values of a sensitive column each tuple has, int64 (n,)."""
        return np.diff(self.secrets[column].starts)


def pack(columns: Sequence[np.ndarray], sizes: Sequence[int]) -> np.ndarray:
    """One int64 key for each row, equal where all columns are.

    columns: int arrays (n,) with values in [0, size). Where the product of sizes leaves int64, the key so far is
    replaced by its rank among the keys that occur.
    """
    key = np.zeros(len(columns[0]), dtype=np.int64)
    span = 1
    for column, size in zip(columns, sizes, strict=True):
        if span * max(size, 1) > _MOST_KEYS:
            distinct, key = np.unique(key, return_inverse=True)
            span = len(distinct)
        key = key * size + column
        span *= max(size, 1)
    return key


def group(
    leaf_codes: np.ndarray, sizes: Sequence[int], people: np.ndarray, secrets: dict[str, np.ndarray]
) -> tuple[Tuples, np.ndarray]:
    """Group rows into tuples; also returns the tuple of each row, int64 (rows,).

    leaf_codes: int32 (rows, q) with sizes[j] different codes in column j.
    people: float64 (rows,), what each row counts as a person.
    secrets: int arrays (rows,) of codes by sensitive column.
    """
    keys = pack(list(leaf_codes.T), sizes)
    _, first, of_row, rows = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    histograms = {name: _histogram(of_row, codes, people, len(rows)) for name, codes in secrets.items()}
    weights = np.bincount(of_row, weights=people, minlength=len(rows))
    return Tuples(leaf_codes[first], rows, weights, histograms), of_row


def merge(tuples: Tuples, labels: Sequence[np.ndarray], sizes: Sequence[int]) -> tuple[Tuples, np.ndarray]:
    """Merge tuples whose labels agree; also returns which merged one each tuple went into, int64 (n,).

    labels: int arrays (n,) with sizes[j] different labels in column j.
    """
    _, first, of_tuple = np.unique(pack(labels, sizes), return_index=True, return_inverse=True)
    count = len(first)
    merged = Tuples(
        tuples.codes[first],
        np.bincount(of_tuple, weights=tuples.rows, minlength=count).astype(np.int64),
        np.bincount(of_tuple, weights=tuples.people, minlength=count),
        {
            name: _histogram(of_tuple[histogram.of_entry], histogram.codes, histogram.counts, count)
            for name, histogram in tuples.secrets.items()
        },
    )
    return merged, of_tuple


def _histogram(of_entry: np.ndarray, codes: np.ndarray, counts: np.ndarray, tuples: int) -> Histogram:
    """Add up entries of the same tuple and value."""
    span = int(codes.max(initial=0)) + 1
    pairs, place = np.unique(of_entry * span + codes, return_inverse=True)
    return Histogram(
        starts=np.searchsorted(pairs, np.arange(tuples + 1) * span).astype(np.int64),
        codes=(pairs % span).astype(np.int32),
        counts=np.bincount(place, weights=counts, minlength=len(pairs)),
    )


def person_weights(persons: np.ndarray | None, rows: int) -> np.ndarray:
    """What each row counts as a person: 1/n for a person with n rows, 1 where rows are people; float64 (rows,)."""
    if persons is None:
        return np.ones(rows)
    _, place, counts = np.unique(persons, return_inverse=True, return_counts=True)
    return 1.0 / counts[place]
