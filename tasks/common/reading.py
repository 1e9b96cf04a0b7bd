"""Reading a table the way its policy says: each column as its kind, rows that the policy excludes left out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.common.errors import PolicyError, TableError
from tasks.common.hierarchy_forms import Leaf
from tasks.common.policy import Column, Kind, Policy, Role
from tasks.common.table import Table

ARROW_TYPES = {
    Kind.NUMERIC: pa.float64(),
    Kind.CATEGORICAL: pa.string(),
    Kind.DATE: pa.date32(),
    Kind.TEXT: pa.string(),
}
_NAMED_ROWS = 3


def read(table: Table, policy: Policy, columns: list[str] | None = None) -> pa.Table:
    """The columns (those that are released, if none are named), each as its kind: float64, string or date32.

    Raises:
        PolicyError: the table lacks a column.
        TableError: values are not of their column's kind.
    """
    columns = policy.released if columns is None else columns
    require_columns(table, columns)
    raw = table.read(columns)
    return pa.table({name: as_kind(raw[name], name, policy.columns[name]) for name in columns})


def floats(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Numbers as they are, dates in days since 1970, times in their unit; NaN where missing; float64 (rows,)."""
    if pa.types.is_date(values.type):
        values = values.cast(pa.date32()).cast(pa.int32())
    elif pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def read_release(table: Table, policy: Policy) -> pa.Table:
    """A table that may have been generalized already: labels stay labels, numbers become numbers.

    Columns that the policy removes but the table still has are read too, if they are direct identifiers: they are to be
    attacked. Keyed pseudonyms, which say nothing without the key, and columns that the policy does not know are left
    out.

    Raises:
        TableError: it has none of the columns that the policy releases.
    """
    if not any(name in table.columns for name in policy.released):
        raise TableError(f"{table.path.name} has none of the columns that the policy releases")
    direct = [name for name in policy.named(Role.DIRECT) if name not in policy.pseudonymous]
    names = [name for name in (*policy.released, *direct) if name in table.columns]
    raw = table.read(names)
    return pa.table({name: _numbers_or_labels(raw[name], policy.columns[name]) for name in names})


def included_rows(table: Table, policy: Policy) -> np.ndarray:
    """Positions of the rows that the policy does not exclude, int64."""
    if not policy.exclude:
        return np.arange(table.rows, dtype=np.int64)
    require_columns(table, list(policy.exclude))
    raw = table.read(list(policy.exclude))
    kept = included({name: raw[name] for name in policy.exclude}, policy).to_numpy()
    if not kept.any():
        raise TableError(f"`exclude:` leaves no row of {table.path.name}")
    return np.flatnonzero(kept).astype(np.int64)


def included(raw: dict[str, pa.Array | pa.ChunkedArray], policy: Policy, first_row: int = 0) -> pa.ChunkedArray:
    """bool (rows,), false for rows that the policy excludes; raw: columns as they are stored."""
    kept = None
    for name, leaves in policy.exclude.items():
        values = raw[name] if isinstance(raw[name], pa.ChunkedArray) else pa.chunked_array([raw[name]])
        stays = pc.invert(_matches(as_kind(values, name, policy.columns[name], first_row), leaves))
        kept = stays if kept is None else pc.and_(kept, stays)
    assert kept is not None, "asked only where the policy excludes something"
    return kept


def require_columns(table: Table, columns: list[str]) -> None:
    """Complain of columns that the policy names and the table lacks.

    Raises:
        PolicyError: at least one is not there.
    """
    if lacking := [name for name in columns if name not in table.columns]:
        raise PolicyError(f"{table.path.name} has no column {_quoted(lacking)}; it has {_quoted(list(table.columns))}")


def require_same_columns(table: Table, policy: Policy) -> None:
    """A column without a role might be released by mistake, one that is not there was mistyped.

    Raises:
        PolicyError: either happens.
    """
    require_columns(table, list(policy.columns))
    if unknown := [name for name in table.columns if name not in policy.columns]:
        raise PolicyError(
            f"{table.path.name} has columns that the policy gives no role: {', '.join(f'`{n}`' for n in unknown)}; "
            "add them under `columns:`, with `role: drop` if nobody needs them"
        )


def as_kind(values: pa.ChunkedArray, name: str, column: Column, first_row: int = 0) -> pa.ChunkedArray:
    """Values as the column's kind. first_row: number of the first one in its table, for the message.

    Raises:
        TableError: some are not; the message counts them and names the first rows.
    """
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    try:
        typed = converted(values, column)
    except pa.ArrowNotImplementedError:
        raise TableError(f"column `{name}` holds {values.type}, which cannot be read as {column.kind}") from None
    if typed is not None:
        return typed
    return _checked(values, _each(values, column), name, column, first_row)


def converted(values: pa.ChunkedArray | pa.Array, column: Column) -> pa.ChunkedArray | pa.Array | None:
    """Values as the column's kind, or None where some are not."""
    if column.kind is Kind.DATE and pa.types.is_string(values.type):
        dates = _dates(values)
        return dates if dates.null_count == values.null_count else None
    if pa.types.is_floating(values.type):
        # Adding zero turns -0.0, which is written the same as 0.0, into it.
        values = pc.add(pc.if_else(pc.is_nan(values), None, values), 0.0)
    try:
        return values.cast(ARROW_TYPES[column.kind], safe=column.kind is not Kind.DATE)
    except pa.ArrowInvalid:
        return None


def _numbers_or_labels(values: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if column.kind is not Kind.NUMERIC:
        return values if column.kind is Kind.DATE else values.cast(pa.string())
    try:
        return values.cast(pa.float64()) if pa.types.is_string(values.type) else values
    except pa.ArrowInvalid:
        return values


def _matches(values: pa.ChunkedArray, leaves: tuple[Leaf, ...]) -> pa.ChunkedArray:
    known = pa.array([str(leaf) for leaf in leaves if leaf is not None], pa.string()).cast(values.type)
    found = pc.is_in(values, value_set=known)
    return pc.or_(found, pc.is_null(values)) if None in leaves else found


def _dates(values: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    return pc.strptime(values, format="%Y-%m-%d", unit="s", error_is_null=True).cast(pa.date32())


def _each(values: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    """Convert distinct values one by one, null where it fails. Slow, and only for the error message."""
    distinct = values.combine_chunks().dictionary_encode()
    each = [converted(distinct.dictionary.slice(place, 1), column) for place in range(len(distinct.dictionary))]
    nothing = pa.nulls(1, ARROW_TYPES[column.kind])
    return pa.chunked_array(
        [pa.concat_arrays([nothing if one is None else one for one in each]).take(distinct.indices)]
    )


def _checked(raw: pa.ChunkedArray, cast: pa.ChunkedArray, name: str, column: Column, first_row: int) -> pa.ChunkedArray:
    failed = np.flatnonzero(cast.is_null().to_numpy() & ~raw.is_null().to_numpy())
    if len(failed):
        raise TableError(
            f"column `{name}` is {column.kind} in the policy, but {len(failed)} of its {len(raw)} values are not "
            f"(first in {_rows(failed + first_row)}); correct them, or change its `kind:`"
        )
    return cast


def _rows(positions: np.ndarray) -> str:
    shown = ", ".join(str(position + 1) for position in positions[:_NAMED_ROWS])
    return f"row{'s' if len(positions) > 1 else ''} {shown}"


def _quoted(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
