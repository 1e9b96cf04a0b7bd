"""A release's columns as engines learn them, and what engines draw as columns of the release again.

Whatever can be kept by the way a column is coded is kept here, so that no engine can break it:

- a column has the release's type; a number lies on the grid and within the range of the released ones;
- a number with few different values is a category, so none is made up in between; a missing one is marked in a flag;
- columns whose combinations are fixed are one category; of a pair in order the second is coded as its distance from
  the first; keys are not learned at all;
- where one column is missing in every row in which another is, it stays so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.common.errors import TableError
from tasks.common.reading import floats
from tasks.common.synthesis_forms import Constraints
from tasks.synthesis.coded import Coded

# A number with so few different released values is learned as a category: it is then never made up in between.
_FEW_VALUES = 50
# The most frequent values of a category; the others are learned as one, and drawn by how often they occur.
_MOST_VALUES = 500
_MOST_DECIMALS, _SLACK = 6, 1e-9


@dataclass(frozen=True)
class Category:
    """Columns of the release that are one categorical column: what its values stand for.

    values: the combinations, a table with a row for each code; the common ones come first, `common` of them by a code
    of their own. counts: int64, how often each occurs.
    """

    values: pa.Table
    counts: np.ndarray
    common: int

    @property
    def size(self) -> int:
        """How many codes there are, one of them for all that are not common."""
        return self.common + (self.common < len(self.counts))

    def back(self, codes: np.ndarray, rng: np.random.Generator) -> pa.Table:
        """The rows that codes stand for."""
        places = codes.astype(np.int64)
        rest = np.flatnonzero(places == self.common)
        if len(rest):
            weights = self.counts[self.common :] / self.counts[self.common :].sum()
            places[rest] = self.common + rng.choice(len(weights), len(rest), p=weights)
        return self.values.take(pa.array(places))


@dataclass(frozen=True)
class Number:
    """A numeric column: multiples of `step` from `low` to `high`, behind a flag (the name of one) if it has gaps.

    after: the column that it is never less than, if it was learned as the distance from that.
    """

    type: pa.DataType
    step: float
    low: float
    high: float
    flag: str | None
    after: str | None = None


@dataclass(frozen=True)
class Columns:
    """How the columns of a release are coded: `categories` and `numbers` in the order of the coded columns.

    follows: by column those that are missing wherever it is.
    """

    schema: pa.Schema
    categories: dict[str, Category]
    numbers: dict[str, Number]
    keys: tuple[str, ...]
    follows: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def back(self, rows: Coded, rng: np.random.Generator) -> pa.Table:
        """Rows of the release's columns and types; keys are still missing."""
        found: dict[str, pa.Array | pa.ChunkedArray] = {}
        for place, category in enumerate(self.categories.values()):
            table = category.back(rows.codes[:, place], rng)
            found |= {name: table[name] for name in table.column_names}
        values: dict[str, np.ndarray] = {}
        for place, (name, number) in enumerate(self.numbers.items()):
            start = values[number.after] if number.after else 0.0
            distance = np.maximum(rows.numbers[:, place], 0.0) if number.after else rows.numbers[:, place]
            values[name] = on_grid(start + distance, number)
        for name in reversed(self.numbers):  # the grids of two columns may differ: the earlier gives way
            if (first := self.numbers[name].after) is not None:
                step = self.numbers[first].step
                values[first] = np.minimum(values[first], np.floor(values[name] / step + _SLACK) * step)
        for name, number in self.numbers.items():
            missing = _true(found[number.flag]) if number.flag else np.zeros(len(rows), dtype=bool)
            found[name] = _typed(values[name], missing, number.type)
        for name in self.keys:
            found[name] = pa.nulls(len(rows), self.schema.field(name).type)
        return self._with_gaps(pa.table({name: found[name] for name in self.schema.names}, schema=self.schema))

    def with_keys(self, table: pa.Table) -> pa.Table:
        """Rows with their keys, numbered from 1."""
        for name in self.keys:
            field = self.schema.field(name)
            table = table.set_column(table.column_names.index(name), field, _numbered(table.num_rows, field.type))
        return table

    def _with_gaps(self, table: pa.Table) -> pa.Table:
        """Columns missing wherever those are that they always were missing with."""
        for name, others in self.follows.items():
            gone = table[name].is_null()
            for other in others:
                values = pc.if_else(gone, pa.scalar(None, table[other].type), table[other])
                table = table.set_column(table.column_names.index(other), table.schema.field(other), values)
        return table


def learn(release: pa.Table, constraints: Constraints) -> tuple[Columns, Coded]:
    """How a release's columns are coded, and its rows in that code.

    Raises:
        TableError: the rows break a constraint themselves, or a constraint names columns of another kind.
    """
    _require(release, constraints)
    ordered = {name: group[place] for group in constraints.order for place, name in enumerate(group[1:])}
    joined = {name for group in constraints.together for name in group}
    categories: dict[str, Category] = {}
    codes: list[np.ndarray] = []
    numbers: dict[str, Number] = {}
    values: dict[str, np.ndarray] = {}
    for group in constraints.together:
        _add(categories, codes, release.select(list(group)))
    for name in release.column_names:
        if name in joined or name in constraints.unique:
            continue
        if name not in ordered and name not in ordered.values() and is_discrete(release[name]):
            _add(categories, codes, release.select([name]))
            continue
        flag = _flag(name) if release[name].null_count else None
        if flag:
            _add(categories, codes, pa.table({flag: release[name].is_null()}))
        numbers[name] = _number(release[name], flag, ordered.get(name))
    for name in _in_order(list(numbers), ordered):
        values[name] = _filled(release[name], values.get(ordered.get(name, "")))
    numbers = {name: numbers[name] for name in values}
    starts = {name: values[number.after] for name, number in numbers.items() if number.after}
    distances = [values[name] - starts.get(name, 0.0) for name in numbers]
    columns = Columns(release.schema, categories, numbers, constraints.unique, _follows(release, constraints))
    coded = Coded(
        _stacked(codes, release.num_rows, np.int32),
        np.array([category.size for category in categories.values()], dtype=np.int64),
        _stacked(distances, release.num_rows, np.float64),
    )
    return columns, coded


def is_discrete(values: pa.ChunkedArray) -> bool:
    """Whether a column is learned as a category."""
    return not is_number(values.type) or values.null_count == len(values) or len(values.unique()) <= _FEW_VALUES


def is_number(kind: pa.DataType) -> bool:
    """Whether values of a type can be counted with: numbers, dates and times."""
    counted = pa.types.is_floating(kind) or pa.types.is_integer(kind)
    return counted or pa.types.is_date(kind) or pa.types.is_timestamp(kind)


def on_grid(values: np.ndarray, number: Number) -> np.ndarray:
    """The nearest multiples of the step within the range."""
    snapped = np.round(values / number.step) * number.step
    return np.clip(np.round(snapped, _MOST_DECIMALS), number.low, number.high)


def grid(values: np.ndarray) -> float:
    """The largest number, of at most 6 decimals, that all values are multiples of; 1e-6 if there is none."""
    for decimals in range(_MOST_DECIMALS + 1):
        scaled = values * 10.0**decimals
        if np.allclose(scaled, np.round(scaled), rtol=0, atol=1e-9 * np.maximum(1, np.abs(scaled).max(initial=0))):
            divisor = int(np.gcd.reduce(np.round(np.abs(scaled)).astype(np.int64), initial=0))
            return (divisor or 1) / 10.0**decimals
    return 10.0**-_MOST_DECIMALS


def _require(release: pa.Table, constraints: Constraints) -> None:
    for name in constraints.columns:
        if name not in release.column_names:
            raise TableError(f"synthesis.constraints names `{name}`, which the rows to learn from do not have")
    for group in constraints.order:
        for name in group:
            if not is_number(release[name].type):
                raise TableError(
                    f"synthesis.constraints.order: `{name}` holds {release[name].type}, and only numbers and dates "
                    "have an order; a column that is generalized to labels cannot be in it"
                )
        for first, second in pairwise(group):
            wrong = np.sum(floats(release[first]) > floats(release[second]))
            if wrong:
                raise TableError(
                    f"synthesis.constraints.order: `{first}` is greater than `{second}` in {wrong} of the "
                    f"{release.num_rows} rows to learn from; correct them, or leave the constraint out"
                )
    for name in constraints.unique:
        kind = release[name].type
        if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_floating(kind)):
            raise TableError(f"synthesis.constraints.unique: `{name}` holds {kind}, which cannot number rows")


def _add(categories: dict[str, Category], codes: list[np.ndarray], columns: pa.Table) -> None:
    """One more categorical column, of one or several columns of the release."""
    places = [column.combine_chunks().dictionary_encode("encode") for column in columns.columns]
    key = np.zeros(columns.num_rows, dtype=np.int64)
    for place in places:
        key = np.unique(key, return_inverse=True)[1] * len(place.dictionary) + place.indices.to_numpy()
    _, first, code, counts = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -counts))  # most frequent first, then as they came
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    common = len(order) if len(order) <= _MOST_VALUES else _MOST_VALUES - 1
    category = Category(columns.take(pa.array(first[order])), counts[order], common)
    categories[" + ".join(columns.column_names)] = category
    codes.append(np.minimum(rank[code], category.size - 1))


def _number(values: pa.ChunkedArray, flag: str | None, after: str | None) -> Number:
    known = floats(values.drop_null())
    if not len(known):
        known = np.zeros(1)
    return Number(values.type, grid(known), float(known.min()), float(known.max()), flag, after)


def _in_order(names: list[str], ordered: dict[str, str]) -> list[str]:
    """The same names, each behind the one that it comes after."""
    found: list[str] = []
    for name in names:
        chain = [name]
        while chain[-1] in ordered:
            chain.append(ordered[chain[-1]])
        found += [link for link in reversed(chain) if link not in found]
    return found


def _filled(values: pa.ChunkedArray, first: np.ndarray | None) -> np.ndarray:
    """Numbers with the median in the place of missing ones, or, after `first`, the median distance from it."""
    found = floats(values)
    missing = np.isnan(found)
    if missing.all():
        return np.zeros(len(found)) if first is None else first
    if first is None:
        return np.where(missing, np.median(found[~missing]), found)
    # Where only the first is missing its stand-in may be greater.
    distance = np.where(missing, np.nan, np.maximum(found - first, 0.0))
    return first + np.where(missing, np.nanmedian(distance), distance)


def _follows(release: pa.Table, constraints: Constraints) -> dict[str, tuple[str, ...]]:
    """Which columns are missing in every row in which another one is."""
    joined = {name for group in constraints.together for name in group}
    gaps = {
        name: release[name].is_null().to_numpy()
        for name in release.column_names
        if 0 < release[name].null_count < release.num_rows and name not in joined
    }
    found = {
        name: tuple(other for other, also in gaps.items() if other != name and also[gone].all())
        for name, gone in gaps.items()
    }
    return {name: others for name, others in found.items() if others}


def _stacked(columns: list[np.ndarray], rows: int, dtype: type) -> np.ndarray:
    return np.ascontiguousarray(np.stack(columns, axis=1), dtype=dtype) if columns else np.zeros((rows, 0), dtype)


def _flag(name: str) -> str:
    return f"{name} is missing"


def _true(values: pa.ChunkedArray) -> np.ndarray:
    return values.to_numpy().astype(bool)


def _typed(values: np.ndarray, missing: np.ndarray, kind: pa.DataType) -> pa.Array:
    if pa.types.is_floating(kind):
        return pa.array(values, mask=missing).cast(kind)
    whole = pa.array(np.round(values).astype(np.int64), mask=missing)
    return whole.cast(pa.int32()).cast(kind) if pa.types.is_date32(kind) else whole.cast(kind)


def _numbered(rows: int, kind: pa.DataType) -> pa.Array:
    numbers = np.arange(1, rows + 1)
    if pa.types.is_string(kind):
        return pa.array([f"synthetic-{number}" for number in numbers], kind)
    return pa.array(numbers).cast(kind)
