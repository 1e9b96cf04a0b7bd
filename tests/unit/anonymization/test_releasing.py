"""Rows stream into a release in random order; nothing of those that are left out goes along."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.anonymization import anonymizer, releasing
from tasks.anonymization.rounding import Rounding
from tasks.common import streaming
from tasks.common.streaming import InFile, InMemory
from tasks.common.table import open_table
from tests.conftest import make_plan, make_policy

POLICY = make_policy(
    {
        "city": {"role": "quasi", "hierarchy": "all-or-nothing"},
        "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10, 20], "min": 0, "max": 80}},
        "result": {"role": "sensitive"},
        "dose": {"role": "other", "kind": "numeric"},
    }
)
PLAN = make_plan(3, suppression=0.1, rounding={"dose": 0.5})


def people(rows=500):
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "city": rng.choice(["north", "south"], rows),
            "age": rng.integers(0, 80, rows).astype(float),
            "result": [f"r{n}" for n in range(rows)],
            "dose": rng.random(rows) * 10,
        }
    )


def sorted_rows(table):
    return sorted(map(str, table.to_pylist()))


def written(table, tmp_path, plan=PLAN):
    rows = anonymizer.source(InMemory(table), POLICY)
    counted = anonymizer.count(rows, None)
    account = anonymizer.write(rows, counted, plan, np.random.default_rng(1), tmp_path / "out.parquet")
    return pq.read_table(tmp_path / "out.parquet"), account


def test_a_file_and_memory_hold_the_same_release(tmp_path):
    in_file, account = written(people(), tmp_path)
    in_memory = anonymizer.anonymize(people(), None, POLICY, PLAN, np.random.default_rng(1))
    assert in_file.equals(in_memory.table)
    assert account == in_memory.account


def test_many_buckets_hold_what_one_holds_in_another_order(tmp_path, monkeypatch):
    one, _ = written(people(), tmp_path)
    monkeypatch.setattr(releasing, "BUCKET_ROWS", 64)
    monkeypatch.setattr(streaming, "BATCH_ROWS", 50)
    many, _ = written(people(), tmp_path)
    assert sorted_rows(many) == sorted_rows(one)
    assert many["result"].to_pylist() != one["result"].to_pylist()


def test_every_place_is_as_likely_for_a_row(monkeypatch, tmp_path):
    """Where the first row of the table comes to stand, over 300 seeds: uniform over eight equal stretches."""
    monkeypatch.setattr(releasing, "BUCKET_ROWS", 32)
    rows = anonymizer.source(InMemory(people(128)), POLICY)
    counted = anonymizer.count(rows, None)
    plan = make_plan(2)
    places = np.zeros(8)
    for seed in range(300):
        release = anonymizer.from_counted(rows, counted, plan, np.random.default_rng(seed)).table
        places[release["result"].to_pylist().index("r0") // 16] += 1
    chi_square = ((places - 300 / 8) ** 2 / (300 / 8)).sum()
    assert chi_square < 24.3  # 99.9 % of chi-square with 7 degrees of freedom


def test_no_label_of_a_suppressed_row_is_left_in_the_file(tmp_path):
    table = people()
    rare = pa.table({"city": ["canary-town"], "age": [42.0], "result": ["canary-result"], "dose": [777.25]})
    plan = make_plan(3, suppression=0.05)
    release, account = written(pa.concat_tables([table, rare]), tmp_path, plan)
    assert account.levels["city"] == 0
    assert "canary-town" not in release["city"].to_pylist()
    content = (tmp_path / "out.parquet").read_bytes()
    for word in (b"canary-town", b"canary-result"):
        assert word not in content
    reader = pq.ParquetFile(tmp_path / "out.parquet", read_dictionary=["city"])
    kept = {word for chunk in reader.read()["city"].chunks for word in chunk.dictionary.to_pylist()}
    assert kept <= {"north", "south", "*"}


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_rows_in_a_file_stream_as_they_are_read(tmp_path, kind, monkeypatch):
    from pyarrow import csv

    from tasks.common import reading

    monkeypatch.setattr(streaming, "BATCH_ROWS", 64)
    path = tmp_path / f"t.{kind}"
    (pq.write_table if kind == "parquet" else csv.write_csv)(people(), path)
    policy = POLICY.model_copy(update={"exclude": {"city": ("north",)}})
    handle = open_table(path)
    read = reading.read(handle, policy).take(pa.array(reading.included_rows(handle, policy)))
    batches = list(InFile(handle, policy).batches(read.column_names, {"city", "age"}))
    for place, name in enumerate(read.column_names):
        streamed = [value for batch in batches for value in batch[place].to_pylist()]
        assert streamed == read[name].to_pylist()
    assert len(batches) > 1 or kind == "csv"


def test_rounding_loss_over_batches_is_that_of_the_whole():
    values = np.random.default_rng(3).normal(1e9, 3, 1000)
    whole, parts = Rounding(2), Rounding(2)
    whole(pa.array(values))
    for part in np.array_split(values, 7):
        parts(pa.array(part))
    expected = np.sqrt(np.mean((values - np.round(values / 2) * 2) ** 2)) / values.std()
    assert whole.loss == pytest.approx(expected, rel=1e-6)
    assert parts.loss == pytest.approx(expected, rel=1e-6)


def test_threads_that_share_a_file_count_what_one_counts(tmp_path):
    table = people(3000)
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=400)
    rows = anonymizer.source(InFile(open_table(tmp_path / "t.parquet"), POLICY), POLICY)
    assert len(rows.rows.parts(3)) == 3
    one, three = (anonymizer.count(rows, None, parts=parts) for parts in (1, 3))
    assert np.array_equal(one.tuples.codes, three.tuples.codes)
    assert np.array_equal(one.tuples.rows, three.tuples.rows)
    assert np.array_equal(one.of_row.read(0, 3000), three.of_row.read(0, 3000))
    alone, together = (
        anonymizer.from_counted(rows, counted, PLAN, np.random.default_rng(1)).table for counted in (one, three)
    )
    assert alone.equals(together)
