"""Who belongs to which group, and what may be told about a group.

People are grouped by each protected column and by all of them together, since a model can be fair to women and to the
insured and still fail insured women (Buolamwini and Gebru 2018, PMLR 81; Kearns et al. 2018, PMLR 80).

The people are real and the numbers are published with the release. A group is therefore named only if the release names
it too, one of too few people is told without its number, and numbers of people are rounded, so that subtracting groups
from each other finds nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tasks.anonymization.hierarchies import number

# Rates among fewer people are too uncertain to compare: at 30 the 95 % interval of a half is wider than a third.
LEAST_PEOPLE = 30
MISSING = "(missing)"
BETWEEN = " x "


@dataclass(frozen=True)
class Groups:
    """The groups of n people by a column, or by several together (`gender x payor`).

    names: of the groups that are large enough. place: int64 (n,), of each person among the names, -1 for in none of
    them. left_out: names of smaller groups.
    """

    column: str
    names: tuple[str, ...]
    place: np.ndarray
    left_out: tuple[str, ...]


def group_of(table: pa.Table, columns: list[str]) -> np.ndarray:
    """The group of each row by all of these columns together, as text, object (rows,)."""
    parts = [_words(table[name]).tolist() for name in columns]
    return np.array([" / ".join(words) for words in zip(*parts, strict=True)], dtype=object)


def _words(values: pa.ChunkedArray) -> np.ndarray:
    """Values as text; whole numbers are the same as integers and as floats."""
    encoded = values.combine_chunks().dictionary_encode("encode")
    words = [
        MISSING if value is None else number(value) if isinstance(value, float) else str(value)
        for value in encoded.dictionary.to_pylist()
    ]
    return np.array(words, dtype=object)[encoded.indices.to_numpy()]


def group(people: pa.Table, release: pa.Table, columns: list[str], *, least: int) -> Groups:
    """Group people by the columns; groups of fewer than `least` of them are left out."""
    words = group_of(people, columns)
    names, place, counts = np.unique(words, return_inverse=True, return_counts=True)
    released = set(group_of(release, columns))
    large = np.array([count >= least and name in released for name, count in zip(names, counts, strict=True)])
    numbered = np.where(large, np.cumsum(large) - 1, -1)
    return Groups(
        column=BETWEEN.join(columns),
        names=tuple(str(name) for name in names[large]),
        place=numbered[place],
        left_out=tuple(str(name) for name in names[~large] if name in released),
    )


def about(count: int) -> int:
    """A number of people to two significant digits, and to a multiple of 5."""
    unit = max(10 ** (len(str(count)) - 2), 5)
    return int(round(count / unit) * unit)
