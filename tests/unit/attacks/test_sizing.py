"""How many people to attack: the worked number, the power by simulation, and what a score card says when they lack."""

import numpy as np
import pytest

from tasks.attacks import sizing
from tasks.attacks.adversary import Adversary, Goal
from tasks.attacks.attack import Evidence
from tasks.attacks.risk import Stratum, Trials, excess_risk
from tasks.attacks.score import Gate, score


def coin(rate, count, strata=1):
    share = count // strata
    return Trials(
        strata=tuple(
            Stratum(name=str(n), weight=1 / strata, trials=share, successes=rate * share, squares=rate * share)
            for n in range(strata)
        )
    )


def test_the_number_is_the_one_worked_out_by_hand():
    # c = 0.5, T = 0.3, r = 0.1: a = 0.55, s = 0.9 sqrt(0.55 / 0.45 + 1) = 1.3416; z = 1.960 and 1.2816 for the power:
    # n = ((3.2415 * 1.3416) / 0.2)^2 = 472.8.
    aim = sizing.Aim(threshold=0.3, confidence=0.95, attacks=1)
    assert sizing.needed(coin(0.5, 100_000), aim) == pytest.approx(473, rel=0.07)


def test_it_takes_more_for_more_attacks_a_higher_control_and_a_lower_threshold():
    base = {"threshold": 0.09, "confidence": 0.95, "attacks": 1}
    usual = sizing.needed(coin(0.5, 1000), sizing.Aim(**base))
    assert sizing.needed(coin(0.5, 1000), sizing.Aim(**base | {"attacks": 12})) > usual
    assert sizing.needed(coin(0.75, 1000), sizing.Aim(**base)) > 2 * usual
    assert sizing.needed(coin(0.5, 1000), sizing.Aim(**base | {"threshold": 0.33})) < usual / 10


def test_strata_of_unequal_size_need_more():
    aim = sizing.Aim(threshold=0.09, confidence=0.95, attacks=1)
    uneven = Trials(
        strata=(
            Stratum(name="few", weight=0.5, trials=100, successes=50, squares=50),
            Stratum(name="many", weight=0.5, trials=900, successes=450, squares=450),
        )
    )
    # Kish's design effect: 1000 (0.25 / 100 + 0.25 / 900) = 2.78.
    assert sizing.needed(uneven, aim) / sizing.needed(coin(0.5, 1000), aim) == pytest.approx(2.78, rel=0.05)


@pytest.mark.parametrize("control", [0.01, 0.2, 0.75])
def test_that_many_certify_a_third_of_the_threshold_nine_times_in_ten(control):
    aim = sizing.Aim(threshold=0.09, confidence=0.95, attacks=10)
    count = sizing.needed(coin(control, 10_000), aim)
    rng = np.random.default_rng(1)
    attack = control + 0.03 * (1 - control)

    def draw(rate):
        return coin(rng.binomial(count, rate) / count, count)

    certified = np.mean([excess_risk(draw(attack), draw(control), aim.each).high <= 0.09 for _ in range(600)])
    # 600 draws at 0.9 have a standard deviation of 1.2 %.
    assert certified >= 0.9 - 3 * 0.012


def test_nothing_is_enough_where_the_control_always_succeeds():
    aim = sizing.Aim(threshold=0.09, confidence=0.95, attacks=1)
    assert sizing.needed(coin(1.0, 1000), aim) > 100_000


def test_a_gate_that_lacks_people_says_how_many_it_takes():
    adversary = Adversary(name="link", goal=Goal.LINKABILITY, knows=("a",), linked=("b",))
    few = Evidence(adversary=adversary, attack=coin(0.5, 200), control=coin(0.5, 200), baseline=0.0, needed=3210)
    card = score([few], 0.09, 0.95)
    assert card.gate is Gate.INCONCLUSIVE
    assert card.shortage is not None
    assert "200" in card.shortage
    assert "3,210" in card.shortage
    enough = few.model_copy(update={"attack": coin(0.5, 20_000), "control": coin(0.5, 20_000)})
    assert score([enough], 0.09, 0.95).shortage is None
