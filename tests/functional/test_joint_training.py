"""Hospitals train one model of all their patients, and nobody sees a row of another's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mpc_programs.regression_training import RegressionTraining
from tasks.common.errors import MissingPart
from tasks.mpc.embedded import Embedded
from tasks.mpc.formats import FixedPoint
from tasks.mpc.mp_spdz import MpSpdz
from tasks.mpc.protocols import named
from tests import stroke_trial
from tests.shared_data import shared_data

_PROTOCOL = "replicated-ring"
_SECONDS = 60.0
_MOST = 8.0


@pytest.fixture(scope="module")
def trial():
    """Standardized features, outcomes, and each patient's group: the United Kingdom, Italy, all other countries."""
    path = shared_data(stroke_trial.FILE)
    features, outcome = stroke_trial.outcome(path)
    table = pd.read_parquet(path, columns=["COUNTRY", "OCCODE"])
    country = table.COUNTRY[table.OCCODE.isin([1, 2, 3, 4])].str.strip()
    group = country.map({"UK": 0, "ITAL": 1}).fillna(2).astype(int).to_numpy()
    rows = ((features - features.mean()) / features.std(ddof=0)).to_numpy()
    return np.clip(rows, -_MOST, _MOST), outcome.astype(np.int64), group


@pytest.fixture(scope="module")
def clinics():
    """426 biopsies of breast lumps with 30 features, standardized, at three clinics."""
    rows, outcome = load_breast_cancer(return_X_y=True)
    rows = rows[:426]
    rows = np.clip((rows - rows.mean(axis=0)) / rows.std(axis=0), -_MOST, _MOST)
    program = RegressionTraining(
        parties=3, rows=(142, 142, 142), features=30, steps=20, rate=0.25, format=FixedPoint(bits=31, fraction=16)
    )
    parts = zip(np.split(rows, 3), np.split(outcome[:426], 3), strict=True)
    return program, {party: {"features": part, "outcome": known} for party, (part, known) in enumerate(parts)}


@pytest.fixture
def engine(tmp_path):
    try:
        found = MpSpdz(tmp_path)
        found.installed.require(named(_PROTOCOL))
    except MissingPart as missing:
        pytest.skip(str(missing))
    return found


@pytest.mark.slow
def test_twenty_steps_take_no_more_rounds_than_a_program_by_hand_and_half_as_much_traffic_again(clinics, engine):
    # Twenty steps of ml.SGDLogistic of MP-SPDZ 0.4.2 with three straight pieces (`approx no_loss`) on the same rows:
    # 537 rounds, and 806,680 bytes of the party that sends most.
    program, given = clinics
    result = engine.run(program, engine.compile(program, named(_PROTOCOL)), given, _SECONDS)
    assert result.cost.rounds <= 537
    assert max(result.cost.sent) <= 1.5 * 806_680


@pytest.mark.slow
def test_the_embedded_engine_takes_twenty_steps_in_seconds(clinics):
    try:
        embedded = Embedded()
    except MissingPart as missing:
        pytest.skip(str(missing))
    program, given = clinics
    result = embedded.run(program, embedded.compile(program, named("shamir")), given, _SECONDS)
    assert result.cost.online < 10
    for name, values in program.plainly(given).items():
        np.testing.assert_allclose(result.outputs[name], values, rtol=0, atol=1e-9)


@pytest.mark.long
def test_three_groups_of_hospitals_come_to_the_model_of_all_their_patients(trial, engine):
    rows, outcome, group = trial
    program = RegressionTraining(
        parties=3, rows=tuple(np.bincount(group)), features=31, steps=30, rate=1.5, most=_MOST, longest=13.0,
        curvature=5.0, format=FixedPoint(bits=31, fraction=16),
    )  # fmt: skip
    given = {party: {"features": rows[group == party], "outcome": outcome[group == party]} for party in range(3)}
    compiled = engine.compile(program, named(_PROTOCOL))
    assert compiled.domain_bits == 64
    result = engine.run(program, compiled, given, _SECONDS)

    found, plain = result.outputs, program.plainly(given)
    for name, values in plain.items():
        # error() is for rounding that always goes the same way; it goes either way, so that most of it averages out.
        np.testing.assert_allclose(found[name], values, rtol=0, atol=min(program.error(), 1e-3))
    pooled = LogisticRegression(C=1e6, max_iter=2000).fit(rows, outcome)
    best = roc_auc_score(outcome, pooled.decision_function(rows))
    assert roc_auc_score(outcome, rows @ found["coefficients"]) == pytest.approx(best, abs=0.005)
    # What the smallest group would have found alone is not as near.
    alone = LogisticRegression(C=1e6, max_iter=2000).fit(rows[group == 1], outcome[group == 1])
    assert roc_auc_score(outcome, rows @ alone.coef_[0]) < best - 0.005
