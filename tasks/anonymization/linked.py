"""Releasing a set of tables about the same people; tasks.common.linked_forms is how such a set is written.

The base has one row for each person, so its equivalence classes are classes of people. Whoever is suppressed there is
gone from every table. Events carry no quasi-identifier of their own: they are joined to the base by a pseudonym and are
protected by its classes. Where others may know how many rows a person has in a table, the number, in bands, is one more
quasi-identifier of the base, and everybody in a class shows equally many rows.

What the rows of events say may still single a person out to someone who knows some of it. That is for attacks to tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.anonymization import anonymizer, coding, date_shift, longitudinal, pseudonyms, transforming
from tasks.anonymization.account import Anonymization
from tasks.anonymization.plan import first_plan
from tasks.anonymization.releasing import integers_where_whole
from tasks.anonymization.rounding import multiples
from tasks.common import reading
from tasks.common.errors import PolicyError, TableError
from tasks.common.hierarchy_forms import AllOrNothing
from tasks.common.key_file import Key
from tasks.common.linked_forms import BASE, Events, LinkedPolicy
from tasks.common.policy import Column, Kind, Policy, Role
from tasks.common.seeds import generator
from tasks.common.table import Table, open_table
from tasks.common.values import Value

_ROW = "\0row"  # carries each released row's place in the base; no column of a file is called so


class EventsAccount(Value):
    """What became of a table of events, in rows.

    unlinked: of nobody in the base. over_cap: beyond `most_rows_per_person`. beyond_band: left out so that the number
    of rows tells nothing, here or in the table that the rows go through. suppressed: of people who are not released.
    people: with rows in the release.
    column_loss: by released column what a cell lost, in [0, 1], rows that were left out counting as lost.
    """

    rows_before: int
    unlinked: int
    over_cap: int
    beyond_band: int
    suppressed: int
    rows_after: int
    people: int
    column_loss: dict[str, float]


class SetAccount(Value):
    """How a set was released. key: the fingerprint of the key."""

    key: str
    people_before: int
    people_after: int
    base: Anonymization
    tables: dict[str, EventsAccount]


@dataclass(frozen=True)
class ReleasedSet:
    """Released tables by name, the base among them, and their account."""

    tables: dict[str, pa.Table]
    account: SetAccount


@dataclass(frozen=True)
class _Linked:
    """Typed rows of a table of events whose people are known; persons: places in the base, int64 (rows,).

    unlinked, over_cap, hidden: rows that were left out of it already, hidden ones with what they go through.
    """

    table: pa.Table
    persons: np.ndarray
    unlinked: int
    over_cap: int = 0
    hidden: int = 0

    @property
    def rows_before(self) -> int:
        return self.table.num_rows + self.unlinked + self.over_cap + self.hidden

    def take(self, rows: np.ndarray, over_cap: int = 0, hidden: int = 0) -> _Linked:
        table, persons = self.table.take(pa.array(rows)), self.persons[rows]
        return _Linked(table, persons, self.unlinked, self.over_cap + over_cap, self.hidden + hidden)


def anonymize_set(linked: LinkedPolicy, key: Key) -> ReleasedSet:
    """Read the tables of a set and release them together.

    Raises:
        PolicyError: a table has columns without a role, or lacks some.
        TableError: the base has several rows of a person or rows of nobody; a key leads to two people.
        HierarchyError, ThresholdNotReached: as for a single table.
    """
    policy = linked.base
    base = _read_base(linked)
    people = pseudonyms.as_text(base[linked.person])
    events = _cap(_link(linked, people), linked)
    counts = {name: np.bincount(rows.persons, minlength=len(people)) for name, rows in events.items()}
    banded = _with_bands(policy, linked, counts)
    frame = _frame(base, people, policy, linked, counts, key)
    plain = transforming.without_transformations(banded)
    made = anonymizer.anonymize(frame, None, plain, first_plan(plain), generator(policy.seed, "anonymize"))
    kept = made.table[_ROW].to_numpy()
    classes = _classes(made.table, banded.quasi)
    named = pseudonyms.released(base.take(pa.array(kept)), policy, key)
    tables = {BASE: pa.table(named | {name: made.table[name] for name in made.table.column_names if name != _ROW})}
    shown = _shown(events, linked, kept, classes, len(people))
    accounts = {}
    for name, rows in shown.items():
        who = people.take(pa.array(rows.persons))
        columns, lost = _columns(rows.table, who, linked.tables[name], linked, key)
        tables[name] = pa.table(columns)
        accounts[name] = _events_account(events[name], rows, lost, kept)
    return ReleasedSet(tables, _account(made.account, frame, base, policy, key, accounts))


def _read_base(linked: LinkedPolicy) -> pa.Table:
    policy = linked.base
    assert policy.table is not None, "checked when the set was read"
    table = open_table(policy.table)
    reading.require_same_columns(table, policy)
    wanted = list(dict.fromkeys([linked.person, *policy.pseudonymous, *policy.released]))
    base = reading.read(table, policy, wanted).take(pa.array(reading.included_rows(table, policy)))
    named = base[linked.person]
    several = base.num_rows - named.null_count - len(named.drop_null().unique())
    if named.null_count or several:
        raise TableError(
            f"the base {table.path.name} has {named.null_count} rows without `{linked.person}` and {several} more rows "
            "than people; it needs exactly one row for each person. Put what differs between a person's rows into a "
            "table of events"
        )
    return base


def _frame(
    base: pa.Table, people: pa.Array, policy: Policy, linked: LinkedPolicy, counts: dict[str, np.ndarray], key: Key
) -> pa.Table:
    """What the anonymizer gets: released columns, coded and shifted, bands of numbers of rows, and each row's place."""
    shifted = date_shift.released(base, people, policy, key)
    columns = {name: shifted.get(name, coding.coded(base[name], policy.columns[name])) for name in policy.released}
    for name, events in linked.tables.items():
        if events.count_bands is not None:
            labels = pa.array(longitudinal.band_labels(events.count_bands))
            columns[_band(name)] = labels.take(pa.array(longitudinal.band_of(counts[name], events.count_bands)))
    return pa.table(columns | {_ROW: pa.array(np.arange(base.num_rows), pa.float64())})


def _band(name: str) -> str:
    return f"rows in {name}"


def _with_bands(policy: Policy, linked: LinkedPolicy, counts: dict[str, np.ndarray]) -> Policy:
    """The base's policy with a quasi-identifier for each table whose rows are counted, and with places of rows."""
    bands = {
        _band(name): Column(role=Role.QUASI, hierarchy=AllOrNothing())
        for name in counts
        if linked.tables[name].count_bands is not None
    }
    if taken := bands.keys() & policy.columns.keys():
        raise PolicyError(
            f"the base has a column `{min(taken)}`, which is what the number of rows is called; rename it"
        )
    place = {_ROW: Column(role=Role.OTHER, kind=Kind.NUMERIC)}
    return policy.model_copy(update={"columns": policy.columns | bands | place})


def _link(linked: LinkedPolicy, people: pa.Array) -> dict[str, _Linked]:
    tables = {name: _read_events(name, events, linked) for name, events in linked.tables.items()}
    places = {
        name: _places(table, linked.tables[name].person or linked.person, people)
        for name, table in tables.items()
        if linked.tables[name].through is None
    }
    found = {}
    for name, table in tables.items():
        through = linked.tables[name].through
        if through is None:
            place = places[name]
        else:
            owners = _owners(through.table, tables[through.table], through.key, places[through.table])
            place = _places(table, through.key, owners[0], owners[1])
        here = np.flatnonzero(place >= 0)
        found[name] = _Linked(table.take(pa.array(here)), place[here], len(place) - len(here))
    return found


def _read_events(name: str, events: Events, linked: LinkedPolicy) -> pa.Table:
    """Its columns as their kinds, but those that nobody needs."""
    table: Table = open_table(events.table)
    reading.require_columns(table, list(events.columns))
    if unknown := [column for column in table.columns if column not in events.columns]:
        raise PolicyError(
            f"{table.path.name} has columns that `{name}` gives no role: {', '.join(f'`{n}`' for n in unknown)}; "
            "add them there, with `role: drop` if nobody needs them"
        )
    needed = {events.person or linked.person, events.through.key if events.through else None}
    needed |= {other.through.key for other in linked.tables.values() if other.through and other.through.table == name}
    wanted = [n for n in events.columns if n in {*events.released, *events.pseudonymous} or n in needed]
    raw = table.read(wanted)
    return pa.table({n: reading.as_kind(raw[n], n, events.columns[n]) for n in wanted})


def _places(table: pa.Table, column: str, values: pa.Array, places: np.ndarray | None = None) -> np.ndarray:
    """Where each row's value stands in `values`, or the place given for it there, -1 where nowhere; int64 (rows,)."""
    text = pseudonyms.as_text(table[column])
    found = pc.fill_null(pc.index_in(text, value_set=values, skip_nulls=True), -1).to_numpy()
    return found if places is None else np.where(found >= 0, places[found], -1)


def _owners(name: str, table: pa.Table, key: str, persons: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """The distinct keys of a table and the person of each, int64."""
    encoded = pseudonyms.as_text(table[key]).dictionary_encode()
    known = encoded.is_valid().to_numpy(zero_copy_only=False) & (persons >= 0)
    codes = pc.fill_null(encoded.indices, 0).to_numpy()
    low = np.full(len(encoded.dictionary), np.iinfo(np.int64).max)
    high = np.full(len(encoded.dictionary), -1)
    np.minimum.at(low, codes[known], persons[known])
    np.maximum.at(high, codes[known], persons[known])
    if wrong := int(((high >= 0) & (low != high)).sum()):
        raise TableError(
            f"{wrong} values of `{key}` in `{name}` belong to more than one person, so whose they are is open"
        )
    return encoded.dictionary, high


def _cap(events: dict[str, _Linked], linked: LinkedPolicy) -> dict[str, _Linked]:
    capped = {}
    for name, rows in events.items():
        most = linked.tables[name].most_rows_per_person
        if most is not None:
            stay = longitudinal.capped(rows.persons, most, generator(linked.base.seed, "cap", name))
            rows = rows.take(stay, over_cap=len(rows.persons) - len(stay))
        capped[name] = rows
    return capped


def _classes(released: pa.Table, quasi: list[str]) -> np.ndarray:
    """The equivalence class of each released row, int64 (rows,): which agree in all labels."""
    codes = [
        released[name].combine_chunks().dictionary_encode("encode").indices.to_numpy().astype(np.int64)
        for name in quasi
        if name in released.column_names
    ]
    if not codes:
        return np.zeros(released.num_rows, dtype=np.int64)
    return np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def _shown(
    events: dict[str, _Linked], linked: LinkedPolicy, kept: np.ndarray, classes: np.ndarray, people: int
) -> dict[str, _Linked]:
    """The rows to release, in random order.

    kept: places of released people in the base, int64; classes: the class of each. Rows that go through a row of
    another table that is not released are not either, or their number would tell how many of those there are.
    """
    shown: dict[str, _Linked] = {}
    for name in sorted(events, key=lambda name: linked.tables[name].through is not None):
        rows, rules = events[name], linked.tables[name]
        if rules.through is not None:
            rows = _through(rows, rules.through.key, shown[rules.through.table], kept)
        limits = np.zeros(people, dtype=np.int64)
        counts = np.bincount(rows.persons, minlength=people)[kept]
        bands = rules.count_bands
        limits[kept] = counts if bands is None else longitudinal.quotas(counts, bands, classes)
        rng = generator(linked.base.seed, "events", name)
        stay = longitudinal.capped(rows.persons, limits, rng)
        rng.shuffle(stay)
        shown[name] = rows.take(stay)
    return {name: shown[name] for name in events}


def _through(rows: _Linked, key: str, shown: _Linked, kept: np.ndarray) -> _Linked:
    known = pc.is_in(pseudonyms.as_text(rows.table[key]), value_set=pseudonyms.as_text(shown.table[key]))
    stay = np.flatnonzero(known.to_numpy(zero_copy_only=False) | ~np.isin(rows.persons, kept))
    return rows.take(stay, hidden=len(rows.persons) - len(stay))


def _events_account(before: _Linked, shown: _Linked, lost: dict[str, float], kept: np.ndarray) -> EventsAccount:
    suppressed = int((~np.isin(before.persons, kept)).sum())
    after = shown.table.num_rows
    share = after / max(before.rows_before, 1)
    return EventsAccount(
        rows_before=before.rows_before,
        unlinked=before.unlinked,
        over_cap=before.over_cap,
        beyond_band=before.table.num_rows - suppressed - after,
        suppressed=suppressed,
        rows_after=after,
        people=len(np.unique(shown.persons)),
        column_loss={column: 1 - share + share * loss for column, loss in lost.items()},
    )


def _columns(
    table: pa.Table, who: pa.Array, events: Events, linked: LinkedPolicy, key: Key
) -> tuple[dict[str, pa.Array], dict[str, float]]:
    """Released columns, and what a cell of each lost. The person comes first, called as in the base."""
    project, person = linked.base.name, linked.person
    columns = {person: pseudonyms.pseudonyms(who, key, project, _domain(linked))}
    lost = {}
    for name, column in events.columns.items():
        if column.pseudonym and name not in {person, events.person}:
            columns[name] = pseudonyms.pseudonyms(table[name], key, project, pseudonyms.domain(name, column))
        elif name in events.released:
            columns[name] = _transformed(table[name].combine_chunks(), column, who, project, key)
            moved = column.shift or column.bottom is not None or column.top is not None or column.round
            lost[name] = coding.moved_loss(table[name], columns[name]) if moved else 0.0
    return columns, lost


def _domain(linked: LinkedPolicy) -> str:
    return pseudonyms.domain(linked.person, linked.base.columns[linked.person])


def _transformed(values: pa.Array, column: Column, who: pa.Array, project: str, key: Key) -> pa.Array:
    if column.shift is not None:
        return date_shift.shifted(values, date_shift.offsets(who, key, project, column.shift))
    values = coding.coded(values, column)
    return integers_where_whole(multiples(values, column.round) if column.round is not None else values)


def _account(
    made: Anonymization, frame: pa.Table, base: pa.Table, policy: Policy, key: Key, tables: dict[str, EventsAccount]
) -> SetAccount:
    """The base's account without the places of rows, and with what coding and shifting lost."""
    kept = made.rows_after / made.rows_before
    lost = {name: loss for name, loss in made.column_loss.items() if name != _ROW}
    for name in policy.named(Role.SENSITIVE, Role.OTHER):
        column = policy.columns[name]
        if column.shift is not None or column.bottom is not None or column.top is not None:
            lost[name] = 1 - kept + kept * coding.moved_loss(base[name], frame[name])
    weights = [policy.columns[name].weight if name in policy.columns else 1.0 for name in lost]
    mean = float(np.average(list(lost.values()), weights=weights))
    return SetAccount(
        key=key.fingerprint,
        people_before=made.rows_before,
        people_after=made.rows_after,
        base=made.model_copy(update={"column_loss": lost, "utility_loss": mean}),
        tables=tables,
    )
