"""Any two tables are compared, or it is told why not."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.common.errors import TableError
from tasks.common.table import open_table
from tasks.utility import comparing
from tests.conftest import make_policy

COLUMNS = {
    "ward": {"role": "quasi", "hierarchy": "all-or-nothing"},
    "hours": {"role": "other", "kind": "numeric"},
    "result": {"role": "sensitive"},
}
QUESTION = {"target": "result", "positive": "sick"}


def patients(count, seed, **more):
    rng = np.random.default_rng(seed)
    ward = rng.choice(["a", "b"], count)
    sick = rng.random(count) < np.where(ward == "a", 0.8, 0.2)
    columns = {"ward": ward, "hours": np.round(rng.normal(5, 1, count) + sick, 1)}
    columns |= {name: make(rng, count) for name, make in more.items()}
    return pa.table(columns | {"result": np.where(sick, "sick", "well")})


@pytest.fixture
def compared(tmp_path):
    """Compare tables by way of files, as the command does."""

    def run(real, synthetic, test=None, columns=None, **rest):
        handles = []
        for name, rows in (("real", real), ("synthetic", synthetic), ("test", test)):
            if rows is not None:
                pq.write_table(rows, tmp_path / f"{name}.parquet")
            handles.append(open_table(tmp_path / f"{name}.parquet") if rows is not None else None)
        policy = make_policy(COLUMNS | (columns or {}), **{"downstream": QUESTION, **rest})
        return comparing.compare(*handles, policy, lambda _: None)

    return run


def test_without_people_to_test_on_a_fifth_is_held_out(compared):
    found = compared(patients(500, 1), patients(300, 2))
    assert (found.real_rows, found.synthetic_rows, found.tested_rows) == (400, 300, 100)
    assert found.held_out


def test_with_people_to_test_on_nobody_is_held_out(compared):
    found = compared(patients(500, 1), patients(300, 2), patients(200, 3))
    assert (found.real_rows, found.synthetic_rows, found.tested_rows) == (500, 300, 200)
    assert not found.held_out


def test_rows_of_one_person_are_held_out_together(compared):
    # Each of 20 people has 25 rows, and a fifth of the people are 4.
    table = patients(500, 1).append_column("id", pa.array([f"p{n % 20}" for n in range(500)]))
    policy = {"id": {"role": "direct"}}
    assert compared(table, patients(300, 2), columns=policy, person="id").tested_rows == 100
    mixed = table.set_column(3, "id", pa.array([f"p{min(n, 20)}" for n in range(500)]))  # one person has 480 rows
    assert compared(mixed, patients(300, 2), columns=policy, person="id").tested_rows in {4, 483}


def test_excluded_rows_are_left_out_of_all_tables(compared):
    with_unknown = [
        pa.concat_tables([patients(400, seed), patients(100, seed).set_column(2, "result", pa.array(["lost"] * 100))])
        for seed in (1, 2, 3)
    ]
    found = compared(*with_unknown, exclude={"result": ["lost"]})
    assert (found.real_rows, found.synthetic_rows, found.tested_rows) == (400, 400, 400)


def test_a_column_that_the_synthetic_rows_lack_counts_against_them(compared):
    found = compared(patients(2000, 1), patients(1000, 2).drop_columns(["hours"]), patients(1000, 3))
    assert found.missing == ("hours",)
    assert all(answer.gap.value > 0 for answer in found.fidelity.answers)


def test_a_column_that_the_real_rows_lack_is_not_compared(compared):
    found = compared(patients(500, 1).drop_columns(["hours"]), patients(300, 2))
    assert found.left_out == ("hours",)


def gone(rng, count):
    return pa.nulls(count, pa.string())


def gone_numbers(rng, count):
    return pa.nulls(count, pa.float64())


def numbers(rng, count):
    return rng.normal(size=count)


def letters(rng, count):
    return rng.choice(["p", "q"], count)


def codes(rng, count):
    return np.array([f"c{n}" for n in rng.integers(0, 5000, count)])


def dates(rng, count):
    return np.datetime64("2020-01-01") + rng.integers(0, 300, count).astype("timedelta64[D]")


def holed(make):
    return lambda rng, count: pa.array(make(rng, count), mask=rng.random(count) < 0.4)


OTHER, NUMBER, DATE = {"role": "other"}, {"role": "other", "kind": "numeric"}, {"role": "other", "kind": "date"}


@pytest.mark.parametrize(
    ("real", "synthetic", "columns"),
    [
        ({"x": gone, "y": gone_numbers}, {"x": gone, "y": gone_numbers}, {"x": OTHER, "y": NUMBER}),
        ({"x": letters, "y": numbers}, {"x": gone, "y": gone_numbers}, {"x": OTHER, "y": NUMBER}),
        ({"x": lambda _, n: pa.nulls(n)}, {"x": lambda _, n: pa.nulls(n)}, {"x": NUMBER}),
        ({"x": codes}, {"x": codes}, {"x": OTHER}),
        ({"x": holed(letters), "y": holed(numbers)}, {"x": holed(letters), "y": holed(numbers)}, {"x": OTHER, "y": NUMBER}),
        ({"x": dates}, {"x": dates}, {"x": DATE}),
        ({"x": dates}, {"x": lambda rng, n: dates(rng, n).astype(str)}, {"x": DATE}),
        ({"x": numbers}, {"x": lambda _, n: np.full(n, np.inf)}, {"x": NUMBER}),
        ({"x": numbers}, {"x": lambda _, n: np.full(n, 3.0)}, {"x": NUMBER}),
        ({"x": letters}, {"x": lambda _, n: ["new"] * n}, {"x": OTHER}),
    ],
    ids=[
        "all missing", "missing in the synthetic rows", "no type", "5,000 categories", "40 % missing", "dates",
        "dates as text", "infinite", "constant", "unknown labels",
    ],
)  # fmt: skip
def test_awkward_columns_are_compared_in_finite_numbers(compared, real, synthetic, columns):
    found = compared(patients(600, 1, **real), patients(600, 2, **synthetic), columns=columns)
    json.dumps(found.model_dump(mode="json"), allow_nan=False)
    assert len(found.fidelity.answers) == 3
    assert found.fidelity.clinical.odds


def test_one_column_has_no_relation_to_keep(compared):
    one = patients(300, 1).select(["result"])
    found = compared(one, one, columns={"result": {"role": "quasi", "hierarchy": "all-or-nothing"}}, downstream=None)
    json.dumps(found.model_dump(mode="json"), allow_nan=False)
    assert not found.fidelity.useful


def relabelled(table, name, value):
    return table.set_column(table.column_names.index(name), name, pa.array([value] * len(table)))


@pytest.mark.parametrize(
    ("real", "synthetic", "test", "word"),
    [
        (patients(1, 1), patients(300, 2), None, "takes at least 10 of each"),
        (patients(300, 1), patients(1, 2), None, "takes at least 10 of each"),
        (patients(300, 1).select(["result"]), patients(300, 2).select(["result"]), None, "no column left to learn from"),
        (relabelled(patients(300, 1), "result", "sick"), patients(300, 2), None, "no two values of result"),
        (relabelled(patients(300, 1), "result", "sick"), patients(300, 2), patients(99, 3), "all rows are alike"),
        (patients(300, 1), patients(300, 2).drop_columns(["result"]), None, "the synthetic rows have no column `result`"),
        (patients(300, 1), patients(300, 2), patients(99, 3).drop_columns(["result"]), "the tested rows have no column"),
        (patients(300, 1), relabelled(patients(300, 2), "hours", "[0, 10)"), None, "`hours` holds numbers in one table"),
        (patients(300, 1), patients(300, 2), relabelled(patients(99, 3), "ward", "*"), "`ward` has no label in common"),
    ],
    ids=[
        "one row", "one synthetic row", "one column", "constant target", "constant target, people apart",
        "target absent", "target absent among the tested", "labels for numbers", "tested in another language",
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_told(compared, real, synthetic, test, word):
    with pytest.raises(TableError, match=word):
        compared(real, synthetic, test)
