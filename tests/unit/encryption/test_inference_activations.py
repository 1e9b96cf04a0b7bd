"""Activations as polynomials: errors are what theory says, and are proven, not sampled."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import chebyshev

from tasks.encryption.inference.activations import DEGREES, Function, approximate, exactly
from tasks.encryption.inference.polynomial import BABIES, depth, divided

# The limit of n · E_n(|x|) for even n; Varga and Carpenter 1985, Constr. Approx. 1:333.
_BERNSTEIN = 0.2801694990


@pytest.mark.parametrize("function", Function)
@pytest.mark.parametrize("radius", [0.5, 4.0, 12.0])
def test_no_argument_in_range_is_further_off_than_stated(function, radius):
    arguments = np.random.default_rng(1).uniform(-radius, radius, 50_000)
    for degree in (3, 15, 31):
        found = approximate(function, radius, degree)
        assert np.abs(found(arguments) - exactly(function, arguments)).max() <= found.error
        assert np.abs(found(arguments)).max() <= found.largest


@pytest.mark.parametrize("degree", [31, 63])
def test_the_rectifier_gets_the_best_polynomial_that_there_is(degree):
    found = approximate(Function.RELU, 2.0, degree)
    assert found.degree == degree - 1
    # max(x, 0) is (x + |x|) / 2, so that on ±2 its error is that of |t| on ±1.
    assert found.error * found.degree == pytest.approx(_BERNSTEIN, rel=0.01)


@pytest.mark.parametrize(("function", "pole"), [(Function.LOGISTIC, math.pi), (Function.TANH, math.pi / 2)])
def test_smooth_functions_converge_as_their_nearest_pole_says(function, pole):
    radius = 4.0
    # Trefethen 2013, theorem 8.2: by the sum of the half axes of the ellipse with foci ±1 that reaches the pole.
    rate = (pole + math.hypot(pole, radius)) / radius
    errors = {degree: approximate(function, radius, degree).error for degree in (7, 15, 23)}
    assert errors[7] / errors[15] == pytest.approx(rate**8, rel=0.25)
    assert errors[15] / errors[23] == pytest.approx(rate**8, rel=0.25)


def test_odd_functions_have_no_even_terms_and_even_ones_no_odd_terms_but_half_of_the_argument():
    tanh = approximate(Function.TANH, 3.0, 15).coefficients
    assert not any(tanh[2::2])
    silu = approximate(Function.SILU, 3.0, 15).coefficients
    assert not any(silu[3::2])
    assert silu[1] == pytest.approx(3.0 / 2, abs=1e-12)


@given(
    coefficients=st.lists(st.floats(-10, 10), min_size=2, max_size=40), at=st.floats(-1, 1),
)  # fmt: skip
def test_a_polynomial_is_its_quotient_times_a_chebyshev_polynomial_and_a_remainder(coefficients, at):
    degree = len(coefficients) - 1
    m = 1 << (degree.bit_length() - 1)
    quotient, remainder = divided(coefficients, m)
    divisor = chebyshev.chebval(at, [0.0] * m + [1.0])
    together = chebyshev.chebval(at, quotient) * divisor + chebyshev.chebval(at, remainder)
    assert together == pytest.approx(chebyshev.chebval(at, coefficients), abs=1e-9)
    assert len(remainder) <= m


def test_with_two_babies_a_polynomial_takes_as_many_levels_as_its_degree_has_doublings():
    for degree in DEGREES:
        assert depth([1.0] * (degree + 1), 2) == math.ceil(math.log2(degree + 1))


@pytest.mark.parametrize("babies", BABIES)
def test_no_splitting_takes_more_than_one_level_beyond_that(babies):
    for degree in DEGREES:
        assert depth([1.0] * (degree + 1), babies) <= math.ceil(math.log2(degree + 1)) + 1
