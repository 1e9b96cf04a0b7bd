"""The owner's files: what is read to be encrypted, and what is written once it is decrypted."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from tasks.common.errors import InputError, StorageError, TableError
from tasks.common.store import atomic
from tasks.common.table import Table, open_table
from tasks.encryption.job import Job

# What a job encrypts: an array, or several by name, as of several contributors.
Data: TypeAlias = np.ndarray | dict[str, np.ndarray]

KINDS = (".json", ".npy", ".npz")
_NAMED_ROWS = 3


def read(path: Path, columns: tuple[str, ...], *, missing: bool = False) -> Data:
    """Data for a job: the columns of a table (rows, columns), the array of a .npy file, or those of a .npz by name.

    Of a table, int64 where all numbers are whole, else float64. Arrays come as they are, and the job says what may be
    in them. columns: those that the job names, in its order; if it names none, only arrays will do. missing: whether
    values may be, which makes them NaN.

    Raises:
        InputError: the file is missing, damaged, of another kind, or has something else than numbers in it.
        TableError: a column is missing, is not numeric, or has missing or infinite values.
    """
    if path.suffix in {".npy", ".npz"}:
        return _arrays(path)
    table = open_table(path)
    if not columns:
        raise InputError(f"this job names no columns; give it an array (.npy), or several (.npz), not {path.name}")
    if lacking := [name for name in columns if name not in table.columns]:
        known = ", ".join(f"`{name}`" for name in table.columns)
        raise TableError(f"{path.name} has no column {', '.join(f'`{name}`' for name in lacking)}; it has {known}")
    return np.column_stack(_numbers(table, columns, missing))


def read_for(job: Job, path: Path) -> Data:
    """Data for a job, as in `read`."""
    return read(path, columns_of(job), missing=job.takes_missing)


def columns_of(job: Job) -> tuple[str, ...]:
    """The columns of a table that a job names: its `columns`, or its plan's features. None if it takes arrays."""
    named: Any = getattr(job, "columns", None) or getattr(getattr(job, "plan", None), "features", ())
    return tuple(str(getattr(column, "name", column)) for column in named)


def require_output(path: Path, folder: Path) -> None:
    """Refuse a place for the result that is of no known kind, or that the evaluator reads.

    Raises:
        InputError: it is one of these, or its folder is not there.
    """
    if path.suffix not in KINDS:
        raise InputError(f"--out {path}: the name has to end in {', '.join(KINDS)}")
    if path.absolute().resolve().is_relative_to(folder.absolute().resolve()):
        raise InputError(f"--out {path}: the evaluator reads {folder}; keep the result elsewhere")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--out {path}: there is no folder {path.absolute().parent}")


def write(result: Any, path: Path) -> None:
    """Write a result where its owner alone can read it (mode 0600): .json, .npy (one array) or .npz (arrays by name).

    Raises:
        InputError: .npy or .npz for what is no array, or no arrays by name.
        StorageError: it cannot be written.
    """
    with atomic(path) as temporary:
        temporary.chmod(0o600)
        if path.suffix == ".json":
            temporary.write_text(json.dumps(_jsonable(result), indent=2) + "\n", encoding="utf-8")
        elif path.suffix == ".npz":
            _write_archive(temporary, result if isinstance(result, dict) else {"result": result})
        else:
            with temporary.open("wb") as file:
                np.save(file, _numeric(result, path.suffix), allow_pickle=False)


def _write_archive(path: Path, named: dict[str, Any]) -> None:
    """An .npz; numpy's own function takes no array of the name `file`."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, values in named.items():
            with archive.open(f"{quote(str(name), safe=' ')}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, _numeric(values, ".npz"), allow_pickle=False)


def _numeric(values: Any, suffix: str) -> np.ndarray:
    array = np.asarray(values) if not isinstance(values, dict) else np.empty(0, dtype=object)
    if array.dtype.kind not in "biuf":
        raise InputError(f"a {suffix} file cannot hold this result, which has parts of its own; take .json")
    return array


def _arrays(path: Path) -> Data:
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return _of_numbers(found, path)
        with found:
            return {name: _of_numbers(found[name], path) for name in found}
    except FileNotFoundError:
        raise InputError(f"there is no array at {path}") from None
    except (ValueError, EOFError, zipfile.BadZipFile):
        raise InputError(f"{path} is no array of numbers, or damaged") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be read ({error.strerror})") from error


def _of_numbers(array: np.ndarray, path: Path) -> np.ndarray:
    if array.dtype.kind not in "biuf" or array.size == 0:
        raise InputError(f"{path} has something else than numbers in it, or nothing")
    return array


def _numbers(table: Table, columns: tuple[str, ...], missing: bool) -> list[np.ndarray]:
    """Each column as numbers, all int64 or all float64."""
    raw = table.read(list(dict.fromkeys(columns)))
    found = [_column(raw[name], name, missing) for name in columns]
    whole = all(pa.types.is_integer(values.type) and not values.null_count for values in found)
    return [values.cast(pa.int64() if whole else pa.float64(), safe=False).to_numpy() for values in found]


def _column(values: pa.ChunkedArray, name: str, missing: bool) -> pa.ChunkedArray:
    """A column as int64 or float64, finite and, unless values may be missing, complete."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    typed = _typed(values)
    if typed is None:
        raise TableError(f"column `{name}` holds {values.type} that is not a number; only numbers can be encrypted")
    numbers = typed.to_numpy()
    bad = np.isinf(numbers) if missing else ~np.isfinite(numbers)
    if rows := np.flatnonzero(bad).tolist():
        what = "infinite" if missing else "missing or infinite"
        first = ", ".join(str(row + 1) for row in rows[:_NAMED_ROWS])
        raise TableError(
            f"column `{name}` has {len(rows):,} {what} values (first in row {first}); a ciphertext cannot hold them: "
            "fill them, or leave these rows out"
        )
    return typed


def _typed(values: pa.ChunkedArray) -> pa.ChunkedArray | None:
    for kind in (pa.int64(), pa.float64()):
        try:
            return values.cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
    return None


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if hasattr(value, "model_dump"):
        return _jsonable(value.model_dump())
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
