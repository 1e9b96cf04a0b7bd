"""Noise has exactly the distribution it is said to have."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from tasks.synthesis.noise import Noise, variance_for

DRAWS = 40_000


def noise(seed=1):
    return Noise(np.random.default_rng(seed).bytes)


def fits(drawn, weights):
    """p-value of drawn whole numbers against weights at -m to m; cells with few expected ones go to the edges."""
    most = len(weights) // 2
    expected = weights / weights.sum() * len(drawn)
    counts = np.bincount(np.clip(drawn, -most, most) + most, minlength=len(weights))
    kept = expected >= 5
    seen, wanted = np.append(counts[kept], counts[~kept].sum()), np.append(expected[kept], expected[~kept].sum())
    if wanted[-1] < 5:
        seen, wanted = seen[:-1], wanted[:-1]
    return stats.chisquare(seen, wanted * seen.sum() / wanted.sum()).pvalue


@pytest.mark.parametrize("variance", [Fraction(1, 4), Fraction(1), Fraction(10, 3), Fraction(400)])
def test_the_discrete_gaussian_has_its_probabilities(variance):
    drawn = noise().gaussian(variance, DRAWS)
    at = np.arange(-100, 101)
    weights = np.exp(-(at**2) / (2 * float(variance)))
    assert fits(drawn, weights) > 1e-3
    shifted = np.exp(-((at - 0.1 * float(variance) ** 0.5) ** 2) / (2 * float(variance)))
    assert fits(drawn, shifted) < 1e-3  # the test sees a tenth of a standard deviation


def test_the_discrete_gaussian_has_its_variance():
    # Canonne et al. 2020, corollary 9: never above that of the continuous one; equal to it from about 1 on.
    drawn = noise().gaussian(Fraction(25), DRAWS)
    assert abs(drawn.var() - 25) < 4 * 25 * np.sqrt(2 / DRAWS)  # four standard errors of a variance
    assert abs(drawn.mean()) < 4 * 5 / np.sqrt(DRAWS)


def test_wide_noise_does_not_overflow():
    drawn = noise().gaussian(variance_for(10_000), DRAWS)
    assert abs(drawn.std() / 10_000 - 1) < 4 / np.sqrt(2 * DRAWS)
    assert stats.kstest(drawn / 10_000, "norm").pvalue > 1e-3


def test_the_discrete_laplace_has_its_probabilities():
    assert fits(noise().laplace(3, DRAWS), np.exp(-np.abs(np.arange(-60, 61)) / 3)) > 1e-3


@pytest.mark.parametrize("ratio", [Fraction(0), Fraction(1, 3), Fraction(1), Fraction(7, 3)])
def test_decays_fall_with_the_exponent(ratio):
    trues = noise().decays(np.full(DRAWS, ratio.numerator), ratio.denominator).sum()
    assert stats.binomtest(int(trues), DRAWS, np.exp(-float(ratio))).pvalue > 1e-3


def test_integers_below_a_bound_are_uniform_for_bounds_that_are_no_powers_of_two():
    drawn = noise().below(np.full(DRAWS, 7))
    assert stats.chisquare(np.bincount(drawn, minlength=7)).pvalue > 1e-3
    assert noise().below(np.array([1, 1])).tolist() == [0, 0]
    large = noise().below(np.full(1000, 2**62 + 1))
    assert large.max() > 2**61
    assert large.min() >= 0


def test_rows_are_chosen_at_their_rate():
    assert stats.binomtest(int(noise().chosen(0.03, DRAWS).sum()), DRAWS, 0.03).pvalue > 1e-3
    assert noise().chosen(1.0, 100).all()


def test_gradient_noise_is_gaussian():
    drawn = noise().normal(DRAWS + 1)
    assert len(drawn) == DRAWS + 1
    assert stats.kstest(drawn, "norm").pvalue > 1e-3


@pytest.mark.parametrize("sigma", [0.3, 1, 4.53, 1234.5, 10_000])
def test_variances_are_not_below_what_is_asked_for_and_hardly_above(sigma):
    assert sigma**2 <= float(variance_for(sigma)) <= sigma**2 * 1.001 + 2**-10


def test_noise_comes_from_the_system_unless_told_otherwise():
    assert not np.array_equal(Noise().gaussian(Fraction(100), 50), Noise().gaussian(Fraction(100), 50))
