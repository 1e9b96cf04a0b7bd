"""Mondrian: the paper's example, criteria by an independent implementation, labels that cover, losses by hand."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.anonymization import holdout, mondrian
from tasks.anonymization.criteria import DistinctDiversity, KAnonymity
from tasks.anonymization.lattice import Lattice
from tasks.anonymization.search import search
from tasks.common import reading
from tasks.common.errors import PolicyError, ThresholdNotReached
from tasks.common.table import open_table
from tests.conftest import CHOP_TABLE, make_policy
from tests.unit.anonymization.local_tables import (
    allot,
    counted,
    covers,
    oracle_k,
    oracle_l,
    released,
    table_of,
    tables,
)

NUMBERS = make_policy({"x": {"role": "quasi", "kind": "numeric", "hierarchy": "all-or-nothing"}})


def numbers(values):
    return counted(pa.table({"x": pa.array(values, pa.float64())}), NUMBERS)


def labels_of(recoded, of_row, column=0):
    return [recoded.labels[column][code] for code in recoded.codes[allot(recoded, of_row), column]]


@pytest.fixture(scope="module")
def chop_table(chop):
    table = open_table(CHOP_TABLE)
    rows = pa.array(reading.included_rows(table, chop))
    return reading.read(table, chop).take(rows), holdout.persons(table, chop)[rows.to_numpy()]


def test_the_patients_of_the_paper_come_out_as_in_its_figure_3():
    # LeFevre et al. 2006, figures 1 and 3: six patients, k = 2. All columns are equally wide at first; sex comes first.
    policy = make_policy(
        {
            "sex": {"role": "quasi", "hierarchy": "all-or-nothing"},
            "age": {"role": "quasi", "kind": "numeric", "hierarchy": "all-or-nothing"},
            "zipcode": {"role": "quasi", "kind": "numeric", "hierarchy": "all-or-nothing"},
        }
    )
    patients = [
        ("Male", 25, 53711), ("Female", 25, 53712), ("Male", 26, 53711),
        ("Male", 27, 53710), ("Female", 27, 53712), ("Male", 28, 53711),
    ]  # fmt: skip
    figure = [
        ("Male", "[25, 26]", "53711"), ("Female", "[25, 27]", "53712"), ("Male", "[25, 26]", "53711"),
        ("Male", "[27, 28]", "[53710, 53711]"), ("Female", "[25, 27]", "53712"),
        ("Male", "[27, 28]", "[53710, 53711]"),
    ]  # fmt: skip
    table = table_of(patients, {"sex": pa.string(), "age": pa.float64(), "zipcode": pa.float64()})
    tuples, over, _, of_row = counted(table, policy)
    frame, _ = released(mondrian.recode(tuples, over, [KAnonymity(2)]), of_row, table, policy)
    assert list(frame.itertuples(index=False, name=None)) == figure


def test_a_heavy_median_goes_where_the_sides_are_most_equal():
    # 1 2 2 2 2 3 3 3: left of the cut 1 | 7 or 5 | 3; with k = 3 only the second may be made, and no part again.
    tuples, over, _, of_row = numbers([1, 2, 2, 2, 2, 3, 3, 3])
    recoded = mondrian.recode(tuples, over, [KAnonymity(3)])
    assert labels_of(recoded, of_row) == ["[1, 2]"] * 5 + ["3"] * 3
    # The interval spans half of the domain 1 to 3.
    assert recoded.loss[:, 0].tolist() == pytest.approx([0.5, 0.5, 0.0])


def test_relaxed_divides_the_rows_at_the_median():
    # LeFevre et al. 2006, section 3.2: both sides get half. 1 2 2 2 2 3, k = 3: {1 2 2} and {2 2 3}.
    tuples, over, _, of_row = numbers([1, 2, 2, 2, 2, 3])
    recoded = mondrian.recode(tuples, over, [KAnonymity(3)], relaxed=True)
    assert labels_of(recoded, of_row) == ["[1, 2]"] * 3 + ["[2, 3]"] * 3
    assert recoded.source.tolist() == [0, 1, 1, 2]
    assert recoded.rows.tolist() == [1, 2, 2, 1]
    strict = mondrian.recode(tuples, over, [KAnonymity(3)])
    assert labels_of(strict, of_row) == ["[1, 3]"] * 6


@given(st.lists(st.integers(0, 20), min_size=4, max_size=80), st.integers(2, 5))
def test_relaxed_classes_of_one_column_have_fewer_than_2k_people_or_one_value(values, k):
    # LeFevre et al. 2006, theorem 3: at most 2k - 1 if rows may be divided; classes of a single value are not cut.
    if len(values) < k:
        return
    tuples, over, _, _ = numbers(values)
    recoded = mondrian.recode(tuples, over, [KAnonymity(k)], relaxed=True)
    sizes = np.bincount(recoded.codes[:, 0], weights=recoded.rows)
    single = np.array(["," not in str(label) for label in recoded.labels[0]])
    assert (single | (sizes < 2 * k)).all()


def test_divided_rows_need_to_be_people():
    table = table_of([(1.0, dt.date(2020, 1, 1), "a", "f", "x")] * 4)
    tuples, over, _, _ = counted(table, persons=np.array([1, 1, 2, 3]))
    with pytest.raises(PolicyError, match="some people have several rows; use `recoding: mondrian`"):
        mondrian.recode(tuples, over, [KAnonymity(2)], relaxed=True)


@settings(max_examples=60, deadline=None)
@given(tables, st.integers(2, 4), st.integers(1, 2), st.booleans())
def test_criteria_hold_and_labels_cover_for_any_table(rows, k, l, relaxed):  # noqa: E741
    table = table_of(rows)
    tuples, over, _, of_row = counted(table)
    criteria = [KAnonymity(k), *([DistinctDiversity("result", l)] if l > 1 else [])]
    try:
        recoded = mondrian.recode(tuples, over, criteria, relaxed=relaxed)
    except ThresholdNotReached:
        assert len({row[4] for row in rows}) < l
        return
    frame, kept = released(recoded, of_row, table)
    assert len(kept) == len(rows)
    assert oracle_k(frame) >= k
    assert oracle_k(frame) == round(recoded.classes.people.min())
    if l > 1:
        assert oracle_l(frame) >= l
        assert oracle_l(frame) == recoded.classes.distinct_secrets("result").min()
    for name in ("age", "seen", "city", "sex"):
        assert all(covers(*pair, name) for pair in zip(frame[name], table[name].to_pylist(), strict=True))
    assert ((recoded.loss >= 0) & (recoded.loss <= 1)).all()
    assert recoded.mean_loss(over.shares) <= 1
    assert np.bincount(recoded.source, weights=recoded.rows).tolist() == tuples.rows.tolist()


@settings(max_examples=30, deadline=None)
@given(tables)
def test_an_interval_never_stands_for_a_missing_value(rows):
    table = table_of(rows)
    tuples, over, _, of_row = counted(table)
    frame, _ = released(mondrian.recode(tuples, over, [KAnonymity(3)]), of_row, table)
    missing = frame["age"][[value is None for value in table["age"].to_pylist()]]
    assert set(missing) <= {"None", "*"}


def test_one_missing_value_does_not_hide_the_others():
    # The missing value alone is too few; it comes after the greatest, and the median of the five, 3, goes to the left.
    tuples, over, _, of_row = numbers([1, 2, 3, 4, None])
    assert labels_of(mondrian.recode(tuples, over, [KAnonymity(2)]), of_row) == ["[1, 3]"] * 3 + ["*"] * 2


def test_rare_categories_stay_together_and_common_ones_stand_alone():
    policy = make_policy({"city": {"role": "quasi", "hierarchy": "all-or-nothing"}})
    table = pa.table({"city": ["a"] * 5 + ["b"] * 4 + ["c", "d", "e"]})
    tuples, over, _, of_row = counted(table, policy)
    expected = ["a"] * 5 + ["b"] * 4 + ["*"] * 3
    assert labels_of(mondrian.recode(tuples, over, [KAnonymity(3)]), of_row) == expected
    # Three rare ones are too few for k = 4: the smallest common one keeps them company.
    assert labels_of(mondrian.recode(tuples, over, [KAnonymity(4)]), of_row) == ["a"] * 5 + ["*"] * 7


def test_groups_get_their_lowest_common_ancestor_and_its_penalty():
    policy = make_policy({"city": {"role": "quasi", "hierarchy": {"groups": [{"n": [*"abc"], "s": [*"de"]}]}}})
    table = pa.table({"city": [*"aabbccdde"]})
    tuples, over, _, of_row = counted(table, policy)
    recoded = mondrian.recode(tuples, over, [KAnonymity(3)])
    assert labels_of(recoded, of_row) == ["n"] * 6 + ["s"] * 3
    # (leaves under the label - 1) / (leaves - 1): 2/4 and 1/4.
    assert recoded.loss[:, 0].tolist() == pytest.approx([0.5] * 3 + [0.25] * 2)


def test_a_column_has_labels_of_one_type():
    tuples, over, _, _ = numbers([1, 1, 2, 3, None, None])
    assert set(mondrian.recode(tuples, over, [KAnonymity(2)]).labels[0]) == {"1", "[2, 3]", None}
    tuples, over, _, _ = numbers([1, 1, 2, 2, None, None])
    assert set(mondrian.recode(tuples, over, [KAnonymity(2)]).labels[0]) == {1.0, 2.0, None}


def test_values_beyond_a_limit_are_in_an_open_interval():
    column = {"role": "quasi", "kind": "numeric", "hierarchy": "all-or-nothing", "top": 90}
    policy = make_policy({"age": column})
    tuples, over, _, of_row = counted(pa.table({"age": [50.0, 60.0, 80.0, 90.0]}), policy)
    assert labels_of(mondrian.recode(tuples, over, [KAnonymity(2)]), of_row) == ["[50, 60]"] * 2 + ["[80, inf)"] * 2


def test_a_person_with_many_rows_counts_once():
    # Ten rows of one person at 1 and one row each of three others: 1 alone is one person only.
    persons = np.array([0] * 10 + [1, 2, 3])
    table = pa.table({"x": [1.0] * 10 + [2.0, 3.0, 4.0]})
    tuples, over, _, of_row = counted(table, NUMBERS, persons)
    recoded = mondrian.recode(tuples, over, [KAnonymity(2)])
    assert labels_of(recoded, of_row) == ["[1, 2]"] * 11 + ["[3, 4]"] * 2
    assert recoded.classes.people.tolist() == pytest.approx([2, 2])


def test_what_all_rows_together_lack_is_told():
    tuples, over, _, _ = counted(table_of([(1.0, dt.date(2020, 1, 1), "a", "f", "x")] * 6))
    with pytest.raises(ThresholdNotReached, match="distinct 2-diversity of result cannot be reached"):
        mondrian.recode(tuples, over, [KAnonymity(2), DistinctDiversity("result", 2)])


def test_cutting_is_deterministic_whatever_the_order_of_rows():
    rng = np.random.default_rng(4)
    values = rng.integers(0, 1000, (2000, 3)).astype(float)
    policy = make_policy({n: {"role": "quasi", "kind": "numeric", "hierarchy": "all-or-nothing"} for n in "uvw"})
    frames = []
    for order in (np.arange(2000), rng.permutation(2000)):
        table = pa.table(dict(zip("uvw", values[order].T, strict=True)))
        tuples, over, _, of_row = counted(table, policy)
        frame, _ = released(mondrian.recode(tuples, over, [KAnonymity(7)]), of_row, table, policy)
        frames.append(frame.iloc[np.argsort(order)].reset_index(drop=True))
    assert frames[0].equals(frames[1])


@pytest.mark.parametrize("k", [5, 11])
def test_chop_loses_less_than_by_the_best_full_domain_generalization(chop, chop_table, k):
    table, persons = chop_table
    tuples, over, trees, of_row = counted(table, chop, persons)
    lattice = Lattice(tuples, list(trees.values()), over.grid.weights, [KAnonymity(k)], 0.05)
    full_domain = search(lattice)
    recoded = mondrian.recode(tuples, over, [KAnonymity(k)])
    assert recoded.mean_loss(over.shares) < full_domain.loss
    frame, kept = released(recoded, of_row, table, chop)
    assert oracle_k(frame, chop) >= k
    people = frame.assign(person=persons[kept]).groupby(chop.quasi)["person"].nunique()
    assert people.min() >= k
    assert not recoded.suppressed.any()
