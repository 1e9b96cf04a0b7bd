"""The values that synthetic rows may have, as places in a table of counts: public, or found by noisy counts.

Nothing here looks at rows but through the accountant. Words become their labels, numbers intervals of about equally
many rows, and a missing value is a place of its own. A value outside what is public or was found counts as missing, a
number outside its range as the nearest in it: both change a row by that row alone, so privacy holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.common.errors import TableError
from tasks.common.reading import floats
from tasks.synthesis.accountant import Accountant
from tasks.synthesis.public import Declared

_FINE = 1024  # cells that intervals are put together of
# Places where a range may end: 0 and a quarter of each octave from 2^-20 to 2^40, on both sides of it.
_OCTAVE, _FIRST, _LAST = 4, -20, 40


@dataclass(frozen=True)
class Words:
    """A column of labels, in the order of their places; after them comes missing, if values may be."""

    labels: tuple[str, ...]
    missing: bool

    @property
    def size(self) -> int:
        """How many places there are, at least 1."""
        return max(len(self.labels) + self.missing, 1)

    def encode(self, values: pa.ChunkedArray) -> np.ndarray:
        """The place of each value, int64 (rows,). Without a place for missing ones, unknown labels take the first."""
        places = pc.index_in(values.cast(pa.string()), value_set=pa.array(self.labels, pa.string()))
        return pc.fill_null(places, len(self.labels) if self.missing else 0).to_numpy().astype(np.int64)

    def decode(self, places: np.ndarray, kind: pa.DataType, _rng: np.random.Generator) -> pa.Array:
        """Labels as the column's type."""
        known = pa.array(self.labels, pa.string())
        return _as(known.take(pa.array(places, mask=places >= len(self.labels))), kind)


@dataclass(frozen=True)
class Numbers:
    """A column of numbers in intervals [edge, next edge), float64 edges; after them comes missing, if values may be.

    step: numbers are multiples of it, as the edges are; 0 for any number.
    """

    edges: np.ndarray
    step: float
    missing: bool

    @property
    def size(self) -> int:
        """How many places there are."""
        return len(self.edges) - 1 + self.missing

    def encode(self, values: pa.ChunkedArray) -> np.ndarray:
        """The place of each number, int64 (rows,); of one outside, the nearest. Missing ones without a place: first."""
        numbers = floats(values)
        places = np.clip(np.searchsorted(self.edges, numbers, side="right") - 1, 0, len(self.edges) - 2)
        return np.where(np.isnan(numbers), len(self.edges) - 1 if self.missing else 0, places)

    def decode(self, places: np.ndarray, kind: pa.DataType, rng: np.random.Generator) -> pa.Array:
        """Numbers drawn evenly from their intervals, as the column's type."""
        absent = places >= len(self.edges) - 1
        inside = np.where(absent, 0, places)
        start, width = self.edges[inside], np.diff(self.edges)[inside]
        far = rng.random(len(places)) * width
        if self.step:
            numbers = np.round(start + np.floor(far / self.step + 1e-9) * self.step, 12)
        else:
            # Two digits below the width of the narrowest interval are enough to tell numbers apart.
            numbers = np.round(start + far, max(2 - math.floor(math.log10(np.diff(self.edges).min())), 0))
        if pa.types.is_date(kind):
            return pa.array(numbers.astype(np.int32), mask=absent).cast(pa.date32()).cast(kind)
        return pa.array(numbers, mask=absent).cast(kind)


Domain = dict[str, Words | Numbers]


def encode(rows: pa.Table, domain: Domain) -> dict[str, np.ndarray]:
    """The rows as places, by column."""
    return {name: column.encode(rows[name]) for name, column in domain.items()}


def decode(places: Mapping[str, np.ndarray], domain: Domain, schema: pa.Schema, rng: np.random.Generator) -> pa.Table:
    """Rows of a schema at these places."""
    return pa.table([domain[f.name].decode(places[f.name], f.type, rng) for f in schema], schema=schema)


def find(
    rows: pa.Table, public: Mapping[str, Declared], accountant: Accountant, *, bins: int, rho: float, delta: float
) -> Domain:
    """The domain of a table; what is not public is found for `rho` and `delta` in all, or for nothing if all is.

    Raises:
        BudgetExhausted, PolicyError: as the accountant does.
        TableError: a range cannot be found.
    """
    known = {name: _from_type(rows.schema.field(name).type, public.get(name)) for name in rows.column_names}
    questions = {name: _questions(rows.schema.field(name).type, known[name], bins) for name in rows.column_names}
    asked = sum(questions.values())
    unnamed = sum(_is_words(rows.schema.field(name).type, known[name]) and asks > 0 for name, asks in questions.items())
    share, risk = rho / max(asked, 1), delta / max(unnamed, 1)
    domain: Domain = {}
    for name in rows.column_names:
        if not _is_words(rows.schema.field(name).type, known[name]):
            domain[name] = _numbers(name, rows[name], known[name], accountant, bins, share)
        elif (labels := known[name].labels) is not None:
            domain[name] = Words(labels, known[name].missing)
        else:
            found = accountant.labels(f"labels of `{name}`", rows[name].cast(pa.string()), share, risk)
            domain[name] = Words(tuple(found), known[name].missing or not found)
    return domain


def _from_type(kind: pa.DataType, said: Declared | None) -> Declared:
    """What is public of a column, with what its type says."""
    said = said or Declared()
    if pa.types.is_boolean(kind) and said.labels is None:
        return said.model_copy(update={"labels": ("false", "true")})
    if said.step is None and (pa.types.is_integer(kind) or pa.types.is_date(kind)):
        return said.model_copy(update={"step": 1.0})
    return said


def _is_words(kind: pa.DataType, said: Declared) -> bool:
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_date(kind)
    return said.labels is not None or not numeric


def _questions(kind: pa.DataType, said: Declared, bins: int) -> int:
    """How often the rows have to be looked at to know a column's places."""
    if _is_words(kind, said):
        return int(said.labels is None)
    if said.low is None or said.high is None:
        return 2
    return int(not _fits(said.low, said.high, said.step, bins))


def _fits(low: float, high: float, step: float | None, bins: int) -> bool:
    """Whether each number of a range can have an interval of its own."""
    return step is not None and (high - low) / step + 1 <= bins


def _numbers(
    name: str, values: pa.ChunkedArray, said: Declared, accountant: Accountant, bins: int, rho: float
) -> Numbers:
    numbers = floats(values)
    numbers = numbers[~np.isnan(numbers)]
    step = said.step or 0.0
    low, high = said.low, said.high
    if low is None or high is None:
        found = _range(name, numbers, accountant, rho)
        low, high = found[0] if low is None else low, found[1] if high is None else high
    fine = _fine_edges(low, high, step)
    if len(fine) - 1 <= bins:
        return Numbers(fine, step, said.missing)
    noisy = accountant.count(f"intervals of `{name}`", _histogram(numbers, fine), rho)
    return Numbers(_even(fine, noisy.counts, bins), step, said.missing)


def _range(name: str, numbers: np.ndarray, accountant: Accountant, rho: float) -> tuple[float, float]:
    """The outermost cells of a logarithmic grid that surely hold numbers; fewer far out than the noise are left out."""
    magnitudes = 2.0 ** (np.arange(_FIRST * _OCTAVE, _LAST * _OCTAVE + 1) / _OCTAVE)
    edges = np.concatenate([-magnitudes[::-1], magnitudes])
    noisy = accountant.count(f"range of `{name}`", _histogram(numbers, edges), rho)
    held = np.flatnonzero(noisy.counts > noisy.sigma * math.sqrt(2 * math.log(20 * len(edges))))
    if not len(held):
        raise TableError(
            f"column `{name}`: too few numbers to find their range under the privacy budget; give its `range:`, or "
            "raise `synthesis.privacy.epsilon`"
        )
    # The cell around 0 holds zeros and what is too small to tell from them.
    low, high = edges[held[0]], edges[held[-1] + 1]
    zero = len(magnitudes) - 1
    return (0.0 if held[0] == zero else float(low)), (0.0 if held[-1] == zero else float(high))


def _fine_edges(low: float, high: float, step: float) -> np.ndarray:
    """Edges of as many equal cells as there are steps, or of 1,024 where there are more; each cell has a number."""
    if not step:
        return np.linspace(low, high, _FINE + 1) if high > low else np.array([low, low + 1e-6 * max(abs(low), 1.0)])
    first = math.floor(low / step + 1e-9)
    last = max(first, math.ceil(high / step - 1e-9))
    each = -(-(last - first + 1) // _FINE)
    return np.round(np.append(np.arange(first, last + 1, each), last + 1) * step, 12)


def _histogram(numbers: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Numbers in each cell, int64; those outside count in the nearest."""
    places = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    return np.bincount(places, minlength=len(edges) - 1)


def _even(edges: np.ndarray, counts: np.ndarray, bins: int) -> np.ndarray:
    """At most `bins` intervals out of cells, with about equally many rows in each by noisy counts."""
    mass = np.cumsum(np.maximum(counts, 0))
    ends = np.searchsorted(mass, mass[-1] * np.arange(1, bins) / bins) + 1
    return edges[np.unique([0, *np.minimum(ends, len(edges) - 1), len(edges) - 1])]


def _as(words: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_floating(kind):
        return words.cast(pa.float64()).cast(kind)
    return words.cast(kind)
