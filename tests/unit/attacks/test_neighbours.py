"""Searches against an oracle that takes every row and every column one by one, in plain Python."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.attacks import neighbours, space
from tasks.common.errors import TableError
from tests.conftest import make_policy

POLICY = make_policy(
    {
        "city": {"role": "quasi", "hierarchy": {"groups": [{"north": ["a", "b"], "south": ["c"]}]}},
        "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10], "min": 0, "max": 40}},
        "dose": {"role": "other", "kind": "numeric"},
    }
)
COVERED = {"a": {"a"}, "b": {"b"}, "c": {"c"}, "north": {"a", "b"}, "south": {"c"}, "*": {"a", "b", "c"}, None: {None}}
SPANS = {"[0, 10)": (0, 10), "[10, 20)": (10, 20), "*": (0, 40), "5": (5, 5), None: None}

doses = [1.0, 2, None]
fact = st.tuples(st.sampled_from([*"abc", None]), st.sampled_from([0.0, 5, 10, 40, None]), st.sampled_from(doses))
row = st.tuples(st.sampled_from(list(COVERED)), st.sampled_from(list(SPANS)), st.sampled_from([*doses, 4.0]))
people = st.lists(fact, min_size=1, max_size=8)
releases = st.lists(row, min_size=1, max_size=12)


def tables(targets, released):
    text, number = pa.string(), pa.float64()
    return (
        pa.Table.from_arrays(columns(targets, (text, number, number)), names=["city", "age", "dose"]),
        pa.Table.from_arrays(columns(released, (text, text, number)), names=["city", "age", "dose"]),
    )


def columns(rows, types):
    return [pa.chunked_array([list(column)], kind) for column, kind in zip(zip(*rows, strict=True), types, strict=True)]


def city_distance(fact, label):
    return 1 - 1 / len(COVERED[label]) if fact in COVERED[label] else 1.0


def span_distance(fact, span, width):
    if fact is None or span is None:
        return 0.0 if fact is None and span is None else 1.0
    low, high = span
    if low < fact < high:
        return ((fact - low) ** 2 + (high - fact) ** 2) / (2 * (high - low)) / width
    return min(abs(fact - (low + high) / 2) / width, 1)


def oracle_distance(target, row, dose_width):
    return (
        city_distance(target[0], row[0])
        + span_distance(target[1], SPANS[row[1]], 40)
        + span_distance(target[2], None if row[2] is None else (row[2], row[2]), dose_width)
    )


def widths(targets, released):
    doses = [row[2] for row in (*targets, *released) if row[2] is not None]
    return max(doses) - min(doses) if len(set(doses)) > 1 else 1e-9


# Always there, so that ages range from 0 to 40 and doses over more than one value.
ANCHOR_TARGET, ANCHOR_ROW = ("a", 40.0, 1.0), ("a", "[0, 10)", 4.0)


@settings(max_examples=80, deadline=None)
@given(people, releases)
def test_link_probability_is_that_of_two_random_picks(targets, released):
    targets, released = [*targets, ANCHOR_TARGET], [*released, ANCHOR_ROW]
    place = space.build(*tables(targets, released), ["city", "age", "dose"], POLICY, {})
    found = neighbours.link_probability(place, place.mask(["city", "age"]), place.mask(["dose"]))
    for target, probability in zip(targets, found, strict=True):
        left = [city_distance(target[0], r[0]) + span_distance(target[1], SPANS[r[1]], 40) for r in released]
        right = [
            span_distance(target[2], None if r[2] is None else (r[2], r[2]), widths(targets, released))
            for r in released
        ]
        near_left = {i for i, d in enumerate(left) if d <= min(left) + 1e-6}
        near_right = {i for i, d in enumerate(right) if d <= min(right) + 1e-6}
        assert probability == pytest.approx(len(near_left & near_right) / (len(near_left) * len(near_right)))


@settings(max_examples=80, deadline=None)
@given(people, releases)
def test_fitting_rows_are_those_whose_labels_cover_every_fact(targets, released):
    targets, released = [*targets, ANCHOR_TARGET], [*released, ANCHOR_ROW]
    place = space.build(*tables(targets, released), ["city", "age", "dose"], POLICY, {})
    known = np.ones((len(targets), 3), dtype=bool)
    found = neighbours.fitting_rows(place, known)

    def in_span(label, low, high, age):
        return low <= age < high if label.endswith(")") else low <= age <= high

    def fits(target, row):
        span = SPANS[row[1]]
        age = target[1] is None if span is None else target[1] is not None and in_span(row[1], *span, target[1])
        return target[0] in COVERED[row[0]] and age and target[2] == row[2]

    assert found.tolist() == [sum(fits(t, r) for r in released) for t in targets]


@settings(max_examples=50, deadline=None)
@given(people, releases)
def test_the_nearest_distance_counts_every_row(targets, released):
    targets, released = [*targets, ANCHOR_TARGET], [*released, ANCHOR_ROW]
    place = space.build(*tables(targets, released), ["city", "age", "dose"], POLICY, {})
    for order in (1, 3):
        found = neighbours.nearest_distances(place, order)
        for target, distance in zip(targets, found, strict=True):
            every = sorted(oracle_distance(target, row, widths(targets, released)) for row in released)
            assert distance == pytest.approx(every[min(order, len(every)) - 1], abs=1e-5)


def test_labels_of_other_tools_are_understood_by_the_policys_hierarchies():
    targets = pa.table({"city": ["a"], "age": [12.0]})
    release = pa.table({"city": ["north"], "age": ["[10, 20)"]})
    place = space.build(targets, release, ["city", "age"], POLICY, {})
    assert neighbours.fitting_rows(place, np.ones((1, 2), dtype=bool)).tolist() == [1]


def test_an_unknown_label_is_told_without_being_shown():
    with pytest.raises(TableError) as caught:
        space.build(pa.table({"city": ["a"]}), pa.table({"city": ["CANARY"]}), ["city"], POLICY, {})
    assert "1 labels that the policy's hierarchy does not know" in str(caught.value)
    assert "CANARY" not in str(caught.value)


def test_a_rounded_number_covers_what_was_rounded_to_it():
    targets, release = pa.table({"dose": [30.6, 31.4, 31.6]}), pa.table({"dose": [31.0]})
    place = space.build(targets, release, ["dose"], POLICY, {"dose": 1.0})
    assert neighbours.fitting_rows(place, np.ones((3, 1), dtype=bool)).tolist() == [1, 1, 0]


def test_an_interval_covers_its_lower_edge_and_not_its_upper_one():
    targets = pa.table({"age": [0.0, 10, 19.9, 20, 40, 95]})
    release = pa.table({"age": ["[10, 20)", "[40, inf)"]})
    place = space.build(targets, release, ["age"], POLICY, {})
    assert neighbours.fitting_rows(place, np.ones((6, 1), dtype=bool)).tolist() == [0, 1, 1, 0, 1, 1]
    assert np.isfinite(neighbours.nearest_distances(place, 1)).all()


def test_a_closed_interval_covers_both_edges():
    targets = pa.table({"age": [9.0, 10, 20, 20.1, 95]})
    release = pa.table({"age": ["[10, 20]", "(-inf, 9]", "[95, inf)"]})
    place = space.build(targets, release, ["age"], POLICY, {})
    assert neighbours.fitting_rows(place, np.ones((5, 1), dtype=bool)).tolist() == [1, 1, 1, 0, 1]


def test_an_interval_of_dates_covers_both_edges():
    import datetime as dt

    policy = make_policy({"day": {"role": "quasi", "kind": "date", "hierarchy": {"dates": ["month", "year"]}}})
    days = [dt.date(2020, 2, 28), dt.date(2020, 2, 29), dt.date(2020, 3, 9), dt.date(2020, 3, 10)]
    release = pa.table({"day": ["[2020-02-29, 2020-03-09]", "(-inf, 2020-02-28]", "[2020-03-10, inf)", "2020-02"]})
    place = space.build(pa.table({"day": days}), release, ["day"], policy, {})
    assert neighbours.fitting_rows(place, np.ones((4, 1), dtype=bool)).tolist() == [2, 2, 1, 1]


def test_calendar_labels_cover_their_days():
    import datetime as dt

    policy = make_policy({"day": {"role": "quasi", "kind": "date", "hierarchy": {"dates": ["month", "year"]}}})
    targets = pa.table({"day": [dt.date(2020, 2, 29), dt.date(2020, 3, 1)]})
    place = space.build(targets, pa.table({"day": ["2020-02", "2020", "*"]}), ["day"], policy, {})
    assert neighbours.fitting_rows(place, np.ones((2, 1), dtype=bool)).tolist() == [3, 2]


def test_alike_rows_are_one_point_with_a_weight():
    release = pa.table({"city": ["a"] * 1000 + ["b"]})
    place = space.build(pa.table({"city": ["a"]}), release, ["city"], POLICY, {})
    assert sorted(place.points.weights.tolist()) == [1, 1000]
    assert math.isclose(neighbours.link_probability(place, place.mask(["city"]), place.mask(["city"]))[0], 1 / 1000)
