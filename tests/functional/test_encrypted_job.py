"""The flow `encrypted-job` end to end: what comes out, who does what, that it resumes, what the knowledge base has."""

import json
import signal
import sqlite3
import stat
from collections import Counter

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("Pyfhel", reason="homomorphic encryption needs Pyfhel")

from mlflow.tracking import MlflowClient

from tests import encrypted_run as running
from tests.functional.running import secured, start

pytestmark = pytest.mark.slow


def test_the_result_is_what_pandas_computes(encrypted_run):
    place = encrypted_run.place
    frame = pd.read_csv(place.table)[["age", "pan_day"]]
    found = json.loads(place.result.read_text())
    assert found["count"] == len(frame)
    assert found["sum"] == pytest.approx(frame.sum().tolist(), rel=1e-12)
    assert found["variance"] == pytest.approx(frame.var().tolist(), rel=1e-9)
    assert found["histogram age"] == np.histogram(frame["age"], range(121))[0].tolist()
    assert stat.S_IMODE(place.result.stat().st_mode) == 0o600


def test_the_parts_were_shared_among_workers(encrypted_run):
    steps = Counter(steps_of(encrypted_run.place.home))
    assert steps["evaluate"] >= 2
    assert {"encrypt", "look at messages", "divide", "combine", "decrypt", "register"} <= set(steps)
    assert encrypted_run.watched.survivors() == []


def test_the_knowledge_base_has_how_it_was_done_and_not_what_came_out(encrypted_run):
    client = MlflowClient(encrypted_run.result["tracking_uri"])
    run = client.get_run(encrypted_run.result["run_id"])
    records = [json.loads(path.read_text()) for path in sorted(encrypted_run.place.shared.glob("*/record.json"))]
    answer, sent = records
    assert run.data.params["kind"] == "statistics"
    assert run.data.params["security"] == "128"
    assert run.data.params["keys"] == json.loads((encrypted_run.place.shared / "job.json").read_text())["keys"]
    assert run.data.metrics["error"] == 0
    assert run.data.metrics["bytes_sent"] == sum(message["bytes"] for message in sent["messages"])
    assert run.data.metrics["seconds_evaluating"] == pytest.approx(answer["seconds"])
    assert run.data.metrics["seconds_decrypting"] > 0
    total = str(json.loads(encrypted_run.place.result.read_text())["units"][0])
    (artifact,) = client.list_artifacts(run.info.run_id)
    text = (
        encrypted_run.place.home / "mlflow" / "artifacts" / run.info.run_id / "artifacts" / artifact.path
    ).read_text()
    assert total not in text
    assert json.loads(text)["job"] == running.JOB
    assert total not in str(run.data.params | run.data.metrics)


def test_a_run_again_computes_nothing_and_registers_nothing_new(encrypted_run):
    place = encrypted_run.place
    record = (place.shared / "from-evaluator" / "record.json").read_bytes()
    again = secured(*flow(place), "--json", place.folder / "again.json", home=place.home)
    assert again.returncode == 0, again.stderr
    assert (place.shared / "from-evaluator" / "record.json").read_bytes() == record
    assert json.loads((place.folder / "again.json").read_text())["run_id"] == encrypted_run.result["run_id"]
    assert len(list((place.home / "prefect").glob("prefect.db"))) == 1
    assert Counter(steps_of(place.home))["evaluate"] == 2, "only the first run had parts to do"


@pytest.mark.long
def test_a_killed_run_goes_on_where_it_was(tmp_path):
    place = running.prepared(tmp_path)
    run = start(*flow(place), home=place.home)
    working = place.shared / "working"
    run.until(lambda: working.is_dir() and any(working.glob("*/record.json")))
    run.kill()
    run.survivors(seconds=30)
    sent = (place.shared / "to-evaluator" / "record.json").read_bytes()
    kept = {path: path.stat().st_mtime_ns for path in working.glob("*/record.json")}
    again = secured(*flow(place), home=place.home)
    assert again.returncode == 0, again.stderr
    assert (place.shared / "to-evaluator" / "record.json").read_bytes() == sent, "nothing was encrypted again"
    frame = pd.read_csv(place.table)
    assert json.loads(place.result.read_text())["count"] == len(frame)
    assert kept


@pytest.mark.long
def test_the_evaluators_flow_needs_nothing_of_the_owners(tmp_path):
    place = running.prepared(tmp_path)
    lock = ("--passphrase-file", place.passphrase)
    encrypt = ("encrypt", place.job, place.table, "--keys", place.keys, "--folder", place.shared, *lock)
    assert secured("he", *encrypt, home=place.home).returncode == 0
    hidden = tmp_path / "hidden"
    (place.keys / "evaluator").rename(tmp_path / "handed-over")
    place.table.parent.rename(hidden)
    ended = secured(
        "run", "encrypted-evaluation", place.shared, "--keys", tmp_path / "handed-over", home=tmp_path / "hpc"
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    hidden.rename(place.table.parent)
    decrypt = ("decrypt", place.shared, "--keys", place.keys, "--out", place.result, *lock)
    assert secured("he", *decrypt, home=place.home).returncode == 0
    assert json.loads(place.result.read_text())["count"] == len(pd.read_csv(place.table))


@pytest.mark.long
def test_what_the_owners_command_refuses_ends_the_flow_with_its_exit_code(tmp_path):
    place = running.prepared(tmp_path)
    place.passphrase.write_text("another horse battery staple")
    ended = secured(*flow(place), home=place.home)
    assert ended.returncode == 15, ended.stderr
    assert "the secret key does not open" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not place.shared.exists()


@pytest.mark.long
def test_an_interrupted_run_ends_in_order(tmp_path):
    place = running.prepared(tmp_path)
    run = start(*flow(place), home=place.home)
    run.until((place.shared / "to-evaluator").is_dir)
    run.process.send_signal(signal.SIGINT)
    code, _, err = run.finish()
    assert code == 130, err
    assert run.survivors() == []


def flow(place):
    return (
        "run", "encrypted-job", "--job", place.job, "--table", place.table, "--keys", place.keys, "--folder",
        place.shared, "--out", place.result, "--passphrase-file", place.passphrase,
    )  # fmt: skip


def steps_of(home):
    """The names of all steps that ran, without the numbers that Prefect gives them."""
    database = sqlite3.connect(home / "prefect" / "prefect.db")
    return [name.rsplit("-", 1)[0] for (name,) in database.execute("select name from task_run")]
