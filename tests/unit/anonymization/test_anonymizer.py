"""A release is what its account says; k and l are checked by pycanon, an implementation that shares no code."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycanon import anonymity

from tasks.anonymization import anonymizer, hierarchies, holdout
from tasks.anonymization.plan import first_plan
from tasks.common import reading
from tasks.common.errors import TableError, ThresholdNotReached
from tasks.common.table import open_table
from tests.conftest import CHOP_TABLE, make_plan, make_policy

POLICY = make_policy(
    {
        "city": {"role": "quasi", "hierarchy": {"groups": [{"north": ["a", "b"], "south": ["c", "d"]}]}},
        "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10, 20], "min": 0, "max": 80}},
        "result": {"role": "sensitive"},
        "dose": {"role": "other", "kind": "numeric"},
    }
)
RNG = np.random.default_rng


def frame(rows):
    cities, ages, results = (list(column) for column in zip(*rows, strict=True))
    return pa.table({"city": cities, "age": [float(a) for a in ages], "result": results, "dose": [1.0] * len(rows)})


def oracle_k(table: pa.Table, quasi: list[str]) -> int:
    return anonymity.k_anonymity(as_words(table), quasi)


def as_words(table: pa.Table) -> pd.DataFrame:
    return table.to_pandas().map(str)


def ancestors(name, column, leaf):
    tree = hierarchies.build(name, column, [leaf])
    return {tree.labels[level][0] for level in range(tree.levels)}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([*"abcd", None]), st.integers(0, 99), st.sampled_from("xyz")), min_size=8, max_size=60
    ),
    st.integers(2, 4),
    st.integers(1, 2),
    st.sampled_from([0.0, 0.1, 0.4]),
)
def test_criteria_hold_for_any_table(rows, k, l, suppression):  # noqa: E741
    table = frame(rows)
    plan = make_plan(k, {"result": l} if l > 1 else {}, suppression=suppression)
    try:
        release = anonymizer.anonymize(table, None, POLICY, plan, RNG(1))
    except ThresholdNotReached:
        assert len({row[2] for row in rows}) < l
        return
    quasi = ["city", "age"]
    assert release.table.num_rows >= len(rows) - int(suppression * len(rows))
    assert release.account.k == oracle_k(release.table, quasi) >= k
    if l > 1:
        assert anonymity.l_diversity(as_words(release.table), quasi, ["result"]) >= l


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 99), st.just("x")), min_size=8, max_size=40))
def test_every_released_value_is_an_ancestor_of_an_original(rows):
    table = frame(rows)
    release = anonymizer.anonymize(table, None, POLICY, make_plan(2, suppression=0.2), RNG(1))
    for name in ("city", "age"):
        known = set().union(*(ancestors(name, POLICY.columns[name], leaf) for leaf in table[name].to_pylist()))
        assert set(release.table[name].to_pylist()) <= known


def test_a_worked_example():
    # Four people, two look-alikes each once ages are in tens: nothing else needs to change.
    table = frame([("a", 21, "x"), ("a", 24, "y"), ("c", 55, "x"), ("c", 58, "y")])
    release = anonymizer.anonymize(table, None, POLICY, make_plan(2), RNG(1))
    assert sorted(zip(*(release.table[n].to_pylist() for n in ("city", "age")), strict=True)) == [
        ("a", "[20, 30)"), ("a", "[20, 30)"), ("c", "[50, 60)"), ("c", "[50, 60)"),
    ]  # fmt: skip
    # One of two columns loses 10/80.
    assert release.account.loss == pytest.approx(10 / 80 / 2)
    assert release.account.optimal


def test_rows_come_out_in_another_order_and_whole():
    rows = [("a", age, f"r{age}") for age in range(60)]
    release = anonymizer.anonymize(frame(rows), None, POLICY, make_plan(2), RNG(1))
    order = [int(result[1:]) for result in release.table["result"].to_pylist()]
    assert sorted(order) == list(range(60))
    assert order != list(range(60))


def test_the_same_seed_gives_the_same_release():
    table = frame([("a", age, "x") for age in range(60)])
    one, two = (
        anonymizer.anonymize(table, None, POLICY, make_plan(3, suppression=0.1), RNG(5)).table for _ in range(2)
    )
    assert one.equals(two)


def test_numbers_are_rounded_to_the_plans_multiples():
    table = pa.table({"city": ["a"] * 4, "age": [1.0] * 4, "result": ["x"] * 4, "dose": [1.04, 1.26, None, 0.3]})
    plan = make_plan(2, rounding={"dose": 0.1})
    released = anonymizer.anonymize(table, None, POLICY, plan, RNG(1)).table["dose"].to_pylist()
    assert sorted(released, key=str) == sorted([1.0, 1.3, None, 0.3], key=str)


def test_dropped_columns_are_gone_and_cost_everything():
    table = frame([("a", age, "x") for age in range(60)])
    release = anonymizer.anonymize(table, None, POLICY, make_plan(2, dropped=("dose", "city")), RNG(1))
    assert release.table.column_names == ["age", "result"]
    assert release.account.column_loss["dose"] == release.account.column_loss["city"] == 1.0


def test_k_larger_than_the_table_is_told():
    with pytest.raises(TableError, match="k is 5, but the table holds only 3 people"):
        anonymizer.anonymize(frame([("a", 1, "x")] * 3), None, POLICY, make_plan(5), RNG(1))


def test_people_and_not_rows_decide():
    table = frame([("a", 1, "x")] * 6)
    with pytest.raises(TableError, match="only 2 people"):
        anonymizer.anonymize(table, np.array([1, 1, 1, 1, 1, 2]), POLICY, make_plan(3), RNG(1))


def test_diversity_that_no_generalization_reaches_is_told():
    with pytest.raises(ThresholdNotReached, match="2-anonymity and distinct 2-diversity of result cannot be reached"):
        anonymizer.anonymize(
            frame([("a", 1, "x")] * 6),
            None,
            POLICY,
            make_plan(2, {"result": 2}),
            RNG(1),
        )


@pytest.mark.parametrize("k", [3, 5, 11])
def test_chop_is_k_anonymous_by_another_implementation(chop, k):
    table = open_table(CHOP_TABLE)
    rows = pa.array(reading.included_rows(table, chop))
    persons = holdout.persons(table, chop)[rows.to_numpy()]
    plan = first_plan(chop).with_criteria(k=k)
    release = anonymizer.anonymize(reading.read(table, chop).take(rows), persons, chop, plan, RNG(1))
    assert oracle_k(release.table, chop.quasi) >= k
    assert release.account.suppressed <= chop.criteria.suppression
    assert not set(release.table.column_names) & {"subject_id", "fake_first_name", "fake_last_name"}


def test_controls_are_recoded_into_the_releases_vocabulary():
    table = frame([("a", age, "x") for age in range(60)])
    plan = make_plan(10)
    release = anonymizer.anonymize(table, None, POLICY, plan, RNG(1))
    recoded = anonymizer.recode(table, POLICY, plan, release.account.levels)
    assert recoded.num_rows == 60
    assert set(recoded["age"].to_pylist()) == set(release.table["age"].to_pylist())


def test_k_of_the_account_is_the_exact_number_of_people():
    """Person 1 has rows in both classes; each counts half of it while searching, and has three people all the same."""
    table = frame([("a", 1, "x")] * 3 + [("c", 70, "y")] * 3)
    persons = np.array([1, 2, 3, 1, 4, 5])
    release = anonymizer.anonymize(table, persons, POLICY, make_plan(2), RNG(1))
    assert release.account.classes == 2
    assert release.account.k == 3
