"""The person as the unit of protection, whatever number of rows a person has.

How many people share labels is the size of a set, and sizes of sets do not add up: a person with rows in two classes is
one person in their union. `people_in_classes` is exact; it has to see which person is in which class. The lattice
search merges counts instead, and needs numbers that add up and never overstate.

Any such numbers come from weights w(p, T) >= 0 of a person p in a tuple T that add up to at most 1 for each person: a
class C is a union of tuples, so p adds sum of w(p, T) over the T in C, which is at most 1, and 0 if p has no row in C.
The total is therefore at most the number of people in C. A row's weight 1/n of n rows is one choice. 1/t of t distinct
tuples, shared by the rows in each (`counting.row_weights`), is another, which is exact for people whose rows agree in
the quasi-identifiers however often they occur elsewhere, and does not let a person's single odd row count next to
nothing. Neither is above the other everywhere: nine rows in one class and one in another count 0.9 and 0.1 by rows,
0.5 and 0.5 by tuples; the smallest class, which decides k, is where tuples do better.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from tasks.anonymization.grouping import Grouping


def people_in_classes(batches: Iterable[tuple[np.ndarray, np.ndarray]], classes: int) -> np.ndarray:
    """Distinct people in each class, int64 (classes,).

    batches: of rows, as numbers of the person (int (rows,) from 0) and of the class (int (rows,) from 0). Memory grows
    with the distinct pairs of them.
    """
    pairs, most = Grouping(2), 1
    for persons, class_of_row in batches:
        if len(persons):
            most = max(most, int(persons.max()) + 1)
            pairs.add([persons.astype(np.int32), class_of_row.astype(np.int32)], [most, max(classes, 1)])
    return np.bincount(pairs.codes()[:, 1], minlength=classes)


def capped(persons: np.ndarray, most: int | np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows that stay if each person keeps at most `most`, by random choice; positions in rising order, int64.

    persons: int (rows,), numbers from 0. most: one number for all, or int (persons,).
    """
    rank = np.empty(len(persons), dtype=np.int64)
    order = np.lexsort((rng.random(len(persons)), persons))
    sorted_persons = persons[order]
    first = np.searchsorted(sorted_persons, sorted_persons, side="left")
    rank[order] = np.arange(len(persons)) - first
    limit = most if isinstance(most, int) else most[persons]
    return np.flatnonzero(rank < limit)


def band_of(rows: np.ndarray, begins: Sequence[int]) -> np.ndarray:
    """By number of rows the band it falls in, int64: 0 below begins[0], i from begins[i - 1] on."""
    return np.searchsorted(np.asarray(begins), rows, side="right")


def band_labels(begins: Sequence[int]) -> list[str]:
    """What each band is called: `0`, `1-4`, `5-19`, `20 or more`."""
    edges = [0, *begins]
    labels = [str(low) if high == low + 1 else f"{low}-{high - 1}" for low, high in pairwise(edges)]
    return [*labels, f"{begins[-1]} or more"]


def quotas(rows: np.ndarray, begins: Sequence[int], class_of_person: np.ndarray) -> np.ndarray:
    """Rows that each person may show so that all of a class show equally many, int64 (persons,).

    rows: int (persons,), how many each has. It is where the lowest band in the class begins: fewer rows than anybody in
    it has, so the number of rows tells no two people of a class apart.
    """
    begin = np.array([0, *begins])[band_of(rows, begins)]
    least = np.full(int(class_of_person.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(least, class_of_person, begin)
    return least[class_of_person]
