"""Synthetic sets: everybody has the rows that they should have, and rows hang together as those learned from did."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tasks.common.errors import TableError
from tasks.common.linked_forms import Events, LinkedPolicy
from tasks.synthesis import linked
from tests.conftest import make_policy

BASE = make_policy(
    {
        "pid": {"role": "direct", "pseudonym": True},
        "sex": {"role": "quasi", "hierarchy": "all-or-nothing"},
        "age": {"role": "other", "kind": "numeric"},
    },
    person="pid",
    table="/nowhere/people.parquet",
    criteria={"k": 2},
    synthesis={"engine": "trees"},
)
NUMBER, KEY = {"role": "other", "kind": "numeric"}, {"role": "direct", "pseudonym": True}
RULES = LinkedPolicy(
    base=BASE,
    tables={
        "labs": Events(
            table="/nowhere/labs.parquet",
            through={"table": "stays", "key": "stay"},
            columns={"stay": KEY, "value": NUMBER},
        ),
        "stays": Events(
            table="/nowhere/stays.parquet",
            columns={"pid": KEY, "stay": KEY, "ward": {"role": "other"}, "admitted": NUMBER, "left": NUMBER},
            constraints={"order": [["admitted", "left"]]},
        ),
    },
)


def released(people=1_500, seed=1):
    """Women have two stays, men none to four; who was in intensive care stays there; its laboratory values are high."""
    rng = np.random.default_rng(seed)
    sex = rng.choice(["F", "M"], people)
    many = np.where(sex == "F", 2, rng.integers(0, 5, people))
    base = pa.table({"pid": [f"p{n}" for n in range(people)], "sex": sex, "age": rng.integers(20, 90, people) * 1.0})
    stays, labs = [], []
    for person in range(people):
        ward, day = "normal", 0
        for _ in range(many[person]):
            ward = "intensive" if ward == "intensive" or rng.random() < 0.3 else "normal"
            admitted = day + int(rng.integers(1, 200))
            day = admitted + int(rng.integers(0, 30))
            stays.append((f"p{person}", f"s{len(stays)}", ward, admitted * 1.0, day * 1.0))
            for _ in range(rng.integers(1, 4)):
                value = rng.normal(100 if ward == "intensive" else 50, 5)
                labs.append((f"p{person}", stays[-1][1], round(value, 1)))
    columns = (("pid", "stay", "ward", "admitted", "left"), ("pid", "stay", "value"))
    tables = [pd.DataFrame(rows, columns=names) for rows, names in zip((stays, labs), columns, strict=True)]
    shuffled = [pa.Table.from_pandas(t.sample(frac=1, random_state=3), preserve_index=False) for t in tables]
    return {"base": base, "stays": shuffled[0], "labs": shuffled[1]}


@pytest.fixture(scope="module")
def made():
    tables = linked.synthesize(released(), RULES, 1_200).tables
    return {name: table.to_pandas() for name, table in tables.items()}


def test_tables_have_the_columns_and_types_of_those_learned_from(made):
    for name, table in released().items():
        assert list(made[name].columns) == table.column_names
        assert made[name].dtypes.astype(str).tolist() == table.to_pandas().dtypes.astype(str).tolist()


def test_every_row_belongs_to_somebody_and_keys_are_unique(made):
    base, stays, labs = made["base"], made["stays"], made["labs"]
    assert base.pid.is_unique
    assert stays.stay.is_unique
    assert set(stays.pid) <= set(base.pid)
    assert set(labs.stay) <= set(stays.stay)
    owner = stays.set_index("stay").pid
    assert (labs.pid.to_numpy() == owner.loc[labs.stay].to_numpy()).all(), "two ways to the person, one person"


def test_no_key_of_the_set_learned_from_comes_back(made):
    old = released()
    for name, column in (("base", "pid"), ("stays", "stay"), ("labs", "pid")):
        assert not set(made[name][column]) & set(old[name][column].to_pylist())


def test_people_have_as_many_rows_as_people_like_them(made):
    many = made["stays"].groupby("pid").size().reindex(made["base"].pid, fill_value=0).to_numpy()
    women = (made["base"].sex == "F").to_numpy()
    assert (many[women] == 2).all()
    # Men have 0 to 4, equally often: a fifth each. The standard error is 0.4 / sqrt(600) = 0.016.
    shares = np.bincount(many[~women], minlength=5) / (~women).sum()
    assert shares == pytest.approx([0.2] * 5, abs=0.06)
    labs = made["labs"].groupby("stay").size().reindex(made["stays"].stay, fill_value=0)
    assert set(labs) == {1, 2, 3}


def test_rows_follow_on_the_row_before(made):
    before = made["stays"].groupby("pid").ward.shift()
    after = made["stays"].ward
    stayed = (after[before == "intensive"] == "intensive").mean()
    began = (after[before == "normal"] == "intensive").mean()
    assert stayed > 0.97  # always, in the rows learned from, but for leaves that hold both
    assert began == pytest.approx(0.3, abs=0.06)


def test_rows_hang_together_with_the_row_that_they_go_through(made):
    ward = made["stays"].set_index("stay").ward.loc[made["labs"].stay].to_numpy()
    value = made["labs"].value.to_numpy()
    assert value[ward == "intensive"].mean() == pytest.approx(100, abs=2)
    assert value[ward == "normal"].mean() == pytest.approx(50, abs=2)


def test_an_order_of_columns_is_kept_in_the_table_that_has_them(made):
    assert (made["stays"].admitted <= made["stays"].left).all()


def test_it_repeats():
    one, two = (linked.synthesize(released(300), RULES, 100).tables for _ in range(2))
    assert all(one[name].equals(two[name]) for name in one)


def test_rows_of_nobody_are_told():
    tables = released(200)
    tables["stays"] = tables["stays"].set_column(0, "pid", pa.array(["gone"] * tables["stays"].num_rows))
    with pytest.raises(TableError, match="rows of `stays` belong to nobody in `base`"):
        linked.synthesize(tables, RULES, 10)


def test_a_missing_table_or_key_is_told():
    tables = released(200)
    with pytest.raises(TableError, match="no table `labs`"):
        linked.synthesize({name: tables[name] for name in ("base", "stays")}, RULES, 10)
    with pytest.raises(TableError, match="`base` has no column `pid`"):
        linked.synthesize({**tables, "base": tables["base"].drop_columns(["pid"])}, RULES, 10)
