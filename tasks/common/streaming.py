"""Rows in batches, typed as the policy says, so that a table never has to fit in memory.

A column may be asked for encoded: its values then come as codes of a small dictionary, which for Parquet and CSV alike
is how they are stored or read anyway, and only the dictionary is converted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.common import reading
from tasks.common.policy import Column, Policy
from tasks.common.table import Table

BATCH_ROWS = 1 << 18


class Rows(Protocol):
    """Typed rows that can be gone through more than once, in the same order and in the same batches."""

    def parts(self, most: int) -> list[Rows]:
        """The same rows in at most that many consecutive parts that can be read at the same time."""
        ...

    def batches(self, columns: Sequence[str], encoded: Collection[str] = ()) -> Iterator[list[pa.Array]]:
        """The columns of one batch after the other, those in `encoded` as dictionary<int32, kind> arrays."""
        ...


@dataclass(frozen=True)
class InMemory:
    """Rows of a typed table (see tasks.common.reading)."""

    table: pa.Table

    def parts(self, most: int) -> list[Rows]:
        """See Rows."""
        ends = np.linspace(0, self.table.num_rows, most + 1).astype(int)
        return [InMemory(self.table.slice(start, end - start)) for start, end in pairwise(ends)]

    def batches(self, columns: Sequence[str], encoded: Collection[str] = ()) -> Iterator[list[pa.Array]]:
        """See Rows."""
        for start in range(0, self.table.num_rows, BATCH_ROWS):
            part = self.table.slice(start, BATCH_ROWS)
            arrays = {name: _flat(part[name]) for name in columns}
            yield [_encode(array) if name in encoded else array for name, array in arrays.items()]


@dataclass(frozen=True)
class InFile:
    """Rows of a handle's file, without those that the policy excludes; conversion errors name rows of the file.

    groups: only those of these row groups.
    """

    table: Table
    policy: Policy
    groups: range | None = None

    def parts(self, most: int) -> list[Rows]:
        """See Rows."""
        each = self.table.rows_by_group()
        groups = range(len(each)) if self.groups is None else self.groups
        rows = np.concatenate([[0], np.cumsum(each[groups.start : groups.stop])])
        cuts = np.searchsorted(rows, np.linspace(0, rows[-1], most + 1)[1:-1])
        ends = np.unique(np.concatenate([[0], cuts, [len(groups)]]))
        parts = [replace(self, groups=groups[start:end]) for start, end in pairwise(ends) if rows[end] > rows[start]]
        return list[Rows](parts) if len(parts) > 1 else [self]

    def batches(self, columns: Sequence[str], encoded: Collection[str] = ()) -> Iterator[list[pa.Array]]:
        """See Rows.

        Raises:
            PolicyError: the table lacks a column.
            TableError: values are not of their column's kind.
        """
        wanted = list(dict.fromkeys([*columns, *self.policy.exclude]))
        reading.require_columns(self.table, wanted)
        for first_row, batch in self.table.batches(wanted, BATCH_ROWS, encoded, self.groups):
            raw = dict(zip(batch.schema.names, batch.columns, strict=True))
            # Converted before any row is left out, so that errors name rows by their numbers in the file.
            typed = [
                _encoded_as_kind(raw[name], name, self.policy.columns[name], first_row)
                if name in encoded
                else _flat(reading.as_kind(_chunked(raw[name]), name, self.policy.columns[name], first_row))
                for name in columns
            ]
            if self.policy.exclude:
                kept = _flat(reading.included(raw, self.policy, first_row))
                typed = [array.filter(kept) for array in typed]
            yield typed


@dataclass(frozen=True)
class Chosen:
    """Some of other rows. kept: bool (rows,), which of them."""

    rows: Rows
    kept: np.ndarray

    def parts(self, most: int) -> list[Rows]:  # noqa: ARG002 - which rows are kept is known by number, from the first on
        """See Rows."""
        return [self]

    def batches(self, columns: Sequence[str], encoded: Collection[str] = ()) -> Iterator[list[pa.Array]]:
        """See Rows."""
        start = 0
        for batch in self.rows.batches(columns, encoded):
            stays = pa.array(self.kept[start : start + len(batch[0])])
            start += len(stays)
            yield [array.filter(stays) for array in batch]


def person_codes(rows: Rows, person: str | None) -> np.ndarray | None:
    """A number for the person behind each row, int64 (rows,), or None where each row is a person of its own.

    A row without a person's identifier is a person of its own.
    """
    if person is None:
        return None
    values = pa.chunked_array([array for (array,) in rows.batches([person])])
    codes = values.combine_chunks().dictionary_encode().indices
    alone = pa.array(np.arange(len(values)) + len(values))
    return pc.if_else(pc.is_valid(codes), codes.cast(pa.int64()), alone).to_numpy(zero_copy_only=False)


def _flat(values: pa.ChunkedArray) -> pa.Array:
    return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()


def _chunked(values: pa.Array) -> pa.ChunkedArray:
    return pa.chunked_array([values])


def _encode(values: pa.Array) -> pa.DictionaryArray:
    return values if pa.types.is_dictionary(values.type) else values.dictionary_encode()


def _encoded_as_kind(values: pa.Array, name: str, column: Column, first_row: int) -> pa.DictionaryArray:
    """Convert the dictionary, which is small; where that fails, the values, for an error that names rows."""
    encoded = _encode(values)
    typed = reading.converted(encoded.dictionary, column)
    if typed is None:
        return _encode(_flat(reading.as_kind(_chunked(values), name, column, first_row)))
    return pa.DictionaryArray.from_arrays(encoded.indices, typed)
