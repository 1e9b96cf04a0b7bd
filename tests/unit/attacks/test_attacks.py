"""Each attack on releases small enough to work out by hand."""

import numpy as np
import pyarrow as pa
import pytest

from tasks.attacks import attack, inference, linkability, singling_out, targets
from tasks.attacks.adversary import Adversary, Goal, declare
from tasks.attacks.targets import Targets
from tests.conftest import make_policy

POLICY = make_policy(
    {
        "mrn": {"role": "direct"},
        "city": {"role": "quasi", "hierarchy": {"groups": [{"north": ["a", "b"], "south": ["c"]}]}},
        "sex": {"role": "quasi", "hierarchy": "all-or-nothing"},
        "result": {"role": "sensitive"},
        "dose": {"role": "sensitive", "kind": "numeric"},
    }
)
RNG = np.random.default_rng
SINGLE = Adversary(name="s", goal=Goal.SINGLING_OUT, knows=("city", "sex"))


def table(**columns):
    return pa.table(columns)


def test_exactly_one_fitting_row_singles_out():
    people = table(city=["a", "b", "c"], sex=["f", "f", "m"])
    release = table(city=["north", "south", "south"], sex=["f", "m", "m"])
    # a and b fit the one northern woman, c fits two southern men.
    found = singling_out.succeed(SINGLE, release, people, POLICY, {}, RNG(1))
    assert found.tolist() == [1, 1, 0]


def test_some_facts_are_at_least_two_and_differ_by_target():
    adversary = Adversary(name="s", goal=Goal.SINGLING_OUT, knows=("city", "sex", "result", "dose"), every_fact=False)
    people = table(city=["a"] * 400, sex=["f"] * 400, result=["x"] * 400, dose=[1.0] * 400)
    from tasks.attacks import space

    place = space.build(people, people.slice(0, 1), list(adversary.knows), POLICY, {})
    known = singling_out._known(adversary, place, RNG(1))
    assert set(known.sum(axis=1).tolist()) == {2, 3, 4}
    assert known.mean(axis=0) == pytest.approx([0.75] * 4, abs=0.1)


def test_two_sources_join_with_the_chance_of_picking_the_same_row():
    adversary = Adversary(name="l", goal=Goal.LINKABILITY, knows=("city",), linked=("sex",))
    release = table(city=["a", "a", "b", "c"], sex=["f", "m", "f", "f"])
    # a: rows 0, 1; f: rows 0, 2, 3. One of six pairs is the same row.
    found = linkability.succeed(adversary, release, table(city=["a"], sex=["f"]), POLICY, {})
    assert found.tolist() == pytest.approx([1 / 6])
    assert linkability.naive(release, table(city=["a"], sex=["f"])).tolist() == [0.25]


def inference_of(secret, kind="categorical", tolerance=0.0):
    return Adversary(
        name="i", goal=Goal.INFERENCE, knows=("city",), secret=secret, secret_kind=kind, tolerance=tolerance
    )


def test_a_guess_is_right_as_often_as_the_nearest_rows_have_the_secret():
    release = table(city=["a", "a", "a", "c"], result=["sick", "well", "well", "sick"])
    people = table(city=["a", "a", "c", "c"], result=["sick", "well", "well", "sick"])
    found = inference.succeed(inference_of("result"), release, people, POLICY, {})
    assert found.tolist() == pytest.approx([1 / 3, 2 / 3, 0, 1])


def test_a_group_as_an_answer_counts_by_what_it_leaves_open():
    adversary = Adversary(name="i", goal=Goal.INFERENCE, knows=("sex",), secret="city")
    found = inference.succeed(
        adversary, table(sex=["f"], city=["north"]), table(sex=["f", "f"], city=["a", "c"]), POLICY, {}
    )
    assert found.tolist() == pytest.approx([1 / 2, 0])


def test_a_number_is_right_within_the_tolerance():
    release = table(city=["a", "b", "c"], dose=[10.0, 20.0, 110.0])  # range 100
    people = table(city=["a", "a", "b", "c"], dose=[14.0, 16.0, None, 110.0])
    found = inference.succeed(inference_of("dose", "numeric", 0.05), release, people, POLICY, {})
    assert found.tolist() == [1, 0, 0, 1]


def test_the_naive_guess_is_the_most_frequent_value():
    release = table(city=["a"] * 3, result=["well", "well", "sick"])
    found = inference.naive(inference_of("result"), release, table(city=["a", "a"], result=["well", "sick"]), POLICY)
    assert found.tolist() == [1, 0]


def test_values_weigh_equally_and_rare_ones_together():
    usual = table(city=["a"] * 300, result=["well"] * 200 + ["sick"] * 60 + ["odd"] * 20 + ["rare"] * 20)
    few = table(city=["a"] * 280, result=["well"] * 200 + ["sick"] * 60 + ["odd"] * 10 + ["rare"] * 10)
    strata = inference.value_strata(inference_of("result"), [usual, few])
    names = np.array(usual["result"].to_pylist())
    assert len(set(strata[0][names == "well"])) == 1
    # odd and rare have too few people on one side, and together still too few: they go with the rarest other value.
    assert set(strata[0][names == "odd"]) == set(strata[0][names == "rare"]) == set(strata[0][names == "sick"])
    assert set(strata[0]) == set(strata[1])


def test_one_row_is_chosen_for_each_person():
    rows = table(city=["a"] * 100, sex=["f"] * 100, result=["x"] * 100, dose=[float(n) for n in range(100)])
    persons = np.repeat(np.arange(20), 5)
    choice = targets.choose([(rows, persons)], 1000, POLICY, RNG(1))[0]
    assert sorted(persons[choice.positions]) == list(range(20))


def test_people_far_from_everyone_stand_out():
    doses = [float(n % 10) for n in range(95)] + [1000.0 + 100 * n for n in range(5)]
    rows = table(city=["a"] * 95 + ["c"] * 5, sex=["f"] * 95 + ["m"] * 5, result=["x"] * 100, dose=doses)
    choice = targets.choose([(rows, None)], 1000, POLICY, RNG(1))[0]
    assert choice.outlier[95:].all()
    assert choice.outlier.mean() <= targets.OUTLIER_SHARE


def test_outliers_have_half_of_the_weight():
    rows = table(city=["a"] * 40, sex=["f"] * 40)
    side = Targets(rows, np.array([True] * 10 + [False] * 30))
    evidence = attack.run(SINGLE, table(city=["a"], sex=["f"]), side, side, POLICY, {}, RNG(1))
    assert [(s.weight, s.trials) for s in evidence.attack.strata] == [(0.5, 30), (0.5, 10)]


def test_without_a_control_the_naive_guess_stands_in():
    people = table(city=["a", "b", "c"] * 40, sex=["f", "m", "m"] * 40)
    side = Targets(people, np.zeros(120, dtype=bool))
    adversary = Adversary(name="l", goal=Goal.LINKABILITY, knows=("city",), linked=("sex",))
    evidence = attack.run(adversary, people.slice(0, 3), side, None, POLICY, {}, RNG(1))
    assert evidence.control.rate == pytest.approx(1 / 3)
    assert evidence.baseline == pytest.approx(1 / 3)


def test_secrets_are_not_known_to_who_guesses_another_secret():
    knows = next(a for a in declare(POLICY, ["city", "sex", "result", "dose"]) if a.name == "inference-result").knows
    assert knows == ("city", "sex")


def test_direct_identifiers_left_in_a_release_are_attacked():
    names = [a.name for a in declare(POLICY, ["mrn", "city", "sex", "result", "dose"])]
    assert "direct-identifiers" in names
    assert "direct-identifiers" not in [a.name for a in declare(POLICY, ["city", "sex", "result", "dose"])]


def test_columns_that_are_gone_are_not_attacked():
    found = declare(POLICY, ["city", "sex"])
    assert not [a for a in found if a.goal is Goal.INFERENCE]
    assert all(set(a.knows) | set(a.linked) <= {"city", "sex"} for a in found)
