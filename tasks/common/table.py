"""A table as a handle: where it lies, what it holds, how many rows; never the rows themselves.

Handles are what tasks exchange. A handle may select rows of its file, so that a hold-out is a list of row numbers and
no second copy of patients' data comes to lie anywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from tasks.common.errors import InputError, StorageError, TableError
from tasks.common.values import Value

MISSING_WORDS = ["", "NA", "N/A", "NULL", "null", "NaN", "nan"]
_ENCODING_CHUNK = 1 << 24
_CSV_BLOCK = 1 << 24


class Table(Value):
    """A CSV or Parquet file, or some of its rows.

    `sha256` is of the file's bytes, `selection` a .npy file of int64 row numbers in the order they are wanted.
    """

    path: Path
    sha256: str
    rows: int
    columns: tuple[str, ...]
    selection: Path | None = None
    selection_sha256: str | None = None

    @property
    def identity(self) -> str:
        """What the table holds, wherever it lies."""
        return f"{self.sha256}:{self.selection_sha256 or 'all'}"

    def row_numbers(self) -> np.ndarray:
        """Which rows of the file these are, int64 of shape (rows,)."""
        if self.selection is None:
            return np.arange(self.rows, dtype=np.int64)
        return np.load(_still_there(self.selection), allow_pickle=False)

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """The rows. CSV columns come as strings, Parquet columns as they are stored.

        Raises:
            StorageError: the file is gone.
            InputError: it is not a readable table any more.
        """
        table = _read(_still_there(self.path), columns)
        return table if self.selection is None else table.take(pa.array(self.row_numbers()))

    def rows_by_group(self) -> np.ndarray:
        """Rows in each piece of the file that can be read apart, int64 (pieces,), only those selected; CSV is one."""
        if not _is_parquet(self.path):
            return np.array([self.rows])
        metadata = _parquet(self.path).metadata
        rows = np.array([metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)])
        if self.selection is None:
            return rows
        return np.diff(np.searchsorted(np.sort(self.row_numbers()), np.concatenate([[0], np.cumsum(rows)])))

    def batches(
        self, columns: list[str], size: int, encoded: Collection[str] = (), groups: range | None = None
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows in the order of the file, about `size` at a time, each with the file's row number of its first.

        encoded: columns of words that may come as dictionaries, which spares their decoding. groups: those of these row
        groups only.

        Raises:
            StorageError: the file is gone.
            InputError: it is not a readable table any more.
        """
        wanted = None if self.selection is None else np.sort(self.row_numbers())
        first = 0 if groups is None else _rows_before(self.path, groups.start)
        for batch in _batches(_still_there(self.path), columns, size, encoded, groups):
            if wanted is None:
                yield first, batch
            else:
                inside = wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, first + batch.num_rows)]
                if len(inside):
                    yield first, batch.take(pa.array(inside - first))
            first += batch.num_rows


def open_table(path: Path | str) -> Table:
    """A handle on a CSV or Parquet file.

    Raises:
        InputError: the file is missing, empty, or neither CSV nor Parquet, or text that is not UTF-8.
        TableError: it has no rows, no columns, or two columns of one name.
    """
    path = Path(path).expanduser().absolute()
    if not path.is_file():
        raise InputError(f"there is no table at {path}")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty")
    if _is_parquet(path):
        metadata = _parquet(path).metadata
        names, rows = list(metadata.schema.to_arrow_schema().names), metadata.num_rows
    else:
        _check_utf8(path)
        names = _csv_header(path)
        _check_names(path, names)
        rows = sum(batch.num_rows for batch in _csv_batches(path, names))
    _check_names(path, names)
    if rows == 0:
        raise TableError(f"{path} has columns but no rows")
    return Table(path=path, sha256=file_hash(path), rows=rows, columns=tuple(names))


def file_hash(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_names(path: Path, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TableError(f"{path} has more than one column called {', '.join(f'`{name}`' for name in twice)}")
    if not names or any(not name.strip() for name in names):
        raise TableError(f"{path} has a column without a name; the first line of a CSV file has to name the columns")


def _still_there(path: Path) -> Path:
    if not path.is_file():
        raise StorageError(f"{path} is gone, though an earlier step left it there; run again with --fresh")
    return path


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _parquet(path: Path, encoded: Collection[str] = ()) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, read_dictionary=list(encoded))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} starts like Parquet but is damaged or cut off") from error


def _read(path: Path, columns: list[str] | None) -> pa.Table:
    if not _is_parquet(path):
        return _read_csv(path, columns)
    file = _parquet(path)
    try:
        return file.read(columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} starts like Parquet but is damaged or cut off") from error


def _rows_before(path: Path, group: int) -> int:
    metadata = _parquet(path).metadata
    return sum(metadata.row_group(number).num_rows for number in range(group))


def _batches(
    path: Path, columns: list[str], size: int, encoded: Collection[str], groups: range | None
) -> Iterator[pa.RecordBatch]:
    if not _is_parquet(path):
        yield from _csv_batches(path, columns)
        return
    try:
        wanted = None if groups is None else list(groups)
        yield from _parquet(path, encoded).iter_batches(size, row_groups=wanted, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} starts like Parquet but is damaged or cut off") from error


def _read_csv(path: Path, columns: list[str] | None) -> pa.Table:
    names = _csv_header(path)
    _check_names(path, names)
    try:
        return pa_csv.read_csv(
            path, parse_options=_csv_parsing(path), convert_options=_csv_conversion(names, columns or [])
        )
    except pa.ArrowException as error:
        raise InputError(f"{path} is not a regular CSV file{_row_of(error)}") from None


def _csv_batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    names = _csv_header(path)
    try:
        yield from pa_csv.open_csv(
            path,
            read_options=pa_csv.ReadOptions(block_size=_CSV_BLOCK),
            parse_options=_csv_parsing(path),
            convert_options=_csv_conversion(names, columns),
        )
    except pa.ArrowException as error:
        raise InputError(f"{path} is not a regular CSV file{_row_of(error)}") from None


def _csv_parsing(path: Path) -> pa_csv.ParseOptions:
    return pa_csv.ParseOptions(delimiter=_delimiter(path), newlines_in_values=True)


def _csv_conversion(names: list[str], columns: list[str]) -> pa_csv.ConvertOptions:
    return pa_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        include_columns=columns,
        null_values=MISSING_WORDS,
        strings_can_be_null=True,
    )


def _row_of(error: pa.ArrowException) -> str:
    """Which row arrow stumbled on, without the row's content, which its message would show."""
    text = str(error)
    if "Expected" in text and "columns" in text:
        return ": " + text.split("CSV parse error: ")[-1].split(" columns")[0] + " columns in that row"
    return ""


def _csv_header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline().rstrip("\r\n")
    return [name.strip().strip('"') for name in first.split(_delimiter(path))]


def _delimiter(path: Path) -> str:
    with path.open(encoding="utf-8-sig") as file:
        first = file.readline()
    return max(",;\t|", key=first.count)


def _check_utf8(path: Path) -> None:
    done = 0
    with path.open("rb") as file:
        tail = b""
        while chunk := file.read(_ENCODING_CHUNK):
            data = tail + chunk
            try:
                data.decode("utf-8")
                tail = b""
            except UnicodeDecodeError as error:
                if error.end == len(data) and len(data) - error.start < 4 and len(chunk) == _ENCODING_CHUNK:
                    tail = data[error.start :]
                else:
                    raise InputError(
                        f"{path} is neither Parquet nor UTF-8 text (byte {done - len(tail) + error.start} is not); "
                        f"convert it first, for example: iconv -f latin1 -t utf-8 {path.name} > utf8-{path.name}"
                    ) from None
            done += len(chunk)
