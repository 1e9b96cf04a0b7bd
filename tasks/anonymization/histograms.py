"""How often secrets occur in each equivalence class; only those that do have an entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tasks.common.compiling import compiled

# Histograms are merged in a full table of classes and values where it has at most so many places for each entry.
_FULL_TABLE = 8


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
    def distinct(self) -> np.ndarray:
        """How many different values each tuple has, int64 (n,)."""
        return np.diff(self.starts)

    @property
    def of_entry(self) -> np.ndarray:
        """The tuple of each entry, int64 (m,)."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def total(self, values: int) -> np.ndarray:
        """People by value in all tuples together, float64 (values,)."""
        return np.bincount(self.codes, weights=self.counts, minlength=values)


class MergedSecrets(Mapping[str, Histogram]):
    """Histograms of classes, merged when they are asked for: most nodes of a search are decided without them.

    Nothing is kept of the tuples below but the histograms and which class each tuple went into.
    """

    def __init__(self, below: Mapping[str, Histogram], of_tuple: np.ndarray, count: int) -> None:
        """of_tuple: int (tuples below,), the class in [0, count) that each goes into."""
        self._below, self._of_tuple, self._count = below, of_tuple, count
        self._merged: dict[str, Histogram] = {}

    def __getitem__(self, column: str) -> Histogram:
        if column not in self._merged:
            # The tuples just below are few and have other classes above them: what is merged for these is used again.
            if isinstance(self._below, MergedSecrets):
                self._below._merge(column)
            self._merge(column)
        return self._merged[column]

    def _merge(self, column: str) -> None:
        """Merge from the nearest tuples below whose histogram is there."""
        if column in self._merged:
            return
        below: Mapping[str, Histogram] = self._below
        of_tuple = self._of_tuple
        while isinstance(below, MergedSecrets) and column not in below._merged:
            of_tuple = of_tuple[below._of_tuple]
            below = below._below
        nearest = below._merged[column] if isinstance(below, MergedSecrets) else below[column]
        self._merged[column] = merged_histogram(nearest, of_tuple, self._count)

    def __iter__(self) -> Iterator[str]:
        return iter(self._below)

    def __len__(self) -> int:
        return len(self._below)


def merged_histogram(histogram: Histogram, of_tuple: np.ndarray, count: int) -> Histogram:
    """The histogram of `count` classes; of_tuple int (n,) says into which class each tuple goes."""
    values = int(histogram.codes.max(initial=-1)) + 1
    merging = _merge_in_table if count * values <= _FULL_TABLE * len(histogram.codes) else _merge_histogram
    return Histogram(*merging(histogram.starts, histogram.codes, histogram.counts, of_tuple, count, values))


@compiled
def _merge_in_table(
    starts: np.ndarray, codes: np.ndarray, counts: np.ndarray, of_tuple: np.ndarray, classes: int, values: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By way of a table of all classes and values, where it is not much larger than the histogram."""
    table = np.zeros(classes * values, dtype=np.float64)
    for i in range(len(of_tuple)):
        place = of_tuple[i] * values
        for entry in range(starts[i], starts[i + 1]):
            table[place + codes[entry]] += counts[entry]
    entries = np.count_nonzero(table)
    # A place is written for every value, and written over where the value does not occur; hence one more.
    new_codes, new_counts = np.empty(entries + 1, dtype=np.int32), np.empty(entries + 1, dtype=np.float64)
    new_starts, end = np.zeros(classes + 1, dtype=np.int64), 0
    for number in range(classes):
        for value in range(values):
            new_codes[end], new_counts[end] = value, table[number * values + value]
            end += table[number * values + value] > 0.0
        new_starts[number + 1] = end
    return new_starts, new_codes[:end], new_counts[:end]


@compiled
def _merge_histogram(
    starts: np.ndarray, codes: np.ndarray, counts: np.ndarray, of_tuple: np.ndarray, classes: int, values: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    members, first_member = _by_class(of_tuple, classes)
    new_starts = np.zeros(classes + 1, dtype=np.int64)
    new_codes, new_counts = np.empty(len(codes), dtype=np.int32), np.empty(len(codes), dtype=np.float64)
    people, seen = np.zeros(values, dtype=np.float64), np.zeros(values, dtype=np.bool_)
    end = 0
    for number in range(classes):
        begin = end
        for member in members[first_member[number] : first_member[number + 1]]:
            for entry in range(starts[member], starts[member + 1]):
                if not seen[codes[entry]]:
                    seen[codes[entry]] = True
                    new_codes[end] = codes[entry]
                    end += 1
                people[codes[entry]] += counts[entry]
        _sort(new_codes, begin, end)
        for entry in range(begin, end):
            new_counts[entry] = people[new_codes[entry]]
            people[new_codes[entry]], seen[new_codes[entry]] = 0.0, False
        new_starts[number + 1] = end
    return new_starts, new_codes[:end].copy(), new_counts[:end].copy()


@compiled
def _sort(codes: np.ndarray, begin: int, end: int) -> None:
    """Sort a stretch in place; most are short, or sorted already."""
    if end - begin > 32:
        codes[begin:end].sort()
        return
    for i in range(begin + 1, end):
        code, j = codes[i], i
        while j > begin and codes[j - 1] > code:
            codes[j] = codes[j - 1]
            j -= 1
        codes[j] = code


@compiled
def _by_class(of_tuple: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Tuples sorted by class, in a stable counting sort, and where each class begins."""
    starts = np.zeros(classes + 1, dtype=np.int64)
    for number in of_tuple:
        starts[number + 1] += 1
    for number in range(classes):
        starts[number + 1] += starts[number]
    members, free = np.empty(len(of_tuple), dtype=np.int64), starts[:-1].copy()
    for i in range(len(of_tuple)):
        members[free[of_tuple[i]]] = i
        free[of_tuple[i]] += 1
    return members, starts
