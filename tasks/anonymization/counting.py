"""Counting a table once: its distinct quasi-identifying tuples, in one pass over batches of rows.

What is kept grows with distinct tuples, not with rows, but for the number of each row's tuple, which goes to a file
beyond some millions of rows. Counts of parts of a table merge to the count of the whole, whoever counted the parts, so
workers can share a table, and appended rows cost only themselves.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.anonymization import population
from tasks.anonymization.classes import Tuples
from tasks.anonymization.grouping import Dictionary, Grouping, order_of
from tasks.anonymization.histograms import Histogram, merged_histogram
from tasks.common.errors import PolicyError
from tasks.common.streaming import Rows

_MOST_IN_MEMORY = 1 << 24


class Numbers:
    """An int32 number for each row, in the order of rows; in memory, or in a nameless temporary file where many."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._file: IO[bytes] | None = None
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    @classmethod
    def of_file(cls, path: Path) -> Numbers:
        """Those that a file holds; it may be removed meanwhile."""
        made = cls()
        made._file = path.open("rb")
        made._rows = path.stat().st_size // 4
        weakref.finalize(made, made._file.close)
        return made

    def append(self, numbers: np.ndarray) -> None:
        """Add int32 (rows,) at the end."""
        self._parts.append(numbers)
        self._rows += len(numbers)
        if self._rows > _MOST_IN_MEMORY or self._file is not None:
            file = self._file or self._open()
            file.seek(0, 2)
            for part in self._parts:
                file.write(part.tobytes())
            self._parts = []

    def _open(self) -> IO[bytes]:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it goes when this goes
        weakref.finalize(self, self._file.close)
        return self._file

    def read(self, start: int, rows: int) -> np.ndarray:
        """Those of `rows` rows from `start` on, int32; not more than there are."""
        if self._file is None:
            if len(self._parts) > 1:
                self._parts = [np.concatenate(self._parts)]
            return self._parts[0][start : start + rows] if self._parts else np.zeros(0, dtype=np.int32)
        self._file.seek(4 * start)
        return np.frombuffer(self._file.read(4 * rows), dtype=np.int32)

    def extend(self, other: Numbers, renumbered: np.ndarray) -> None:
        """Add another's at the end, each number n as renumbered[n]."""
        for start in range(0, len(other), _MOST_IN_MEMORY // 16):
            self.append(renumbered[other.read(start, _MOST_IN_MEMORY // 16)])


@dataclass(frozen=True)
class Counted:
    """A table as tuples.

    leaves: by quasi-identifier its distinct values, typed, rising, a missing one last; tuples' codes are places there.
    secret_values: the same by sensitive column, for the codes of histograms.
    of_row: the tuple of each row. whole: numeric columns that hold nothing but integers.
    persons: int64 (rows,), who is behind each row, or None where each is a person of its own.
    """

    leaves: dict[str, pa.Array]
    secret_values: dict[str, pa.Array]
    tuples: Tuples
    of_row: Numbers
    whole: frozenset[str]
    persons: np.ndarray | None = None

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return len(self.of_row)

    def without(self, dropped: Sequence[str]) -> tuple[Counted, np.ndarray]:
        """Counted by fewer quasi-identifiers, and the tuple there of each tuple here, int32; rows keep theirs."""
        if not set(dropped) & set(self.leaves):
            return self, np.arange(len(self.tuples), dtype=np.int32)
        kept = [j for j, name in enumerate(self.leaves) if name not in dropped]
        leaves = {name: values for name, values in self.leaves.items() if name not in dropped}
        codes = [np.ascontiguousarray(self.tuples.codes[:, j]) for j in kept]
        grouping = Grouping(len(kept))
        into = grouping.add(codes, [len(values) for values in leaves.values()], self.tuples.rows)
        tuples = _merged(self.tuples, into, grouping)
        return replace(self, leaves=leaves, tuples=tuples), into


@dataclass(frozen=True)
class Asked:
    """What is to be known of a table: its quasi-identifiers, of which sensitive columns histograms are to be kept, and
    of which numeric ones it is asked whether all their values are integers."""

    quasi: tuple[str, ...]
    secrets: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()


def count(rows: Rows, asked: Asked, persons: np.ndarray | None = None) -> Counted:
    """Count rows by their quasi-identifiers.

    persons: int64 (rows,), who is behind each row; None where each row is a person of its own. With persons, 12 bytes
    of each row are held in memory while people are counted.
    """
    quasi, secrets, numeric = asked.quasi, asked.secrets, asked.numeric
    columns = list(dict.fromkeys([*quasi, *secrets, *numeric]))
    encoded = {*quasi, *secrets}
    dictionaries = {name: Dictionary() for name in encoded}
    grouping, pairs = Grouping(len(quasi)), {name: Grouping(2) for name in secrets}
    of_row, whole = Numbers(), set(numeric)
    codes_of_secret = {name: Numbers() for name in secrets}
    for batch in rows.batches(columns, encoded):
        arrays = dict(zip(columns, batch, strict=True))
        codes = {name: dictionaries[name].codes(arrays[name]) for name in encoded}
        number = grouping.add([codes[name] for name in quasi], [len(dictionaries[name]) for name in quasi])
        of_row.append(number)
        for name in secrets:
            if persons is None:
                pairs[name].add([number, codes[name]], [len(grouping), len(dictionaries[name])])
            else:
                codes_of_secret[name].append(codes[name])
        whole -= {name for name in whole if not _are_whole(arrays[name])}
    if persons is None:
        tuples = _tuples_of_rows(grouping, pairs)
    else:
        tuples = _tuples_of_persons(grouping, of_row, codes_of_secret, persons)
    sorted_leaves = {name: dictionaries[name].sorted() for name in quasi}
    tuples, place = _in_order(tuples, list(sorted_leaves.values()))
    ordered = Numbers()
    ordered.extend(of_row, place)
    return Counted(
        {name: leaves for name, (leaves, _) in sorted_leaves.items()},
        {name: dictionaries[name].values for name in secrets},
        tuples,
        ordered,
        frozenset(whole),
        persons,
    )


def merge(parts: Sequence[Counted]) -> Counted:
    """The count of tables one after the other, where each row is a person of its own."""
    quasi, secrets = list(parts[0].leaves), list(parts[0].secret_values)
    dictionaries = {name: Dictionary() for name in (*quasi, *secrets)}
    grouping, places = Grouping(len(quasi)), []
    for part in parts:
        leaves = [dictionaries[name].codes(_all_of(part.leaves[name])) for name in quasi]
        codes = [place[part.tuples.codes[:, j]] for j, place in enumerate(leaves)]
        places.append(grouping.add(codes, [len(dictionaries[name]) for name in quasi], part.tuples.rows))
    into, count_ = np.concatenate(places), len(grouping)
    histograms = {
        name: merged_histogram(_joined([_recoded(part, name, dictionaries[name]) for part in parts]), into, count_)
        for name in secrets
    }
    tuples = Tuples(grouping.codes(), grouping.weights, grouping.weights.astype(float), histograms)
    sorted_leaves = {name: dictionaries[name].sorted() for name in quasi}
    tuples, order = _in_order(tuples, list(sorted_leaves.values()))
    of_row = Numbers()
    for part, place in zip(parts, places, strict=True):
        of_row.extend(part.of_row, order[place])
    return Counted(
        {name: values for name, (values, _) in sorted_leaves.items()},
        {name: dictionaries[name].values for name in secrets},
        tuples,
        of_row,
        frozenset.intersection(*(part.whole for part in parts)),
    )


def with_population(table: Counted, everybody: Counted, people: np.ndarray) -> Counted:
    """The same table with the population that it is a part of; combinations only found there are tuples without rows.

    people: float64, how many people each tuple of the population stands for.

    Raises:
        PolicyError: the population has fewer people of some combination than the table.
    """
    leaves: dict[str, pa.Array] = {}
    codes = [np.empty_like(counted.tuples.codes) for counted in (table, everybody)]
    for j, name in enumerate(table.leaves):
        dictionary = Dictionary()
        met = [dictionary.codes(_all_of(counted.leaves[name])) for counted in (table, everybody)]
        leaves[name], place = dictionary.sorted()
        for found, into, counted in zip(codes, met, (table, everybody), strict=True):
            found[:, j] = place[into[counted.tuples.codes[:, j]]]
    sizes = [len(values) for values in leaves.values()]
    tuples = table.tuples.with_codes(codes[0])
    nobody = replace(tuples, people=np.zeros(len(tuples)))
    there = population.with_population(nobody, codes[1], people, sizes).population
    if there is None or (there[: len(tuples)] < tuples.people - 1e-6).any():
        raise PolicyError(
            "the criteria's `population:` is none of the table: some combinations of quasi-identifiers have fewer "
            "people there than in the table, which has to be a part of it"
        )
    return replace(table, leaves=leaves, tuples=population.with_population(tuples, codes[1], people, sizes))


def _all_of(values: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.arange(len(values), dtype=np.int32)), values)


def _recoded(part: Counted, name: str, dictionary: Dictionary) -> Histogram:
    """A part's histogram in the codes of a common dictionary; codes of a tuple need not rise."""
    histogram = part.tuples.secrets[name]
    return Histogram(
        histogram.starts, dictionary.codes(_all_of(part.secret_values[name]))[histogram.codes], histogram.counts
    )


def _joined(histograms: Sequence[Histogram]) -> Histogram:
    ends = np.cumsum([0, *(len(histogram.codes) for histogram in histograms)])
    starts = [histogram.starts[:-1] + end for histogram, end in zip(histograms, ends[:-1], strict=True)]
    return Histogram(
        np.concatenate([*starts, ends[-1:]]),
        np.concatenate([histogram.codes for histogram in histograms]),
        np.concatenate([histogram.counts for histogram in histograms]),
    )


def _merged(tuples: Tuples, into: np.ndarray, grouping: Grouping) -> Tuples:
    count_ = len(grouping)
    return Tuples(
        grouping.codes(),
        grouping.weights,
        np.bincount(into, weights=tuples.people, minlength=count_),
        {name: merged_histogram(histogram, into, count_) for name, histogram in tuples.secrets.items()},
        None if tuples.population is None else np.bincount(into, weights=tuples.population, minlength=count_),
    )


def _are_whole(values: pa.Array) -> bool:
    """Whether all numbers are integers that a double holds exactly; no number is none."""
    if not pa.types.is_floating(values.type):
        return pa.types.is_integer(values.type)
    if values.null_count == len(values):
        return True
    whole = pc.all(pc.equal(values, pc.round(values))).as_py()
    return bool(whole) and pc.max(pc.abs(values)).as_py() < 2**53


def _tuples_of_rows(grouping: Grouping, pairs: dict[str, Grouping]) -> Tuples:
    rows = grouping.weights
    histograms = {}
    for name, pair in pairs.items():
        codes, counts = pair.codes(), pair.weights
        order = np.lexsort((codes[:, 1], codes[:, 0]))
        starts = np.searchsorted(codes[order, 0], np.arange(len(rows) + 1))
        histograms[name] = Histogram(
            starts.astype(np.int64), np.ascontiguousarray(codes[order, 1]), counts[order].astype(float)
        )
    return Tuples(grouping.codes(), rows, rows.astype(float), histograms)


def _tuples_of_persons(
    grouping: Grouping, of_row: Numbers, codes_of_secret: dict[str, Numbers], persons: np.ndarray
) -> Tuples:
    number, count_ = of_row.read(0, len(of_row)), len(grouping)
    weights = row_weights(persons, number)
    each_row = np.arange(len(number) + 1)
    histograms = {
        name: merged_histogram(Histogram(each_row, codes.read(0, len(codes)), weights), number, count_)
        for name, codes in codes_of_secret.items()
    }
    people = np.bincount(number, weights=weights, minlength=count_)
    return Tuples(grouping.codes(), grouping.weights, people, histograms)


def row_weights(persons: np.ndarray, of_row: np.ndarray) -> np.ndarray:
    """What each row counts as a person, float64 (rows,): of a person in t tuples each gets 1/t, shared by its rows.

    The weights of a person add up to 1, so a class never counts more people than it has; rows of one person that are
    alike cost nothing, since they are in one tuple. persons, of_row: int (rows,).
    """
    _, who = np.unique(persons, return_inverse=True)
    pair = Grouping(2)
    of_pair = pair.add([who.astype(np.int32), of_row], [int(who.max(initial=0)) + 1, int(of_row.max(initial=0)) + 1])
    tuples_of_person = np.bincount(pair.codes()[:, 0])
    return 1.0 / (tuples_of_person[who] * pair.weights[of_pair])


def _in_order(tuples: Tuples, sorted_leaves: list[tuple[pa.Array, np.ndarray]]) -> tuple[Tuples, np.ndarray]:
    """Tuples with codes in the order of the leaves, sorted by them; and the new place of each tuple, int32 (n,)."""
    codes = np.stack([place[tuples.codes[:, j]] for j, (_, place) in enumerate(sorted_leaves)], axis=1)
    order = order_of(codes, [len(leaves) for leaves, _ in sorted_leaves])
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    histograms = {name: merged_histogram(histogram, place, len(order)) for name, histogram in tuples.secrets.items()}
    population = None if tuples.population is None else tuples.population[order]
    return Tuples(codes[order], tuples.rows[order], tuples.people[order], histograms, population), place
