"""The person is what is counted, capped and protected, not the row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.anonymization import longitudinal
from tasks.anonymization.counting import row_weights

ROWS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8)), min_size=1, max_size=60)


def columns(rows):
    return tuple(np.array(column) for column in zip(*rows, strict=True))


@settings(deadline=None)
@given(ROWS, st.integers(1, 9))
def test_people_are_counted_once_in_each_class_however_rows_are_split(rows, size):
    persons, classes = columns(rows)
    batches = [(persons[i : i + size], classes[i : i + size]) for i in range(0, len(rows), size)]
    expected = [len({p for p, c in rows if c == k}) for k in range(9)]
    assert longitudinal.people_in_classes(batches, 9).tolist() == expected


@settings(deadline=None)  # the first call compiles
@given(ROWS, st.lists(st.booleans(), min_size=9, max_size=9))
def test_weights_by_tuple_never_overstate_the_people_in_any_union_of_tuples(rows, union):
    persons, tuples = columns(rows)
    inside = np.array(union)[tuples]
    weights = row_weights(persons, tuples)
    assert weights[inside].sum() <= len(set(persons[inside])) + 1e-9
    assert weights.sum() == pytest.approx(len(set(persons)))


@settings(deadline=None)
@given(ROWS)
def test_weights_by_tuple_depend_on_which_tuples_a_person_has_and_not_how_often(rows):
    persons, tuples = columns(rows)
    once = sorted(set(rows))
    by_tuple = np.bincount(tuples, weights=row_weights(persons, tuples), minlength=9)
    who, which = columns(once)
    assert np.allclose(by_tuple, np.bincount(which, weights=row_weights(who, which), minlength=9))


@given(ROWS, st.integers(1, 5), st.integers(0, 99))
def test_a_cap_leaves_each_person_that_many_rows_or_all(rows, most, seed):
    persons, _ = columns(rows)
    stay = longitudinal.capped(persons, most, np.random.default_rng(seed))
    assert stay.tolist() == sorted(set(stay.tolist()))
    for person in set(persons.tolist()):
        assert (persons[stay] == person).sum() == min(most, (persons == person).sum())


def test_which_rows_stay_is_chosen_evenly():
    rng, times = np.random.default_rng(5), np.zeros(4)
    for _ in range(4000):
        times[longitudinal.capped(np.zeros(4, dtype=int), 1, rng)] += 1
    assert np.abs(times - 1000).max() < 120  # 4.4 standard deviations of sqrt(4000 * 3 / 16)


def test_a_person_with_ten_thousand_rows_keeps_no_more_than_the_cap():
    persons = np.concatenate([np.zeros(10_000, dtype=int), np.arange(1, 101)])
    stay = longitudinal.capped(persons, 50, np.random.default_rng(1))
    assert np.bincount(persons[stay]).tolist() == [50] + [1] * 100


def test_bands_are_called_after_the_numbers_in_them():
    assert longitudinal.band_labels([1, 5, 20]) == ["0", "1-4", "5-19", "20 or more"]
    assert longitudinal.band_of(np.array([0, 1, 4, 5, 19, 20, 900]), [1, 5, 20]).tolist() == [0, 1, 1, 2, 2, 3, 3]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=40))
def test_everybody_in_a_class_shows_equally_many_rows_and_nobody_more_than_there_are(people):
    rows, classes = columns(people)
    shown = longitudinal.quotas(rows, [1, 5, 20], np.unique(classes, return_inverse=True)[1])
    assert (shown <= rows).all()
    for one in set(classes.tolist()):
        assert len(set(shown[classes == one])) == 1
        assert shown[classes == one][0] == max(begin for begin in (0, 1, 5, 20) if begin <= rows[classes == one].min())
