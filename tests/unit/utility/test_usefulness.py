"""Usefulness is measured against floors that cannot be talked away."""

import numpy as np
import pyarrow as pa
import pytest

from tasks.common.errors import TableError
from tasks.utility import downstream, fidelity
from tasks.utility.distributions import RARE, distributions
from tests.conftest import make_policy

POLICY = make_policy(
    {
        "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10]}},
        "ward": {"role": "quasi", "hierarchy": "all-or-nothing"},
        "hours": {"role": "other", "kind": "numeric"},
        "result": {"role": "sensitive"},
    },
    downstream={"target": "result", "positive": "sick"},
)


def patients(count, seed):
    """Sick with probability 0.9 in ward a and 0.1 in ward b."""
    rng = np.random.default_rng(seed)
    ward = rng.choice(["a", "b"], count)
    sick = rng.random(count) < np.where(ward == "a", 0.9, 0.1)
    return pa.table(
        {
            "age": np.where(rng.random(count) < 0.5, "[0, 10)", "[10, 20)"),
            "ward": ward,
            "hours": np.round(rng.normal(5, 1, count) + sick, 1),
            "result": np.where(sick, "sick", "well"),
        }
    )


REAL, TEST = patients(1500, 1), patients(1500, 2)


def test_the_auc_is_the_one_that_theory_gives():
    # Among wards alone: P(a | sick) = 0.9, P(a | well) = 0.1, AUC = 0.9 * 0.9 + (0.9 * 0.1 + 0.1 * 0.9) / 2 = 0.9.
    only_ward = make_policy(
        {name: column.model_dump(exclude_defaults=True) for name, column in POLICY.columns.items()},
        downstream={"target": "result", "positive": "sick", "features": ["ward"]},
    )
    words = downstream.vocabulary(REAL, only_ward.features, only_ward)
    model = downstream.fit(REAL, words, only_ward.downstream, 1)
    found = downstream.auc(model, TEST, only_ward.downstream, np.random.default_rng(1))
    assert found.value == pytest.approx(0.9, abs=0.02)
    assert found.low < 0.9 < found.high


def test_shuffled_columns_are_the_floor_and_not_useful():
    shuffled = fidelity.shuffled(REAL, np.random.default_rng(3))
    found = fidelity.compare(REAL, shuffled, TEST, POLICY, 1)
    assert found.shapes == pytest.approx(1.0)  # all marginals kept: a quality average would be fooled
    assert not found.useful


def test_rows_of_the_same_kind_are_useful():
    found = fidelity.compare(REAL, patients(1500, 7), TEST, POLICY, 1)
    assert found.useful
    assert found.trends_closed > 0.5
    assert found.auc.value == pytest.approx(found.auc_real.value, abs=0.03)
    assert found.validity == 1.0


def test_the_comparison_repeats():
    assert fidelity.compare(REAL, TEST, TEST, POLICY, 1) == fidelity.compare(REAL, TEST, TEST, POLICY, 1)


def test_a_constant_target_is_told():
    healthy = REAL.filter(pa.compute.equal(REAL["result"], "well"))
    with pytest.raises(TableError, match="all rows are alike"):
        downstream.fit(healthy, downstream.vocabulary(healthy, POLICY.features, POLICY), POLICY.downstream, 1)


def test_rare_originals_are_not_shown_in_pictures():
    before = pa.table({"ward": ["a"] * 50 + ["CANARY"] * 3, "hours": [*np.arange(50.0), 900.0, 901.0, 902.0]})
    after = pa.table({"ward": ["a"] * 50, "hours": np.arange(50.0)})
    found = {d.column: d for d in distributions(before, after, None, least=5)}
    assert found["ward"].labels == ("a", RARE)
    assert found["ward"].before == pytest.approx((50 / 53, 3 / 53))
    edges = [float(edge) for label in found["hours"].labels if "–" in label for edge in label.split("–")]
    assert max(edges) < 60
    for distribution in found.values():
        assert sum(distribution.before) == pytest.approx(1)
        assert sum(distribution.after) == pytest.approx(1)


def test_intervals_stand_in_their_order():
    labels = ["[20, 40)", "[0, 20)", "[80, inf)", "[40, 80)"]
    table = pa.table({"age": [label for label, count in zip(labels, (9, 7, 8, 10), strict=True) for _ in range(count)]})
    assert distributions(table, table, None, 5)[0].labels == ("[0, 20)", "[20, 40)", "[40, 80)", "[80, inf)")
