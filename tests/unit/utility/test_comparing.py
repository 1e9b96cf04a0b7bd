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
    found = compared(patients(500, 1), patients(300, 2), downstream=None)
    assert (found.real_rows, found.synthetic_rows, found.tested_rows) == (400, 300, 100)
    assert found.held_out


def test_with_people_to_test_on_nobody_is_held_out(compared):
    found = compared(patients(500, 1), patients(300, 2), patients(200, 3), downstream=None)
    assert (found.real_rows, found.synthetic_rows, found.tested_rows) == (500, 300, 200)
    assert not found.held_out


def test_rows_of_one_person_are_held_out_together(compared):
    # Each of 20 people has 25 rows, and a fifth of the people are 4.
    table = patients(500, 1).append_column("id", pa.array([f"p{n % 20}" for n in range(500)]))
    policy = {"id": {"role": "direct"}}
    assert compared(table, patients(300, 2), columns=policy, person="id", downstream=None).tested_rows == 100
    mixed = table.set_column(3, "id", pa.array([f"p{min(n, 20)}" for n in range(500)]))  # one person has 480 rows
    assert compared(mixed, patients(300, 2), columns=policy, person="id", downstream=None).tested_rows in {4, 483}


def test_excluded_rows_are_left_out_of_all_tables(compared):
    with_unknown = [
        pa.concat_tables([patients(400, seed), patients(100, seed).set_column(2, "result", pa.array(["lost"] * 100))])
        for seed in (1, 2, 3)
    ]
    found = compared(*with_unknown, exclude={"result": ["lost"]}, downstream=None)
    assert (found.real_rows, found.synthetic_rows, found.tested_rows) == (400, 400, 400)


def test_a_column_that_the_synthetic_rows_lack_counts_against_them(compared):
    found = compared(patients(2000, 1), patients(1000, 2).drop_columns(["hours"]), patients(1000, 3))
    assert found.missing == ("hours",)
    assert all(answer.gap.value > 0 for answer in found.fidelity.answers)


def test_a_column_that_the_real_rows_lack_is_not_compared(compared):
    found = compared(patients(500, 1).drop_columns(["hours"]), patients(300, 2), downstream=None)
    assert found.left_out == ("hours",)


def gone(rng, count):
    return pa.nulls(count, pa.string())


def gone_numbers(rng, count):
    return pa.nulls(count, pa.float64())


def untyped(rng, count):
    return pa.nulls(count)


def numbers(rng, count):
    return rng.normal(size=count)


def infinite(rng, count):
    return np.full(count, np.inf)


def constant(rng, count):
    return np.full(count, 3.0)


def letters(rng, count):
    return rng.choice(["p", "q"], count)


def unknown(rng, count):
    return ["new"] * count


def codes(rng, count):
    return np.array([f"c{n}" for n in rng.integers(0, 5000, count)])


def dates(rng, count):
    return np.datetime64("2020-01-01") + rng.integers(0, 300, count).astype("timedelta64[D]")


def written_dates(rng, count):
    return dates(rng, count).astype(str)


def holed(make):
    return lambda rng, count: pa.array(make(rng, count), mask=rng.random(count) < 0.4)


AWKWARD = {  # how each column is made in the real rows, in the synthetic ones, and of which kind it is
    "missing": (gone, gone, "categorical"),
    "missing_numbers": (gone_numbers, gone_numbers, "numeric"),
    "missing_here": (letters, gone, "categorical"),
    "missing_numbers_here": (numbers, gone_numbers, "numeric"),
    "untyped": (untyped, untyped, "numeric"),
    "five_thousand": (codes, codes, "categorical"),
    "holed": (holed(letters), holed(letters), "categorical"),
    "holed_numbers": (holed(numbers), holed(numbers), "numeric"),
    "dates": (dates, dates, "date"),
    "written": (dates, written_dates, "date"),
    "infinite": (numbers, infinite, "numeric"),
    "constant": (constant, constant, "numeric"),
    "constant_here": (numbers, constant, "numeric"),
    "unknown": (letters, unknown, "categorical"),
}


def test_awkward_columns_are_compared_in_finite_numbers(compared):
    real = patients(600, 1, **{name: made[0] for name, made in AWKWARD.items()})
    synthetic = patients(600, 2, **{name: made[1] for name, made in AWKWARD.items()})
    columns = {name: {"role": "other", "kind": kind} for name, (_, _, kind) in AWKWARD.items()}
    found = compared(real, synthetic, columns=columns)
    json.dumps(found.model_dump(mode="json"), allow_nan=False)
    assert found.missing == found.left_out == ()
    assert len(found.fidelity.answers) == 3
    assert {"ward", "hours", "holed", "holed_numbers"} <= {effect.column for effect in found.fidelity.clinical.odds}


def test_one_column_has_no_relation_to_keep(compared):
    one = patients(300, 1).select(["result"])
    found = compared(one, one, columns={"result": {"role": "quasi", "hierarchy": "all-or-nothing"}}, downstream=None)
    json.dumps(found.model_dump(mode="json"), allow_nan=False)
    assert not found.fidelity.useful


def relabelled(table, name, value):
    return table.set_column(table.column_names.index(name), name, pa.array([value] * len(table)))


A, B, C = patients(300, 1), patients(300, 2), patients(99, 3)


@pytest.mark.parametrize(
    ("real", "synthetic", "test", "word"),
    [
        (A.slice(0, 1), B, None, "takes at least 10 of each"),
        (A, B.slice(0, 1), None, "takes at least 10 of each"),
        (A.select(["result"]), B.select(["result"]), None, "no column left to learn from"),
        (relabelled(A, "result", "sick"), B, None, "no two values of result"),
        (relabelled(A, "result", "sick"), B, C, "all rows are alike"),
        (A, B.drop_columns(["result"]), None, "the synthetic rows have no column `result`"),
        (A, B, C.drop_columns(["result"]), "the tested rows have no column `result`"),
        (A, relabelled(B, "hours", "[0, 10)"), None, "`hours` holds numbers in one table"),
        (A, B, relabelled(C, "ward", "*"), "`ward` has no label in common"),
    ],
    ids=[
        "one row", "one synthetic row", "one column", "constant target", "constant target, people apart",
        "target absent", "target absent among the tested", "labels for numbers", "tested in another language",
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_told(compared, real, synthetic, test, word):
    with pytest.raises(TableError, match=word):
        compared(real, synthetic, test)
