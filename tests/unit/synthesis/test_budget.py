"""A budget converts as published, adds up, and refuses what it has not left."""

import math

import numpy as np
import pytest
from scipy import stats

from tasks.common.errors import BudgetExhausted
from tasks.synthesis import budget
from tasks.synthesis.budget import Budget, Ledger, Mechanism, Part


def part(rho, delta=0.0):
    return Part(name="counts", mechanism=Mechanism.GAUSSIAN, sensitivity=1, sigma=1, rho=rho, delta=delta)


def gradients(sigma=1.1, rate=0.02, steps=500):
    return Part(
        name="gradients", mechanism=Mechanism.SAMPLED_GAUSSIAN, sensitivity=1, sigma=sigma, rate=rate, steps=steps
    )


# What `cdp_rho` and `cdp_eps` of the authors' own code give (IBM/discrete-gaussian-differential-privacy, cdp2adp.py).
@pytest.mark.parametrize(
    ("epsilon", "delta", "rho"),
    [
        (0.1, 1e-6, 0.0003210476903457401),
        (1, 1e-6, 0.024355970359538372),
        (3, 1e-5, 0.2242491682463453),
        (10, 1e-9, 1.0907857043970155),
        (100, 1e-6, 49.54576279940468),
    ],
)
def test_the_conversion_is_that_of_the_papers_authors(epsilon, delta, rho):
    assert budget.rho_within(epsilon, delta) == pytest.approx(rho, rel=1e-9)
    assert budget.epsilon_of(rho, delta) == pytest.approx(epsilon, rel=1e-9)


@pytest.mark.parametrize("rho", [0.005, 0.05, 0.5, 4])
def test_the_conversion_agrees_with_that_of_opacus(rho):
    from opacus.accountants.analysis.rdp import get_privacy_spent

    orders = 1 + np.geomspace(1e-3, 1e3, 1001)
    theirs, _ = get_privacy_spent(orders=orders, rdp=rho * orders, delta=1e-6)
    assert budget.epsilon_of(rho, 1e-6) == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("rho", [0.01, 0.3, 2])
def test_the_conversion_never_promises_more_than_the_gaussian_keeps(rho):
    # Balle & Wang 2018, theorem 8: the exact delta of the Gaussian mechanism at epsilon, here with sensitivity 1.
    epsilon, sigma = budget.epsilon_of(rho, 1e-5), math.sqrt(1 / (2 * rho))
    exact = stats.norm.cdf(0.5 / sigma - epsilon * sigma) - math.exp(epsilon) * stats.norm.cdf(
        -0.5 / sigma - epsilon * sigma
    )
    assert exact < 1e-5
    assert exact > 1e-7  # and not much less either


def test_gradients_are_accounted_as_opacus_does():
    from opacus.accountants import RDPAccountant

    theirs = RDPAccountant()
    theirs.history = [(1.1, 0.02, 500)]
    ours = Ledger(budget=Budget(epsilon=10, delta=1e-5)).spend(gradients()).epsilon
    assert ours == pytest.approx(theirs.get_epsilon(delta=1e-5), rel=1e-9)


def test_counts_and_gradients_together_cost_less_than_one_after_the_other_and_more_than_either():
    empty = Ledger(budget=Budget(epsilon=50, delta=1e-5))
    counts, trained = empty.spend(part(0.1)).epsilon, empty.spend(gradients()).epsilon
    both = empty.spend(part(0.1)).spend(gradients()).epsilon
    assert max(counts, trained) < both < counts + trained


def test_what_is_left_can_be_spent_and_nothing_after_it():
    ledger = Ledger(budget=Budget(epsilon=1, delta=1e-6)).spend(part(0.01))
    spent = ledger.spend(part(ledger.rho_left()))
    assert 0.999 < spent.epsilon <= 1
    with pytest.raises(BudgetExhausted, match="does not have enough left for counts"):
        spent.spend(part(1e-4))


def test_what_is_left_beside_gradients_can_be_spent_and_no_more():
    ledger = Ledger(budget=Budget(epsilon=3, delta=1e-5)).spend(gradients())
    left = ledger.rho_left()
    assert ledger.spend(part(left)).epsilon <= 3
    with pytest.raises(BudgetExhausted):
        ledger.spend(part(left * 1.001))


def test_a_ledger_that_was_stored_goes_on_refusing():
    ledger = Ledger(budget=Budget(epsilon=1, delta=1e-6))
    ledger = ledger.spend(part(ledger.rho_left()))
    again = Ledger.model_validate_json(ledger.model_dump_json())
    assert again == ledger
    with pytest.raises(BudgetExhausted):
        again.spend(part(1e-4))


def test_deltas_of_parts_are_taken_off_the_budgets():
    ledger = Ledger(budget=Budget(epsilon=1, delta=1e-6))
    assert ledger.spend(part(0.01, 5e-7)).epsilon == pytest.approx(budget.epsilon_of(0.01, 5e-7))
    with pytest.raises(BudgetExhausted):
        ledger.spend(part(0.0, 1e-6))
    assert ledger.rho_left(1e-6) == 0


def test_an_exhausted_budget_has_an_exit_code_of_its_own():
    from tasks.common import errors

    codes = [kind.exit_code for kind in errors.SecuredError.__subclasses__()]
    assert codes.count(BudgetExhausted.exit_code) == 1
