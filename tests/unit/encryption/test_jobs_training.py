"""Gradient descent on encrypted rows ends at the coefficients of the same steps in the clear."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from tasks.common.errors import CiphertextError, InputError, KeyRefused, ParametersError, WouldBeWrong
from tasks.encryption.jobs.training import LogisticTraining, sigmoid_fit
from tests.unit.encryption.job_runs import Roles, answer, roles, sent

CHOP = Path(__file__).resolve().parent.parent.parent / "data" / "chop_covid_testing.parquet"
# More rows than slots, so that both steps take a mini-batch of their own.
JOB = LogisticTraining(rows=9001, features=2, norm=4.0, steps=2, rate=3.0)


@dataclass(frozen=True)
class Setting:
    """Keys of the job, its messages and the evaluator's answer to them."""

    by: Roles
    data: np.ndarray
    answers: dict[str, object]


def drawn(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(JOB.rows, JOB.features))
    features *= np.minimum(1, 3.8 / np.linalg.norm(features, axis=1))[:, None]
    label = rng.random(JOB.rows) < 1 / (1 + np.exp(-(features @ [1.0, -2.0] + 0.5)))
    return np.column_stack([features, label])


def steps_by_hand(job: LogisticTraining, data: np.ndarray, batches: int) -> np.ndarray:
    """The definition, row by row in the usual form: labels 0 and 1, error times features."""
    linear, cubic = sigmoid_fit(job.reach)
    design = np.column_stack([np.ones(len(data)), data[:, :-1]]) / job.norm
    coefficients = np.zeros(design.shape[1])
    for step in range(job.steps):
        x, y = design[step % batches :: batches], data[step % batches :: batches, -1]
        logit = x @ coefficients
        error = y - (0.5 + linear * logit + cubic * logit**3)
        coefficients = coefficients + job.rate / math.ceil(len(data) / batches) * (x * error[:, None]).sum(axis=0)
    return coefficients / job.norm


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    by, data = roles(JOB, tmp_path_factory.mktemp("keys") / "keys"), drawn(0)
    return Setting(by, data, answer(JOB, by, data))


def test_coefficients_are_those_of_the_same_steps_in_the_clear(setting) -> None:
    got = JOB.decrypt(setting.by.owner, setting.answers)["coefficients"]
    wanted = steps_by_hand(JOB, setting.data, batches=2)
    assert np.abs(got - wanted).max() <= JOB.stated_error(setting.answers) < 1e-5
    assert np.abs(got - JOB.plainly(setting.data)["coefficients"]).max() <= JOB.stated_error(setting.answers)
    # Labels were drawn by 1 and -2.
    assert got[1] > 0 > got[2]
    assert abs(got[2]) > 1.5 * got[1]


def test_the_stated_error_holds_for_another_draw_and_for_rows_as_long_as_the_norm(setting) -> None:
    data = drawn(1)
    data[:, :2] *= math.sqrt(15) / np.linalg.norm(data[:, :2], axis=1)[:, None]
    data[:, 2] = data[:, 0] > 0
    answers = answer(JOB, setting.by, data)
    got = JOB.decrypt(setting.by.owner, answers)["coefficients"]
    assert np.abs(got - steps_by_hand(JOB, data, batches=2)).max() <= JOB.stated_error(answers) < 1e-5


def test_the_fit_of_the_sigmoid_is_that_of_kim_et_al() -> None:
    # Table 1 of Kim et al. 2018, and Kim, Song, Wang, Xia, Jiang 2018 (JMIR): 0.15012·x and -0.00159·x³ over ±8
    assert sigmoid_fit(8.0).linear == pytest.approx(0.15012, abs=1e-5)
    assert sigmoid_fit(8.0).cubic == pytest.approx(-0.001593, abs=1e-6)
    t = np.linspace(-8, 8, 4001)

    def squares(factors: np.ndarray) -> float:
        return float(((0.5 + factors[0] * t + factors[1] * t**3 - 1 / (1 + np.exp(-t))) ** 2).mean())

    least = minimize(squares, [0.1, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15}).fun
    assert squares(np.array(sigmoid_fit(8.0))) == pytest.approx(least, rel=1e-3)


@pytest.mark.parametrize("reach", [0.5, 4.0, 8.0, 12.0, 40.0])
def test_the_largest_value_of_the_fit_is_not_understated(reach: float) -> None:
    values = sigmoid_fit(8.0).at(np.linspace(-reach, reach, 100_001))
    assert sigmoid_fit(8.0).most(reach) == pytest.approx(np.abs(values).max(), rel=1e-9)


def test_rows_that_are_all_as_long_as_the_norm_and_alike_are_taken(setting) -> None:
    data = np.zeros((JOB.rows, 3))
    data[:, 0] = math.sqrt(15)
    data[:, 2] = 1
    assert len(JOB.encrypt(setting.by.owner, data)) == 2 * 2 * 3


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ((0, 0, math.nan), "missing or infinite"),
        ((3, 2, 0.5), "labels"),
        ((3, 2, -1.0), "labels"),
        ((5, 1, 3.9), "longer than the norm"),
    ],
)
def test_rows_that_do_not_fit_are_refused(setting, change: tuple[int, int, float], why: str) -> None:
    row, column, value = change
    data = setting.data.copy()
    data[row, column] = value
    with pytest.raises(InputError, match=why):
        JOB.encrypt(setting.by.owner, data)


def test_another_number_of_rows_is_refused(setting) -> None:
    with pytest.raises(InputError, match="9,001 by 2"):
        JOB.encrypt(setting.by.owner, setting.data[:-1])


def test_missing_messages_and_those_of_another_job_are_refused(setting) -> None:
    by = setting.by
    messages = sent(by.evaluator, JOB.encrypt(by.owner, setting.data))
    few = {name: each for name, each in messages.items() if name != "column0001.batch0001"}
    with pytest.raises(InputError, match="missing"):
        JOB.evaluate(by.evaluator, few)
    with pytest.raises(CiphertextError, match="not the message"):
        JOB.evaluate(by.evaluator, messages | {"column0001.batch0001": messages["column0000.batch0001"]})
    with pytest.raises(CiphertextError, match="not the message"):
        JOB.model_copy(update={"rate": 2.9}).evaluate(by.evaluator, messages)
    with pytest.raises(KeyRefused):
        JOB.decrypt(by.evaluator, sent(by.evaluator, setting.answers))


def test_a_coefficient_that_is_not_in_all_slots_is_refused(setting) -> None:
    name = "coefficient0001"
    spoilt = setting.answers[name] + np.linspace(0, 0.1, setting.by.owner.slots)
    with pytest.raises(WouldBeWrong):
        JOB.decrypt(setting.by.owner, setting.answers | {name: spoilt})


@pytest.mark.parametrize("fields", [{"steps": 7, "rate": 8.0}, {"steps": 7, "rate": 100.0}])
def test_plans_that_no_ring_takes_are_refused_before_keys_are_made(fields: dict[str, object]) -> None:
    with pytest.raises(ParametersError, match="levels"):
        LogisticTraining(rows=1000, features=3, norm=3.0, **fields).needs()


def whitened_chop() -> tuple[np.ndarray, np.ndarray]:
    """Features of a test and of who was tested, uncorrelated with variance 1, and whether it was positive."""
    table = pd.read_parquet(CHOP)
    table = table[table["result"] != "invalid"]
    features = pd.DataFrame({
        "female": table["gender"] == "female", "day": table["pan_day"], "age": table["age"],
        "drive-through": table["drive_thru_ind"], "orderset": table["orderset"],
        "commercial": table["payor_group"] == "commercial", "government": table["payor_group"] == "government",
        "emergency": table["patient_class"] == "emergency",
    }).astype(float)  # fmt: skip
    standard = ((features - features.mean()) / features.std()).clip(-3, 3).to_numpy()
    standard -= standard.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(standard.T))
    return standard @ vectors / np.sqrt(values), (table["result"] == "positive").to_numpy(float)


@pytest.mark.long
@pytest.mark.parametrize(("steps", "degree"), [(3, 16384), (5, 32768)])
def test_a_model_of_covid_tests_is_as_good_as_that_of_scikit_learn(tmp_path, steps: int, degree: int) -> None:
    features, label = whitened_chop()
    learn = np.arange(len(features)) % 4 > 0
    norm = float(np.sqrt(1 + (features**2).sum(axis=1)).max()) * (1 + 1e-12)
    job = LogisticTraining(rows=int(learn.sum()), features=features.shape[1], norm=norm, steps=steps, rate=2.0)
    assert job.needs().parameters.degree == degree
    data = np.column_stack([features, label])[learn]
    by = roles(job, tmp_path / "keys")
    answers = answer(job, by, data)
    got = job.decrypt(by.owner, answers)["coefficients"]
    batches = math.ceil(job.rows / (degree // 2))
    assert np.abs(got - steps_by_hand(job, data, batches)).max() <= job.stated_error(answers) < 1e-4
    reference = LogisticRegression(C=1e6, max_iter=1000).fit(features[learn], label[learn])
    ours = roc_auc_score(label[~learn], features[~learn] @ got[1:] + got[0])
    theirs = roc_auc_score(label[~learn], reference.decision_function(features[~learn]))
    assert ours > theirs - 0.01
    assert theirs > 0.6
