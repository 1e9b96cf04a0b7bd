"""The learning curve recovers what is known, and says how many rows suffice."""

import numpy as np
import pytest

from tasks.utility.volume import _rows_for, fit_power_law


@pytest.mark.parametrize(("ceiling", "scale", "exponent"), [(0.9, 3.0, 0.5), (0.75, 10.0, 1.0), (0.8, 0.6, 0.25)])
def test_a_known_power_law_is_recovered(ceiling, scale, exponent):
    rows = [500, 1000, 2000, 4000, 8000, 16000]
    found = fit_power_law(rows, [ceiling - scale * n**-exponent for n in rows])
    assert found == pytest.approx((ceiling, scale, exponent), rel=0.02)


def test_a_flat_curve_needs_no_more_rows():
    _, scale, exponent = fit_power_law([100, 200, 400, 800], [0.8] * 4)
    assert _rows_for(scale, exponent, 0.01) <= 100


def test_noise_around_a_flat_curve_is_not_taken_for_growth_without_end():
    rng = np.random.default_rng(1)
    rows = [500, 1000, 2000, 4000, 8000]
    ceilings = [fit_power_law(rows, list(0.8 + rng.normal(0, 0.005, 5)))[0] for _ in range(50)]
    assert np.median(ceilings) == pytest.approx(0.8, abs=0.02)


def test_enough_is_where_the_rest_is_less_than_the_tolerance():
    # 3 / sqrt(n) = 0.01 at n = 90,000
    assert _rows_for(3.0, 0.5, 0.01) == pytest.approx(90_000, rel=1e-6)
