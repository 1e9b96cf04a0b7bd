"""Risk and its bounds: worked examples, published intervals, and coverage by simulation."""

import numpy as np
import pytest

from tasks.attacks.risk import Stratum, TooFewTrials, Trials, excess_risk, success_rate


def trials(*groups):
    """Trials from arrays of successes, strata of equal weight."""
    return Trials(
        strata=tuple(
            Stratum(
                name=str(n),
                weight=1 / len(groups),
                trials=len(g),
                successes=float(np.sum(g)),
                squares=float(np.sum(np.square(g))),
            )
            for n, g in enumerate(groups)
        )
    )


def coin(successes, count):
    return trials(np.repeat([1.0, 0.0], [successes, count - successes]))


def test_wilsons_interval_is_the_published_one():
    # Newcombe 1998, Statist. Med. 17, 857-872, table I: 81/263 has the score interval 0.2553 to 0.3662.
    rate = success_rate(coin(81, 263), 0.95)
    assert rate.value == pytest.approx(0.3080, abs=5e-5)
    # The two made-up trials of the variance move the bounds in the third decimal only.
    assert rate.low == pytest.approx(0.2553, abs=2e-3)
    assert rate.high == pytest.approx(0.3662, abs=2e-3)


def test_the_risk_is_what_was_left_to_gain():
    # p = 0.8, c = 0.5: (0.8 - 0.5) / (1 - 0.5) = 0.6
    risk = excess_risk(coin(800, 1000), coin(500, 1000), 0.95)
    assert risk.value == pytest.approx(0.6)
    assert risk.low < 0.6 < risk.high


def test_no_excess_is_no_risk():
    risk = excess_risk(coin(300, 1000), coin(300, 1000), 0.95)
    assert risk.value == risk.low == 0
    assert 0 < risk.high < 0.1


def test_an_attack_that_always_succeeds_is_certain():
    risk = excess_risk(coin(1000, 1000), coin(0, 1000), 0.95)
    assert risk.value == 1
    assert risk.low > 0.99
    assert risk.high == 1


def test_a_control_that_is_always_guessed_decides_nothing():
    risk = excess_risk(coin(1000, 1000), coin(1000, 1000), 0.95)
    assert (risk.low, risk.high) == (0, 1)


def test_more_trials_narrow_the_bounds():
    few, many = (excess_risk(coin(n // 2, n), coin(n // 2, n), 0.95) for n in (100, 10_000))
    assert many.high < few.high / 5


def test_a_side_without_trials_is_told():
    with pytest.raises(TooFewTrials):
        success_rate(Trials(strata=()), 0.95)


def test_certifying_009_takes_thousands():
    # At a control rate of 0.75, n trials a side give a standard error of about sqrt(2 * 0.75 * 0.25 / n) / 0.25, and
    # 1.96 of them are 0.09 at n = 2,850.
    assert excess_risk(coin(1500, 2000), coin(1500, 2000), 0.95).high > 0.09
    assert excess_risk(coin(2400, 3200), coin(2400, 3200), 0.95).high < 0.09


@pytest.mark.parametrize(
    ("attack", "control", "attacked", "untouched"),
    [(0.10, 0.05, 2000, 800), (0.5, 0.5, 500, 500), (0.95, 0.6, 1000, 300), (0.02, 0.02, 3000, 1000)],
)
def test_bounds_cover_the_truth_as_often_as_they_say(attack, control, attacked, untouched):
    truth = max((attack - control) / (1 - control), 0)
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(1000):
        risk = excess_risk(
            coin(rng.binomial(attacked, attack), attacked), coin(rng.binomial(untouched, control), untouched), 0.95
        )
        inside += risk.low - 1e-12 <= truth <= risk.high + 1e-12
    # 1,000 draws at 95 % have a standard deviation of 0.7 %.
    assert inside / 1000 >= 0.95 - 3 * 0.007


def test_bounds_cover_with_strata_and_fractional_successes():
    rng = np.random.default_rng(2)

    def draw(rates, sizes):
        # Probabilities of success around a stratum's rate, as tie sets give them.
        return trials(*(rng.beta(r * 4, (1 - r) * 4, n) for r, n in zip(rates, sizes, strict=True)))

    truth = (0.35 - 0.30) / 0.70  # mean rates 0.35 and 0.30
    inside = 0
    for _ in range(600):
        risk = excess_risk(draw((0.5, 0.2), (900, 60)), draw((0.45, 0.15), (400, 40)), 0.95)
        inside += risk.low <= truth <= risk.high
    assert inside / 600 >= 0.95 - 3 * 0.009


def test_probabilities_give_narrower_bounds_than_coins_of_the_same_rate():
    assert success_rate(trials(np.full(500, 0.3)), 0.95).high < success_rate(coin(150, 500), 0.95).high
