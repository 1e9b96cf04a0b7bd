"""Bias is measured as fairlearn measures it, and mitigation takes out a bias that was put in."""

import numpy as np
import pyarrow as pa
import pytest
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

from tasks.common.errors import TableError
from tasks.fairness import measure, mitigate
from tasks.fairness.unbias import ORIGIN, WEIGHT, unbias
from tests.conftest import make_policy

POLICY = make_policy(
    {
        "group": {"role": "quasi", "hierarchy": "all-or-nothing"},
        "sign": {"role": "other"},
        "result": {"role": "sensitive"},
    },
    downstream={"target": "result", "positive": "sick"},
    fairness={"protected": ["group"]},
)


def patients(count, seed, rates=(0.5, 0.2)):
    """Group x is sick with rates[0], group y with rates[1]; a sign is right in 8 of 10."""
    rng = np.random.default_rng(seed)
    group = rng.choice(["x", "y"], count)
    sick = rng.random(count) < np.where(group == "x", *rates)
    sign = np.where(rng.random(count) < 0.8, sick, ~sick)
    return pa.table({"group": group, "sign": np.where(sign, "+", "-"), "result": np.where(sick, "sick", "well")})


MEASURED = make_policy(
    {
        "group": {"role": "quasi", "hierarchy": "all-or-nothing"},
        "sign": {"role": "other", "kind": "numeric"},
        "result": {"role": "sensitive"},
    },
    downstream={"target": "result", "positive": "sick"},
    fairness={"protected": ["group"]},
)


def underdiagnosed(count, seed):
    """Both groups are equally often sick and show the same sign, but in group y most of it was never written down."""
    rng = np.random.default_rng(seed)
    group = rng.choice(["x", "y"], count)
    sick = rng.random(count) < 0.4
    sign = np.round(rng.normal(0, 1, count) + sick, 2)
    recorded = sick & ((group == "x") | (rng.random(count) < 0.3))
    return pa.table({"group": group, "sign": sign, "result": np.where(recorded, "sick", "well")})


def test_differences_are_those_of_fairlearn():
    rng = np.random.default_rng(1)
    labels, flagged = rng.random(1000) < 0.4, rng.random(1000) < 0.5
    groups = rng.choice(["x", "y", "z"], 1000).astype(object)
    parity, odds = measure._differences(labels, flagged, groups)
    assert parity == pytest.approx(demographic_parity_difference(labels, flagged, sensitive_features=groups))
    assert odds == pytest.approx(equalized_odds_difference(labels, flagged, sensitive_features=groups))


def test_reweighing_is_that_of_its_paper():
    # Kamiran and Calders 2012, table 3: 10 people, 6 of 10 positive; men 4 of 5 positive, women 2 of 5.
    # Weights: men + 0.5*0.6/0.4 = 0.75, men - 0.5*0.4/0.1 = 2, women + 0.5*0.6/0.2 = 1.5, women - 0.5*0.4/0.3 = 0.67.
    rows = pa.table(
        {
            "group": ["m"] * 5 + ["w"] * 5,
            "result": ["sick"] * 4 + ["well"] + ["sick"] * 2 + ["well"] * 3,
        }
    )
    weights = mitigate.weights(rows, ["group"], POLICY.downstream)
    assert weights == pytest.approx([0.75] * 4 + [2.0] + [1.5] * 2 + [2 / 3] * 3)


def test_weights_make_group_and_outcome_independent():
    rows = patients(3000, 1)
    weights = mitigate.weights(rows, ["group"], POLICY.downstream)
    group, sick = np.array(rows["group"].to_pylist()), np.array(rows["result"].to_pylist()) == "sick"
    rates = [np.average(sick[group == name], weights=weights[group == name]) for name in "xy"]
    assert rates[0] == pytest.approx(rates[1])
    assert weights.sum() == pytest.approx(3000)


def test_balancing_rows_bring_every_groups_rate_to_everyones():
    rows, pool = patients(2000, 1), patients(20_000, 2)
    chosen = mitigate.balancing_rows(rows, pool, ["group"], POLICY.downstream, 10_000, np.random.default_rng(1))
    balanced = pa.concat_tables([rows, pool.take(pa.array(chosen))])
    group, sick = (np.array(balanced[name].to_pylist()) for name in ("group", "result"))
    overall = (np.array(rows["result"].to_pylist()) == "sick").mean()
    for name in "xy":
        assert (sick[group == name] == "sick").mean() == pytest.approx(overall, abs=0.001)


def test_no_more_rows_are_added_than_permitted():
    chosen = mitigate.balancing_rows(
        patients(2000, 1), patients(9000, 2), ["group"], POLICY.downstream, 100, np.random.default_rng(1)
    )
    assert 90 <= len(chosen) <= 100
    assert len(set(chosen.tolist())) == len(chosen)


def test_an_injected_bias_is_found_and_at_least_halved():
    rows, test = underdiagnosed(4000, 1), underdiagnosed(4000, 2)
    made = unbias(rows, rows.schema.empty_table(), underdiagnosed(8000, 3), test, MEASURED, seed=1)
    before, after = made.account.before[0].parity_difference, made.account.after[0].parity_difference
    # 26 % are recorded as sick (40 % of x, 12 % of y), so 26 % are flagged. Of x at most 52 %, if all of them are of x.
    assert 0.28 < before.low < before.high < 0.56
    assert after.high < before.low / 2
    assert made.account.auc_after.value > made.account.auc_before.value - 0.1


def test_synthetic_rows_are_told_apart():
    rows, synthetic = patients(500, 1), patients(200, 2)
    made = unbias(rows, synthetic, synthetic.schema.empty_table(), patients(800, 3), POLICY, seed=1).table
    assert made[ORIGIN].to_pylist() == ["anonymized"] * 500 + ["synthetic"] * 200
    assert sum(made[WEIGHT].to_pylist()) == pytest.approx(700, abs=0.01)


def test_a_single_group_is_told():
    alone = patients(300, 1).filter(pa.compute.equal(patients(300, 1)["group"], "x"))
    with pytest.raises(TableError, match="bias by `group` needs two groups"):
        unbias(patients(500, 2), alone.schema.empty_table(), alone.schema.empty_table(), alone, POLICY, seed=1)


def test_missing_group_membership_is_a_group_of_its_own():
    rows = pa.table({"group": pa.array(["x", None], pa.string()), "result": ["sick", "well"]})
    assert mitigate.group_of(rows, ["group"]).tolist() == ["x", "(missing)"]
