"""Synthetic tables about the same synthetic people: a base, and any number of rows for each person in other tables.

The base is learned by the policy's engine, together with how many rows each person has in each table. The rows of a
table are then drawn one after the other for each person, given the person's row in the base and the row before, by
trees, which take any number of given columns. A table that goes through another one is drawn for the rows of that, in
the same way. Every row belongs to somebody, and everybody has as many rows as was drawn for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.common import reading
from tasks.common.errors import TableError
from tasks.common.linked_forms import BASE, Events, LinkedPolicy
from tasks.common.policy import Column, Kind, Policy, Role
from tasks.common.seeds import derive, generator
from tasks.synthesis import columns, drawing, engines
from tasks.synthesis.coded import Coded, concatenated
from tasks.synthesis.handles import Account
from tasks.synthesis.networks import Progress
from tasks.synthesis.trees import Trees

_UNKNOWN = -1e9  # a missing number, where trees can tell it from all others


@dataclass(frozen=True)
class SyntheticSet:
    """Tables by name, the base among them, and how the base was drawn."""

    tables: dict[str, pa.Table]
    account: Account


@dataclass(frozen=True)
class _Rows:
    """Rows that others belong to: what is known of each, float64 (rows, c), and the keys of drawn ones by column."""

    keys: Mapping[str, pa.ChunkedArray]
    known: np.ndarray


@dataclass(frozen=True)
class _Link:
    """Which rows of a table belong to which of its parent: `column` of both; owner int64 (rows,), by place."""

    parent: str
    column: str
    owner: np.ndarray


def synthesize(
    released: Mapping[str, pa.Table], rules: LinkedPolicy, people: int, progress: Progress = lambda _done, _of: None
) -> SyntheticSet:
    """Learn a released set and draw one about `people` people.

    released: tables by name, the base as `base`, as `secured anonymize-set` makes them: joined by pseudonyms.

    Raises:
        TableError: a table lacks a column, rows of it belong to nobody, or there are too few to learn from.
        ConditionsNotReached: the base's conditions cannot be met.
    """
    seed, person = rules.base.seed, rules.person
    links = {name: _link(name, released, rules) for name in _parents_first(rules)}
    base = released[BASE].select([name for name in rules.base.released if name in released[BASE].column_names])
    counts = {name: f"rows of {name}" for name, link in links.items() if link.parent == BASE}
    counted = base
    for name, column in counts.items():
        counted = counted.append_column(column, pa.array(np.bincount(links[name].owner, minlength=base.num_rows)))
    policy = _with_counts(rules.base, list(counts.values()))
    fitted = engines.fit(counted, policy.synthesis, policy.synthesis.engine, derive(seed, "fit"), progress=progress)
    drawn, account = drawing.draw(fitted, people, derive(seed, "people"), policy, counted)
    keys = {person: _new_keys(person, people)}
    tables = {BASE: pa.table({**keys, **_columns_of(drawn.select(base.column_names))})}
    learned = {BASE: _Rows({}, _known(counted, counted))}
    made = {BASE: _Rows(keys, _known(drawn, counted))}
    for name, link in links.items():
        many = (
            drawn[counts[name]].to_numpy().astype(np.int64)
            if name in counts
            else _how_many(learned[link.parent], link, made[link.parent], derive(seed, name, "count"))
        )
        tables[name], learned[name], made[name] = _children(
            name, released[name], link, learned[link.parent], made[link.parent], many, rules
        )
    return SyntheticSet(tables, account)


def _children(
    name: str, rows: pa.Table, link: _Link, parents: _Rows, new_parents: _Rows, many: np.ndarray, rules: LinkedPolicy
) -> tuple[pa.Table, _Rows, _Rows]:
    """The drawn rows of a table, and its learned and drawn rows as parents of others."""
    events, seed = rules.tables[name], rules.base.seed
    order = np.lexsort((_when(rows, events), link.owner))
    owner, rows = link.owner[order], rows.take(pa.array(order))
    values = rows.select([column for column in events.released if column in rows.column_names])
    coded, code = columns.learn(values, events.constraints)
    context = np.concatenate([parents.known[owner], _before(code, owner)], axis=1)
    trees = Trees(code, derive(seed, name, "fit"), context=context)
    drawn, whose = _draw_in_turn(trees, new_parents.known, many, derive(seed, name, "rows"))
    table = coded.with_keys(coded.back(drawn, generator(seed, name, "values")))
    keys = {column: values.take(pa.array(whose)) for column, values in new_parents.keys.items()}
    keys = {column: values for column, values in keys.items() if column in rows.column_names}
    own = [column for column in events.pseudonymous if column in rows.column_names and column not in keys]
    keys |= {column: _new_keys(column, len(whose)) for column in own}
    known = np.concatenate([parents.known[owner], _flat(code)], axis=1)
    return (
        pa.table({**keys, **_columns_of(table)}),
        _Rows({}, known[np.argsort(order)]),  # where the rows stood before they were put in order
        _Rows(keys, np.concatenate([new_parents.known[whose], _flat(drawn)], axis=1)),
    )


def _when(rows: pa.Table, events: Events) -> np.ndarray:
    """What the rows of an owner follow each other by, float64 (rows,).

    The first column that has to be in order, or the first date; as they stand in the table where there is neither.
    """
    times = [group[0] for group in events.constraints.order]
    times += [name for name in rows.column_names if pa.types.is_temporal(rows[name].type)]
    return reading.floats(rows[times[0]]) if times else np.zeros(rows.num_rows)


def _draw_in_turn(trees: Trees, parents: np.ndarray, many: np.ndarray, seed: int) -> tuple[Coded, np.ndarray]:
    """Rows for each parent, the first of all, then the second of those that have two, and so on; and whose they are."""
    before = np.full((len(many), trees.width + 1), -1.0)
    parts = [trees.draw_in(np.concatenate([parents[:0], before[:0]], axis=1), seed)]
    whose = [np.zeros(0, dtype=np.int64)]
    for turn in range(int(many.max(initial=0))):
        who = np.flatnonzero(many > turn)
        made = trees.draw_in(np.concatenate([parents[who], before[who]], axis=1), derive(seed, str(turn)))
        before[who, :-1], before[who, -1] = _flat(made), turn
        parts.append(made)
        whose.append(who)
    every = np.concatenate(whose)
    order = np.argsort(every, kind="stable")
    return concatenated(parts).take(order), every[order]


def _before(code: Coded, owner: np.ndarray) -> np.ndarray:
    """The row before each of the same owner, and its number from 0; -1 for the first. float64 (rows, width + 1)."""
    flat = _flat(code)
    found = np.full((len(owner), flat.shape[1] + 1), -1.0)
    starts = np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]])) if len(owner) else np.zeros(0, np.int64)
    turn = np.arange(len(owner)) - np.repeat(starts, np.diff([*starts, len(owner)]))
    later = np.flatnonzero(turn)
    found[later, :-1], found[later, -1] = flat[later - 1], turn[later] - 1
    return found


def _how_many(learned: _Rows, link: _Link, made: _Rows, seed: int) -> np.ndarray:
    """How many rows each new parent has: as many as one like it had, int64 (parents,)."""
    many = np.bincount(link.owner, minlength=len(learned.known))
    code = Coded(many[:, None].astype(np.int32), np.array([many.max(initial=0) + 1]), np.zeros((len(many), 0)))
    drawn = Trees(code, seed, context=learned.known).draw_in(made.known, derive(seed, "draw"))
    return drawn.codes[:, 0].astype(np.int64)


def _link(name: str, released: Mapping[str, pa.Table], rules: LinkedPolicy) -> _Link:
    """Raises: TableError: a table or key is not there, a key is there twice, or rows belong to nobody."""
    for wanted in (BASE, name):
        if wanted not in released:
            raise TableError(f"the set has no table `{wanted}`")
    through = rules.tables[name].through
    parent, column = BASE, rules.person
    if through is not None and all(through.key in released[place].column_names for place in (name, through.table)):
        parent, column = through.table, through.key
    for place in (parent, name):
        if column not in released[place].column_names:
            raise TableError(f"`{place}` has no column `{column}`, by which the tables are joined")
    keys = released[parent][column].combine_chunks()
    if len(keys.unique()) != len(keys):
        raise TableError(f"`{column}` of `{parent}` is there more than once, so rows of `{name}` have no one owner")
    place = pc.index_in(released[name][column].cast(keys.type), value_set=keys)
    if place.null_count:
        raise TableError(f"{place.null_count} rows of `{name}` belong to nobody in `{parent}`")
    return _Link(parent, column, place.to_numpy().astype(np.int64))


def _known(rows: pa.Table, learned: pa.Table) -> np.ndarray:
    """Rows as trees look at them, float64 (rows, columns): numbers, and the places of values among the learned ones."""
    found = []
    for name in learned.column_names:
        if columns.is_number(learned[name].type):
            found.append(np.nan_to_num(reading.floats(rows[name]), nan=_UNKNOWN))
            continue
        place = pc.index_in(rows[name], value_set=learned[name].combine_chunks().unique())
        found.append(place.to_numpy().astype(float))
    return np.stack(found, axis=1)


def _flat(rows: Coded) -> np.ndarray:
    return np.concatenate([rows.codes.astype(float), rows.numbers], axis=1)


def _columns_of(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return {name: table[name] for name in table.column_names}


def _new_keys(column: str, rows: int) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([f"synthetic-{column}-{n}" for n in range(1, rows + 1)], pa.string())])


def _with_counts(policy: Policy, counts: list[str]) -> Policy:
    """The base's policy, with columns that count rows in other tables."""
    added = {name: Column(role=Role.OTHER, kind=Kind.NUMERIC) for name in counts}
    return policy.model_copy(update={"columns": {**policy.columns, **added}})


def _parents_first(rules: LinkedPolicy) -> list[str]:
    """Tables that name the person before those that go through them."""
    return sorted(rules.tables, key=lambda name: rules.tables[name].through is not None)
