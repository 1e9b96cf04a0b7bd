"""Workers of a Dask cluster count parts of a table; what they found is merged to the count of the whole."""

import os
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from distributed import Client, LocalCluster

from tasks.anonymization import counting, steps
from tasks.anonymization.counting import Asked
from tasks.anonymization.handles import Parts
from tasks.anonymization.plan import first_plan
from tasks.anonymization.steps import count_by_workers
from tasks.common import settings
from tasks.common.errors import TableError
from tasks.common.store import Store
from tasks.common.streaming import InFile
from tasks.common.table import open_table
from tests.conftest import make_policy
from tests.security.canaries import GENDER, traces

CANARY = f"{GENDER}7"
ASKED = Asked(("place", "age"), ("result",), ("weight",))
COLUMNS = {
    "place": {"role": "quasi", "hierarchy": "all-or-nothing"},
    "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10], "min": 0, "max": 100}},
    "result": {"role": "sensitive"},
    "weight": {"role": "other", "kind": "numeric"},
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with (
        pytest.MonkeyPatch.context() as patched,
        home(patched, tmp_path_factory.mktemp("home")),
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0",
            local_directory=str(settings.load().scratch),
        ) as made,
        Client(made) as client,
    ):  # fmt: skip
        yield client


@contextmanager
def home(patched, folder):
    patched.setenv("SECURED_HOME", str(folder))
    settings.load().scratch.mkdir()
    yield


def patients(path, ages=None):
    """60,000 patients in six row groups, one of them at a place that nobody else is at."""
    draw, rows = np.random.default_rng(5), 60_000
    place = draw.choice([f"ward {n}" for n in range(200)], rows).astype(object)
    place[41_000] = CANARY
    table = {
        "place": place, "age": draw.integers(0, 100, rows).astype(float) if ages is None else ages,
        "result": draw.choice(["positive", "negative", None], rows), "weight": draw.integers(40, 99, rows) * 1.0,
    }  # fmt: skip
    pq.write_table(pa.table(table), path, row_group_size=10_000)
    return open_table(path)


def counted_there(client, rows, parts):
    """Run it on a worker, as a step does: (the count, how many workers counted)."""

    def on_a_worker(rows, parts):
        seen = count_by_workers(rows.parts(parts), ASKED)
        return [(len(part.tuples), part.leaves, part.tuples.rows, part.of_row.read(0, part.rows)) for part in seen], (
            counting.merge(seen)
        )

    return client.submit(on_a_worker, rows, parts).result(timeout=120)


def secrets_of(counted):
    """By tuple and result, people."""
    values, histogram = counted.secret_values["result"].to_pylist(), counted.tuples.secrets["result"]
    entries = zip(histogram.of_entry.tolist(), histogram.codes.tolist(), histogram.counts.tolist(), strict=True)
    return {(number, values[code]): people for number, code, people in entries}


def test_counts_of_workers_merge_to_the_count_of_the_whole(cluster, tmp_path):
    rows = InFile(patients(tmp_path / "patients.parquet"), make_policy(COLUMNS))
    parts, merged = counted_there(cluster, rows, 6)
    whole = counting.count(rows, ASKED)
    assert len(parts) == 6
    assert all(0 < tuples < len(whole.tuples) for tuples, *_ in parts)
    assert merged.leaves == whole.leaves
    assert merged.whole == whole.whole == {"weight"}
    for name in ("codes", "rows", "people"):
        assert np.array_equal(getattr(merged.tuples, name), getattr(whole.tuples, name))
    assert np.array_equal(merged.of_row.read(0, 60_000), whole.of_row.read(0, 60_000))
    assert secrets_of(merged) == secrets_of(whole)


def test_selected_rows_are_counted_apart_too(cluster, tmp_path):
    table = patients(tmp_path / "patients.parquet")
    chosen = Store(tmp_path / "store").put_selection(table, np.arange(0, 60_000, 3))
    rows = InFile(chosen, make_policy(COLUMNS))
    parts, merged = counted_there(cluster, rows, 6)
    whole = counting.count(rows, ASKED)
    assert len(parts) == 6
    assert np.array_equal(merged.tuples.rows, whole.tuples.rows)
    assert np.array_equal(merged.of_row.read(0, 20_000), whole.of_row.read(0, 20_000))


def test_pieces_without_a_chosen_row_are_nobodys(cluster, tmp_path):
    table = patients(tmp_path / "patients.parquet")
    chosen = Store(tmp_path / "store").put_selection(table, np.concatenate([np.arange(31_000, 32_000), [59_999]]))
    rows = InFile(chosen, make_policy(COLUMNS))
    parts, merged = counted_there(cluster, rows, 6)
    whole = counting.count(rows, ASKED)
    assert len(parts) == 2, "two of six row groups hold chosen rows"
    assert np.array_equal(merged.tuples.rows, whole.tuples.rows)
    assert np.array_equal(merged.of_row.read(0, 1_001), whole.of_row.read(0, 1_001))


def test_a_part_whose_rows_the_policy_excludes_counts_nothing(cluster, tmp_path):
    table = patients(tmp_path / "patients.parquet", ages=np.repeat([10.0, 90.0], 30_000))
    rows = InFile(table, make_policy(COLUMNS, exclude={"age": [10.0]}))
    parts, merged = counted_there(cluster, rows, 6)
    whole = counting.count(rows, ASKED)
    assert [part[0] for part in parts][:3] == [0, 0, 0]
    assert merged.leaves == whole.leaves
    assert np.array_equal(merged.tuples.rows, whole.tuples.rows)


def test_without_a_cluster_threads_count(tmp_path, monkeypatch):
    monkeypatch.setenv("SECURED_HOME", str(tmp_path))
    settings.load().scratch.mkdir()
    monkeypatch.setattr(steps, "_ROWS_APART", 15_000)
    left = settings.load().scratch / "counting-killed"
    left.mkdir()
    os.utime(left, (0, 0))
    table, policy = patients(tmp_path / "patients.parquet"), make_policy(COLUMNS)
    release = steps.anonymize.fn(Parts(train=table, working=table, sealed=table), policy, first_plan(policy))
    assert release.table.rows == 59_999, "all but the one whom nobody is like"
    assert not left.exists(), "what a killed run left goes with the next one"


def test_nothing_stays_where_workers_left_their_counts(cluster, tmp_path):
    rows = InFile(patients(tmp_path / "patients.parquet"), make_policy(COLUMNS))
    counted_there(cluster, rows, 6)
    assert not list(settings.load().scratch.glob("counting-*"))
    assert not traces(settings.load().home)


def test_only_the_owner_may_open_what_workers_found(cluster, tmp_path):
    rows = InFile(patients(tmp_path / "patients.parquet"), make_policy(COLUMNS))

    def modes(rows):
        seen = []
        load = steps.counted_files.load
        steps.counted_files.load = lambda path: (seen.append(path.parent.stat().st_mode & 0o777), load(path))[1]
        try:
            count_by_workers(rows.parts(2), ASKED)
        finally:
            steps.counted_files.load = load
        return seen

    assert cluster.submit(modes, rows).result(timeout=120) == [0o700, 0o700]


def test_an_error_of_a_worker_names_a_row_and_no_value(cluster, tmp_path):
    ages = np.array(["40"] * 60_000, dtype=object)
    ages[51_234] = CANARY
    rows = InFile(patients(tmp_path / "patients.parquet", ages), make_policy(COLUMNS))
    with pytest.raises(TableError) as caught:
        counted_there(cluster, rows, 6)
    assert "row 51235" in str(caught.value).replace(",", "")
    assert CANARY not in str(caught.value)
    assert not list(settings.load().scratch.glob("counting-*"))


def test_a_release_does_not_depend_on_who_counted(cluster, tmp_path):
    table = patients(tmp_path / "patients.parquet")
    parts, policy = Parts(train=table, working=table, sealed=table), make_policy(COLUMNS)

    def released(rows_apart):
        asked, by_workers = [], steps.count_by_workers
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(steps, "_ROWS_APART", rows_apart)
            patched.setattr(
                steps,
                "count_by_workers",
                lambda rows, wanted: (asked.append(len(rows)), by_workers(rows, wanted))[1],
            )
            release = steps.anonymize.fn(parts, policy, first_plan(policy))
        return asked, release.table.sha256, release.account

    shared, alone = (cluster.submit(released, rows).result(timeout=120) for rows in (15_000, 1_000_000))
    assert (shared[0], alone[0]) == ([4], [])
    assert shared[1:] == alone[1:]
