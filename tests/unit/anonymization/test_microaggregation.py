"""Microaggregation: against MDAV written down step by step from the paper, and by hand."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.anonymization import microaggregation
from tasks.anonymization.criteria import DistinctDiversity, KAnonymity
from tasks.common.errors import ThresholdNotReached
from tests.conftest import make_policy
from tests.unit.anonymization.local_tables import (
    allot,
    counted,
    oracle_k,
    oracle_l,
    released,
    table_of,
    tables,
)

NUMBER = {"role": "quasi", "kind": "numeric", "hierarchy": "all-or-nothing"}


def numeric_policy(columns):
    return make_policy({f"x{j}": NUMBER for j in range(columns)})


def numeric_table(data):
    return pa.table({f"x{j}": pa.array(column.astype(float)) for j, column in enumerate(data.T)})


def groups_of(recoded, of_row):
    """Rows of equal released values, as sets."""
    codes = recoded.codes[allot(recoded, of_row)]
    _, group = np.unique(codes, axis=0, return_inverse=True)
    return {frozenset(np.flatnonzero(group.ravel() == number).tolist()) for number in range(group.max() + 1)}


def mdav(data, k):
    """Domingo-Ferrer and Torra 2005, section 3, algorithm 1, row by row; data standardized."""
    data = (data - data.mean(axis=0)) / data.std(axis=0)
    left, groups = list(range(len(data))), []

    def take(around):
        nearest = sorted(left, key=lambda i: ((data[i] - data[around]) ** 2).sum())[:k]
        groups.append(frozenset(nearest))
        for i in nearest:
            left.remove(i)

    def farthest(point, among):
        return max(among, key=lambda i: ((data[i] - point) ** 2).sum())

    while len(left) >= 3 * k:
        r = farthest(data[left].mean(axis=0), left)
        s = farthest(data[r], left)
        take(r)
        take(s)
    if len(left) >= 2 * k:
        take(farthest(data[left].mean(axis=0), left))
    groups.append(frozenset(left))
    return set(groups)


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("rows", [29, 30, 61])
def test_groups_are_those_of_the_algorithm_as_published(rows, k):
    data = np.round(np.random.default_rng(rows * k).normal(size=(rows, 3)), 6)
    table = numeric_table(data)
    tuples, over, _, of_row = counted(table, numeric_policy(3))
    result = microaggregation.recode(tuples, over, [KAnonymity(k)])
    assert groups_of(result.recoded, of_row) == mdav(data, k)


def test_a_worked_example():
    # k = 3, mean 5.67: 12 is farthest and takes 11 and 10; 0, farthest from 12, takes 1 and 2; 4, 5 and 6 are left.
    table = numeric_table(np.array([[0], [1], [2], [4], [5], [6], [10], [11], [12]]))
    tuples, over, _, of_row = counted(table, numeric_policy(1))
    result = microaggregation.recode(tuples, over, [KAnonymity(3)])
    values = [result.recoded.labels[0][code] for code in result.recoded.codes[allot(result.recoded, of_row), 0]]
    assert values == [1.0] * 3 + [5.0] * 3 + [11.0] * 3
    # SSE is 2 in each group; SST = 447 - 51^2 / 9 = 158. The range of each group is 2 of 12.
    assert result.sse_share[0] == pytest.approx(6 / 158)
    assert result.recoded.loss[:, 0].tolist() == pytest.approx([2 / 12] * 9)


def test_centroids_are_means_medians_and_modes():
    policy = make_policy(
        {
            "age": NUMBER,
            "seen": {"role": "quasi", "kind": "date", "hierarchy": {"dates": ["year"]}},
            "city": {"role": "quasi", "hierarchy": "all-or-nothing"},
        }
    )
    days = [dt.date(2020, 1, 1), dt.date(2020, 1, 2), dt.date(2020, 12, 31)]
    table = pa.table({"age": [1.0, 2.0, 5.0], "seen": days, "city": ["a", "b", "b"]})
    tuples, over, _, _ = counted(table, policy)
    recoded = microaggregation.recode(tuples, over, [KAnonymity(3)]).recoded
    assert recoded.labels == ((3.0,), (dt.date(2020, 1, 2),), ("b",))


def test_means_have_as_many_decimals_as_values():
    table = numeric_table(np.array([[0.25], [0.5], [0.5]]))
    tuples, over, _, _ = counted(table, numeric_policy(1))
    assert microaggregation.recode(tuples, over, [KAnonymity(3)]).recoded.labels == ((0.42,),)


def test_a_value_that_most_lack_is_missing():
    table = pa.table({"x0": pa.array([1.0, None, None, 7.0, 8.0, None])})
    tuples, over, _, _ = counted(table, numeric_policy(1))
    recoded = microaggregation.recode(tuples, over, [KAnonymity(6)]).recoded
    assert recoded.labels == ((5.0,),)  # half are known: (1 + 7 + 8) / 3 = 5.33, in whole numbers
    table = pa.table({"x0": pa.array([1.0, None, None, 7.0, None])})
    tuples, over, _, _ = counted(table, numeric_policy(1))
    assert microaggregation.recode(tuples, over, [KAnonymity(5)]).recoded.labels == ((None,),)


def test_people_alike_in_k_stay_as_they_are():
    table = numeric_table(np.array([[5]] * 4 + [[100], [101], [102]]))
    tuples, over, _, _ = counted(table, numeric_policy(1))
    recoded = microaggregation.recode(tuples, over, [KAnonymity(3)]).recoded
    assert recoded.labels == ((5.0, 101.0),)
    assert recoded.loss[:, 0].tolist() == pytest.approx([0] + [2 / 97] * 3)


def test_a_person_with_many_rows_counts_once():
    # A hundred rows of one person at 0, one row of another at 10: two people, so their mean is 5 and not 0.1.
    persons = np.array([0] * 100 + [1])
    table = numeric_table(np.array([[0]] * 100 + [[10]]))
    tuples, over, _, _ = counted(table, numeric_policy(1), persons)
    recoded = microaggregation.recode(tuples, over, [KAnonymity(2)]).recoded
    assert recoded.labels == ((5.0,),)


@settings(max_examples=60, deadline=None)
@given(tables, st.integers(2, 4), st.integers(1, 2), st.sampled_from([4, 8192]))
def test_criteria_hold_for_any_table_also_in_blocks(rows, k, l, block):  # noqa: E741
    table = table_of(rows)
    tuples, over, _, of_row = counted(table)
    criteria = [KAnonymity(k), *([DistinctDiversity("result", l)] if l > 1 else [])]
    try:
        result = microaggregation.recode(tuples, over, criteria, block=block)
    except ThresholdNotReached:
        assert len({row[4] for row in rows}) < l
        return
    frame, kept = released(result.recoded, of_row, table)
    assert len(kept) == len(rows)
    assert oracle_k(frame) == round(result.recoded.classes.people.min()) >= k
    if l > 1:
        assert oracle_l(frame) == result.recoded.classes.distinct_secrets("result").min() >= l
    assert ((result.recoded.loss >= 0) & (result.recoded.loss <= 1)).all()
    for name in ("age", "seen", "city", "sex"):
        values = [value for value in table[name].to_pylist() if value is not None]
        inside = {str(value) for value in values} | {"None"}
        if name in ("city", "sex", "seen"):
            assert set(frame[name]) <= inside
        else:
            assert all(min(values) <= float(value) <= max(values) for value in set(frame[name]) - {"None"})


@given(st.lists(st.integers(0, 1000), min_size=6, max_size=60, unique=True), st.integers(2, 3))
def test_mdav_groups_have_from_k_to_2k_people(values, k):
    tuples, over, _, _ = counted(numeric_table(np.array(values)[:, None]), numeric_policy(1))
    result = microaggregation.recode(tuples, over, [KAnonymity(k)])
    _, sizes = np.unique(result.recoded.codes, return_counts=True)
    equal_centroids = len(sizes) < len(mdav(np.array(values, dtype=float)[:, None], k))
    assert sizes.min() >= k
    assert equal_centroids or sizes.max() < 2 * k


def test_blocks_lose_little_more_than_the_whole():
    data = np.random.default_rng(8).normal(size=(1500, 3)).round(6)
    tuples, over, _, _ = counted(numeric_table(data), numeric_policy(3))
    whole = microaggregation.recode(tuples, over, [KAnonymity(5)])
    blocks = microaggregation.recode(tuples, over, [KAnonymity(5)], block=200)
    assert whole.sse_share.mean() < blocks.sse_share.mean() < 1.5 * whole.sse_share.mean()
