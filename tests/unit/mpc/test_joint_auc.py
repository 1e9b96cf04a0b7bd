"""The AUC over holders in the clear: against scikit-learn on pooled rows, and what is not shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mpc_programs.joint_auc import JointAuc
from tasks.common.errors import InputError, ParametersError
from tests.unit.mpc.cohorts import of_auc, patients


def _auc(program, given):
    return program.auc(program.plainly(program.checked(given)))


def test_of_scores_on_the_grid_it_is_scikit_learns():
    pooled = patients(300)
    pooled = pooled._replace(score=np.floor(pooled.score * 32) / 32)
    found = _auc(*of_auc(pooled, bins=32))
    assert found.value == pytest.approx(roc_auc_score(pooled.is_event, pooled.score), rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), bins=st.sampled_from([2, 7, 50, 1000]))
def test_of_other_scores_it_is_scikit_learns_within_what_it_says(seed, bins):
    pooled = patients(200, seed=seed)
    found = _auc(*of_auc(pooled, bins=bins))
    assert abs(found.value - roc_auc_score(pooled.is_event, pooled.score)) <= found.within + 1e-12


def test_a_thousand_bins_say_two_digits_and_more():
    assert 0 < _auc(*of_auc(patients(300), bins=1000)).within < 0.005


def test_wins_by_hand():
    # Positives in bins 0, 2, 2 and negatives in 0, 1: half a win, then twice two. 4.5 of 6 pairs; one is a tie.
    program = JointAuc(parties=3, bins=3, most_people=4, minimum=2)
    given = {
        0: {"positives": np.array([1, 0, 0]), "negatives": np.array([0, 1, 0])},
        1: {"positives": np.array([0, 0, 2]), "negatives": np.array([1, 0, 0])},
        2: {"positives": np.zeros(3), "negatives": np.zeros(3)},
    }
    found = program.plainly(program.checked(given))
    assert {name: int(each[0]) for name, each in found.items()} == {
        "doubled_wins": 9, "ties": 1, "positives": 3, "negatives": 2,
    }  # fmt: skip
    assert program.auc(found) == (9 / 12, 1 / 12)
    few = JointAuc(parties=3, bins=3, most_people=4, minimum=3)
    assert not any(each.any() for each in few.plainly(few.checked(given)).values())
    assert np.isnan(few.auc(few.plainly(few.checked(given))).value)


def test_rows_are_binned_with_the_lower_edge_and_the_range_is_kept():
    program = JointAuc(parties=3, bins=4, most_people=9)
    found = program.binned(np.array([0, 1.99, 2, 7.99, 8]), np.array([1, 1, 0, 0, 1]), low=0, high=8)
    assert found["positives"].tolist() == [2, 0, 0, 1]
    assert found["negatives"].tolist() == [0, 1, 0, 1]
    for wrong in (8.01, -0.1, np.nan):
        with pytest.raises(InputError, match="from 0 to 8"):
            program.binned(np.array([wrong]), np.array([1]), low=0, high=8)


def test_pairs_that_the_format_does_not_hold_are_refused():
    # 3 * 2,000,000 rows have up to 9e12 pairs, twice that is 1.8e13, and (48, 4) holds 8.8e12.
    with pytest.raises(ParametersError, match=r"may reach 1\.8e\+13"):
        JointAuc(parties=3, most_people=2_000_000).checked({})
