"""A run is registered once, with its evidence, and found again."""

import pytest
from mlflow.tracking import MlflowClient

from tasks.common.errors import StorageError
from tasks.hub import inventory
from tests.unit.hub.example import dossier


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("SECURED_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "mlflow").mkdir(parents=True)
    run = tmp_path / "run"
    run.mkdir()
    (run / "report.html").write_text("<p>report</p>")
    yield run
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it to what it was told to use


def test_a_dossier_is_registered_once_and_found_with_its_numbers(folder):
    first, second = (inventory.register(dossier(), folder) for _ in range(2))
    assert first == second
    run = MlflowClient(first.tracking_uri).get_run(first.run_id)
    assert run.data.metrics["score"] == pytest.approx(94.0)
    assert run.data.metrics["risk_upper.singling-out-all"] == pytest.approx(0.06)
    assert run.data.metrics["tpr_at_fpr_0.01.membership-distance"] == pytest.approx(0.0123)
    assert run.data.metrics["auc_synthetic"] == run.data.metrics["auc_synthetic.forest"] == pytest.approx(0.7)
    assert run.data.metrics["auc_gap.logistic"] == pytest.approx(0.012)
    assert run.data.metrics["pmse_ratio.tree"] == pytest.approx(4.0)
    assert run.data.metrics["odds_agreeing"] == 1.0
    assert run.data.params["recoding"] == "full-domain"
    assert run.data.params["criteria"] == "5-anonymity"
    assert run.data.tags["secured.gate"] == "passes"
    assert run.data.params["table_sha256"] == "a" * 64
    assert [f.path for f in MlflowClient(first.tracking_uri).list_artifacts(first.run_id)] == ["report.html"]


def test_attempts_become_a_curve(folder):
    registered = inventory.register(dossier(), folder)
    history = MlflowClient(registered.tracking_uri).get_metric_history(registered.run_id, "attempt.score")
    assert [(point.step, round(point.value)) for point in history] == [(0, 80), (1, 94)]


def test_another_dossier_is_another_run(folder):
    first = inventory.register(dossier(), folder)
    assert inventory.register(dossier(column="height"), folder).run_id != first.run_id


def test_a_knowledge_base_out_of_reach_is_told(folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StorageError, match=r"the knowledge base at http://127\.0\.0\.1:9 cannot be used"):
        inventory.register(dossier(), folder)
