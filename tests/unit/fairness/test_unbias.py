"""A bias that was put in is measured as what it is and mitigated at a stated cost; what must not be told is not."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tasks.common import reading
from tasks.common.errors import TableError
from tasks.common.table import open_table
from tasks.fairness import groups
from tasks.fairness.unbias import ORIGIN, WEIGHT, Standing, require, unbias
from tests.conftest import CHOP_TABLE, make_policy
from tests.shared_data import shared_data
from tests.unit.fairness.injected import underdiagnosed

QUASI = {"role": "quasi", "hierarchy": "all-or-nothing"}
K = 5


def policy(*protected, **fairness):
    return make_policy(
        {
            "group": QUASI,
            "other": QUASI,
            "sign": {"role": "other", "kind": "numeric"},
            "result": {"role": "sensitive"},
        },
        downstream={"target": "result", "positive": "sick"},
        fairness={"protected": list(protected or ["group"]), **fairness},
    )


def run(rows, test, rules, synthetic=None, pool=None):
    nothing = rows.schema.empty_table()
    return unbias(rows, synthetic or nothing, pool or nothing, test, rules, k=K, seed=1)


def crossed(count, seed):
    """A bias that no column shows alone: women of a and men of b have the sign of the sick and are, others are not."""
    rng = np.random.default_rng(seed)
    sex, place = rng.choice(["f", "m"], count), rng.choice(["a", "b"], count)
    sick = rng.random(count) < np.where((sex == "f") == (place == "a"), 0.6, 0.2)
    sign = np.round(rng.normal(0, 1, count) + sick, 2)
    return pa.table({"group": sex, "other": place, "sign": sign, "result": np.where(sick, "sick", "well")})


def parity(account, column=0):
    return account.before[column].parity_difference, account.after[column].parity_difference


@pytest.mark.parametrize("mitigation", [["rows"], ["weights"], ["thresholds"], ["rows", "weights"], None])
def test_each_mitigation_at_least_halves_an_injected_bias_at_a_stated_cost(mitigation):
    # 26 % are recorded as sick (40 % of x, 12 % of y), so 26 % are flagged. Of x at most 52 %, if all of them are of x.
    rows, test = underdiagnosed(4000, 1), underdiagnosed(4000, 2)
    account = run(rows, test, policy(mitigation=mitigation), pool=underdiagnosed(8000, 3)).account
    before, after = parity(account)
    assert 0.28 < before.low < before.high < 0.56
    assert after.value < before.value / 2
    assert after.value < before.low / 2
    cost = account.cost
    assert cost.auc_change.value == pytest.approx(cost.auc_after.value - cost.auc_before.value, abs=0.0011)
    assert -0.1 < cost.auc_change.low <= cost.auc_change.high <= 0.01
    assert account.mitigation == (tuple(mitigation) if mitigation else ("rows", "weights"))


def test_where_labels_are_biased_thresholds_find_the_sick_whom_the_records_missed():
    test = underdiagnosed(4000, 4, missed=0)
    rules = policy(labels="biased")
    account = run(underdiagnosed(4000, 1), test, rules).account
    was, now = ({g.group: g for g in bias[0].groups} for bias in (account.before, account.after))
    # Tested by the truth: hardly anyone of the group whose sickness was not recorded was found, now as many as of x.
    assert was["y"].true_positive.high < was["x"].true_positive.low / 3
    assert now["y"].true_positive.value == pytest.approx(now["x"].true_positive.value, abs=0.08)
    assert account.cost.found_change.low > 0
    assert account.thresholds.columns == ("group",)


def test_without_mitigation_nothing_changes():
    rows, test = underdiagnosed(2000, 1), underdiagnosed(2000, 2)
    made = run(rows, test, policy(mitigation=[]), pool=underdiagnosed(2000, 3))
    assert made.account.before == made.account.after
    assert made.table.drop_columns([ORIGIN, WEIGHT]).equals(rows)
    assert set(made.table[WEIGHT].to_pylist()) == {1.0}


def test_synthetic_rows_are_told_apart():
    rows, synthetic = underdiagnosed(500, 1), underdiagnosed(200, 2)
    made = run(rows, underdiagnosed(800, 3), policy(), synthetic=synthetic).table
    assert made[ORIGIN].to_pylist() == ["anonymized"] * 500 + ["synthetic"] * 200
    assert sum(made[WEIGHT].to_pylist()) == pytest.approx(700, abs=0.01)


def test_a_bias_that_only_combinations_show_is_found_and_halved():
    rules = policy("group", "other", mitigation=["thresholds"])
    account = run(crossed(4000, 1), crossed(4000, 2), rules).account
    assert [bias.column for bias in account.before] == ["group", "other", "group x other"]
    # Of every sex and every place 40 % are sick and flagged, but 60 % in two combinations and 20 % in two.
    assert max(bias.parity_difference.value for bias in account.before[:2]) < 0.1
    before, after = parity(account, 2)
    assert before.low > 0.2
    assert after.value < before.value / 2
    assert {g.group for g in account.before[2].groups} == {"f / a", "f / b", "m / a", "m / b"}


def test_the_same_seed_gives_the_same_account():
    rows, test = crossed(400, 1), crossed(400, 2)
    rules = policy("group", "other", labels="biased")
    one, other = run(rows, test, rules), run(rows, test, rules)
    assert one.account == other.account
    assert one.table.equals(other.table)


def test_the_standing_is_by_the_bounds():
    rows, test = underdiagnosed(4000, 1), underdiagnosed(4000, 2)
    made = run(rows, test, policy(tolerance=0.1)).account
    assert made.standing(made.before[0]) is Standing.ABOVE
    assert made.standing(made.after[0]) is Standing.WITHIN
    strict = run(rows, test, policy(tolerance=made.after[0].parity_difference.value)).account
    assert strict.standing(strict.after[0]) is Standing.UNCLEAR


# What is published of the people held out


def with_groups(table, **counts):
    """The first rows moved into further groups of so many people."""
    words, start = np.array(table["group"].to_pylist(), dtype=object), 0
    for name, count in counts.items():
        words[start : start + count] = name
        start += count
    return table.set_column(0, "group", pa.array(words))


def test_small_groups_are_named_without_a_number_and_only_if_the_release_names_them():
    rows = with_groups(underdiagnosed(2000, 1), small=100)
    test = with_groups(underdiagnosed(2000, 2), small=29, hidden=60)
    bias = run(rows, test, policy()).account.before[0]
    assert [g.group for g in bias.groups] == ["x", "y"]
    assert bias.left_out == ("small",)
    assert "hidden" not in bias.model_dump_json()


def test_outcomes_that_few_of_a_group_have_are_not_told():
    test = with_groups(underdiagnosed(2000, 2), rare=60)
    sick = np.array(test["result"].to_pylist())
    sick[:60] = ["sick"] * 4 + ["well"] * 56
    test = test.set_column(2, "result", pa.array(sick))
    rows = with_groups(underdiagnosed(2000, 1), rare=200)
    bias = run(rows, test, policy()).account.before[0]
    rare = next(g for g in bias.groups if g.group == "rare")
    assert rare.people == 60
    told = {name for name, figure in rare if figure is not None}
    assert told == {"group", "people", "selected"}


@pytest.mark.parametrize(("count", "told"), [(31, 30), (33, 35), (99, 100), (104, 100), (1449, 1400), (15_524, 16_000)])
def test_numbers_of_people_are_rounded(count, told):
    assert groups.about(count) == told


def test_missing_group_membership_is_a_group_of_its_own():
    rows = pa.table({"group": pa.array(["x", None], pa.string()), "result": ["sick", "well"]})
    assert groups.group_of(rows, ["group"]).tolist() == ["x", "(missing)"]


def test_numbers_are_the_same_group_however_they_are_stored():
    whole, real = pa.table({"n": [1, 20]}), pa.table({"n": [1.0, 20.0]})
    assert groups.group_of(whole, ["n"]).tolist() == groups.group_of(real, ["n"]).tolist() == ["1", "20"]


def test_one_case_among_those_held_out_is_measured_as_uncertain_as_it_is():
    test = underdiagnosed(400, 2)
    test = test.set_column(2, "result", pa.array(["sick"] + ["well"] * 399))
    cost = run(underdiagnosed(1000, 1), test, policy()).account.cost
    assert (cost.auc_before.low, cost.auc_before.high) != (cost.auc_before.value, cost.auc_before.value)
    assert cost.auc_before.high - cost.auc_before.low > 0.5


# What cannot be measured


def constant(table, name, value):
    return table.set_column(table.column_names.index(name), name, pa.array([value] * table.num_rows))


@pytest.mark.parametrize(
    ("change", "why", "message"),
    [
        (
            lambda t: t.drop_columns(["other"]),
            "left out",
            "the release has no column `other`, which the policy protects",
        ),
        (lambda t: constant(t, "other", "*"), "one value", "every row of the release has the same value of `other`"),
        (lambda t: t, "too few people", "bias by `other` needs two groups of at least 30 people"),
    ],
)
def test_a_column_that_cannot_be_measured_is_told_and_the_rest_is_done(change, why, message):
    rows, test = crossed(2000, 1), constant(crossed(2000, 2), "other", "a")
    rows, rules = change(rows), policy("group", "other")
    account = run(rows, test, rules).account
    assert [(one.column, one.why) for one in account.unmeasured] == [("other", why)]
    assert [bias.column for bias in account.before] == ["group"]
    with pytest.raises(TableError, match=message):
        require(rows, test, rules, k=K)


def test_a_release_that_says_nothing_of_groups_any_more_is_no_lost_run():
    rows = constant(underdiagnosed(1000, 1), "group", "*")
    made = run(rows, underdiagnosed(1000, 2), policy(labels="biased"))
    assert made.account.before == made.account.after == ()
    assert made.account.mitigation == ()
    assert made.table.num_rows == 1000
    assert made.account.cost.auc_change.value == 0


@pytest.mark.parametrize("side", [0, 1])
def test_a_target_that_is_not_there_or_does_not_vary_is_told(side):
    sides = [underdiagnosed(500, 1), underdiagnosed(500, 2)]
    place = ("the release", "the people held out")[side]
    for change, message in (
        (lambda t: constant(t, "result", "well"), f"{place}: no row has `result` = sick"),
        (lambda t: constant(t, "result", "sick"), f"{place}: every row has `result` = sick"),
    ):
        changed = [change(table) if number == side else table for number, table in enumerate(sides)]
        with pytest.raises(TableError, match=message):
            run(*changed, policy())
    without = [t.drop_columns(["result"]) if number == side else t for number, t in enumerate(sides)]
    with pytest.raises(TableError, match=f"{place}: there is no column `result`, the target"):
        run(*without, policy())


# Real tables, with labels of one group flipped


def flipped(table, column, value, target, positive, negative, share, seed):
    """Positives of one group recorded as negatives, this share of them."""
    rng = np.random.default_rng(seed)
    hit = pc.and_(pc.equal(table[column], value), pc.equal(table[target], positive)).to_numpy()
    lost = pa.array(hit & (rng.random(table.num_rows) < share))
    return table.set_column(table.column_names.index(target), target, pc.if_else(lost, negative, table[target]))


def halves(table, most):
    order = np.random.default_rng(1).permutation(table.num_rows)[:most]
    return (table.take(pa.array(part)) for part in np.array_split(order, 2))


def test_on_real_tests_for_covid_a_flipped_sex_is_found_and_halved():
    rules = make_policy(
        {
            "gender": QUASI, "age": {"role": "other", "kind": "numeric"}, "clinic_name": {"role": "other"},
            "pan_day": {"role": "other", "kind": "numeric"}, "demo_group": {"role": "other"},
            "drive_thru_ind": {"role": "other"}, "result": {"role": "sensitive"},
        },
        downstream={"target": "result", "positive": "positive"},
        fairness={"protected": ["gender"], "labels": "biased"},
    )  # fmt: skip
    table = reading.read(open_table(CHOP_TABLE), rules)
    table = flipped(table, "gender", "female", "result", "positive", "negative", 0.9, 1)
    account = run(*halves(table, 14_000), rules).account
    before, after = parity(account)
    assert before.low > 0.01
    assert before.beyond_chance
    assert after.value < before.value / 2
    assert account.cost.auc_change.low > -0.1


@pytest.mark.parametrize("mitigation", [["weights"], ["thresholds"]])
def test_on_real_stays_of_diabetics_a_flipped_race_is_found_and_halved(mitigation):
    rules = make_policy(
        {
            "race": QUASI, "gender": QUASI, "age": {"role": "other"},
            "time_in_hospital": {"role": "other", "kind": "numeric"},
            "number_inpatient": {"role": "other", "kind": "numeric"},
            "number_emergency": {"role": "other", "kind": "numeric"},
            "number_diagnoses": {"role": "other", "kind": "numeric"}, "readmitted": {"role": "sensitive"},
        },
        downstream={"target": "readmitted", "positive": ">30"},
        fairness={"protected": ["race"], "mitigation": mitigation},
    )  # fmt: skip
    table = reading.read(open_table(shared_data("diabetes130.parquet")), rules)
    large = pc.is_in(table["race"], value_set=pa.array(["Caucasian", "AfricanAmerican"]))
    table = flipped(table.filter(large), "race", "AfricanAmerican", "readmitted", ">30", "NO", 0.6, 1)
    account = run(*halves(table, 16_000), rules).account
    before, after = parity(account)
    assert before.low > 0.1
    assert after.value < before.value / 2
    assert account.cost.auc_change.low > -0.1
    json.dumps(account.model_dump(mode="json"), allow_nan=False)
