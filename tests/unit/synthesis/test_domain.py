"""The domain is public, or found by noisy counts that are in the ledger; rows go into it and come back out of it."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from tasks.anonymization import hierarchies
from tasks.common.errors import TableError
from tasks.synthesis import domain, public
from tasks.synthesis.accountant import Accountant
from tasks.synthesis.budget import Budget, Ledger, Mechanism
from tasks.synthesis.domain import Numbers, Words
from tasks.synthesis.public import Declared
from tests.conftest import make_policy

AGE = {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10, 20], "min": 0, "max": 60}}


def account_of(levels, cells=0.0):
    from tasks.anonymization.account import Anonymization

    return Anonymization(
        rows_before=1, rows_after=1, suppressed=0, k=1, l={}, classes=1, mean_class=1, levels=levels, top_levels={},
        loss=0, bound=0, optimal=True, nodes=1, column_loss={}, utility_loss=0, cells=cells, rounding={}, dropped=(),
        criteria=(),
    )  # fmt: skip


def accountant(epsilon=5.0):
    return Accountant(Ledger(budget=Budget(epsilon=epsilon, delta=1e-6)), np.random.default_rng(1).bytes)


def found(rows, said, bins=8, made=None):
    made = made or accountant()
    return domain.find(rows, said, made, bins=bins, rho=0.3, delta=1e-7), made.ledger


@pytest.mark.parametrize("level", [1, 2])
def test_labels_of_intervals_are_those_the_release_has(level):
    policy = make_policy({"age": AGE})
    said = public.declared(policy, account_of({"age": level})).columns["age"]
    ages = [-5.0, *np.arange(0.0, 60.0), 60.0, 99.0]
    built = hierarchies.build("age", policy.columns["age"], ages)
    assert set(said.labels) == set(built.labels[level])


def test_groups_and_everything_in_one_are_public():
    groups = {"groups": [{"in": ["ward", "icu"], "out": ["clinic"]}]}
    policy = make_policy({"place": {"role": "quasi", "hierarchy": groups}, "age": AGE})
    said = public.declared(policy, account_of({"place": 1, "age": 3})).columns
    assert set(said["place"].labels) == {"in", "out"}
    assert said["age"].labels == ("*",)
    raw = public.declared(policy).columns
    assert set(raw["place"].labels) == {"ward", "icu", "clinic"}
    assert raw["age"].labels is None


def test_suppressed_cells_have_their_label_and_local_recodings_none_that_is_public():
    policy = make_policy({"place": {"role": "quasi", "hierarchy": {"groups": [{"in": ["a"], "out": ["b"]}]}}})
    assert "*" in public.declared(policy, account_of({"place": 1}, cells=0.1)).columns["place"].labels
    assert public.declared(policy, account_of({})).columns["place"] == Declared()


def test_ranges_limits_and_named_categories_are_public():
    policy = make_policy(
        {
            "age": AGE,
            "hours": {"role": "other", "kind": "numeric", "range": [0, 100], "top": 48, "round": 2, "missing": 0},
            "day": {"role": "other", "kind": "date", "bottom": "1970-01-02", "top": "1970-01-31"},
            "ward": {"role": "sensitive"},
        },
        synthesis={"privacy": {"epsilon": 1, "categories": {"ward": ["a", "b", None]}}},
        downstream={"target": "ward", "positive": "a"},
    )
    said = public.declared(policy)
    assert said.columns["hours"] == Declared(low=0, high=48, step=2, missing=False)
    assert (said.columns["day"].low, said.columns["day"].high) == (1, 30)
    assert said.columns["ward"] == Declared(labels=("a", "b"), missing=True)
    assert said.target == "ward"


def test_people_with_several_rows_need_to_have_a_most():
    columns = {"id": {"role": "direct"}, "age": AGE}
    with pytest.raises(ValueError, match="rows_per_person"):
        make_policy(columns, person="id", synthesis={"privacy": {"epsilon": 1}})
    assert public.declared(make_policy(columns, person="id", rows_per_person=3)).rows_per_person == 3


def test_a_public_domain_costs_nothing():
    rows = pa.table({"ward": ["a", "b"], "grade": [1, 3], "ill": [True, None]})
    said = {"ward": Declared(labels=("a", "b", "c")), "grade": Declared(low=1, high=5, missing=False)}
    places, ledger = found(rows, said)
    assert ledger.parts == ()
    assert places["ward"].size == 4  # with missing
    assert places["grade"].size == 5
    assert places["ill"].size == 3


def test_what_is_not_public_is_found_and_entered():
    rng = np.random.default_rng(0)
    rows = pa.table(
        {
            "ward": pa.array(["a", "b"] * 2000 + ["only me"]),
            "hours": pa.array(np.append(rng.uniform(3, 90, 4000), 1e6)),
        }
    )
    places, ledger = found(rows, {})
    assert [p.name for p in ledger.parts] == ["labels of `ward`", "range of `hours`", "intervals of `hours`"]
    assert [p.mechanism for p in ledger.parts][:2] == [Mechanism.THRESHOLD, Mechanism.GAUSSIAN]
    assert sum(p.rho for p in ledger.parts) <= 0.3
    assert sum(p.delta for p in ledger.parts) == 1e-7
    assert places["ward"].labels == ("a", "b")
    edges = places["hours"].edges
    # Within a quarter of an octave of the true range; the one far outside is not seen.
    assert 3 / 2**0.25 <= edges[0] <= 3 * 2**0.25
    assert 90 / 2**0.25 <= edges[-1] <= 90 * 2**0.25
    assert places["hours"].size == 9


def test_intervals_hold_about_equally_many():
    rows = pa.table({"x": pa.array(np.random.default_rng(0).exponential(10, 20_000))})
    places, _ = found(rows, {"x": Declared(low=0, high=200, missing=False)}, bins=10)
    counts = np.bincount(places["x"].encode(rows["x"]), minlength=10)
    # A tenth each, but for a fine cell (1/1024 of 200, about 2 % of rows near 0) and the noise.
    assert places["x"].size == 10
    assert np.abs(counts / 20_000 - 0.1).max() < 0.03


def test_negative_numbers_zeros_and_dates_are_found():
    day = dt.date(2020, 3, 4)
    rows = pa.table(
        {
            "change": pa.array(np.linspace(-50, -2, 3000)),
            "zero": pa.array(np.zeros(3000, np.int64)),
            "day": pa.array([day + dt.timedelta(days=n % 60) for n in range(3000)]),
        }
    )
    places, _ = found(rows, {}, bins=16)
    made = domain.decode(domain.encode(rows, places), places, rows.schema, np.random.default_rng(1))
    assert made.schema == rows.schema
    assert -60 <= min(made["change"].to_pylist()) <= max(made["change"].to_pylist()) <= -1.6
    assert set(made["zero"].to_pylist()) == {0}
    # A cell of the logarithmic grid about a day 50 years after 1970 is nine years wide.
    assert dt.date(2005, 1, 1) < min(made["day"].to_pylist()) < max(made["day"].to_pylist()) < dt.date(2035, 1, 1)


def test_a_range_that_noise_hides_is_told():
    with pytest.raises(TableError, match="give its `range:`"):
        found(pa.table({"x": [1.5, 2.5]}), {})


def test_rows_come_back_as_they_were_where_each_value_has_a_place():
    rows = pa.table(
        {
            "ward": pa.array(["a", None, "b"]).dictionary_encode(),
            "grade": pa.array([1, 3, None]),
            "hours": pa.array([0.5, None, 1.5]),
            "ill": pa.array([True, False, None]),
        }
    )
    said = {
        "ward": Declared(labels=("a", "b")),
        "grade": Declared(low=1, high=5),
        "hours": Declared(low=0, high=2, step=0.5),
    }
    places, _ = found(rows, said)
    back = domain.decode(domain.encode(rows, places), places, rows.schema, np.random.default_rng(1))
    assert back.schema == rows.schema
    assert back.to_pylist() == rows.to_pylist()


def test_values_outside_the_domain_become_missing_or_the_nearest():
    assert Words(("a",), missing=True).encode(pa.chunked_array([["a", "secret"]])).tolist() == [0, 1]
    assert Words(("a",), missing=False).encode(pa.chunked_array([["secret"]])).tolist() == [0]
    numbers = Numbers(np.array([0.0, 1.0, 2.0]), 0.0, missing=True)
    assert numbers.encode(pa.chunked_array([[-1e9, 0.5, 2.0, 1e9, None]])).tolist() == [0, 0, 1, 1, 2]
