"""Writing a release: rows get their labels, columns that are not generalized come along, the order is random.

Rows stream through once more. Each goes to one of some buckets at random, and each bucket is then shuffled: together a
uniformly random order (every row might as well have drawn a number to be sorted by), in the memory of one bucket.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.anonymization.counting import Numbers
from tasks.anonymization.hierarchies import Label
from tasks.common.streaming import Rows

BUCKET_ROWS = 1 << 22


@dataclass(frozen=True)
class Labelling:
    """What the rows of each of n fragments of tuples become: a place in `labels`, by quasi-identifier.

    codes: int32 (n,) by quasi-identifier. suppressed: bool (n,), rows that are left out.
    """

    labels: Mapping[str, Sequence[Label]]
    codes: Mapping[str, np.ndarray]
    suppressed: np.ndarray

    def compact(self) -> Labelling:
        """The same without labels that no released row has: a file may keep its list of labels whole."""
        labels, codes = {}, {}
        for name, places in self.codes.items():
            used = np.zeros(len(self.labels[name]), dtype=bool)
            used[places[~self.suppressed]] = True
            labels[name] = [label for label, stays in zip(self.labels[name], used, strict=True) if stays]
            codes[name] = (np.cumsum(used) - 1).astype(np.int32)[places]
        return Labelling(labels, codes, self.suppressed)


@dataclass(frozen=True)
class Carried:
    """A column that is not generalized: how its values are changed, and the type they then have."""

    change: Callable[[pa.Array], pa.Array]
    type: pa.DataType


def released(
    rows: Rows,
    of_row: Numbers,
    labelling: Labelling,
    carried: Mapping[str, Carried],
    order: Sequence[str],
    rng: np.random.Generator,
) -> tuple[pa.Schema, Iterator[pa.Table]]:
    """The released rows, column by column in `order`, in tables of some millions of rows; and their schema.

    of_row: the fragment of each row. Words come as dictionaries where they were generalized.
    """
    compact = labelling.compact()
    words = {name: _labels(labels) for name, labels in compact.labels.items()}
    fields = {name: _type_of(labels) for name, labels in words.items()} | {n: c.type for n, c in carried.items()}
    schema = pa.schema([(name, fields[name]) for name in order])
    return schema, _tables(rows, of_row, compact, words, carried, schema, rng)


def _tables(
    rows: Rows,
    of_row: Numbers,
    labelling: Labelling,
    words: Mapping[str, pa.Array],
    carried: Mapping[str, Carried],
    schema: pa.Schema,
    rng: np.random.Generator,
) -> Iterator[pa.Table]:
    fields = [("", pa.int32()), *((name, column.type) for name, column in carried.items())]
    with _Buckets(pa.schema(fields), -(-len(of_row) // BUCKET_ROWS) or 1) as buckets:
        for part in _kept(rows, of_row, labelling.suppressed, carried):
            buckets.add(part, rng)
        for bucket in buckets.take():
            shuffled = bucket.take(pa.array(rng.permutation(bucket.num_rows)))
            number = shuffled.column(0).combine_chunks().to_numpy()
            columns = {name: _place(words[name], labelling.codes[name][number]) for name in words}
            columns |= {name: shuffled[name] for name in carried}
            yield pa.table([columns[name] for name in schema.names], schema=schema)


def _kept(
    rows: Rows, of_row: Numbers, suppressed: np.ndarray, carried: Mapping[str, Carried]
) -> Iterator[list[pa.Array]]:
    """The fragment of each row that stays, and what it carries, batch by batch."""
    if not carried:
        for start in range(0, len(of_row), BUCKET_ROWS // 4):
            number = of_row.read(start, BUCKET_ROWS // 4)
            yield [pa.array(number[~suppressed[number]])]
        return
    start = 0
    for batch in rows.batches(list(carried)):
        number = of_row.read(start, len(batch[0]))
        start += len(number)
        stays = ~suppressed[number]
        mask = pa.array(stays)
        changed = [column.change(array) for array, column in zip(batch, carried.values(), strict=True)]
        yield [pa.array(number[stays]), *(array.filter(mask) for array in changed)]


class _Buckets:
    """Rows dealt out at random; one bucket is kept in memory, several in temporary files."""

    def __init__(self, schema: pa.Schema, count: int) -> None:
        self._schema = schema
        self._count = count
        self._parts: list[pa.RecordBatch] = []
        self._folder = tempfile.TemporaryDirectory() if count > 1 else None
        self._writers = [pa.ipc.new_file(str(self._path(n)), schema) for n in range(count)] if count > 1 else []

    def _path(self, number: int) -> Path:
        assert self._folder is not None, "a single bucket has no file"
        return Path(self._folder.name) / str(number)

    def __enter__(self) -> _Buckets:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for writer in self._writers:
            writer.close()
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, columns: list[pa.Array], rng: np.random.Generator) -> None:
        batch = pa.record_batch(columns, schema=self._schema)
        if self._count == 1:
            self._parts.append(batch)
            return
        bucket = rng.integers(self._count, size=batch.num_rows)
        order = np.argsort(bucket, kind="stable")
        ends = np.searchsorted(bucket[order], np.arange(self._count + 1))
        dealt = batch.take(pa.array(order))
        for number, writer in enumerate(self._writers):
            writer.write(dealt.slice(ends[number], ends[number + 1] - ends[number]))

    def take(self) -> Iterator[pa.Table]:
        """The buckets, one after the other."""
        if self._count == 1:
            yield pa.Table.from_batches(self._parts, self._schema)
            return
        for writer in self._writers:
            writer.close()
        for number in range(self._count):
            with pa.ipc.open_file(str(self._path(number))) as reader:
                yield reader.read_all()
            self._path(number).unlink()


def _labels(labels: Sequence[Label]) -> pa.Array:
    return integers_where_whole(pa.array(list(labels)))


def _type_of(labels: pa.Array) -> pa.DataType:
    return pa.dictionary(pa.int32(), pa.string()) if pa.types.is_string(labels.type) else labels.type


def _place(labels: pa.Array, codes: np.ndarray) -> pa.Array:
    if not pa.types.is_string(labels.type):
        return labels.take(pa.array(codes))
    indices = pa.array(codes)
    if labels.null_count:
        # A missing value is marked in the codes, since a file has no other place for it.
        indices = pc.if_else(labels.is_null().take(indices), pa.scalar(None, pa.int32()), indices)
    return pa.DictionaryArray.from_arrays(indices, pc.fill_null(labels, ""))


def integers_where_whole(values: pa.Array) -> pa.Array:
    """Numbers as integers if all of them are and fit a double exactly; other values as they are."""
    if not pa.types.is_floating(values.type) or values.null_count == len(values):
        return values
    whole = pc.all(pc.equal(values, pc.round(values))).as_py()
    return values.cast(pa.int64()) if whole and pc.max(pc.abs(values)).as_py() < 2**53 else values
