"""Outcome of 19,285 stroke patients: the same decisions under encryption as in plain."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pytest.importorskip("Pyfhel", reason="homomorphic encryption needs Pyfhel")

from tasks.encryption import keys
from tasks.encryption.inference.certificate import Certificate, certify
from tasks.encryption.inference.job import Inference
from tasks.encryption.inference.transformation import plan_of
from tests import stroke_trial
from tests.shared_data import shared_data

LOCK = "a passphrase for tests"


@pytest.fixture(scope="module")
def patients():
    features, poor = stroke_trial.outcome(shared_data(stroke_trial.FILE))
    assert features.shape == (19_285, 31)
    return features.to_numpy(), poor


def certified(folder, model, patients, **settings) -> Certificate:
    features, poor = patients
    job = Inference(plan=plan_of(model, features, tolerance=settings.pop("tolerance", 1e-3)), **settings)
    needs = job.needs()
    keys.make(folder, needs.parameters, LOCK, rotations=needs.rotations, products=needs.products)
    owner, evaluator = keys.open_owner(folder / "owner", LOCK), keys.open_evaluator(folder / "evaluator")
    return certify(job, owner, evaluator, features, poor)


def require_parity(certificate: Certificate, model, patients) -> None:
    features, poor = patients
    chances = model.predict_proba(features)[:, 1]
    assert certificate.holds
    assert certificate.rows == 19_285
    assert certificate.decisions_differ == 0
    assert certificate.auc[0] == pytest.approx(certificate.auc[1], abs=1e-3)
    assert certificate.auc[1] == pytest.approx(roc_auc_score(poor, chances), abs=1e-12)
    logits = np.log(chances / (1 - chances))
    assert certificate.undecidable == (np.abs(logits) <= certificate.stated_error).sum()


def test_a_logistic_model_decides_the_same_for_every_patient(tmp_path, patients):
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(*patients)
    certificate = certified(tmp_path / "keys", model, patients, precision=1e-6)
    require_parity(certificate, model, patients)
    assert certificate.undecidable == 0


@pytest.mark.long
def test_a_perceptron_decides_the_same_for_every_patient(tmp_path, patients):
    network = MLPClassifier(
        hidden_layer_sizes=(8,), activation="tanh", alpha=1.0, max_iter=100, early_stopping=True, random_state=0
    )
    model = make_pipeline(StandardScaler(), network).fit(*patients)
    require_parity(certified(tmp_path / "keys", model, patients, tolerance=1e-5, precision=1e-5), model, patients)
