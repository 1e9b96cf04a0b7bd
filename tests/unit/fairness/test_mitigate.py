"""Rows and weights that take the relation between group and outcome out of a table."""

import numpy as np
import pyarrow as pa
import pytest

from tasks.fairness import mitigate
from tests.conftest import make_policy

POLICY = make_policy(
    {
        "group": {"role": "quasi", "hierarchy": "all-or-nothing"},
        "result": {"role": "sensitive"},
    },
    downstream={"target": "result", "positive": "sick"},
    fairness={"protected": ["group"]},
)


def patients(count, seed):
    """Group x is sick with a chance of a half, group y with one of a fifth."""
    rng = np.random.default_rng(seed)
    group = rng.choice(["x", "y"], count)
    sick = rng.random(count) < np.where(group == "x", 0.5, 0.2)
    return pa.table({"group": group, "result": np.where(sick, "sick", "well")})


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


def test_weights_add_up_where_a_group_lacks_an_outcome():
    rows = pa.table({"group": ["x"] * 4 + ["y"] * 2, "result": ["sick", "sick", "well", "well", "well", "well"]})
    weights = mitigate.weights(rows, ["group"], POLICY.downstream)
    assert weights.sum() == pytest.approx(6)
    # Before they are scaled: x sick 4*2/(6*2), x well 4*4/(6*2), y well 2*4/(6*2), as 2 : 4 : 2.
    assert weights[[0, 2, 4]] / weights[0] == pytest.approx([1, 2, 1])


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
