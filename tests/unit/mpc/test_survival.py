"""Survival over hospitals in the clear: against lifelines on pooled rows, tables by hand, and what is not shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from lifelines.statistics import multivariate_logrank_test

from mpc_programs.survival import Survival
from tasks.common.errors import InputError, ParametersError
from tasks.mpc.formats import FixedPoint
from tests.unit.mpc.cohorts import of_groups, of_survival, patients


def _plain(program, given):
    return program.plainly(program.checked(given))


@pytest.mark.parametrize("seed", range(5))
def test_with_a_minimum_of_one_curves_and_test_are_lifelines_on_pooled_rows(seed):
    pooled = patients(120, seed=seed)
    program, own = of_survival(pooled, minimum=1)
    found = _plain(program, own)
    for group in (0, 1):
        of = pooled.group == group
        curve = KaplanMeierFitter().fit(pooled.time[of], pooled.is_event[of])
        np.testing.assert_allclose(found["survival"][group], curve.predict(np.arange(program.times)), rtol=1e-12)
    wanted = multivariate_logrank_test(pooled.time, pooled.group, pooled.is_event)
    np.testing.assert_allclose(program.log_rank(found), (wanted.test_statistic, wanted.p_value), rtol=1e-9)


def test_three_groups_are_compared_as_by_lifelines():
    pooled = patients(150)
    pooled = pooled._replace(group=np.arange(150) % 3)
    program, own = of_survival(pooled, minimum=1, groups=3)
    wanted = multivariate_logrank_test(pooled.time, pooled.group, pooled.is_event)
    np.testing.assert_allclose(
        program.log_rank(_plain(program, own)), (wanted.test_statistic, wanted.p_value), rtol=1e-9
    )


def test_a_curve_and_a_test_by_hand():
    # Group 0: 4 people, 1 of 4 has the event at time 0, 1 leaves; 1 of 2 at time 1, 1 leaves. Group 1: 4, 2 of 4 at 1.
    program, own = of_groups([[1, 1], [0, 2]], [[1, 1], [0, 2]], minimum=1)
    found = _plain(program, own)
    np.testing.assert_allclose(found["survival"], [[3 / 4, 3 / 8], [1, 1 / 2]], rtol=1e-15)
    # Expected of group 0: 1 * 4/8 at time 0, and 3 * 2/6 at time 1, so that 2 less 1.5 remains. The variance is
    # 1 * 7/7 * 1/2 * 1/2 = 1/4, and 3 * 3/5 * 1/3 * 2/3 = 2/5.
    np.testing.assert_allclose(found["excess"], [0.5, -0.5], rtol=1e-12)
    np.testing.assert_allclose(found["covariance"], [[0.65, -0.65], [-0.65, 0.65]], rtol=1e-12)
    assert program.log_rank(found).statistic == pytest.approx(0.25 / 0.65)


def test_a_curve_moves_where_enough_events_have_gathered():
    # 10 at risk; 2, 1, 2 and 1 events: three have gathered at the second time, and again at the last.
    program, own = of_groups([[2, 1, 2, 1], [0, 0, 0, 0]], [[0, 0, 0, 4], [0, 0, 0, 9]], minimum=3)
    assert _plain(program, own)["survival"].tolist() == [
        [1, pytest.approx(0.7), pytest.approx(0.7), pytest.approx(0.4)],
        [1] * 4,
    ]


def test_a_curve_does_not_move_with_few_people_at_risk():
    # 5 have the event of 7, then 2 of 2: with a minimum of 2 it is shown, with 3 not even in sum.
    for minimum, last in ((2, 0.0), (3, pytest.approx(2 / 7))):
        program, own = of_groups([[5, 2], [9, 0]], [[0, 0], [0, 9]], minimum=minimum)
        assert _plain(program, own)["survival"][0].tolist() == [pytest.approx(2 / 7), last]


def test_groups_are_not_compared_if_one_has_few_events():
    for events, is_compared in ((3, False), (4, True)):
        program, own = of_groups([[20], [events]], [[5], [9]], minimum=4)
        found = _plain(program, own)
        assert found["covariance"].any() == found["excess"].any() == is_compared
        assert np.isnan(program.log_rank(found).statistic) == (not is_compared)


def test_groups_of_whom_all_have_the_event_at_once_are_not_compared():
    program, own = of_groups([[0, 4], [0, 6]], [[1, 0], [2, 0]], minimum=1)
    assert np.isnan(program.log_rank(_plain(program, own)).statistic)


counts = st.lists(st.integers(0, 6), min_size=24, max_size=24)


@settings(max_examples=60, deadline=None)
@given(numbers=counts, minimum=st.integers(1, 12))
def test_each_drop_of_a_curve_stands_for_the_minimum_of_events_at_least(numbers, minimum):
    events, left = np.array(numbers).reshape(2, 2, 6)
    program, own = of_groups(events.tolist(), left.tolist(), minimum=minimum)
    for curve, died in zip(_plain(program, own)["survival"], events, strict=True):
        moved = np.flatnonzero(np.diff(curve, prepend=1.0))
        gathered = np.diff(np.cumsum(died)[moved], prepend=0)
        assert (gathered >= minimum).all()


def test_more_people_than_a_hospital_may_have_are_refused():
    program = Survival(parties=3, times=2, most_people=10)
    five = np.array([[2, 0], [0, 3]])
    program.checked_of(0, {"events": five, "left": five})
    with pytest.raises(InputError, match="party 2: 11 people are more than 10, the most of one"):
        program.checked_of(2, {"events": five, "left": np.array([[2, 1], [0, 3]])})
    with pytest.raises(InputError, match="1 of 4 numbers of left are outside 0 to 10"):
        program.checked_of(2, {"events": five, "left": -(five == 3).astype(int)})


def test_more_people_than_the_format_divides_by_are_refused():
    with pytest.raises(ParametersError, match="30,000,000 people in all are too many to divide by with 20 bits"):
        Survival(parties=3, times=2, most_people=10_000_000, format=FixedPoint(bits=48, fraction=20))
