"""The data flow end to end: what comes out, that it repeats, that it resumes, that nothing is left running."""

import json
import sqlite3
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient
from pycanon import anonymity

from tasks.common import policy_file
from tasks.common.table import file_hash
from tests.functional.running import secured, start

pytestmark = pytest.mark.slow


def states(home):
    """How many task runs ended in which state, by flow run, oldest first."""
    database = sqlite3.connect(home / "prefect" / "prefect.db")
    runs = database.execute("select id from flow_run order by start_time").fetchall()
    query = "select state_name from task_run where flow_run_id = ?"
    return [Counter(name for (name,) in database.execute(query, run)) for run in runs]


def roots(home):
    """Steps of the first run that Prefect's graph draws without an edge to any other that they build on."""
    database = sqlite3.connect(home / "prefect" / "prefect.db")
    (first,) = database.execute("select id from flow_run order by start_time limit 1").fetchone()
    steps = database.execute("select name, task_inputs from task_run where flow_run_id = ?", (first,)).fetchall()
    built_on = {
        name: [one for inputs in json.loads(given).values() for one in inputs if one["input_type"] == "task_run"]
        for name, given in steps
    }
    assert len(built_on) > 30
    return {name.rsplit("-", 1)[0] for name, inputs in built_on.items() if not inputs}


def test_prefects_graph_shows_what_each_step_builds_on(flow_run):
    assert roots(flow_run.home) == {"prepare", "plan", "register"}


def test_the_release_is_k_anonymous_by_another_implementation(flow_run):
    policy = policy_file.read(flow_run.policy)
    frame = pq.read_table(flow_run.published / "anonymized.parquet").to_pandas().map(str)
    account = flow_run.evidence["attempts"][-1]["release"]["account"]
    assert anonymity.k_anonymity(frame, policy.quasi) >= account["k"] >= policy.criteria.k
    assert account["suppressed"] <= policy.criteria.suppression


def test_the_gate_passed_on_the_sealed_control(flow_run):
    verdict = flow_run.evidence["verdict"]["released"]
    assert flow_run.result["gate"] == verdict["gate"] == "passes"
    assert all(attack["high"] <= verdict["threshold"] == 0.15 for attack in verdict["attacks"])
    assert flow_run.result["score"] == pytest.approx(100 * (1 - max(a["high"] for a in verdict["attacks"])))


def test_the_first_attempt_was_adjusted_until_it_held(flow_run):
    """The last attempt passes, or is too close to call by the working control; the sealed one decides."""
    evidence = flow_run.evidence
    first, last = (evidence["attempts"][place]["card"] for place in (0, -1))
    assert first["gate"] != "passes"
    assert len(evidence["steps"]) == len(evidence["attempts"]) - 1 > 0
    assert last["gate"] in {"passes", "inconclusive"}
    assert last["score"] > first["score"]
    assert evidence["verdict"]["released"]["gate"] == "passes"


def test_every_part_left_its_evidence(flow_run):
    evidence = flow_run.evidence
    for part in ("validation", "volume", "candidates", "fairness", "verdict", "distributions"):
        assert evidence[part], part
    for candidate in evidence["candidates"]:
        assert candidate["failed"] or len(candidate["fidelity"]["answers"]) == 3
    assert len(evidence["volume"]["points"]) == 6
    measured = {bias["column"] for bias in evidence["fairness"]["before"]}
    unmeasured = {one["column"] for one in evidence["fairness"]["unmeasured"]}
    assert {"gender", "payor_group"} <= measured | unmeasured


def test_the_knowledge_base_has_the_run_with_its_files(flow_run):
    client = MlflowClient(flow_run.result["tracking_uri"])
    run = client.get_run(flow_run.result["run_id"])
    assert run.data.metrics["score"] == pytest.approx(flow_run.result["score"])
    assert run.data.tags["secured.released"] == "true"
    assert run.data.params["table_sha256"] == file_hash(flow_run.table)
    names = {artifact.path for artifact in client.list_artifacts(flow_run.result["run_id"])}
    assert {"report.html", "evidence.json", "policy.yaml", "scorecard.json", "anonymized.parquet"} <= names


def test_the_registered_release_is_the_published_one(flow_run, tmp_path):
    client = MlflowClient(flow_run.result["tracking_uri"])
    client.download_artifacts(flow_run.result["run_id"], "anonymized.parquet", str(tmp_path))
    assert (tmp_path / "anonymized.parquet").read_bytes() == (flow_run.published / "anonymized.parquet").read_bytes()


def test_there_was_one_server_and_nothing_lives_on(flow_run):
    assert flow_run.watched.most_servers == 1
    assert flow_run.watched.survivors() == []
    assert list((flow_run.home / "processes").iterdir()) == []


@pytest.mark.long
def test_a_killed_run_goes_on_where_it_was_and_ends_the_same(flow_run, tmp_path):
    home = tmp_path / "home"
    first = start("run", "data-flow", "-p", flow_run.policy, home=home)
    results = home / "results"
    first.until(lambda: results.is_dir() and len(list(results.iterdir())) > 15)
    first.kill()
    assert first.survivors() == []

    out = tmp_path / "result.json"
    second = secured("run", "data-flow", "-p", flow_run.policy, "--json", out, home=home)
    assert second.returncode == 0, second.stderr
    assert states(home)[-1]["Cached"] >= 15
    folder = json.loads(out.read_text())["folder"]
    again = {path.name: file_hash(path) for path in Path(folder).iterdir()}
    assert again == {path.name: file_hash(path) for path in flow_run.published.iterdir()}
