"""The ladder answers the attack that failed, and takes the rung that is worth its price."""

import pyarrow as pa
import pytest

from tasks.anonymization import ladder
from tasks.anonymization.ladder import Rung, Trial
from tests.conftest import make_plan, make_policy

POLICY = make_policy(
    {
        "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10]}},
        "result": {"role": "sensitive"},
        "hours": {"role": "other", "kind": "numeric", "round": 1},
        "ward": {"role": "other"},
    }
)
TABLE = pa.table(
    {"age": [1.0, 2, 3, 4], "result": ["x", "y", "x", "y"], "hours": [0.0, 10, 20, 30], "ward": ["a", "b", "a", "b"]}
)
PLAN = make_plan(5, suppression=0.05, rounding={"hours": 1.0})


def changes(**kwargs):
    return [rung.change for rung in ladder.rungs(POLICY, PLAN, TABLE, **kwargs)]


def test_an_inference_attack_can_be_answered_by_diversity():
    assert "l of result from 1 to 2" in changes(secret="result", diversify=True)
    assert not any("l of" in change for change in changes(secret=None, diversify=False))


def test_gentle_and_drastic_rungs_are_offered():
    found = changes(secret=None, diversify=False)
    assert "k from 5 to 7" in found
    assert "hours in steps of 2" in found
    assert "hours left out" in found
    assert "ward left out" in found
    assert not any("result left out" in change for change in found)


def test_rounding_ends_before_nothing_is_left():
    # The standard deviation of 0, 10, 20, 30 is 11.2; beyond four of them there is nothing left to round.
    plan = PLAN.model_copy(update={"rounding": {"hours": 32.0}})
    assert not any(
        "steps of" in rung.change for rung in ladder.rungs(POLICY, plan, TABLE, secret=None, diversify=False)
    )


def rung(name):
    return Rung(change=name, plan=PLAN.model_copy(update={"dropped": (name,)}))


def measured(**outcomes):
    return lambda plan: outcomes[plan.dropped[0]]


def test_the_rung_with_the_most_gain_for_its_price_is_taken():
    now = Trial(risk=0.20, loss=0.10)
    step = ladder.best(
        [rung("dear"), rung("cheap")], now, 0.09, measured(dear=Trial(0.08, 0.30), cheap=Trial(0.12, 0.12))
    )
    # dear: 0.11 of needed gain for 0.20; cheap: 0.08 for 0.02.
    assert step.change == "cheap"
    assert (step.risk_before, step.risk_after) == (0.20, 0.12)
    assert step.tried == 2


def test_gain_beyond_the_threshold_does_not_count():
    now = Trial(risk=0.10, loss=0.10)
    step = ladder.best(
        [rung("much"), rung("enough")], now, 0.09, measured(much=Trial(0.0, 0.15), enough=Trial(0.09, 0.12))
    )
    assert step.change == "enough"


def test_a_threshold_that_is_nearly_reached_needs_no_more_than_the_rest():
    step = ladder.best([rung("little")], Trial(risk=0.0904, loss=0.1), 0.09, measured(little=Trial(0.0899, 0.11)))
    assert step.change == "little"


@pytest.mark.parametrize("outcome", [None, Trial(0.20, 0.5), Trial(0.25, 0.1)])
def test_no_rung_is_taken_that_gains_nothing(outcome):
    assert ladder.best([rung("a")], Trial(0.20, 0.10), 0.09, measured(a=outcome)) is None
