"""Counts of parts of a table as files, which is how workers pass them on: handles travel, data stays on its disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.anonymization.classes import Tuples
from tasks.anonymization.counting import Counted, Numbers
from tasks.anonymization.histograms import Histogram


def save(counted: Counted, path: Path) -> None:
    """Write the count of rows each of which is a person of its own, numbers and words only."""
    tuples, names = counted.tuples, [*counted.leaves, *counted.secret_values]
    arrays = {
        "names": np.array(names), "quasi": np.array(len(counted.leaves)), "whole": np.array(sorted(counted.whole)),
        "codes": tuples.codes, "rows": tuples.rows, "people": tuples.people,
    }  # fmt: skip
    for place, values in enumerate([*counted.leaves.values(), *counted.secret_values.values()]):
        arrays[f"values {place}"] = np.frombuffer(_bytes(values), dtype=np.uint8)
    for place, name in enumerate(counted.secret_values):
        histogram = tuples.secrets[name]
        arrays[f"starts {place}"], arrays[f"secrets {place}"] = histogram.starts, histogram.codes
        arrays[f"counts {place}"] = histogram.counts
    counted.of_row.read(0, counted.rows).astype(np.int32).tofile(_of_rows(path))
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load(path: Path) -> Counted:
    """Read what `save` wrote."""
    with np.load(path, allow_pickle=False) as found:
        names, quasi = [str(name) for name in found["names"]], int(found["quasi"])
        values = [_values(found[f"values {place}"].tobytes()) for place in range(len(names))]
        secrets = {
            name: Histogram(found[f"starts {place}"], found[f"secrets {place}"], found[f"counts {place}"])
            for place, name in enumerate(names[quasi:])
        }
        return Counted(
            dict(zip(names[:quasi], values[:quasi], strict=True)),
            dict(zip(names[quasi:], values[quasi:], strict=True)),
            Tuples(found["codes"], found["rows"], found["people"], secrets),
            Numbers.of_file(_of_rows(path)),
            frozenset(str(name) for name in found["whole"]),
        )


def _of_rows(path: Path) -> Path:
    """Beside it the tuple of each row, which is not read into memory."""
    return path.with_name(f"{path.name}-rows")


def _bytes(values: pa.Array) -> bytes:
    batch = pa.record_batch([values], names=["values"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _values(written: bytes) -> pa.Array:
    with pa.ipc.open_stream(written) as stream:
        return stream.read_next_batch().column(0)
