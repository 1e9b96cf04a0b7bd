"""Files by their content, written whole or not at all.

Everything that a step leaves for the next one lies here under the hash of its bytes, so that equal results are one
file and a killed run leaves nothing half-written: a file gets its name only when it is complete.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from tasks.common.errors import StorageError
from tasks.common.table import Table, file_hash


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name when the block ends well, and vanishes when it does not.

    Raises:
        StorageError: the folder cannot be written, or the disk is full.
    """
    with _temporary_file(path) as temporary:
        yield temporary
        temporary.replace(path)


@contextmanager
def _temporary_file(target: Path) -> Iterator[Path]:
    """An empty file in the target's folder that is gone after the block, unless it was renamed."""
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-", suffix=".part")
        os.close(handle)
        temporary = Path(name)
        temporary.chmod(0o640)
        yield temporary
    except OSError as error:
        raise _explained(target, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic(path) as temporary:
        _write(temporary, text)


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a Parquet file whole or not at all; equal tables give equal bytes."""
    with atomic(path) as temporary:
        _write_parquet(table, temporary)


@contextmanager
def table_writer(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Write a file table by table, CSV or else Parquet, that is there whole after the block or not at all.

    Dictionaries are read back as plain values.
    """
    with atomic(path) as temporary:
        if path.suffix == ".csv":
            with pa_csv.CSVWriter(temporary, decoded(schema.empty_table()).schema) as lines:
                yield lambda table: lines.write_table(decoded(table))
        else:
            with pq.ParquetWriter(temporary, schema, compression="zstd", store_schema=False) as file:
                yield file.write_table


def decoded(table: pa.Table) -> pa.Table:
    """The same with plain values where it has dictionaries."""
    columns = {name: table[name] for name in table.column_names}
    return pa.table(
        {
            name: values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
            for name, values in columns.items()
        }
    )


class Store:
    """The content-addressed files under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put_table(self, table: pa.Table) -> Table:
        """Keep a table as Parquet and return its handle."""
        return self.put_parquet(lambda temporary: _write_parquet(table, temporary))

    def put_parquet(self, write: Callable[[Path], None]) -> Table:
        """Keep the Parquet file that `write` makes at the path it is given, and return its handle."""
        path, digest = self._put(".parquet", write)
        metadata = pq.read_metadata(path)
        return Table(path=path, sha256=digest, rows=metadata.num_rows, columns=tuple(metadata.schema.names))

    def put_selection(self, table: Table, row_numbers: np.ndarray) -> Table:
        """A handle on some rows of `table`'s file; only the row numbers (int64, of the file) are kept."""
        path, digest = self._put(".npy", lambda temporary: _save_rows(temporary, row_numbers))
        return table.model_copy(update={"rows": len(row_numbers), "selection": path, "selection_sha256": digest})

    def _put(self, suffix: str, write: Callable[[Path], None]) -> tuple[Path, str]:
        with _temporary_file(self.folder / f"incoming{suffix}") as temporary:
            write(temporary)
            digest = file_hash(temporary)
            path = self.folder / digest[:2] / f"{digest}{suffix}"
            path.parent.mkdir(exist_ok=True)
            temporary.replace(path)
        return path, digest


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table.replace_schema_metadata(None), path, compression="zstd")


def _save_rows(path: Path, row_numbers: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, np.ascontiguousarray(row_numbers, dtype=np.int64), allow_pickle=False)


def _explained(path: Path, error: OSError) -> StorageError:
    cause = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the quota is used up",
        errno.EROFS: "the file system is read-only",
        errno.EACCES: "there is no permission",
        errno.EPERM: "there is no permission",
    }.get(error.errno or 0, error.strerror or "unknown cause")
    return StorageError(f"{path} cannot be written: {cause}; nothing half-written was left behind")
