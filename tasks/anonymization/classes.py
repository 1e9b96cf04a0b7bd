"""Equivalence classes over distinct weighted tuples.

Everything that the lattice search asks (how many people share these labels, how many secrets do they have) has the
same answer for rows that agree in all quasi-identifiers. Rows are therefore grouped once, into distinct tuples with
weights, and the search never touches a row again. Grouping is associative: counts of parts of a table add up.

A person may have several rows. `people` counts their weights, which add up to 1 for each person (see
tasks.anonymization.longitudinal), so that the sum over a class never exceeds the number of different people in it: a
class that reaches k this way holds at least k people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

MOST_KEYS = 2**62
# `people` is a sum of fractions; a class of exactly k people may come out at k - 1e-15.
ROUNDING = 1e-9
# A table of this many places is cheaper to clear than the same keys are to hash.
_DENSE_SPAN = 2**16
# Slots that a hash table starts with are twice the keys, but at most this many bits; beyond it grows.
_FIRST_BITS = 20
# Histograms are merged in a full table of classes and values where it has at most so many places for each entry.
_FULL_TABLE = 4
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hashing: 2^64 divided by the golden ratio


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop over arrays; the machine code is kept beside the module."""
    return numba.njit(cache=True, nogil=True)(function)


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
    population: float64 (n,), people of the population with it, where a population table was given; the table is a part
    of the population, so tuples may have no rows but people in the population.
    """

    codes: np.ndarray
    rows: np.ndarray
    people: np.ndarray
    secrets: Mapping[str, Histogram]
    population: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def distinct_secrets(self, column: str) -> np.ndarray:
        """How many different values of a sensitive column each tuple has, int64 (n,)."""
        return np.diff(self.secrets[column].starts)


def fewest_rows(classes: Tuples, violated: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Rows to suppress at least in each violating class, float64 (n,), where it takes `people` at least, and never
    none.

    A row counts as one person at most, so it takes as many rows as people. violated: bool (n,), people: float64 (n,).
    """
    return np.where(violated & (classes.rows > 0), np.maximum(np.ceil(people - 1e-6), 1.0), 0.0)


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
        self._merged[column] = merged_histogram(below[column], of_tuple, self._count)

    def __iter__(self) -> Iterator[str]:
        return iter(self._below)

    def __len__(self) -> int:
        return len(self._below)


def pack(columns: Sequence[np.ndarray], sizes: Sequence[int]) -> np.ndarray:
    """One key for each row, equal where all columns are, int64 (n,).

    columns: int arrays (n,) with values in [0, size).
    """
    return pack_below(columns, sizes)[0]


def pack_below(columns: Sequence[np.ndarray], sizes: Sequence[int]) -> tuple[np.ndarray, int]:
    """The same, and a number that all keys are below.

    Where the product of sizes leaves int64, the key so far is replaced by its rank among the keys that occur.
    """
    key = np.zeros(len(columns[0]), dtype=np.int64)
    span = 1
    for column, size in zip(columns, sizes, strict=True):
        if span * max(size, 1) > MOST_KEYS:
            key, first = rank(key, span)
            span = len(first)
        key = key * max(size, 1) + column
        span *= max(size, 1)
    return key, span


def rank(keys: np.ndarray, span: int) -> tuple[np.ndarray, np.ndarray]:
    """Number distinct keys by first appearance: each key's number, int32 (n,), and where each first stood, int32 (d,).

    keys: int64 (n,) in [0, span).
    """
    if span <= max(_DENSE_SPAN, 2 * len(keys)):
        return _rank_in_table(keys, span)
    return _rank_by_hash(keys)


@compiled
def _rank_in_table(keys: np.ndarray, span: int) -> tuple[np.ndarray, np.ndarray]:
    place = np.full(span, -1, dtype=np.int32)
    number, first = np.empty(len(keys), dtype=np.int32), np.empty(min(len(keys), span), dtype=np.int32)
    count = 0
    for i in range(len(keys)):
        if place[keys[i]] < 0:
            place[keys[i]] = count
            first[count] = i
            count += 1
        number[i] = place[keys[i]]
    return number, first[:count].copy()


@compiled
def _rank_by_hash(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    bits = 4
    while bits < _FIRST_BITS and (1 << bits) < 2 * len(keys):
        bits += 1
    place = np.full(1 << bits, -1, dtype=np.int32)
    number, first = np.empty(len(keys), dtype=np.int32), np.empty(len(keys), dtype=np.int32)
    known = np.empty(len(keys), dtype=np.int64)
    count = 0
    for i in range(len(keys)):
        if 3 * count >= 2 * len(place):
            bits += 2
            place = np.full(1 << bits, -1, dtype=np.int32)
            for k in range(count):
                place[_slot(known, place, bits, known[k])] = k
        slot = _slot(known, place, bits, keys[i])
        if place[slot] < 0:
            place[slot], known[count], first[count] = count, keys[i], i
            count += 1
        number[i] = place[slot]
    return number, first[:count].copy()


@compiled
def _slot(known: np.ndarray, place: np.ndarray, bits: int, key: int) -> Any:
    """Where a key stands in the hash table, or the free place where it belongs."""
    slot = np.int64((np.uint64(key) * _GOLDEN) >> np.uint64(64 - bits))
    while place[slot] >= 0 and known[place[slot]] != key:
        slot = (slot + 1) & (len(place) - 1)
    return slot


def merge(tuples: Tuples, keys: np.ndarray, span: int) -> tuple[Tuples, np.ndarray, np.ndarray]:
    """Merge tuples of equal key, int64 (n,) in [0, span).

    Also returns what each tuple went into, int32 (n,), and the first tuple of each class, int32 (classes,).
    """
    of_tuple, first = rank(keys, span)
    count = len(first)
    rows, people = _added_up(of_tuple, count, tuples.rows), _added_up(of_tuple, count, tuples.people)
    population = None if tuples.population is None else _added_up(of_tuple, count, tuples.population)
    secrets = MergedSecrets(tuples.secrets, of_tuple, count) if tuples.secrets else {}
    return Tuples(tuples.codes.take(first, axis=0), rows, people, secrets, population), of_tuple, first


@compiled
def _added_up(of_tuple: np.ndarray, classes: int, amounts: np.ndarray) -> np.ndarray:
    total = np.zeros(classes, dtype=amounts.dtype)
    for i in range(len(of_tuple)):
        total[of_tuple[i]] += amounts[i]
    return total


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
    table, entries = np.zeros((classes, values), dtype=np.float64), 0
    for i in range(len(of_tuple)):
        for entry in range(starts[i], starts[i + 1]):
            if table[of_tuple[i], codes[entry]] == 0.0:
                entries += 1
            table[of_tuple[i], codes[entry]] += counts[entry]
    new_starts = np.zeros(classes + 1, dtype=np.int64)
    new_codes, new_counts = np.empty(entries, dtype=np.int32), np.empty(entries, dtype=np.float64)
    end = 0
    for number in range(classes):
        for value in range(values):
            if table[number, value] > 0.0:
                new_codes[end], new_counts[end] = value, table[number, value]
                end += 1
        new_starts[number + 1] = end
    return new_starts, new_codes, new_counts


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
