"""Linkers by random halves and by confidence, and the learned guesser, where the right answer is known."""

import numpy as np
import pyarrow as pa
import pytest

from tasks.attacks import attack, inference, linkability
from tasks.attacks.adversary import Adversary, Goal, Method, declare
from tasks.attacks.targets import Targets
from tests.conftest import make_policy

POLICY = make_policy(
    {
        "city": {"role": "quasi", "hierarchy": {"groups": [{"north": ["a", "b"], "south": ["c", "d"]}]}},
        "sex": {"role": "quasi", "hierarchy": "all-or-nothing"},
        "code": {"role": "other"},
        "dose": {"role": "sensitive", "kind": "numeric"},
        "result": {"role": "sensitive"},
    }
)
RNG = np.random.default_rng


def test_any_halves_of_a_row_of_its_own_are_joined():
    # Each person's values occur in no other row, so every half finds the own row alone.
    rows = pa.table({name: [f"{name}{n}" for n in range(40)] for name in ("sex", "code", "result")})
    adversary = Adversary(name="l", goal=Goal.LINKABILITY, knows=("sex", "code", "result"), method=Method.RANDOM)
    assert linkability.succeed(adversary, rows, rows, POLICY, {}).tolist() == [1.0] * 40
    # Three columns have 3 halvings; where the half is one of two values of 20 rows each, one pick of 20 is right.
    coarse = rows.set_column(0, "sex", pa.array(["f", "m"] * 20))
    assert set(np.round(linkability.succeed(adversary, coarse, coarse, POLICY, {}), 6)) <= {1.0, 0.05}


def test_the_confident_linker_takes_the_closest_tenth_of_each_stratum():
    # 3 of 100 people have both of their values in the release, in one row; the others have neither.
    people = pa.table({"sex": [f"s{n}" for n in range(100)], "code": [f"k{n}" for n in range(100)]})
    release = pa.table({"sex": ["s5", "s6", "s60", "x"], "code": ["k5", "k6", "k60", "x"]})
    outlier = np.arange(100) < 50
    adversary = Adversary(name="c", goal=Goal.LINKABILITY, knows=("sex",), linked=("code",), method=Method.CONFIDENT)
    chosen, joined = linkability.confident(adversary, release, Targets(people, outlier), POLICY, {})
    assert outlier[chosen].tolist() == [False] * 5 + [True] * 5
    assert {5, 6, 60} <= set(chosen.tolist())
    assert joined[np.isin(chosen, [5, 6, 60])].tolist() == [1, 1, 1]
    # The others are as far from all four rows: both searches pick one of four.
    assert joined[~np.isin(chosen, [5, 6, 60])].tolist() == pytest.approx([1 / 4] * 7)


def test_the_same_share_of_the_control_is_attacked():
    people = pa.table({"sex": ["f", "m"] * 100, "code": [f"k{n}" for n in range(200)]})
    others = people.set_column(1, "code", pa.array([f"c{n}" for n in range(200)]))
    adversary = Adversary(name="c", goal=Goal.LINKABILITY, knows=("sex",), linked=("code",), method=Method.CONFIDENT)
    sides = [Targets(rows, np.arange(200) < 40) for rows in (people, others)]
    evidence = attack.run(adversary, people, *sides, POLICY, {}, RNG(1))
    assert [(s.trials, s.weight) for s in evidence.attack.strata] == [(16, 0.5), (4, 0.5)]
    assert [s.trials for s in evidence.control.strata] == [16, 4]


def test_a_rule_is_learned_in_spite_of_noise():
    # The result follows the dose alone.
    rng = RNG(1)

    def draw(count):
        noise = {name: rng.choice(list("abcd"), count).tolist() for name in ("city", "sex", "code")}
        dose = rng.uniform(0, 1, count)
        return pa.table(noise | {"dose": dose, "result": np.where(dose > 0.5, "sick", "well").tolist()})

    release, people = draw(600), draw(300)
    knows = ("city", "sex", "code", "dose")
    learned = Adversary(name="i", goal=Goal.INFERENCE, knows=knows, secret="result", method=Method.LEARNED)
    assert inference.succeed(learned, release, people, POLICY, {}).mean() > 0.9
    # A copy is known by heart.
    assert inference.succeed(learned, release, release, POLICY, {}).tolist() == [1.0] * 600
    # Generalized releases are learned from too: the group of a city tells the result.
    grouped = pa.table({"city": ["north", "south"] * 50, "result": ["sick", "well"] * 50})
    by_city = learned.model_copy(update={"knows": ("city",)})
    facts = pa.table({"city": ["a", "b", "c", "d"], "result": ["sick", "sick", "well", "sick"]})
    assert inference.succeed(by_city, grouped, facts, POLICY, {}).tolist() == [1, 1, 1, 0]


def test_a_learned_number_is_right_within_the_tolerance():
    release = pa.table({"city": ["a"] * 20 + ["c"] * 20, "dose": [0.0] * 20 + [100.0] * 20})
    people = pa.table({"city": ["a", "a", "c"], "dose": [4.0, 6.0, 100.0]})
    adversary = Adversary(
        name="i",
        goal=Goal.INFERENCE,
        knows=("city",),
        secret="dose",
        secret_kind="numeric",
        tolerance=0.05,
        method=Method.LEARNED,
    )
    # The range is 100: within 5 of 0 are 4 and not 6.
    assert inference.succeed(adversary, release, people, POLICY, {}).tolist() == [1, 0, 1]


def test_a_policy_says_who_attacks():
    by = {"singling_out": ["multivariate"], "linkability": {"by": ["random"]}, "inference": {"by": ["learned"]}}
    policy = make_policy({n: c.model_dump() for n, c in POLICY.columns.items()}, attacks=by)
    names = [a.name for a in declare(policy, policy.released)]
    assert names[:2] == ["singling-out-multivariate", "linkability-random"]
    assert "inference-result-learned" in names
    assert "inference-result" not in names
