"""What the accountant tells keeps its promise: audits on neighbouring tables, which a careless accountant fails.

An audit guesses from the outcome whether one row was in the table. If the guess is right with a share t and wrong with
a share f, then epsilon is at least log((t - delta) / f); by Clopper-Pearson bounds of both that is a lower bound with
confidence (Jagielski et al. 2020, NeurIPS, arXiv 2006.07709).
"""

import math
import warnings

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from tasks.common.errors import BudgetExhausted, PolicyError
from tasks.synthesis.accountant import Accountant, lifted_by_noise
from tasks.synthesis.budget import Budget, Ledger, epsilon_of, rho_within
from tasks.synthesis.noise import Noise

EPSILON, DELTA = 1.0, 1e-5
RUNS, CHOICES = 40_000, 1_000


class Careless(Noise):
    """Noise a fifth as wide as it is said to be."""

    def gaussian(self, variance, count):
        return super().gaussian(variance / 25, count)


class Free(Ledger):
    """For audits of thousands of draws, each of which is said to be the only one."""

    def spend(self, _part):
        return self


def accountant(seed, kind=Noise, rows=1, epsilon=EPSILON, delta=DELTA):
    source = np.random.default_rng(seed).bytes
    made = Accountant(Ledger(budget=Budget(epsilon=epsilon, delta=delta), rows_per_person=rows), source)
    made.noise = kind(source)
    return made


def least_epsilon(inside, outside, delta, confidence=0.999):
    """Lower bound of epsilon from outcomes (runs,) with a row in the table and out of it, the larger the likelier in.

    The outcome from which on the guess is `in` is chosen on the first halves, and judged on the second.
    """
    half = len(inside) // 2
    cuts = np.unique(np.concatenate([inside[:half], outside[:half]]))
    cut = max(cuts, key=lambda c: _bound(inside[:half] >= c, outside[:half] >= c, delta, confidence))
    return _bound(inside[half:] >= cut, outside[half:] >= cut, delta, confidence)


def _bound(right, wrong, delta, confidence):
    level = (1 - confidence) / 2
    hits, misses, runs = int(right.sum()), int(wrong.sum()), len(right)
    low = stats.beta.ppf(level, hits, runs - hits + 1) if hits else 0.0
    high = stats.beta.ppf(1 - level, misses + 1, runs - misses) if misses < runs else 1.0
    return math.log((low - delta) / high) if low > delta else -math.inf


def counts(kind, present, rows=1, moved=None):
    """Noisy counts of one cell in many runs, with `moved` more rows in it if the person is present.

    Noise is drawn for each cell apart, so many cells of one run are one cell of many.
    """
    made = accountant([present], kind, rows)
    exact = np.full(RUNS, 20 + present * (rows if moved is None else moved))
    return made.count("cell", exact, made.ledger.rho_left()).counts


@pytest.mark.parametrize("rows", [1, 4])
def test_counts_tell_no_more_of_a_person_than_the_budget_says(rows):
    assert least_epsilon(counts(Noise, 1, rows), counts(Noise, 0, rows), DELTA) <= EPSILON


@pytest.mark.parametrize("rows", [1, 4])
def test_the_audit_catches_noise_that_is_too_narrow(rows):
    assert least_epsilon(counts(Careless, 1, rows), counts(Careless, 0, rows), DELTA) > EPSILON


def test_the_audit_catches_a_person_with_more_rows_than_are_protected():
    assert least_epsilon(counts(Noise, 1, 1, moved=6), counts(Noise, 0, 1), DELTA) > EPSILON


def choices(scores, rho, seed=1):
    """What was chosen in many runs, int64 (runs,)."""
    made = Accountant(Free(budget=Budget(epsilon=EPSILON, delta=DELTA)), np.random.default_rng(seed).bytes)
    return np.array([made.choose("pair", np.array(scores), rho) for _ in range(CHOICES)])


@pytest.mark.parametrize(("change", "keeps"), [(1.0, True), (6.0, False)])
def test_choices_tell_no_more_than_their_share_and_scores_that_change_too_much_are_caught(change, keeps):
    # A choice with rho is that of an exponential mechanism with epsilon = sqrt(8 rho), which is pure.
    # A row changes both scores by `change`, in opposite directions; 1 is what the accountant is told.
    rho = 0.05
    inside, outside = (choices([10.0 + c, 20.0 - c], rho, seed) == 0 for seed, c in ((1, change), (2, 0.0)))
    assert (least_epsilon(inside, outside, 0.0) <= math.sqrt(8 * rho)) is keeps


def test_choices_have_the_probabilities_of_the_exponential_mechanism():
    # rho = 0.5 is epsilon = 2, so weights are e^3, e^2 and e^0; grains of 1 / 1024 move none by a hundredth.
    weights = np.exp([3.0, 2.0, 0.0])
    seen = np.bincount(choices([3.0, 2.0, 0.0], 0.5), minlength=3)
    assert stats.chisquare(seen, weights / weights.sum() * CHOICES).pvalue > 1e-3


def seen(kind, delta, rows=1):
    """In how many of many runs the label is seen that only one person has, once in each of the person's rows."""
    people = pa.array([f"rare {run}" for run in range(RUNS) for _ in range(rows)] + ["common"] * 2000)
    labels = accountant(1, kind, rows, epsilon=4, delta=2 * delta).labels("labels", people, 0.1, delta)
    assert "common" in labels
    return len(labels) - 1


@pytest.mark.parametrize("rows", [1, 3])
def test_a_label_of_one_person_is_seen_as_rarely_as_delta_says(rows):
    assert stats.binomtest(seen(Noise, 0.02, rows), RUNS, 0.02, "greater").pvalue > 1e-3


def test_the_audit_catches_labels_that_are_seen_too_often():
    class Loud(Noise):
        def gaussian(self, variance, count):
            return super().gaussian(variance * 9, count)

    assert stats.binomtest(seen(Loud, 0.02), RUNS, 0.02, "greater").pvalue < 1e-3


def test_noise_is_lifted_over_the_threshold_with_the_probability_of_its_tail():
    # The tail of the continuous Gaussian is close for a wide one: 10 * 3.09 = 30.9 at 1 in 1000.
    assert abs(lifted_by_noise(10.0, 1e-3) - 31) <= 1
    # Variance 1, by hand: P(X >= 2) = (e^-2 + e^-4.5 + ...) / (1 + 2 (e^-0.5 + e^-2 + e^-4.5 + ...)) = 0.0585
    assert lifted_by_noise(1.0, 0.06) == 2
    assert lifted_by_noise(1.0, 0.058) == 3


def test_every_draw_is_in_the_ledger_with_what_it_cost():
    made = accountant(1, rows=2, epsilon=3)
    made.count("marginal of `age`", np.zeros(4, np.int64), 0.05)
    made.choose("pair", np.zeros(3), 0.02, sensitivity=1.0)
    made.labels("labels of `ward`", pa.array(["a"]), 0.03, 1e-6)
    count, choice, labels = made.ledger.parts
    # Two rows of a person: sigma = 2 / sqrt(2 * 0.05) = 6.32, and rho = 2^2 / (2 sigma^2).
    assert count.sigma == pytest.approx(6.3246, rel=1e-3)
    assert (count.sensitivity, choice.sensitivity, labels.sensitivity) == (2, 2, 2)
    assert [p.rho for p in made.ledger.parts] == pytest.approx([0.05, 0.02, 0.03], rel=1e-3)
    assert all(p.rho <= asked for p, asked in zip(made.ledger.parts, (0.05, 0.02, 0.03), strict=True))
    assert labels.delta == 1e-6
    assert made.ledger.epsilon == pytest.approx(epsilon_of(sum(p.rho for p in made.ledger.parts), DELTA - 1e-6))


def test_nothing_is_drawn_when_the_budget_is_exhausted():
    drawn = []

    def source(count):
        drawn.append(count)
        return b"\0" * count

    made = Accountant(Ledger(budget=Budget(epsilon=1, delta=1e-6)), source)
    with pytest.raises(BudgetExhausted):
        made.count("cell", np.array([1]), 2 * rho_within(1, 1e-6))
    with pytest.raises(BudgetExhausted):
        made.choose("pair", np.array([1.0, 2.0]), 1.0)
    assert not drawn
    assert made.ledger.parts == ()


def test_noise_that_would_drown_everything_is_refused():
    with pytest.raises(PolicyError, match="noise would be wider"):
        accountant(1).count("cell", np.array([1]), 1e-12)


def test_gradients_get_the_noise_that_opacus_asks_for():
    from opacus.accountants.utils import get_noise_multiplier

    made = accountant(1, epsilon=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the first, far too wide noise that it tries
        theirs = get_noise_multiplier(
            target_epsilon=2, target_delta=DELTA, sample_rate=0.05, steps=400, accountant="rdp", epsilon_tolerance=1e-3
        )
    assert made.gradients("gradients", rate=0.05, steps=400) == pytest.approx(theirs, rel=3e-3)
    assert 1.98 < made.ledger.epsilon <= 2


def test_gradients_of_several_rows_a_person_get_more_noise_than_that_many_times_as_much():
    # Sensitivity r, and the person is in a batch about r times as often.
    single, double = (accountant(1, rows=rows).gradients("g", rate=0.05, steps=100) for rows in (1, 2))
    assert double > 2 * single
