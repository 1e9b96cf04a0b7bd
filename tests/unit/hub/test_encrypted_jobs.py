"""A job under encryption is registered once for each answer, with how it was done and at what cost."""

import json

import pytest
from mlflow.artifacts import download_artifacts
from mlflow.tracking import MlflowClient

from tasks.encryption.evidence import Evidence
from tasks.encryption.job import Needs
from tasks.encryption.parameters import Parameters
from tasks.hub import encrypted_jobs, inventory
from tests.unit.hub.example import dossier

PARAMETERS = Parameters(scheme="ckks", degree=8192, moduli_bits=(40, 30, 40), scale_bits=30)


def evidence(**changes):
    return Evidence(
        **{
            "kind": "matvec", "job": {"kind": "matvec", "matrix": [[1.0]]}, "keys": "f" * 32,
            "needs": Needs(parameters=PARAMETERS, rotations=(1, 2)), "error": 1e-5, "parts": 3, "messages_sent": 7,
            "messages_answered": 1, "bytes_sent": 7_000, "bytes_answered": 1_000, "seconds_encrypting": 0.5,
            "seconds_evaluating": 2.0, "seconds_decrypting": None, "answer": "a" * 64, "code_version": "c" * 64,
            **changes,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as changes:
        changes.delenv("MLFLOW_TRACKING_URI", raising=False)
        changes.setenv("SECURED_HOME", str(folder / "home"))
        (folder / "home" / "mlflow").mkdir(parents=True)
        yield folder
        changes.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it to what it was told to use


def test_the_same_answer_is_one_run_and_another_is_another(home):
    first = encrypted_jobs.register(evidence())
    # Who decrypted it meanwhile, and how long that took, makes it no other answer.
    assert encrypted_jobs.register(evidence(seconds_decrypting=0.1)) == first
    assert encrypted_jobs.register(evidence(answer="b" * 64)).run_id != first.run_id


def test_it_is_found_by_what_it_was_and_beside_the_data_flows(home):
    registered = encrypted_jobs.register(evidence(kind="polygenic", answer="d" * 64))
    (home / "run").mkdir()
    other = inventory.register(dossier(), home / "run")
    assert other.experiment_id != registered.experiment_id
    client = MlflowClient(registered.tracking_uri)
    query = "params.kind = 'polygenic' and params.security = '128' and metrics.error < 0.001"
    (found,) = client.search_runs([registered.experiment_id], query)
    assert found.info.run_id == registered.run_id
    assert found.data.params["rotation_keys"] == "2"
    assert "seconds_decrypting" not in found.data.metrics
    assert "within" not in found.data.tags["mlflow.note.content"]
    assert "CKKS with 128 bits of security: off by at most 1e-05" in found.data.tags["mlflow.note.content"]
    path = download_artifacts(run_id=registered.run_id, artifact_path="evidence.json", dst_path=str(home))
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - a string of MLflow's
        assert Evidence.model_validate(json.load(file)) == evidence(kind="polygenic", answer="d" * 64)


def test_exact_answers_are_called_exact(home):
    parameters = Parameters(scheme="bfv", degree=4096, moduli_bits=(36, 36, 37), plain_bits=20)
    registered = encrypted_jobs.register(evidence(error=0.0, answer="e" * 64, needs=Needs(parameters=parameters)))
    run = MlflowClient(registered.tracking_uri).get_run(registered.run_id)
    assert "BFV with 128 bits of security: exact" in run.data.tags["mlflow.note.content"]
