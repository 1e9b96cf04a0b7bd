"""What training gives in the clear, against other implementations and by hand, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from mpc_programs.link import REST, SCALE, SHIFT
from mpc_programs.regression_training import RegressionTraining
from tasks.common.errors import InputError, ParametersError
from tasks.mpc.formats import FixedPoint

_SHORT = FixedPoint(bits=31, fraction=16)


def _trained(rows: list[np.ndarray], outcome: list[np.ndarray], **options) -> dict[str, np.ndarray]:
    counts, start = tuple(map(len, outcome)), options.pop("begin", None)
    program = RegressionTraining(
        parties=len(rows), rows=counts, features=rows[0].shape[1], start=start is not None, **options
    )
    brought = {party: {"features": each, "outcome": outcome[party]} for party, each in enumerate(rows)}
    if start is not None:
        brought[0]["start"] = start
    return program.plainly(program.checked(brought))


def _standard(count: int, features: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, features))
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


def test_a_step_of_logistic_regression_by_hand():
    # From 0 all probabilities are 1/2. Residuals are 1/2, -1/2, -1/2 on features 2, -1, 0:
    # gradients (1 + 1/2 + 0) / 3 = 1/2, and of the intercept (1/2 - 1/2 - 1/2) / 3 = -1/6. At a rate of 0.6:
    found = _trained(
        [np.array([[2.0]]), np.zeros((0, 1)), np.array([[-1.0], [0.0]])],
        [np.array([0]), np.zeros(0, int), np.array([1, 1])], steps=1, rate=0.6,
    )  # fmt: skip
    np.testing.assert_allclose(found["coefficients"], [-0.3], rtol=1e-12)
    np.testing.assert_allclose(found["intercept"], [0.1], rtol=1e-12)


def test_steps_of_linear_regression_by_hand():
    # 1 -> 2 and 3 -> 6 from coefficients 1 and 0: residuals -1 and -3, gradients (-1 - 9) / 2 = -5 and -2. A penalty of
    # 2 adds 2 to the first: 1 + 0.1 * 3 = 1.3, and 0.1 * 2 = 0.2. Then residuals -0.5 and -1.9: gradients
    # (-0.5 - 5.7) / 2 + 2.6 = -0.5 and -1.2, so 1.35 and 0.32.
    found = _trained(
        [np.array([[1.0]]), np.array([[3.0]])], [np.array([2.0]), np.array([6.0])], model="linear", steps=2, rate=0.1,
        penalty=2.0, curvature=10.0, begin=np.array([1.0, 0.0]),
    )  # fmt: skip
    np.testing.assert_allclose(found["coefficients"], [1.35], rtol=1e-12)
    np.testing.assert_allclose(found["intercept"], [0.32], rtol=1e-12)


def test_ridge_regression_ends_where_scikit_learn_solves_it():
    rows = _standard(60, 3, seed=1)
    outcome = rows @ [1.0, -2.0, 0.5] + 0.7 + np.random.default_rng(2).normal(size=60) / 4
    found = _trained(
        [rows[:1], rows[1:20], rows[20:]], [outcome[:1], outcome[1:20], outcome[20:]], model="linear", penalty=0.3,
        steps=400, rate=0.4, most=5.0, format=FixedPoint(bits=60, fraction=20),
    )  # fmt: skip
    # The mean loss and half the penalty, times 2 * 60: scikit-learn's sum of squares and alpha = 60 * 0.3.
    known = Ridge(alpha=18.0).fit(rows, outcome)
    np.testing.assert_allclose(found["coefficients"], known.coef_, atol=1e-8)
    np.testing.assert_allclose(found["intercept"], [known.intercept_], atol=1e-8)


def test_a_run_from_what_another_one_found_goes_on_with_it():
    rows, outcome = _standard(30, 2, seed=3), np.resize([0, 1, 1], 30)
    split = [rows[:10], rows[10:]], [outcome[:10], outcome[10:]]
    half = _trained(*split, steps=7, rate=0.5)
    resumed = _trained(*split, steps=7, rate=0.5, begin=np.append(half["coefficients"], half["intercept"]))
    whole = _trained(*split, steps=14, rate=0.5)
    np.testing.assert_allclose(resumed["coefficients"], whole["coefficients"], rtol=1e-12)


@given(seed=st.integers(0, 2**32 - 1), rate=st.floats(0.01, 1.0), off=st.floats(0.001, 1.0))
def test_no_step_that_is_allowed_makes_an_error_grow(seed, rate, off):
    # error() adds up what steps add; that needs two runs that start apart to get no farther from each other.
    rows = _standard(40, 3, seed)
    outcome = np.random.default_rng(seed).integers(0, 2, 40)
    begin = np.random.default_rng(seed + 1).uniform(-2, 2, (2, 4))
    begin[1] = begin[0] + off * (begin[1] - begin[0])
    rate = min(rate, 2 / (0.2344 * 4))
    ends = [
        _trained([rows[:5], rows[5:]], [outcome[:5], outcome[5:]], rate=rate, steps=5, begin=each) for each in begin
    ]
    apart = [ends[1][name] - ends[0][name] for name in ("coefficients", "intercept")]
    assert np.linalg.norm(np.concatenate(apart)) <= np.linalg.norm(begin[1] - begin[0]) + 1e-12


@given(seed=st.integers(0, 2**32 - 1), model=st.sampled_from(["logistic", "linear"]), rate=st.floats(0.05, 0.45))
def test_coefficients_stay_within_what_the_program_says_that_they_reach(seed, model, rate):
    rows = _standard(40, 3, seed)
    outcome = np.random.default_rng(seed).integers(0, 2, 40)
    found = _trained([rows[:5], rows[5:]], [outcome[:5], outcome[5:]], model=model, rate=rate)
    program = RegressionTraining(parties=2, rows=(5, 35), features=3, model=model, rate=rate)
    assert np.abs(found["coefficients"]).max() <= program.outputs()["coefficients"].high


def test_rounding_to_steps_at_every_turn_stays_within_the_error():
    # Numbers as MP-SPDZ has them, with each product off by the most that probabilistic rounding may be, at random.
    rows, outcome = _standard(50, 4, seed=5), np.resize([1, 0, 0, 1, 1, 1, 0], 50)
    program = RegressionTraining(parties=2, rows=(20, 30), features=4, rate=0.5, format=_SHORT)
    step, random = program.format.step, np.random.default_rng(6)

    def off(values, step=step):
        return np.floor(values / step + random.integers(0, 2, np.shape(values))) * step

    x = np.column_stack([off(rows), np.ones(50)])
    found = np.zeros(5)
    for _ in range(program.steps):
        t = np.clip(off(x @ found / 4, 2.0**-11), -1, 1)  # 5 * 11 and 3 more bits fit into 2 * 31
        value = off(t * ((t * t + SHIFT) ** 2 + REST))
        sums = off(x.T @ (value + (0.5 - outcome) / SCALE) / 64)
        found = found - off(sums * (0.5 * SCALE * 64 / 50))
    plain = program.plainly({0: {"features": rows[:20], "outcome": outcome[:20]},
                             1: {"features": rows[20:], "outcome": outcome[20:]}})  # fmt: skip
    gap = np.abs(found - np.append(plain["coefficients"], plain["intercept"])).max()
    assert step < gap <= program.error()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"rows": (5, 5)}, "rows has 2 numbers for 3 parties"),
        ({"rows": (1, 0, 0)}, "2 rows or more"),
        # The steepest slope is 0.2334: 2 / (0.2334 * 5) = 1.71, and 2 / 5 for linear regression.
        ({"rate": 1.72}, r"a rate of 1\.72 may diverge on rows of curvature 5; take at most 1\.71"),
        ({"rate": 0.41, "model": "linear"}, r"take at most 0\.4,"),
        ({"rate": 0.4, "model": "linear", "penalty": 1.0}, r"take at most 0\.333"),
    ],
)
def test_what_cannot_be_trained_is_refused(wrong, reason):
    with pytest.raises(ParametersError, match=reason):
        RegressionTraining(**{"parties": 3, "rows": (5, 6, 7), "features": 4} | wrong)


def test_a_rate_that_rows_of_less_curvature_bear_is_allowed():
    assert RegressionTraining(parties=3, rows=(5, 6, 7), features=4, rate=4.0, curvature=2.0).rate == 4.0


def test_scores_that_the_format_could_not_hold_are_refused_before_anything_starts():
    # 400 steps of 0.25 with 31 features: coefficients to 400 * 0.25 * sqrt(32) = 566; rows to sqrt(1 + 31 * 64) = 44.6.
    program = RegressionTraining(parties=3, rows=(5, 6, 7), features=31, rate=0.25, steps=400, format=_SHORT)
    with pytest.raises(ParametersError, match=r"may reach 2\.52e\+04"):
        program.checked({})


def test_rows_longer_than_was_said_and_outcomes_that_are_none_are_refused():
    program = RegressionTraining(parties=2, rows=(2, 1), features=2, longest=3.0)
    fine = {"features": np.array([[2.0, 2.0], [0.0, 0.0]]), "outcome": np.array([0, 1])}  # 1 + 4 + 4 = 9
    program.checked_of(0, fine)
    with pytest.raises(InputError, match="party 0: 1 of 2 rows are longer than 3"):
        program.checked_of(0, fine | {"features": np.array([[2.0, 2.01], [0.0, 0.0]])})
    with pytest.raises(InputError, match="1 of 2 numbers of outcome are outside 0 to 1"):
        program.checked_of(0, fine | {"outcome": np.array([2, 1])})
