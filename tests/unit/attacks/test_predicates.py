"""Claims made from the release, on tables small enough to count by hand; the correction against its theory."""

import numpy as np
import pyarrow as pa
import pytest

from tasks.attacks import predicates
from tasks.attacks.adversary import Adversary, Goal, Method
from tests.conftest import make_policy

POLICY = make_policy(
    {
        "city": {"role": "quasi", "hierarchy": {"groups": [{"north": ["a", "b"], "south": ["c"]}]}},
        "age": {"role": "other", "kind": "numeric"},
    }
)
UNIVARIATE = Adversary(name="u", goal=Goal.SINGLING_OUT, knows=("city", "age"), method=Method.UNIVARIATE)
MULTIVARIATE = UNIVARIATE.model_copy(update={"method": Method.MULTIVARIATE})


def claim(adversary, release, original, control=None, claims=10):
    return predicates.attack(adversary, release, original, control, POLICY, {}, claims, np.random.default_rng(1))


def test_single_values_and_ends_of_ranges_are_claimed():
    release = pa.table({"city": ["a", "a", "c"], "age": [1.0, 5.0, 5.0]})
    # Exactly one released row has: city c; age 1; age at most 1 (not: at least 5, which two have).
    original = pa.table({"city": ["c", "a", "a"], "age": [0.5, 1.0, 7.0]})
    # One person has city c, one has age 1; two are at most 1.
    assert claim(UNIVARIATE, release, original).original.sum() == 2


def test_a_group_that_one_row_has_claims_the_one_person_below_it():
    release = pa.table({"city": ["north", "south", "south"], "age": [5.0, 5.0, 5.0]})
    people = pa.table({"city": ["b", "c", "c"], "age": [3.0, 3.0, 3.0]})
    assert claim(UNIVARIATE, release, people).original.sum() == 1
    two = pa.table({"city": ["a", "b", "c"], "age": [3.0, 3.0, 3.0]})
    assert claim(UNIVARIATE, release, two).original.sum() == 0


def test_claims_that_cannot_be_made_count_as_failures():
    release = pa.table({"city": ["a", "a"], "age": [5.0, 5.0]})
    found = claim(UNIVARIATE, release, release, claims=40)
    assert found.original.tolist() == [0.0] * 40


def test_a_plain_copy_is_singled_out_by_every_claim_and_others_are_not():
    rng = np.random.default_rng(2)

    def draw(count):
        return pa.table({"city": rng.choice(["a", "b", "c"], count), "age": rng.normal(size=count)})

    original = draw(400)
    found = claim(MULTIVARIATE, original, original, draw(400), claims=100)
    made = found.original.sum()
    # Those left are the extremes of a city or of all: at most a few hundred pairs of columns and ends.
    assert made > 3
    assert found.control.sum() < made
    assert set(found.original.tolist()) <= {0.0, 1.0}


def test_isolation_in_a_sample_is_hypergeometric():
    # 2 of 4 rows fit; a sample of 2 holds exactly one of them in 4 of 6 cases. 1 of 4: in 3 of 6.
    assert predicates._isolating(np.array([2, 1, 0]), 4, 2).tolist() == pytest.approx([4 / 6, 3 / 6, 0])


def test_a_larger_original_is_allowed_for_as_the_theory_says():
    # Predicates whose weights spread evenly from 0 to w isolate in n rows with the probability that is fitted:
    # (1 - (n w + 1) (1 - w)^n) / ((n + 1) w).
    rng = np.random.default_rng(3)
    weight, control, original = 1 / 500, 2_000, 6_000

    def chance(n):
        return (1 - (n * weight + 1) * (1 - weight) ** n) / (n + 1)

    counts = rng.binomial(control, rng.uniform(0, weight, 40_000))
    expected = chance(original) / chance(control)
    assert predicates._size_correction(counts, control, original) == pytest.approx(expected, rel=0.1)
    assert predicates._size_correction(counts, control, control) == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_rows_that_fit_are_counted_as_by_looking_at_each(seed):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 6, (300, 4)).astype(float)
    high = low + rng.integers(0, 3, low.shape)
    missing = rng.random(low.shape) < 0.2
    low[missing] = high[missing] = np.nan
    weights = rng.integers(1, 4, 300)
    columns = rng.random((500, 4)).argsort(axis=1)[:, :3]
    least = rng.integers(-1, 7, columns.shape).astype(float)
    most = least + rng.integers(0, 5, columns.shape)
    least[rng.random(least.shape) < 0.2] = -np.inf
    most[rng.random(most.shape) < 0.2] = np.inf
    nothing = rng.random(least.shape) < 0.1
    least[nothing] = most[nothing] = np.nan
    a, b = low.T[columns], high.T[columns]
    inside = (a >= least[..., None]) & (b <= most[..., None])
    expected = (np.where(nothing[..., None], np.isnan(a), inside).all(axis=1) * weights).sum(axis=1)
    index = predicates._index(predicates._Rows(low, high, weights))
    claims = predicates._Predicates(columns, least, most)
    assert (expected == 0).any() and (expected == 1).any() and (expected > 2).any()
    assert predicates._fitting(index, claims, 10**9).tolist() == expected.tolist()
    assert ((predicates._fitting(index, claims) == 1) == (expected == 1)).all()
