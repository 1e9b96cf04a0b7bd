"""Rows that stream are transformed as whole columns are, and the anonymizer takes them like any others."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from tasks.anonymization import anonymizer, coding, date_shift, pseudonyms, transforming
from tasks.anonymization.plan import first_plan
from tasks.common import streaming
from tasks.common.errors import PolicyError
from tasks.common.key_file import Key
from tasks.common.streaming import InMemory, person_codes
from tests.conftest import make_policy

KEY = Key(bytes(range(32)))
POLICY = make_policy(
    {
        "pid": {"role": "direct", "pseudonym": True},
        "age": {"role": "quasi", "kind": "numeric", "top": 90,
                "hierarchy": {"intervals": [5, 10, 30], "min": 0, "max": 90}},
        "born": {"role": "quasi", "kind": "date", "shift": {"days": 30}, "hierarchy": {"dates": ["year", "decade"]}},
        "seen": {"role": "other", "kind": "date", "shift": {"days": 30}},
        "dose": {"role": "other", "kind": "numeric", "bottom": 2, "top": 8},
    },
    person="pid", criteria={"k": 5, "suppression": 0.3},
)  # fmt: skip


@pytest.fixture
def table():
    rng = np.random.default_rng(2)
    start = dt.date(1950, 1, 1)
    return pa.table(
        {
            "pid": rng.choice([f"P{n}" for n in range(200)], 500),
            "age": rng.integers(60, 105, 500).astype(float),
            "born": [start + dt.timedelta(days=int(n)) for n in rng.integers(0, 4000, 500)],
            "seen": [start + dt.timedelta(days=int(n)) for n in rng.integers(20_000, 21_000, 500)],
            "dose": rng.normal(5, 3, 500),
        }
    )


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(streaming, "BATCH_ROWS", 64)


def read(rows, columns, encoded=()):
    batches = list(rows.batches(columns, encoded))
    return {name: pa.chunked_array([batch[place] for batch in batches]) for place, name in enumerate(columns)}


@pytest.mark.parametrize("encoded", [(), ("age", "born", "pid")])
def test_batches_come_out_as_whole_columns_do(table, small_batches, encoded):
    columns = ["dose", "born", "pid", "age", "seen"]
    found = read(transforming.transformed(InMemory(table), POLICY, KEY), columns, encoded)
    dates = date_shift.released(table, table["pid"], POLICY, KEY)
    expected = {
        "pid": pseudonyms.pseudonyms(table["pid"], KEY, "test", "pid"),
        "age": coding.coded(table["age"], POLICY.columns["age"]),
        "dose": coding.coded(table["dose"], POLICY.columns["dose"]),
        **dates,
    }
    for name in columns:
        assert pa.types.is_dictionary(found[name].type) == (name in encoded)
        assert found[name].to_pylist() == expected[name].to_pylist(), name


def test_the_anonymizer_releases_transformed_rows(table, small_batches):
    rows = anonymizer.source(InMemory(table), POLICY, KEY)
    counted = anonymizer.count(rows, person_codes(InMemory(table), POLICY.person))
    release = anonymizer.from_counted(rows, counted, first_plan(rows.policy), np.random.default_rng(1))
    made = release.table.to_pandas()
    assert release.account.pseudonyms == ("pid",)
    assert release.account.key == KEY.fingerprint
    assert release.account.column_loss["dose"] > 0
    assert list(made.columns) == ["pid", "age", "born", "seen", "dose"]
    assert made.groupby(["age", "born"]).pid.nunique().min() >= 5
    names = {pid: pseudonyms.pseudonym(pid, KEY, "test", "pid") for pid in table["pid"].to_pylist()}
    assert set(made.pid) <= set(names.values())
    assert made.dose.between(2, 8).all()
    seen = {(names[row["pid"]], row["seen"]) for row in table.to_pylist()}
    assert not seen & set(zip(made.pid, made.seen, strict=True))


def test_losses_are_those_of_whole_columns(table, small_batches):
    after = transforming.transformed(InMemory(table), POLICY, KEY)
    found = transforming.losses(InMemory(table), after, POLICY)
    whole = read(after, list(found))
    assert set(found) == {"age", "born", "seen", "dose"}
    exact, coded_ = table["dose"].to_numpy(), np.clip(table["dose"].to_numpy(), 2, 8)
    assert found["dose"] == pytest.approx(np.sqrt(np.mean((exact - coded_) ** 2)) / exact.std())
    for name, loss in found.items():
        assert loss == pytest.approx(coding.moved_loss(table[name], whole[name]))


def test_nothing_to_do_gives_the_same_rows(table):
    plain = make_policy({"age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [5]}}})
    rows = InMemory(table)
    assert transforming.transformed(rows, plain, None) is rows
    assert transforming.as_released(plain) == plain


def test_a_missing_key_or_person_is_told(table):
    with pytest.raises(PolicyError, match=r"derives `pid`, .* from the owner's key"):
        transforming.transformed(InMemory(table), POLICY, None)
    with pytest.raises(PolicyError, match="without `person:`"):
        transforming.transformed(InMemory(table), POLICY.model_copy(update={"person": None}), KEY)
