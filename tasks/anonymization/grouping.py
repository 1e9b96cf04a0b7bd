"""Numbering distinct combinations of codes while rows stream past.

Each combination is packed into one key of as many 64-bit words as its columns need, nearly always one, and found again
by hashing. Nothing is kept of a row but the number of its combination, so memory grows with distinct combinations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.common.compiling import compiled

_WORD = 64
_FIRST_SLOTS = 12
# Knuth's multiplicative hashing (2^64 divided by the golden ratio), and the finalizer of MurmurHash3.
_GOLDEN, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xFF51AFD7ED558CCD)


class Dictionary:
    """The distinct values of a column that were met so far, in that order; a missing value is one of them."""

    def __init__(self) -> None:
        self.values: pa.Array | None = None
        self._known: pa.Array | None = None
        self._codes = np.zeros(0, dtype=np.int32)

    def __len__(self) -> int:
        return 0 if self.values is None else len(self.values)

    def codes(self, encoded: pa.DictionaryArray) -> np.ndarray:
        """The code of each row of a batch, int32 (rows,); values not met before get the next codes."""
        indices, values = encoded.indices, encoded.dictionary
        if indices.null_count:
            indices, values = pc.fill_null(indices, len(values)), pa.concat_arrays([values, pa.nulls(1, values.type)])
        if self._known is None or not values.equals(self._known):
            self._known, self._codes = values, self._learn(values)
        return self._codes[indices.to_numpy()]

    def _learn(self, values: pa.Array) -> np.ndarray:
        if self.values is None:
            self.values = values.slice(0, 0)
        new = values.filter(pc.invert(pc.is_in(values, value_set=self.values))).unique()
        self.values = pa.concat_arrays([self.values, new])
        return pc.index_in(values, value_set=self.values).to_numpy().astype(np.int32)

    def sorted(self) -> tuple[pa.Array, np.ndarray]:
        """The values in rising order, a missing one last, and the place of each code there, int32 (size,)."""
        assert self.values is not None, "only columns with rows are sorted"
        order = pc.sort_indices(self.values)
        place = np.empty(len(order), dtype=np.int32)
        place[order.to_numpy()] = np.arange(len(order), dtype=np.int32)
        return self.values.take(order), place


class Grouping:
    """Distinct combinations of q columns of codes, numbered by first appearance, and how much of each there was."""

    def __init__(self, columns: int) -> None:
        self._bits = [1] * columns
        self._place = np.full(1 << _FIRST_SLOTS, -1, dtype=np.int32)
        self._keys = np.zeros((0, 1), dtype=np.uint64)
        self._weights = np.zeros(0, dtype=np.int64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def weights(self) -> np.ndarray:
        """How much was added of each combination, int64 (n,)."""
        return self._weights[: self._count].copy()

    def add(self, columns: Sequence[np.ndarray], sizes: Sequence[int], weights: np.ndarray | None = None) -> np.ndarray:
        """Number more rows, int32 (rows,).

        columns: int32 arrays (rows,), codes in [0, size). weights: int64 (rows,), how much each row is; 1 if not given.
        """
        self._widen(sizes)
        rows = len(columns[0])
        self._make_room(rows)
        keys = _pack(columns, *_layout(self._bits))
        number = np.empty(rows, dtype=np.int32)
        amounts = np.ones(1, dtype=np.int64) if weights is None else weights
        self._count = _number(keys, amounts, self._place, self._keys, self._weights, self._count, number)
        return number

    def codes(self) -> np.ndarray:
        """The combinations, int32 (n, q)."""
        words, shifts = _layout(self._bits)
        codes = np.empty((self._count, len(self._bits)), dtype=np.int32)
        for j, bits in enumerate(self._bits):
            mask = np.uint64((1 << bits) - 1)
            codes[:, j] = (self._keys[: self._count, words[j]] >> np.uint64(shifts[j])) & mask
        return codes

    def _widen(self, sizes: Sequence[int]) -> None:
        """Give columns whose codes outgrew their bits some more, and pack what is known anew."""
        needed = [max(int(size - 1).bit_length(), 1) for size in sizes]
        if all(bits >= need for bits, need in zip(self._bits, needed, strict=True)):
            return
        codes = self.codes()
        self._bits = [bits if bits >= need else need + 1 for bits, need in zip(self._bits, needed, strict=True)]
        words, shifts = _layout(self._bits)
        self._keys = _pack(list(np.ascontiguousarray(codes.T)), words, shifts)
        self._weights = self._weights[: self._count].copy()
        self._hash_again()

    def _make_room(self, rows: int) -> None:
        wanted = self._count + rows
        if wanted > len(self._keys):
            room = max(wanted, 3 * len(self._keys) // 2)
            keys, weights = self._keys, self._weights
            self._keys = np.empty((room, int(_layout(self._bits)[0].max(initial=0)) + 1), dtype=np.uint64)
            self._weights = np.zeros(room, dtype=np.int64)
            self._keys[: self._count], self._weights[: self._count] = keys[: self._count], weights[: self._count]
        if 2 * wanted > len(self._place):
            self._place = np.full(1 << int(2 * wanted - 1).bit_length(), -1, dtype=np.int32)
            self._hash_again()

    def _hash_again(self) -> None:
        self._place.fill(-1)
        _insert(self._keys[: self._count], self._place)


def order_of(codes: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Rows of codes int32 (n, q) in rising order, the first column first, int64 (n,)."""
    bits = [max(int(size - 1).bit_length(), 1) for size in sizes]
    keys = _pack(list(np.ascontiguousarray(codes.T)), *_layout(bits))
    return np.lexsort(keys.T[::-1])


def _layout(bits_of_columns: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """By column the word of its bits and how far they are shifted there; earlier columns weigh more."""
    words = np.zeros(len(bits_of_columns), dtype=np.int64)
    shifts = np.zeros(len(bits_of_columns), dtype=np.int64)
    word, free = 0, _WORD
    for j, bits in enumerate(bits_of_columns):
        if bits > free:
            word, free = word + 1, _WORD
        free -= bits
        words[j], shifts[j] = word, free
    return words, shifts


def _pack(columns: Sequence[np.ndarray], words: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    keys = np.zeros((len(columns[0]), int(words.max(initial=0)) + 1), dtype=np.uint64)
    for column, word, shift in zip(columns, words, shifts, strict=True):
        _put(keys, column, word, np.uint64(shift))
    return keys


@compiled
def _put(keys: np.ndarray, codes: np.ndarray, word: int, shift: int) -> None:
    for i in range(len(codes)):
        keys[i, word] |= np.uint64(codes[i]) << shift


@compiled
def _slot(keys: np.ndarray, i: int, bits: int) -> Any:
    mixed = np.uint64(0)
    for word in range(keys.shape[1]):
        mixed = (mixed ^ keys[i, word]) * _MIX
        mixed ^= mixed >> np.uint64(32)
    return np.int64((mixed * _GOLDEN) >> np.uint64(64 - bits))


@compiled
def _same(keys: np.ndarray, i: int, known: np.ndarray, n: int) -> bool:
    for word in range(keys.shape[1]):  # noqa: SIM110 - compiled
        if keys[i, word] != known[n, word]:
            return False
    return True


@compiled
def _bits_of(slots: int) -> int:
    bits = 0
    while (1 << bits) < slots:
        bits += 1
    return bits


@compiled
def _insert(keys: np.ndarray, place: np.ndarray) -> None:
    bits = _bits_of(len(place))
    for i in range(len(keys)):
        slot = _slot(keys, i, bits)
        while place[slot] >= 0:
            slot = (slot + 1) & (len(place) - 1)
        place[slot] = i


@compiled
def _number(
    keys: np.ndarray,
    amounts: np.ndarray,
    place: np.ndarray,
    known: np.ndarray,
    weights: np.ndarray,
    count: int,
    number: np.ndarray,
) -> int:
    """Number rows by their keys; new keys go into `known` from `count` on. Returns how many are known then."""
    bits, each = _bits_of(len(place)), len(amounts) > 1
    for i in range(len(keys)):
        slot = _slot(keys, i, bits)
        while place[slot] >= 0 and not _same(keys, i, known, place[slot]):
            slot = (slot + 1) & (len(place) - 1)
        if place[slot] < 0:
            place[slot] = count
            known[count] = keys[i]
            weights[count] = 0
            count += 1
        number[i] = place[slot]
        weights[place[slot]] += amounts[i] if each else amounts[0]
    return count
