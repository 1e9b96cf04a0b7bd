"""Equivalence classes over distinct weighted tuples.

Everything that the lattice search asks (how many people share these labels, how many secrets do they have) has the
same answer for rows that agree in all quasi-identifiers. Rows are therefore grouped once, into distinct tuples with
weights, and the search never touches a row again. Grouping is associative: counts of parts of a table add up.

A person may have several rows. `people` counts their weights, which add up to 1 for each person (see
tasks.anonymization.longitudinal), so that the sum over a class never exceeds the number of different people in it: a
class that reaches k this way holds at least k people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tasks.anonymization.histograms import Histogram, MergedSecrets
from tasks.common.compiling import compiled

MOST_KEYS = 2**62
# `people` is a sum of fractions; a class of exactly k people may come out at k - 1e-15.
ROUNDING = 1e-9
# A table of this many places is cheaper to clear than the same keys are to hash.
_DENSE_SPAN = 2**16
# Slots that a hash table starts with are twice the keys, but at most this many bits; beyond it grows.
_FIRST_BITS = 20
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hashing: 2^64 divided by the golden ratio


@dataclass(frozen=True)
class Tuples:
    """n distinct combinations of the q quasi-identifiers: of leaves, or of labels once they were merged.

    leaves: int32 (m, q), leaf codes by column; place: int32 (n,), the row of each tuple there, if it is not its own. Of
    merged tuples it is that of one of them, which has the same labels.
    rows:   int64 (n,), rows with the combination.
    people: float64 (n,), at most the number of people with it.
    secrets: by sensitive column the histogram of its values in each tuple.
    population: float64 (n,), people of the population with it, where a population table was given; the table is a part
    of the population, so tuples may have no rows but people in the population.
    """

    leaves: np.ndarray
    rows: np.ndarray
    people: np.ndarray
    secrets: Mapping[str, Histogram]
    population: np.ndarray | None = None
    place: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def codes(self) -> np.ndarray:
        """Leaf codes of each tuple, int32 (n, q); gathered where tuples were merged, since most are never asked for."""
        return self.leaves if self.place is None else self.leaves.take(self.place, axis=0)

    def with_codes(self, codes: np.ndarray) -> Tuples:
        """The same with other leaf codes, int32 (n, q)."""
        return replace(self, leaves=codes, place=None)

    def distinct_secrets(self, column: str) -> np.ndarray:
        """How many different values of a sensitive column each tuple has, int64 (n,)."""
        return self.secrets[column].distinct


def fewest_rows(classes: Tuples, violated: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Rows to suppress at least in each violating class, float64 (n,), where it takes `people` at least, and never
    none.

    A row counts as one person at most, so it takes as many rows as people. violated: bool (n,), people: float64 (n,).
    """
    return np.where(violated & (classes.rows > 0), np.maximum(np.ceil(people - 1e-6), 1.0), 0.0)


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
    place = first if tuples.place is None else tuples.place.take(first)
    return Tuples(tuples.leaves, rows, people, secrets, population, place), of_tuple, first


@compiled
def _added_up(of_tuple: np.ndarray, classes: int, amounts: np.ndarray) -> np.ndarray:
    total = np.zeros(classes, dtype=amounts.dtype)
    for i in range(len(of_tuple)):
        total[of_tuple[i]] += amounts[i]
    return total
