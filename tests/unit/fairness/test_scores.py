"""Area under the curve with DeLong's interval, and calibration."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from tasks.fairness import scores
from tasks.fairness.cost import _paired

DIGIT = 0.0005


def scored(seed, count=400, tied=False):
    rng = np.random.default_rng(seed)
    labels = rng.random(count) < 0.3
    found = expit(rng.normal(0, 1, count) + labels - 1)
    return labels, np.round(found, 1) if tied else found


def bootstrapped_error(labels, *several, draws=1500):
    """Standard error of the area (of two: of its change) by drawing people, from who wins against whom."""
    rng = np.random.default_rng(1)
    wins = [_wins(found[labels], found[~labels]) for found in several]
    change = wins[0] if len(wins) == 1 else wins[1] - wins[0]
    drawn = [
        change[np.ix_(rng.integers(0, len(change), len(change)), rng.integers(0, len(change[0]), len(change[0])))]
        for _ in range(draws)
    ]
    return np.std([one.mean() for one in drawn])


def _wins(yes, no):
    return (yes[:, None] > no) + 0.5 * (yes[:, None] == no)


@pytest.mark.parametrize("tied", [False, True])
def test_the_area_is_scikit_learns_and_its_error_that_of_a_bootstrap(tied):
    labels, found = scored(1, tied=tied)
    ours = scores.auc(labels, found)
    assert ours.value == pytest.approx(roc_auc_score(labels, found), abs=DIGIT)
    assert (ours.high - ours.low) / (2 * 1.96) == pytest.approx(bootstrapped_error(labels, found), rel=0.1)


def test_two_models_are_compared_on_the_same_people():
    labels, before = scored(2)
    after = expit(logit(before) + np.random.default_rng(3).normal(0, 0.5, len(labels)))
    ours = scores.auc_change(labels, before, after)
    assert ours.value == pytest.approx(roc_auc_score(labels, after) - roc_auc_score(labels, before), abs=DIGIT)
    assert (ours.high - ours.low) / (2 * 1.96) == pytest.approx(bootstrapped_error(labels, before, after), rel=0.1)
    # Each alone is much less certain.
    alone = scores.auc(labels, before)
    assert ours.high - ours.low < 0.6 * (alone.high - alone.low)


def test_the_calibration_gap_and_slope_hold_what_was_injected_in_95_of_100_tables():
    held = [0, 0]
    for seed in range(100):
        rng = np.random.default_rng(seed)
        odds = rng.normal(-1, 1.5, 500)
        labels = rng.random(500) < expit(0.3 + 0.6 * odds)  # predictions too extreme, and too low
        gap, slope = scores.gap(labels, expit(odds)), scores.slope(labels, expit(odds))
        held[0] += gap.low <= GAP <= gap.high
        held[1] += slope.low <= 0.6 <= slope.high
    assert min(held) >= 88, held


def _gap():
    """E expit(0.3 + 0.6 x) - expit(x) for x ~ N(-1, 1.5), by the trapezoid rule."""
    x = np.linspace(-13, 11, 20_001)
    density = np.exp(-((x + 1) ** 2) / (2 * 1.5**2)) / np.sqrt(2 * np.pi * 1.5**2)
    return float(np.trapezoid((expit(0.3 + 0.6 * x) - expit(x)) * density, x))


GAP = _gap()


def test_the_slope_is_that_of_a_logistic_regression():
    labels, found = scored(4)
    theirs = LogisticRegression(C=np.inf).fit(logit(found)[:, None], labels).coef_[0, 0]
    assert scores.slope(labels, found).value == pytest.approx(theirs, abs=0.002)


@pytest.mark.parametrize("found", [np.full(100, 0.3), np.r_[np.full(50, 0.2), np.full(50, 0.8)]])
def test_there_is_no_slope_where_scores_are_alike_or_tell_outcomes_perfectly(found):
    labels = np.r_[np.zeros(50, dtype=bool), np.ones(50, dtype=bool)]
    assert scores.slope(labels, found) is None


def test_calibration_differs_by_what_was_injected_and_not_beyond_chance_without():
    # Everyone's probability is the score, but half of the cases of group 1 were not recorded: it is overestimated by
    # half its rate, 0.5 * E score = 0.5 * 0.3.
    held = beyond = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        found, place = rng.beta(3, 7, 800), rng.integers(0, 2, 800)
        truth = rng.random(800) < found
        recorded = truth & ((place == 0) | (rng.random(800) < 0.5))
        biased = scores.gap_difference(recorded, found, place, [0, 1], rng)
        held += biased.low <= 0.15 <= biased.high
        assert biased.beyond_chance
        beyond += scores.gap_difference(truth, found, place, [0, 1], rng).beyond_chance
    assert held >= 88
    assert beyond <= 12


def test_chance_of_calibration_is_what_shuffling_within_similar_scores_shows():
    rng = np.random.default_rng(5)
    place = rng.integers(0, 3, 900)
    found = rng.beta(3, 7, 900) * np.array([0.5, 1.0, 1.2])[place] / 1.2  # groups differ in their scores
    labels = rng.random(900) < found
    stratum = np.searchsorted(np.quantile(found, np.linspace(0, 1, 11)[1:-1]), found, side="right")
    shuffled = []
    for _ in range(1000):
        new = place.copy()
        for one in range(10):
            new[stratum == one] = rng.permutation(place[stratum == one])
        shuffled.append(np.ptp([(labels - found)[new == group].mean() for group in range(3)]))
    ours = scores.gap_difference(labels, found, place, [0, 1, 2], rng)
    assert ours.chance == pytest.approx(np.mean(shuffled), abs=0.003)
    assert ours.chance_high == pytest.approx(np.quantile(shuffled, 0.95), abs=0.006)


def test_a_change_of_found_cases_counts_who_is_gained_and_lost():
    # 100 cases, 10 found newly, 4 no longer: 0.06. With half a person in each cell (10.5 - 4.5) / 102 = 0.0588,
    # error sqrt(15 - 6**2 / 102) / 102 = 0.0375: bounds 0.0588 -+ 1.96 * 0.0375.
    was = np.r_[np.ones(30, dtype=bool), np.zeros(70, dtype=bool)]
    now = was.copy()
    now[:4], now[30:40] = False, True
    found = _paired(was, now)
    assert (found.value, found.low, found.high) == pytest.approx((0.06, -0.0147, 0.1324), abs=0.0006)
