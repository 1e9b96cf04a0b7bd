"""Columns become code and come back, and nothing that the code keeps can be broken by what an engine draws."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.common.errors import TableError
from tasks.common.synthesis_forms import Constraints
from tasks.synthesis import columns
from tasks.synthesis.coded import Coded

RNG = np.random.default_rng(0)


def release(count=400):
    rng = np.random.default_rng(1)
    admitted = np.datetime64("2020-01-01") + rng.integers(0, 300, count)
    stay = rng.integers(0, 40, count)
    return pa.table(
        {
            "visit": pa.array([f"v{n}" for n in range(count)]),
            "age": rng.choice(["[0, 20)", "[20, 40)"], count),
            "ward": pa.array(rng.choice(["a", "b", None], count).tolist(), pa.string()),
            "hours": pa.array(np.round(rng.normal(5, 2, count), 2), mask=rng.random(count) < 0.2),
            "dose": pa.array(2.5 * rng.integers(1, 200, count)),
            "grade": pa.array(rng.integers(1, 4, count)),
            "admitted": pa.array(admitted.astype("datetime64[D]")),
            "left": pa.array((admitted + stay).astype("datetime64[D]"), mask=rng.random(count) < 0.1),
            "smoker": pa.array((rng.random(count) < 0.3).tolist()),
        }
    )


ORDERED = Constraints(order=(("admitted", "left"),), unique=("visit",))


def wild(coded: Coded, rows: int, seed: int) -> Coded:
    """What the worst engine could draw: any code, and numbers far from all that were there."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, coded.sizes, (rows, len(coded.sizes))).astype(np.int32)
    return Coded(codes, coded.sizes, rng.normal(0, 1e5, (rows, coded.numbers.shape[1])))


@pytest.mark.parametrize("constraints", [Constraints(), ORDERED, Constraints(together=(("age", "ward", "grade"),))])
def test_rows_come_back_as_they_were(constraints):
    learned, coded = columns.learn(release(), constraints)
    back = learned.back(coded, RNG)
    for name in release().column_names:
        if name not in constraints.unique:
            assert back[name].to_pylist() == pytest.approx(release()[name].to_pylist()), name
    assert back.schema.equals(release().schema)


def test_whatever_is_drawn_has_the_releases_types_ranges_grids_and_categories():
    original = release()
    learned, coded = columns.learn(original, Constraints())
    made = learned.back(wild(coded, 2_000, 1), RNG)
    assert made.schema.equals(original.schema)
    for name in ("age", "ward", "grade", "smoker"):
        assert set(made[name].to_pylist()) <= set(original[name].to_pylist())
    for name in ("hours", "dose", "admitted", "left"):
        bounds = pc.min_max(original[name]).as_py()
        assert bounds["min"] <= pc.min(made[name]).as_py() <= pc.max(made[name]).as_py() <= bounds["max"]
    assert all(value % 2.5 == 0 for value in made["dose"].to_pylist())
    assert all(round(value, 2) == value for value in made["hours"].drop_null().to_pylist())
    assert made["hours"].null_count > 0
    assert made["dose"].null_count == 0


def test_an_order_is_kept_whatever_is_drawn():
    learned, coded = columns.learn(release(), ORDERED)
    made = learned.back(wild(coded, 5_000, 2), RNG)
    both = made.filter(pc.and_(made["admitted"].is_valid(), made["left"].is_valid()))
    assert both.num_rows > 1_000
    assert pc.all(pc.less_equal(both["admitted"], both["left"])).as_py()


def test_an_order_of_three_is_kept_on_grids_that_differ():
    rng = np.random.default_rng(3)
    first = np.round(rng.random(300) * 50, 2)
    second = np.ceil(first * 2) / 2
    third = np.ceil(second / 3) * 3 + 3 * rng.integers(0, 40, 300)
    table = pa.table({"c": third, "a": first, "b": second})
    learned, coded = columns.learn(table, Constraints(order=(("a", "b", "c"),)))
    made = learned.back(wild(coded, 3_000, 4), RNG)
    a, b, c = (made[name].to_numpy() for name in "abc")
    assert np.all(a <= b)
    assert np.all(b <= c)


def test_only_combinations_that_occur_come_back():
    original = release()
    group = ["age", "ward", "grade"]
    kept = original.filter(pc.invert(pc.and_(pc.equal(original["age"], "[0, 20)"), pc.equal(original["grade"], 3))))
    learned, coded = columns.learn(kept, Constraints(together=(tuple(group),)))
    made = learned.back(wild(coded, 3_000, 5), RNG)
    seen = {tuple(row.values()) for row in kept.select(group).to_pylist()}
    assert {tuple(row.values()) for row in made.select(group).to_pylist()} <= seen


def test_what_is_always_missing_together_stays_so():
    gone = np.random.default_rng(6).random(300) < 0.3
    table = pa.table(
        {
            "tested": pa.array(np.arange(300.0), mask=gone),
            "result": pa.array(np.arange(300.0) * 2, mask=gone | (np.arange(300) % 7 == 0)),
        }
    )
    learned, coded = columns.learn(table, Constraints())
    made = learned.back(wild(coded, 2_000, 7), RNG).to_pylist()
    assert any(row["tested"] is None for row in made)
    assert all(row["result"] is None for row in made if row["tested"] is None)
    assert any(row["result"] is None and row["tested"] is not None for row in made), "only one way round"


def test_keys_are_numbered_anew():
    learned, coded = columns.learn(release(), ORDERED)
    keys = learned.with_keys(learned.back(coded, RNG))["visit"].to_pylist()
    assert len(set(keys)) == 400
    assert not set(keys) & set(release()["visit"].to_pylist())


def test_many_values_are_learned_as_common_ones_and_a_rest_drawn_as_often_as_it_occurs():
    values = [f"code {n}" for n in range(600) for _ in range(600 - n)]
    learned, coded = columns.learn(pa.table({"diagnosis": values}), Constraints())
    assert coded.sizes.tolist() == [500]
    rest = Coded(np.full((20_000, 1), 499, np.int32), coded.sizes, np.zeros((20_000, 0)))
    made = learned.back(rest, np.random.default_rng(8))["diagnosis"].value_counts().to_pylist()
    found = {item["values"]: item["counts"] for item in made}
    # The 101 rarest have 101, 100, ... 1 rows: together 5,151.
    assert set(found) == {f"code {n}" for n in range(499, 600)}
    assert found["code 499"] / 20_000 == pytest.approx(101 / 5_151, abs=0.003)


@pytest.mark.parametrize(
    ("values", "step"), [([5, 10, 25], 5), ([0.25, 1.0], 0.25), ([1.1, 2.0], 0.1), ([7, 9], 1), ([0], 1), ([-6, 4], 2)]
)
def test_the_grid_is_the_greatest_common_divisor(values, step):
    assert columns.grid(np.array(values, dtype=float)) == pytest.approx(step)


def test_numbers_without_a_grid_have_one_of_six_decimals():
    assert columns.grid(np.random.default_rng(1).random(50)) == pytest.approx(1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.sampled_from("abc")),
            st.one_of(st.none(), st.floats(-1e6, 1e6).map(lambda x: round(x, 3))),
            st.one_of(st.none(), st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1))),
        ),
        min_size=1,
        max_size=90,
    )
)
def test_any_table_comes_back(rows):
    table = pa.table(
        {
            "word": pa.array([row[0] for row in rows], pa.string()),
            "number": pa.array([row[1] for row in rows], pa.float64()),
            "day": pa.array([row[2] for row in rows], pa.date32()),
        }
    )
    learned, coded = columns.learn(table, Constraints())
    assert np.isfinite(coded.numbers).all()
    back = learned.back(coded, RNG)
    assert back["word"].equals(table["word"])
    assert back["day"].equals(table["day"])
    assert back["number"].to_pylist() == pytest.approx(table["number"].to_pylist(), abs=1e-6)


@pytest.mark.parametrize(
    ("constraints", "said"),
    [
        (Constraints(order=(("left", "admitted"),)), "`left` is greater than `admitted` in"),
        (Constraints(order=(("age", "left"),)), "only numbers and dates have"),
        (Constraints(unique=("smoker",)), "cannot number rows"),
        (Constraints(together=(("age", "nothing"),)), "which the rows to learn from do not have"),
    ],
)
def test_a_constraint_that_does_not_fit_is_told(constraints, said):
    with pytest.raises(TableError, match=said):
        columns.learn(release(), constraints)
