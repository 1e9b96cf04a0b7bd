"""The link of logistic models against the sigmoid."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.special import expit

from mpc_programs.link import LINK_ERROR, RANGE, SLOPE, link


def test_the_link_is_as_near_the_sigmoid_as_it_says_and_no_nearer():
    scores = np.linspace(-60, 60, 1_200_001)
    off = np.abs(link(scores) - expit(scores)).max()
    assert 0.00899 < off <= LINK_ERROR


def test_the_link_is_the_best_of_its_kind():
    # Least t such that all |polynomial - sigmoid| <= t: a linear program, in the coefficients and t.
    scores = np.linspace(0, 20, 4001)
    t = np.minimum(scores / RANGE, 1)
    powers = np.stack([t, t**3, t**5, -np.ones_like(t)], axis=1)
    wanted = expit(scores) - 0.5
    both = np.concatenate([powers, powers * [-1, -1, -1, 1]])
    best = linprog([0, 0, 0, 1], A_ub=both, b_ub=np.concatenate([wanted, -wanted]), bounds=[(None, None)] * 4)
    assert np.abs(link(scores) - 0.5 - wanted).max() == pytest.approx(best.x[3], rel=1e-4)


def test_it_rises_from_nearly_nothing_to_nearly_one_and_stays_between():
    said = link(np.linspace(-10, 10, 100_001))
    assert (np.diff(said) >= 0).all()
    assert 0 < said.min() == said[0] < LINK_ERROR
    assert said.max() == said[-1] < 1
    np.testing.assert_allclose(said + said[::-1], 1, atol=1e-15)


def test_its_steepest_slope_is_at_0_and_what_is_said():
    scores = np.linspace(-4, 4, 800_001)
    slopes = np.diff(link(scores)) / np.diff(scores)
    assert slopes.max() == pytest.approx(SLOPE, rel=1e-6)
    assert abs(scores[slopes.argmax()]) < 1e-3
