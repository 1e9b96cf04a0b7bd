"""Membership: the false positive rate is what it should be, and a leak is seen at its size."""

import numpy as np
import pyarrow as pa
import pytest

from tasks.anonymization import anonymizer, holdout
from tasks.anonymization.plan import first_plan
from tasks.attacks import attack, membership, shadow, targets
from tasks.attacks.adversary import Adversary, Goal, Method, declare
from tasks.attacks.attack import Evidence
from tasks.attacks.risk import TooFewTrials, excess_risk, success_rate
from tasks.attacks.targets import Targets
from tasks.common import reading
from tasks.common.seeds import generator
from tasks.common.table import open_table
from tests.conftest import CHOP_TABLE, make_policy

COLUMNS = {
    "sex": {"role": "quasi", "hierarchy": "all-or-nothing"},
    "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10, 40], "min": 0, "max": 80}},
    "ward": {"role": "other"},
    "dose": {"role": "other", "kind": "numeric"},
    "level": {"role": "sensitive", "kind": "numeric"},
}
POLICY = make_policy(COLUMNS)
NAMES = tuple(COLUMNS)


def adversary(method):
    return Adversary(name=method, goal=Goal.MEMBERSHIP, knows=NAMES, method=Method(method))


def draw(count, rng):
    """People of one population: dose and level depend on ward and age."""
    ward, age = rng.integers(6, size=count), rng.integers(80, size=count).astype(float)
    return pa.table(
        {
            "sex": rng.choice(["f", "m"], count),
            "age": age,
            "ward": [f"w{number}" for number in ward],
            "dose": np.round(10 * ward + rng.normal(size=count), 2),
            "level": np.round(age / 10 + rng.normal(size=count), 2),
        }
    )


def side(table):
    level = table["level"].to_numpy()
    return Targets(table, level > np.quantile(level, 0.8))


def judge(method, release, members, others, seed=1, policy=POLICY, make_release=None) -> Evidence:
    rng = np.random.default_rng(seed)
    return attack.run(adversary(method), release, side(members), side(others), policy, {}, rng, make_release)


@pytest.mark.parametrize("method", ["distance", "density"])
def test_a_plain_copy_gives_everyone_away(method):
    rng = np.random.default_rng(2)
    members, others = draw(2500, rng), draw(2500, rng)
    found = judge(method, members, members, others)
    assert found.attack.rate > 0.97
    assert found.extras["tpr_at_fpr_0.01"] > 0.97
    assert found.extras["tpr_at_fpr_0.001"] > 0.9
    assert found.extras["fpr_measured_0.001"] < 0.005
    assert excess_risk(found.attack, found.control, 0.95).low > 0.9


@pytest.mark.parametrize("method", ["distance", "density"])
def test_a_release_of_other_people_gives_nobody_away_whatever_the_seed(method):
    rates, covered, false = [], 0, []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        release, members, others = draw(600, rng), draw(600, rng), draw(600, rng)
        found = judge(method, release, members, others, seed)
        rates.append(found.attack.rate)
        false.append(found.control.rate)
        risk = excess_risk(found.attack, found.control, 0.95)
        covered += risk.low == 0
    # 12,000 people at 0.01: three standard deviations, outliers weighing half, are 0.0035.
    assert np.mean(rates) == pytest.approx(0.01, abs=0.0035)
    assert np.mean(false) == pytest.approx(0.01, abs=0.0035)
    # Each lower bound is above 0 with a probability of 2.5 %.
    assert covered >= 17


@pytest.mark.parametrize("method", ["distance", "density"])
@pytest.mark.parametrize("share", [0.05, 0.2])
def test_a_leak_is_seen_at_its_size(method, share):
    rng = np.random.default_rng(4)
    members, others = draw(2000, rng), draw(2000, rng)
    leaked = int(share * members.num_rows)
    release = pa.concat_tables([members.slice(0, leaked), draw(2000 - leaked, rng)])
    found = judge(method, release, members, others)
    true = found.extras["tpr_at_fpr_0.01"]
    # The share that leaked, and 0.01 of the others; the interval is the attack's own.
    expected = share + 0.01 * (1 - share)
    assert found.extras["tpr_at_fpr_0.01_low"] - 0.01 <= expected <= found.extras["tpr_at_fpr_0.01_high"] + 0.01
    assert true == pytest.approx(expected, abs=0.02)


def test_generalized_rows_are_attacked_too():
    rng = np.random.default_rng(5)
    members, others = draw(1500, rng), draw(1500, rng)
    labels = [f"[{int(a) // 10 * 10}, {int(a) // 10 * 10 + 10})" for a in members["age"].to_pylist()]
    release = members.set_column(0, "sex", pa.array(["*"] * 1500)).set_column(1, "age", pa.array(labels))
    for method in ("distance", "density"):
        found = judge(method, release, members, others)
        # Less than by a copy, since labels blur the own row and not the others, but far beyond what chance does.
        assert excess_risk(found.attack, found.control, 0.95).low > 0.1
    shuffled = pa.table({name: release[name].take(pa.array(rng.permutation(1500))) for name in NAMES})
    for method in ("distance", "density"):
        assert judge(method, shuffled, members, others).attack.rate < 0.05


def test_a_conformal_decision_has_its_rate_exactly_even_among_ties():
    # Vovk et al.: with n scores that set the bar, the probability of a new one of the same kind is exactly the rate.
    rng = np.random.default_rng(6)
    for rate in (0.01, 0.1):
        bars, new = rng.integers(8, size=(4000, 150)), rng.integers(8, size=4000)
        taken = [membership._taken(new[i : i + 1].astype(float), np.sort(bars[i]), rate)[0] for i in range(4000)]
        assert np.mean(taken) == pytest.approx(rate, abs=4 * np.sqrt(rate / 4000))


def test_the_decision_by_hand():
    # Nine people set the bar; at a rate of 0.2 two ranks of ten reject. 9 is above all but itself; the 7s share a rank
    # and a third: above them is one, and they are two, with the newcomer three: (2 - 1) / 3.
    bar = np.array([1.0, 2, 3, 4, 5, 6, 7, 7, 9])
    assert membership._taken(np.array([10.0, 9, 8, 7, 6]), bar, 0.2) == pytest.approx([1, 1, 1, 1 / 3, 0])


def test_rates_that_the_control_is_too_small_for_are_not_reported():
    rng = np.random.default_rng(7)
    members = draw(300, rng)
    found = judge("distance", members, members, draw(300, rng))
    assert "tpr_at_fpr_0.01" in found.extras
    assert not [name for name in found.extras if "0.001" in name]
    few = judge("distance", members, members, draw(60, rng))
    assert not few.extras
    # 30 people of a half can hold a rate of 1/31, and at that a copy is seen.
    assert few.baseline == pytest.approx(1 / 31)
    assert few.attack.rate > 0.8


def test_membership_needs_a_control():
    rng = np.random.default_rng(8)
    members = draw(50, rng)
    with pytest.raises(TooFewTrials):
        attack.run(adversary("distance"), members, side(members), None, POLICY, {}, rng)
    assert not [a for a in declare(POLICY, list(NAMES), controlled=False) if a.goal is Goal.MEMBERSHIP]


def test_the_same_seed_gives_the_same_evidence():
    rng = np.random.default_rng(9)
    members, others, release = draw(300, rng), draw(300, rng), draw(300, rng)
    assert judge("density", release, members, others, 3) == judge("density", release, members, others, 3)


SHADOWED = make_policy(COLUMNS, attacks={"membership": {"shadow": 16}})


def test_shadow_models_are_declared_only_where_releases_can_be_made():
    assert "membership-shadow" not in [a.name for a in declare(SHADOWED, list(NAMES))]
    assert "membership-shadow" in [a.name for a in declare(SHADOWED, list(NAMES), imitable=True)]
    assert "membership-shadow" not in [a.name for a in declare(POLICY, list(NAMES), imitable=True)]


def test_shadow_models_tell_the_members_of_a_copy():
    rng = np.random.default_rng(10)
    members, others = draw(400, rng), draw(400, rng)
    found = judge("shadow", members, members, others, policy=SHADOWED, make_release=lambda table, _: table)
    assert found.extras["tpr_at_fpr_0.01"] > 0.95


def test_shadow_models_tell_nobody_by_a_release_that_has_forgotten_everyone():
    rng = np.random.default_rng(11)
    members, others = draw(400, rng), draw(400, rng)
    found = judge(
        "shadow", draw(400, rng), members, others, policy=SHADOWED, make_release=lambda table, r: draw(len(table), r)
    )
    rate = success_rate(found.attack, 0.95)
    assert rate.low <= 0.01 <= rate.high


def test_shadow_models_learn_where_a_release_hides_people():
    # Each person becomes a neighbour a year older and is scattered: no row is near its person, but it moves counts.
    def older(table, r):
        age = np.minimum(table["age"].to_numpy() + 1, 79)
        return table.set_column(1, "age", pa.array(age))

    rng = np.random.default_rng(12)
    members, others = draw(400, rng), draw(400, rng)
    found = judge("shadow", older(members, rng), members, others, policy=SHADOWED, make_release=older)
    assert found.attack.rate > 0.5


def test_the_likelihood_ratio_is_that_of_normal_figures():
    # In: mean 2. Out: mean 0. Variance 1: the log ratio at x is 2 x - 2.
    rng = np.random.default_rng(13)
    inside = np.arange(4000)[:, None] % 2 == np.zeros(3, dtype=int)
    seen = rng.normal(size=(4000, 3, 1)) + 2 * inside[:, :, None]
    ratio = shadow.likelihood_ratio(np.array([[0.0], [1.0], [3.0]]), seen, inside)
    assert ratio == pytest.approx([-2, 0, 4], abs=0.3)


def test_shadows_are_made_by_the_policys_own_anonymizer():
    from tasks.anonymization.plan import first_plan

    rng = np.random.default_rng(14)
    made = shadow.by_anonymizer(POLICY, first_plan(POLICY))(draw(200, rng), rng)
    sizes = made.group_by(["sex", "age"]).aggregate([([], "count_all")])["count_all"].to_pylist()
    assert min(sizes) >= 5


def test_the_noise_of_the_last_digits_tells_nobody_apart(chop):
    """Nearly all of CHOP have a cycle threshold of 45, on the edge of what 44 in steps of 2 stands for."""
    table = open_table(CHOP_TABLE)
    frame, persons = reading.read(table, chop), holdout.persons(table, chop)
    parts = holdout.split(table, chop, generator(chop.seed, "split"))
    groups = [(frame.take(pa.array(parts[name])), persons[parts[name]]) for name in ("train", "working")]
    chosen = targets.choose(groups, None, chop, generator(chop.seed, "targets"))
    sides = [choice.of(rows) for choice, (rows, _) in zip(chosen, groups, strict=True)]
    plan = first_plan(chop).model_copy(update={"rounding": {"ct_result": 2.0}, "dropped": ("rec_ver_tat",)})
    release = anonymizer.anonymize(*groups[0], chop, plan, generator(chop.seed, "anonymize")).table
    attacker = next(a for a in declare(chop, release.column_names) if a.name == "membership-distance")
    found = attack.run(attacker, release, *sides, chop, plan.rounding, np.random.default_rng(1))
    assert found.attack.rate < 0.03
