"""pMSE has the value, mean and spread that theory gives it."""

import numpy as np
import pyarrow as pa
import pytest

from tasks.utility import propensity
from tasks.utility.fidelity import shuffled

DRAWS = 100


def origins(real, synthetic):
    return np.arange(real + synthetic) >= real


def test_a_hand_worked_example_of_one_binary_column():
    # 10 real rows, 4 of them 1; 10 synthetic ones, 8 of them 1. The model has a parameter for each value, so p is 8/12
    # for 1 and 2/8 for 0; pMSE = (12 (8/12 - 1/2)^2 + 8 (2/8 - 1/2)^2) / 20 = (1/3 + 1/2) / 20 = 1/24.
    # k = 2 parameters and c = 1/2: mean (1/4) (1/2) / 20 = 1/160, deviation sqrt(2) / 160.
    column = np.array([1] * 4 + [0] * 6 + [1] * 8 + [0] * 2, dtype=float)[:, None]
    found = propensity.by_logistic(column, origins(10, 10))
    assert found.pmse == pytest.approx(1 / 24, rel=1e-4)
    assert found.expected == pytest.approx(1 / 160)
    assert found.ratio == pytest.approx(160 / 24, rel=1e-4)
    assert found.standardised == pytest.approx((160 / 24 - 1) / np.sqrt(2), rel=1e-4)


@pytest.mark.parametrize(("real", "synthetic"), [(500, 500), (300, 900)])
def test_rows_drawn_from_what_fits_the_real_ones_have_the_mean_and_spread_of_the_null(real, synthetic):
    # Rows drawn with replacement have the real rows' distribution as the true one. The ratio is then chi-squared with
    # k - 1 = 4 degrees of freedom, over 4: mean 1 and standard deviation sqrt(2 / 4).
    rng = np.random.default_rng(1)
    ratios = []
    for _ in range(DRAWS):
        rows = rng.normal(size=(real, 4))
        made = rows[rng.integers(real, size=synthetic)]
        ratios.append(propensity.by_logistic(np.concatenate([rows, made]), origins(real, synthetic)).ratio)
    assert np.mean(ratios) == pytest.approx(1, abs=4 * np.sqrt(0.5 / DRAWS))
    assert np.std(ratios) == pytest.approx(np.sqrt(0.5), rel=0.25)


@pytest.mark.parametrize(("real", "synthetic"), [(500, 500), (300, 900)])
def test_an_independent_sample_differs_by_what_is_said_of_other_people(real, synthetic):
    rng = np.random.default_rng(2)
    found = [
        propensity.by_logistic(rng.normal(size=(real + synthetic, 4)), origins(real, synthetic)) for _ in range(DRAWS)
    ]
    expected = found[0].other_people
    assert expected == pytest.approx((real + synthetic) / real)
    assert np.mean([told.ratio for told in found]) == pytest.approx(expected, abs=4 * expected * np.sqrt(0.5 / DRAWS))


def test_the_null_of_a_tree_is_on_the_same_scale():
    rng = np.random.default_rng(3)
    same, others = [], []
    for _ in range(4):
        rows = rng.normal(size=(600, 4))
        same.append(
            propensity.by_tree(np.concatenate([rows, rows[rng.integers(600, size=600)]]), origins(600, 600), rng)
        )
        others.append(propensity.by_tree(rng.normal(size=(1200, 4)), origins(600, 600), rng))
    assert np.mean([told.ratio for told in same]) == pytest.approx(1, abs=0.15)
    assert np.mean([told.ratio for told in others]) == pytest.approx(2, abs=0.2)


def related(count, seed):
    rng = np.random.default_rng(seed)
    ward = rng.choice(["a", "b"], count)
    hours = rng.normal(size=count) + 3 * (ward == "a")
    return pa.table({"ward": ward, "hours": pa.array(hours, mask=rng.random(count) < 0.1)})


def test_only_combinations_give_shuffled_columns_away():
    rows = related(2000, 1)
    logistic, tree = propensity.measure(rows, shuffled(rows, np.random.default_rng(1)), np.random.default_rng(1))
    assert logistic.ratio < 0.5  # each column is the same, so there is less to tell than by chance
    assert tree.standardised > 20


def test_a_moved_column_is_told_by_both():
    rows = related(2000, 1)
    moved = rows.set_column(1, "hours", pa.compute.add(rows["hours"], 0.5))
    assert all(told.standardised > 10 for told in propensity.measure(rows, moved, np.random.default_rng(1)))


def test_it_repeats():
    rows, made = related(500, 1), related(500, 2)
    first, second = (propensity.measure(rows, made, np.random.default_rng(4)) for _ in range(2))
    assert first == second
