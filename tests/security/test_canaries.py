"""No value of a patient leaves the input but through the release: not into any store, log or report."""

import sqlite3

import pyarrow.parquet as pq
import pytest
import yaml

from tests.functional.running import quick_policy, secured
from tests.security import canaries

pytestmark = pytest.mark.slow


def test_the_search_finds_canaries_where_they_are(flow_run, tmp_path):
    # A search that cannot find anything would prove nothing: it finds all of them in the input.
    assert len(canaries.traces(flow_run.table.parent, but_not=set())) > 0
    words = {trace.split(": ")[1] for trace in canaries.traces(flow_run.folder) if "patients.parquet" in trace}
    assert set(canaries.WORDS) <= words
    (tmp_path / "log.txt").write_text(f"patient {canaries.LAST_NAME.upper()}")
    assert canaries.traces(tmp_path)


def test_nothing_of_the_canaries_is_anywhere_in_the_home(flow_run):
    assert canaries.traces(flow_run.home) == []


def test_nothing_of_the_canaries_is_in_temporary_files(flow_run):
    assert canaries.traces(flow_run.temporary) == []


def test_nothing_of_the_canaries_was_printed(flow_run):
    assert canaries.in_text(flow_run.output) == []


def test_the_stores_that_were_searched_are_the_ones_that_are_used(flow_run):
    names = {path.name for path in flow_run.home.rglob("*") if path.is_file()}
    assert {"prefect.db", "mlflow.db", "report.html", "evidence.json", "anonymized.parquet"} <= names
    database = sqlite3.connect(flow_run.home / "prefect" / "prefect.db")
    assert database.execute("select count(*) from task_run").fetchone()[0] > 20
    assert len(list((flow_run.home / "results").iterdir())) > 20


def test_controls_are_row_numbers_and_not_copies(flow_run):
    for path in (flow_run.home / "store").rglob("*.parquet"):
        columns = pq.read_schema(path).names
        assert not {"subject_id", "fake_first_name", "fake_last_name", "test_id", "col_rec_tat"} & set(columns)


def test_a_run_that_fails_on_a_canary_does_not_tell_it(tmp_path):
    table = canaries.plant(tmp_path / "patients.parquet")
    policy = quick_policy(tmp_path, table)
    document = yaml.safe_load(policy.read_text())
    document["columns"]["age"]["range"] = [0, 83]  # the canaries are a little older
    policy.write_text(yaml.safe_dump(document))
    result = secured("run", "data-flow", "-p", policy, home=tmp_path / "home")
    assert result.returncode == 11, result.stderr
    assert "values outside [0, 83]" in result.stderr
    assert canaries.in_text(result.stderr + result.stdout) == []
    assert canaries.traces(tmp_path / "home") == []
