"""People held out, as bias is measured on them: one row of each, in the words of the release.

Rows of one person are alike, so intervals from all of them would be too narrow.

A release made by the data flow comes with its levels. One that is only a file does not, so the level of each column is
read from its labels: the one at which most of the people held out have a label that the release has too.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.anonymization import coding, hierarchies, holdout, longitudinal
from tasks.anonymization.releasing import integers_where_whole
from tasks.anonymization.rounding import multiples
from tasks.common import reading
from tasks.common.errors import TableError
from tasks.common.policy import Column, Policy
from tasks.common.seeds import generator
from tasks.common.table import Table

_LEAST_UNDERSTOOD = 0.5  # share of people whose label the release has


def read(people: Table, release: pa.Table, policy: Policy) -> pa.Table:
    """One row of each person, with the columns of the release, generalized like it or in its labels already.

    Numbers without a hierarchy are rounded as the policy says; adjustments may have rounded the release further.

    Raises:
        PolicyError: the people lack a column of the release.
        TableError: no level of a hierarchy fits the labels of the release.
        HierarchyError: a value stands outside its hierarchy.
    """
    reading.require_columns(people, release.column_names)
    rows = reading.read_release(people, policy).select(release.column_names)
    persons = holdout.persons(people, policy) if policy.person in people.columns else None
    if all(name in people.columns for name in policy.exclude):
        kept = reading.included_rows(people, policy)
        rows, persons = rows.take(pa.array(kept)), None if persons is None else persons[kept]
    rows = one_row_each(rows, persons, policy.seed)
    return pa.table({name: _in_words(name, rows[name], release[name], policy) for name in release.column_names})


def one_row_each(rows: pa.Table, persons: np.ndarray | None, seed: int) -> pa.Table:
    """One row of each person, drawn at random; persons: a number for each row, None where each is a person."""
    if persons is None:
        return rows
    who = np.unique(persons, return_inverse=True)[1]
    return rows.take(pa.array(longitudinal.capped(who, 1, generator(seed, "one row each"))))


def _in_words(name: str, facts: pa.ChunkedArray, released: pa.ChunkedArray, policy: Policy) -> pa.ChunkedArray:
    column = policy.columns[name]
    if column.hierarchy is None:
        return _as_released(facts, column)
    known = pc.drop_null(_words(released)).unique()
    if _understood(facts, known) == 1:
        return facts
    facts = coding.coded(reading.as_kind(facts, name, column), column)
    encoded = facts.combine_chunks().dictionary_encode("encode")
    tree = hierarchies.build(name, column, encoded.dictionary.to_pylist())
    levels = [
        pa.chunked_array([integers_where_whole(pa.array(labels).take(pa.array(codes)).take(encoded.indices))])
        for labels, codes in zip(tree.labels, tree.codes, strict=True)
    ]
    shares = [_understood(level, known) for level in levels]
    if max(shares) < _LEAST_UNDERSTOOD:
        raise TableError(
            f"column `{name}`: at no level of its hierarchy do the people held out have the labels of the release; "
            "give the policy that the release was made by, or people in the release's own labels"
        )
    return levels[shares.index(max(shares))]


def _as_released(facts: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    """Top and bottom coded and rounded as the policy says, where these are numbers."""
    if not (pa.types.is_integer(facts.type) or pa.types.is_floating(facts.type)):
        return facts
    values = coding.coded(facts.cast(pa.float64()), column).combine_chunks()
    return pa.chunked_array([multiples(values, column.round) if column.round is not None else values])


def _understood(facts: pa.ChunkedArray, known: pa.Array) -> float:
    """Share of the facts that are known words; a missing one is."""
    words = _words(facts)
    understood = pc.or_(pc.is_in(words, value_set=known), pc.is_null(words))
    return float(pc.mean(understood.cast(pa.float64())).as_py() or 0.0)


def _words(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([integers_where_whole(values.combine_chunks()).cast(pa.string())])


def like(rows: pa.Table, release: pa.Table, what: str) -> pa.Table:
    """Rows with the columns of a release, of the same types.

    Raises:
        TableError: a column is not there, or is of another kind.
    """
    if lacking := [name for name in release.column_names if name not in rows.column_names]:
        raise TableError(f"{what} lack the column `{lacking[0]}` of the release; make them from it")
    try:
        return rows.select(release.column_names).cast(release.schema)
    except pa.ArrowInvalid:
        raise TableError(f"{what} have values of other kinds than the release; make them from it") from None
