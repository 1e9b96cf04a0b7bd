"""Re-identification by quasi-identifiers: the chance of 1/F, worked out by hand and by theory."""

import numpy as np
import pyarrow as pa
import pytest

from tasks.attacks import attack, reidentification
from tasks.attacks.adversary import Adversary, Goal, Method, declare
from tasks.attacks.targets import Targets
from tests.conftest import make_policy

COLUMNS = {
    "city": {"role": "quasi", "hierarchy": {"groups": [{"north": ["a", "b"], "south": ["c"]}]}},
    "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10], "min": 0, "max": 80}},
    "result": {"role": "sensitive"},
}
POLICY = make_policy(COLUMNS)


def adversary(method):
    return Adversary(name="r", goal=Goal.REIDENTIFICATION, knows=("city", "age"), method=Method(method))


def people(rows):
    city, age, result = zip(*rows, strict=True)
    return pa.table({"city": list(city), "age": pa.array(age, pa.float64()), "result": list(result)})


def release(rows):
    city, age, result = zip(*rows, strict=True)
    return pa.table({"city": list(city), "age": list(age), "result": list(result)})


def chances(method, targets, rows, control=None):
    register = people(control) if control else None
    return reidentification.succeed(adversary(method), release(rows), people(targets), register, POLICY, {}).tolist()


def test_the_chance_is_one_over_the_rows_that_fit():
    rows = [("north", "[0, 10)", "x"), ("north", "[0, 10)", "y"), ("south", "*", "x"), ("*", "[0, 10)", "z")]
    # a, 5 fits the two northern rows and the one anywhere: 1/3. c, 5 fits the southern and the one anywhere: 1/2.
    assert chances("prosecutor", [("a", 5, "x"), ("c", 5, "z")], rows) == pytest.approx([1 / 3, 1 / 2])


def test_nobody_is_found_where_no_fitting_row_can_be_theirs():
    rows = [("north", "[0, 10)", "x"), ("south", "[0, 10)", "y")]
    # The northern row says x; who has y has no row of their own there. Nobody of 70 fits at all.
    assert chances("prosecutor", [("a", 5, "y"), ("a", 70, "x")], rows) == [0, 0]


@pytest.mark.parametrize("k", [1, 2, 5, 11])
def test_classes_of_k_give_a_risk_of_exactly_one_over_k(k):
    rng = np.random.default_rng(k)
    classes = [(city, age) for city in "abc" for age in range(0, 80, 10)]
    rows = [(city, age + int(rng.integers(10)), f"r{n}") for city, age in classes for n in range(k)]
    labels = {"a": "a", "b": "b", "c": "c"}
    shared = release([(labels[c], f"[{a // 10 * 10}, {a // 10 * 10 + 10})", r) for c, a, r in rows])
    found = reidentification.succeed(adversary("prosecutor"), shared, people(rows), None, POLICY, {})
    assert found == pytest.approx(1 / k)
    # Nobody else has these results, so nothing is subtracted.
    side = Targets(people(rows), np.zeros(len(rows), dtype=bool))
    strangers = Targets(people([(c, a, "other") for c, a, _ in rows]), np.zeros(len(rows), dtype=bool))
    evidence = attack.run(adversary("prosecutor"), shared, side, strangers, POLICY, {}, rng)
    assert evidence.attack.rate == pytest.approx(1 / k)
    assert evidence.control.rate == 0


def test_the_journalist_may_name_people_who_are_not_in_the_table():
    rows = [("north", "[0, 10)", "x"), ("north", "[0, 10)", "y")]
    # Two rows and one person of the control who fits them: 1/3, where the prosecutor has 1/2.
    control = [("b", 9, "x"), ("c", 9, "x")]
    assert chances("journalist", [("a", 5, "x")], rows, control) == pytest.approx([1 / 3])
    assert chances("prosecutor", [("a", 5, "x")], rows, control) == pytest.approx([1 / 2])


def test_the_marketer_counts_people_alike_and_the_prosecutor_those_who_stand_out_as_half():
    rows = [("a", "[0, 10)", "x")] * 3 + [("c", "[70, 80)", "y")]
    side = Targets(people([("a", 5, "x")] * 3 + [("c", 75, "y")]), np.array([False, False, False, True]))
    rates = {}
    for method in ("prosecutor", "marketer"):
        evidence = attack.run(adversary(method), release(rows), side, side, POLICY, {}, np.random.default_rng(1))
        rates[method] = evidence.attack.rate
    # Three people of 1/3 and one of 1: half of 1/3 and half of 1, or a quarter of their sum.
    assert rates["prosecutor"] == pytest.approx(2 / 3)
    assert rates["marketer"] == pytest.approx(1 / 2)


def test_the_share_above_the_threshold_is_told():
    assert reidentification.extras(np.array([0.09, 0.2, 0.0, 1.0]), 0.09) == {"above_threshold": 0.5}


def test_a_coincidence_counts_against_people_who_were_never_there_too():
    rows = [("a", "[0, 10)", "x")] * 4
    side = Targets(people([("a", 5, "x")] * 8), np.zeros(8, dtype=bool))
    evidence = attack.run(adversary("prosecutor"), release(rows), side, side, POLICY, {}, np.random.default_rng(1))
    assert evidence.attack.rate == evidence.control.rate == 1 / 4


def test_the_policy_says_who_looks():
    def names(**attacks):
        return [a.name for a in declare(make_policy(COLUMNS, attacks=attacks), ["city", "age", "result"])]

    assert "prosecutor" in names()
    assert "journalist" not in names()
    assert {"journalist", "marketer"} < set(names(reidentification=["journalist", "marketer"]))
    assert "prosecutor" not in names(reidentification=[])
