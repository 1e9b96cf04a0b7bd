"""Usefulness is measured against floors that cannot be talked away."""

import numpy as np
import pyarrow as pa
import pytest

from tasks.common.errors import TableError
from tasks.common.utility_forms import Usefulness
from tasks.utility import downstream, fidelity
from tasks.utility.distributions import RARE, distributions
from tasks.utility.downstream import Family
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


@pytest.mark.parametrize("family", list(Family))
def test_each_family_reaches_the_auc_that_theory_gives(family):
    words = downstream.vocabulary(REAL, ["ward"], POLICY)
    model = downstream.fit_family(family, REAL, words, POLICY.downstream, 1)
    found = downstream.auc(model, TEST, POLICY.downstream, np.random.default_rng(1))
    assert found.value == pytest.approx(0.9, abs=0.02)


def test_the_boosting_family_is_the_model_of_volume_and_fairness():
    words = downstream.vocabulary(REAL, POLICY.features, POLICY)
    one = downstream.fit(REAL, words, POLICY.downstream, 1)
    other = downstream.fit_family(Family.BOOSTING, REAL, words, POLICY.downstream, 1)
    assert np.array_equal(one.scores(TEST), other.scores(TEST))


def test_a_logistic_model_learns_from_what_is_missing():
    # Hours are unknown for the sick alone: P(missing | sick) = 1/2, so the AUC by it is 1/2 + 1/4.
    rng = np.random.default_rng(1)

    def table():
        sick = rng.random(3000) < 0.3
        hours = pa.array(rng.normal(size=3000), mask=sick & (rng.random(3000) < 0.5))
        return pa.table({"hours": hours, "result": np.where(sick, "sick", "well")})

    rows = table()
    words = downstream.vocabulary(rows, ["hours"], POLICY)
    for family in Family:
        model = downstream.fit_family(family, rows, words, POLICY.downstream, 1)
        found = downstream.auc(model, table(), POLICY.downstream, np.random.default_rng(1))
        assert found.value == pytest.approx(0.75, abs=0.04), family


def test_the_same_rows_have_no_gap_on_the_same_people():
    found = fidelity.compare(REAL, REAL, TEST, POLICY, 1)
    assert [answer.family for answer in found.answers] == list(Family)
    for answer in found.answers:
        assert (answer.gap.value, answer.gap.low, answer.gap.high) == (0, 0, 0)
        assert answer.real == answer.synthetic


def test_the_gap_is_narrower_than_its_parts_since_the_people_are_the_same():
    answer = fidelity.compare(REAL, patients(1500, 7), TEST, POLICY, 1).answers[1]
    gap, real = answer.gap, answer.real
    assert gap.high - gap.low < (real.high - real.low) / 2


def test_rows_that_lose_more_than_the_policys_gap_are_not_useful():
    # A third of the rows at random: still above the floor, but the relation of ward and result is weaker.
    weak = pa.concat_tables([patients(1000, 7), fidelity.shuffled(patients(500, 8), np.random.default_rng(1))])
    strict = POLICY.model_copy(update={"usefulness": Usefulness(gap=0.0)})
    found = fidelity.compare(REAL, weak, TEST, strict, 1)
    assert found.informative and found.trends_closed > 0.1 and found.answers[0].gap.value > 0
    assert not found.useful
    assert found.model_copy(update={"largest_gap": 0.1}).useful


def test_rows_with_one_outcome_know_nothing():
    healthy = REAL.filter(pa.compute.equal(REAL["result"], "well"))
    found = fidelity.compare(REAL, healthy, TEST, POLICY, 1)
    assert {(answer.synthetic.value, answer.synthetic.low) for answer in found.answers} == {(0.5, 0.5)}
    assert not found.useful


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


def test_relations_that_are_all_weak_count_too():
    rng = np.random.default_rng(5)
    ward = rng.choice(["a", "b", "c"], 4_000)
    sick = rng.random(4_000) < np.where(ward == "a", 0.35, 0.2)  # an association of about 0.15; sdmetrics asks for 0.3
    rows = pa.table({"ward": ward, "result": np.where(sick, "sick", "well")})
    assert fidelity._quality(rows, rows)[1] == pytest.approx(1.0)
    floor = fidelity._quality(rows, fidelity.shuffled(rows, np.random.default_rng(6)))[1]
    assert 0.8 < floor < 0.99
