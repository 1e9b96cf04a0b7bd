"""Runs that end without a release: somebody interrupts them, or no adjustment reaches the threshold."""

import signal

import pytest
from mlflow.tracking import MlflowClient

from tests.functional.running import quick_policy, secured, start

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_an_interrupted_run_ends_in_order(tmp_path, number):
    run = start("run", "data-flow", "-p", quick_policy(tmp_path), home=tmp_path / "home")
    results = tmp_path / "home" / "results"
    run.until(lambda: results.is_dir() and len(list(results.iterdir())) > 3)
    run.process.send_signal(number)
    code, _, err = run.finish()
    assert code == 130
    assert "Traceback" not in err
    assert "interrupted; run the same again" in err
    assert run.survivors() == []
    assert list((tmp_path / "home" / "processes").iterdir()) == []


@pytest.mark.long
def test_a_threshold_that_cannot_be_reached_tells_the_best_that_was(tmp_path):
    policy = quick_policy(tmp_path, thresholds={"public": 0.004}, adjust={"rungs": 1})
    result = secured("run", "data-flow", "-p", policy, home=tmp_path / "home")
    assert result.returncode in {20, 21}
    assert "Traceback" not in result.stderr
    assert "no release: the threshold 0.004 of the context `public` was not reached" in result.stderr
    assert "The best was a score of" in result.stderr
    folder = next((tmp_path / "home" / "runs").iterdir())
    assert {path.suffix for path in folder.iterdir()} == {".html", ".json", ".yaml", ".csv"}  # a report, and no table
    client = MlflowClient(f"sqlite:///{tmp_path / 'home' / 'mlflow' / 'mlflow.db'}")
    (run,) = client.search_runs(
        [e.experiment_id for e in client.search_experiments(filter_string="name = 'data-flow'")]
    )
    assert run.data.tags["secured.released"] == "false"
