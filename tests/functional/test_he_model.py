"""`secured he model`: from a fitted model's file to a job and its certificate, and what is refused on the way."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

pytest.importorskip("Pyfhel", reason="homomorphic encryption needs Pyfhel")
from tasks.encryption.inference.job import Inference
from tasks.encryption.inference.transformation import plan_of
from tests.functional.running import secured_here

skops = pytest.importorskip("skops.io", reason="models in files need skops")

FEATURES = ["age", "bmi", "pressure"]
RNG = np.random.default_rng(11)
PEOPLE = pd.DataFrame(RNG.normal([60, 27, 130], [15, 4, 20], (500, 3)), columns=FEATURES)
ILL = (PEOPLE["age"] / 15 + PEOPLE["pressure"] / 20 + RNG.normal(0, 1, 500)) > 10.5
MODEL = make_pipeline(StandardScaler(), LogisticRegression())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    skops.dump(MODEL.fit(PEOPLE, ILL), folder / "model.skops")
    table = PEOPLE.assign(died=np.where(ILL, "yes", "no"), site=np.arange(500) % 3)
    table[["died", "pressure", "site", "bmi", "age"]].to_csv(folder / "people.csv", index=False)
    return folder


def model(place, file, *more, table="people.csv", code=0):
    ended = secured_here("he", "model", place / file, place / table, "--out", place / "job.json", *more)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended


def test_the_job_is_the_models_plan_and_the_certificate_says_so(place):
    said = model(place, "model.skops", "--target", "died", "--certificate", place / "certificate")
    assert Inference.model_validate_json((place / "job.json").read_text()).plan == plan_of(MODEL, PEOPLE)
    found = json.loads((place / "certificate" / "certificate.json").read_text())
    assert found["rows"] == 500
    assert found["decisions_differ"] == 0
    assert 0 < found["largest_error"] <= found["stated_error"] < 1e-3
    assert found["auc"] == pytest.approx([roc_auc_score(ILL, MODEL.decision_function(PEOPLE))] * 2, abs=1e-6)
    assert "the same within the stated error" in said.stdout
    assert "secured he keys make" in said.stdout


def test_a_model_without_names_takes_the_tables_columns_in_their_order(place):
    bare = LogisticRegression().fit(PEOPLE[["pressure", "bmi", "age"]].to_numpy(), ILL)
    skops.dump(bare, place / "bare.skops")
    assert "takes 3; people.csv has 4 columns" in model(place, "bare.skops", "--target", "died", code=10).stderr
    pd.read_csv(place / "people.csv").drop(columns="site").to_csv(place / "fewer.csv", index=False)
    model(place, "bare.skops", "--target", "died", table="fewer.csv")
    plan = Inference.model_validate_json((place / "job.json").read_text()).plan
    assert plan.features == ("pressure", "bmi", "age")


@pytest.mark.parametrize(
    ("make", "more", "code", "why"),
    [
        (lambda p: (p / "m").write_bytes(pickle.dumps(MODEL)), (), 10, "pickles can run code"),
        (lambda p: skops.dump(DecisionTreeClassifier(max_depth=2).fit(PEOPLE, ILL), p / "m"), (), 14, "TFHE can"),
        (lambda p: skops.dump(LogisticRegression(), p / "m"), (), 14, "not fitted"),
        (lambda p: skops.dump(MODEL, p / "m"), ("--target", "age"), 11, "500 different values"),
        (lambda p: skops.dump(MODEL, p / "m"), ("--precision", "1e-14"), 14, "no parameters of 128 bits"),
        (lambda p: skops.dump(MODEL, p / "m"), ("--layout", "cubes"), 10, "one of columns, rows"),
    ],
)
def test_what_cannot_be_a_job_is_refused(place, make, more, code, why):
    make(place)
    (place / "job.json").unlink(missing_ok=True)
    assert why in model(place, "m", *more, code=code).stderr.replace("\n", " ")
    assert not (place / "job.json").exists()
