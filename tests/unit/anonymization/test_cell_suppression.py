"""Cell suppression: fewest cells by brute force on small tables, criteria by an independent implementation."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tasks.anonymization import cell_suppression, holdout
from tasks.anonymization.criteria import DistinctDiversity, KAnonymity
from tasks.anonymization.lattice import Lattice
from tasks.anonymization.search import search
from tasks.common import reading
from tasks.common.errors import ThresholdNotReached
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


def words(columns):
    return make_policy({name: {"role": "quasi", "hierarchy": "all-or-nothing"} for name in columns})


def recode_words(rows, k, suppression):
    names = [f"c{j}" for j in range(len(rows[0]))]
    table = table_of(rows, dict.fromkeys(names, pa.string()))
    policy = words(names)
    tuples, _, trees, of_row = counted(table, policy)
    recoded = cell_suppression.recode(tuples, list(trees.values()), [0] * len(names), [KAnonymity(k)], suppression)
    frame, kept = released(recoded, of_row, table, policy)
    return recoded, frame, kept, policy, of_row


def as_words(frame):
    return ["".join(row) for row in frame.itertuples(index=False)]


def test_a_worked_example():
    # The first three are alike and stay. The next two differ in the third column only, the last two in the first two.
    rows = [tuple(word) for word in ["abc", "abc", "abc", "xbc", "xbd", "pqr", "str"]]
    recoded, frame, _, _, _ = recode_words(rows, 2, 0.0)
    assert as_words(frame) == ["abc", "abc", "abc", "xb*", "xb*", "**r", "**r"]
    assert len(recoded.classes) == 3
    # Two rows lose one cell of three, two lose two: two rows' worth of seven.
    assert recoded.mean_loss(np.full(3, 1 / 3)) == pytest.approx(2 / 7)


def test_a_row_that_nobody_matches_joins_the_class_that_loses_least():
    rows = [tuple(word) for word in ["abc", "dbc", "abz"]]
    # abc and abz, or abc and dbc, are made alike by one cell each; whoever is left joins by one more for all.
    assert as_words(recode_words(rows, 2, 0.0)[1]) == ["*b*"] * 3


def test_what_cannot_be_saved_is_left_out_and_counts_against_the_limit():
    rows = [tuple(word) for word in ["abc", "abc", "abc", "abc", "rst"]]
    _, frame, kept, _, _ = recode_words(rows, 2, 0.2)
    assert kept.tolist() == [0, 1, 2, 3]
    assert as_words(frame) == ["abc"] * 4
    with pytest.raises(ThresholdNotReached, match=r"even with cells suppressed more than 10\.0% of the rows"):
        recode_words(rows, 2, 0.1)


def fewest_cells(rows, k):
    """The fewest cells whose suppression makes rows k-anonymous among themselves, by trying every choice."""
    patterns = list(itertools.product([False, True], repeat=len(rows[0])))
    best = None
    for choice in itertools.product(patterns, repeat=len(rows)):
        shown = [
            tuple("*" if m else c for c, m in zip(row, mask, strict=True))
            for row, mask in zip(rows, choice, strict=True)
        ]
        if min(shown.count(row) for row in shown) >= k:
            cells = sum(map(sum, choice))
            best = cells if best is None else min(best, cells)
    return best


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from("ab")] * 2), min_size=2, max_size=5))
def test_greedy_is_close_to_the_fewest_cells(rows):
    _, frame, kept, _, _ = recode_words(rows, 2, 1 - 1 / len(rows))
    cells = int((frame.to_numpy() == "*").sum()) + 2 * (len(rows) - len(kept))
    assert fewest_cells(rows, 2) <= cells or len(kept) < len(rows)
    # Never more than suppressing all cells of all rows that are not alike already.
    alone = sum(rows.count(row) < 2 for row in rows)
    assert cells <= 2 * alone


@settings(max_examples=60, deadline=None)
@given(tables, st.integers(2, 4), st.integers(1, 2), st.tuples(*[st.integers(0, 1)] * 4))
def test_criteria_hold_and_rows_that_met_them_are_left_alone(rows, k, l, levels):  # noqa: E741
    table = table_of(rows)
    tuples, _, trees, of_row = counted(table)
    criteria = [KAnonymity(k), *([DistinctDiversity("result", l)] if l > 1 else [])]
    hierarchies = list(trees.values())
    try:
        recoded = cell_suppression.recode(tuples, hierarchies, levels, criteria, 0.5)
    except ThresholdNotReached:
        return
    frame, kept = released(recoded, of_row, table)
    assert len(rows) - len(kept) <= 0.5 * len(rows)
    assert oracle_k(frame) >= k
    if l > 1:
        assert oracle_l(frame) >= l
    for name in ("age", "seen", "city", "sex"):
        values = [table[name].to_pylist()[i] for i in kept]
        assert all(covers(*pair, name) for pair in zip(frame[name], values, strict=True))
    lattice = Lattice(tuples, hierarchies, [1] * 4, criteria, 1.0)
    classes, of_tuple = lattice.classes(levels)[:2]
    fine = (classes.people >= k - 1e-9) & (classes.distinct_secrets("result") >= l)
    untouched = fine[of_tuple][of_row]
    loss = recoded.loss[allot(recoded, of_row)]
    for j, (tree, level) in enumerate(zip(hierarchies, levels, strict=True)):
        assert loss[untouched, j].tolist() == tree.loss[level][tuples.codes[of_row, j]][untouched].tolist()
    assert not recoded.suppressed[allot(recoded, of_row)][untouched].any()


@settings(max_examples=40, deadline=None)
@given(tables)
def test_more_cells_are_kept_than_by_leaving_out_rows(rows):
    rows = rows + rows[: len(rows) // 2]
    table = table_of(rows)
    tuples, _, trees, of_row = counted(table)
    bad_rows = int(tuples.rows[tuples.people < 2].sum())
    assume(2 <= bad_rows < len(rows))
    recoded = cell_suppression.recode(tuples, list(trees.values()), [0] * 4, [KAnonymity(2)], 1 - 1 / len(rows))
    frame, kept = released(recoded, of_row, table)
    quasi_cells = int((frame[["age", "seen", "city", "sex"]].to_numpy() != "*").sum())
    # With every cell gone all rows are alike, so fewer than k = 2 are ever left out.
    assert len(kept) >= len(rows) - 1
    # All cells of five columns, against those of the rows that would have stayed.
    assert quasi_cells + len(kept) > 5 * (len(rows) - bad_rows)


def test_many_columns_are_considered_by_how_rows_differ():
    rng = np.random.default_rng(5)
    base = rng.integers(0, 3, (40, 20))
    rows = np.repeat(base, 3, axis=0)
    odd = np.arange(0, 120, 3)
    rows[odd, rng.integers(0, 20, 40)] = 7  # one of three likes differs in one column
    _, frame, kept, _, _ = recode_words([tuple(map(str, row)) for row in rows], 3, 0.0)
    assert oracle_words_k(frame) >= 3
    assert len(kept) == 120
    # One cell in each row of the forty families is enough; chance families may do with less than that, none with more.
    assert (frame.to_numpy() == "*").sum() <= 120


def oracle_words_k(frame):
    return frame.groupby(list(frame.columns)).size().min()


def test_a_person_with_many_rows_counts_once():
    table = table_of([tuple("ab")] * 5 + [tuple("ac")], {"c0": pa.string(), "c1": pa.string()})
    policy = words(["c0", "c1"])
    tuples, _, trees, of_row = counted(table, policy, persons=np.array([1, 1, 1, 1, 1, 2]))
    recoded = cell_suppression.recode(tuples, list(trees.values()), [0, 0], [KAnonymity(2)], 0.0)
    frame, _ = released(recoded, of_row, table, policy)
    assert ["".join(row) for row in frame.itertuples(index=False)] == ["a*"] * 6


def test_chop_keeps_more_cells_than_by_leaving_out_rows(chop):
    table = open_table(CHOP_TABLE)
    rows = pa.array(reading.included_rows(table, chop))
    table, persons = reading.read(table, chop).take(rows), holdout.persons(table, chop)[rows.to_numpy()]
    tuples, over, trees, of_row = counted(table, chop, persons)
    lattice = Lattice(tuples, list(trees.values()), over.grid.weights, [KAnonymity(11)], 0.05)
    found = search(lattice)
    recoded = cell_suppression.recode(tuples, list(trees.values()), found.levels, [KAnonymity(11)], 0.05)
    left_out = found.classes.rows[found.violating].sum() / tuples.rows.sum()
    assert recoded.suppressed_share < left_out / 10
    assert recoded.mean_loss(over.shares) < found.loss
    frame, _ = released(recoded, of_row, table, chop)
    assert oracle_k(frame, chop) >= 11
