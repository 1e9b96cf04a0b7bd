"""Rows are drawn as they were asked for, what was achieved is counted, and what cannot be drawn is told in time."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flows.commands.synthetic import condition
from tasks.common.errors import ConditionsNotReached, InputError, PolicyError
from tasks.common.synthesis_forms import Engine, Shares, Span, Synthesis
from tasks.synthesis import conditions, drawing, engines
from tasks.synthesis.conditions import AnyOf
from tests.conftest import make_policy

COLUMNS = {
    "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10]}},
    "sex": {"role": "quasi", "hierarchy": "all-or-nothing"},
    "ward": {"role": "other"},
    "hours": {"role": "other", "kind": "numeric"},
    "day": {"role": "other", "kind": "date"},
    "result": {"role": "sensitive"},
}


def release(count=3_000):
    rng = np.random.default_rng(1)
    age = rng.integers(0, 8, count) * 10
    return pa.table(
        {
            "age": [f"[{a}, {a + 10})" for a in age],
            "sex": rng.choice(["F", "M"], count),
            "ward": pa.array(rng.choice(["A", "B", "C", None], count).tolist(), pa.string()),
            "hours": rng.gamma(2, 3, count).round(3),
            "day": pa.array((np.datetime64("2020-01-01") + rng.integers(0, 400, count)).astype("M8[D]")),
            "result": np.where(rng.random(count) < 0.06, "positive", "negative"),
        }
    )


def policy(**synthesis):
    return make_policy(COLUMNS, synthesis=synthesis)


@pytest.fixture(scope="module", params=["trees", "ctgan"])
def fitted(request):
    return engines.fit(release(), Synthesis(epochs=4), Engine(request.param), seed=1)


def drawn(fitted, rows, **wanted):
    return drawing.draw(fitted, rows, 7, policy(conditions=wanted), release())


def share(table, column, value):
    return pc.mean(pc.equal(table[column], value)).as_py()


def test_values_ranges_and_shares_are_met_together(fitted):
    table, account = drawn(
        fitted,
        500,
        sex="F",
        ward=["A", "B"],
        age={"least": 0, "most": 30},
        hours={"most": 8},
        day={"least": "2020-03-01"},
        result={"shares": {"positive": 0.3}},
    )
    assert table.num_rows == 500
    assert set(table["sex"].to_pylist()) == {"F"}
    assert set(table["ward"].to_pylist()) == {"A", "B"}
    assert set(table["age"].to_pylist()) <= {"[0, 10)", "[10, 20)", "[20, 30)"}
    assert pc.max(table["hours"]).as_py() <= 8
    assert pc.min(table["day"]).as_py() >= dt.date(2020, 3, 1)
    assert share(table, "result", "positive") == 0.3
    assert account.rows == 500
    assert account.drawn > 500
    assert account.achieved["result"] == {"positive": 0.3}
    assert [list(account.achieved[name].values()) for name in ("sex", "ward", "age", "hours", "day")] == [[1.0]] * 5


def test_rows_of_several_strata_are_mixed(fitted):
    table, _ = drawn(fitted, 400, result={"shares": {"positive": 0.5}})
    first = table.slice(0, 200)
    assert 0.3 < share(first, "result", "positive") < 0.7


def test_without_conditions_there_are_none(fitted):
    table, account = drawing.draw(fitted, 300, 7, policy(conditions={"sex": "F"}), release(), conditioned=False)
    assert set(table["sex"].to_pylist()) == {"F", "M"}
    assert account.achieved == {}


@pytest.mark.parametrize(
    "wanted",
    [{"sex": "X"}, {"age": {"least": 200}}, {"hours": {"least": 10_000}}, {"result": {"shares": {"unclear": 0.5}}}],
)
def test_what_no_row_has_is_told_before_anything_is_drawn(fitted, wanted):
    with pytest.raises(ConditionsNotReached, match="no row to learn from has"):
        drawn(fitted, 10, **wanted)


def test_what_hardly_any_row_has_ends_with_an_error(fitted, monkeypatch):
    monkeypatch.setattr(drawing, "_PATIENCE", 5_000)
    never = pa.table({**{n: release()[n] for n in release().column_names if n != "sex"}, "sex": ["F"] * 3_000})
    one = pa.concat_tables([never, never.slice(0, 1).set_column(5, "sex", pa.array(["rare"]))]).select(list(COLUMNS))
    learned = engines.fit(one, Synthesis(), Engine.TREES, seed=1)
    with pytest.raises(ConditionsNotReached, match="rows drawn only"):
        drawing.draw(learned, 50, 7, policy(conditions={"sex": "rare", "hours": {"least": 20}, "ward": "A"}), one)


def test_a_range_of_words_is_told(fitted):
    with pytest.raises(PolicyError, match="`ward` is categorical and has no ranges"):
        drawn(fitted, 10, ward={"least": 1})


def test_no_rare_row_is_repeated():
    rng = np.random.default_rng(4)
    words = pa.table({name: rng.choice(list("abcdef"), 600) for name in ("ward", "sex", "result")})
    fitted = engines.fit(words, Synthesis(), Engine.COPULA, seed=1)
    rules = make_policy({name: COLUMNS[name] for name in ("ward", "sex", "result")}, criteria={"k": 4})
    counts = words.group_by(["ward", "sex", "result"]).aggregate([([], "count_all")]).to_pylist()
    rare = {(row["ward"], row["sex"], row["result"]) for row in counts if row["count_all"] < 4}
    assert 50 < len(rare) < 216
    free = {tuple(row.values()) for row in fitted.draw(5_000, 1).to_pylist()}
    assert free & rare, "the engine does draw them"
    table, account = drawing.draw(fitted, 5_000, 1, rules, words)
    assert table.num_rows == 5_000
    assert not {(row["ward"], row["sex"], row["result"]) for row in table.to_pylist()} & rare
    assert account.copies > 100


def test_keys_stay_unique_over_strata():
    table = release().append_column("visit", pa.array(np.arange(3_000)))
    rules = make_policy(
        {**COLUMNS, "visit": {"role": "other", "kind": "numeric"}},
        synthesis={"constraints": {"unique": ["visit"]}, "conditions": {"sex": {"shares": {"F": 0.25}}}},
    )
    fitted = engines.fit(table, rules.synthesis, Engine.TREES, seed=1)
    made, _ = drawing.draw(fitted, 1_000, 1, rules, table)
    assert sorted(made["visit"].to_pylist()) == list(range(1, 1_001))


def test_strata_have_whole_sizes_that_add_up():
    found = conditions.strata(
        {"a": Shares(shares={"x": 0.305}), "b": Shares(shares={"p": 0.5, "q": 0.5}), "c": Span(least=1)}, 101
    )
    # 101 rows: 30.8 of x and 70.2 of others, halved: 15.4, 15.4, 35.1, 35.1; b has no others.
    assert sorted(stratum.rows for stratum in found) == [15, 16, 35, 35]
    assert all(stratum.wishes["c"] == Span(least=1) for stratum in found)
    assert {stratum.wishes["a"] for stratum in found} == {AnyOf(("x",)), AnyOf(("x",), others=True)}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("sex=F", ("sex", ("F",))),
        ("ward=A|B", ("ward", ("A", "B"))),
        ("age=0..12", ("age", Span(least=0, most=12))),
        ("age=..12.5", ("age", Span(most=12.5))),
        ("day=2020-03-01..", ("day", Span(least=dt.date(2020, 3, 1)))),
        ("result=positive:30%|unclear:2.5%", ("result", Shares(shares={"positive": 0.3, "unclear": 0.025}))),
    ],
)
def test_conditions_can_be_written_in_a_word(text, wanted):
    assert condition(text) == wanted


@pytest.mark.parametrize("text", ["sex", "=F", "sex=", "age=9..3", "age=a..b", "result=positive:130%", "r=x:many%"])
def test_what_cannot_be_read_as_a_condition_is_told(text):
    with pytest.raises(InputError, match="--where"):
        condition(text)


@pytest.mark.parametrize(
    ("synthesis", "said"),
    [
        ({"conditions": {"nothing": "x"}}, "names `nothing`"),
        ({"conditions": {"age": {"least": 9, "most": 3}}}, "no value lies between 9"),
        ({"conditions": {"sex": {"shares": {"F": 0.8, "M": 0.3}}}}, "add up to 1.1"),
        ({"constraints": {"order": [["day", "hours"], ["hours", "age"]]}}, "hours can be in one constraint only"),
        ({"constraints": {"together": [["sex", "nothing"]]}}, "names `nothing`"),
    ],
)
def test_conditions_that_make_no_sense_are_told(synthesis, said):
    with pytest.raises(ValueError, match=said):
        policy(**synthesis)
