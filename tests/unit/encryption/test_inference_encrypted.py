"""Inference under encryption: within the stated error of the model, with few keys, and refused where it would be wrong.

Owner and evaluator exchange bytes and nothing else.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pytest.importorskip("Pyfhel", reason="homomorphic encryption needs Pyfhel")

from tasks.common.errors import CiphertextError, KeyRefused, ParametersError, WouldBeWrong
from tasks.encryption import approximate, envelope, keys
from tasks.encryption.inference import rows
from tasks.encryption.inference.activations import Function
from tasks.encryption.inference.activations import approximate as polynomial_of
from tasks.encryption.inference.certificate import Certificate, certify
from tasks.encryption.inference.constants import constant
from tasks.encryption.inference.evaluation import Layout
from tasks.encryption.inference.job import Inference
from tasks.encryption.inference.polynomial import Polynomial, depth
from tasks.encryption.inference.sizing import sized
from tasks.encryption.inference.transformation import plan_of
from tasks.encryption.parameters import Parameters
from tasks.encryption.session import Session

LOCK = "a passphrase for tests"
_RNG = np.random.default_rng(5)
PEOPLE = _RNG.normal(size=(3_000, 5)) * [1.0, 20.0, 0.1, 3.0, 1.0] + [0.0, 60.0, 1.0, -5.0, 0.0]
SCORE = (PEOPLE - PEOPLE.mean(axis=0)) / PEOPLE.std(axis=0) @ [1.0, -0.5, 0.3, 0.0, 0.2]
ILL = SCORE + _RNG.normal(size=len(SCORE)) > 0
GRADES = np.digitize(SCORE, [-0.7, 0.7])


@dataclass
class Sides:
    """Both sides of a job."""

    job: Inference
    owner: Session
    evaluator: Session

    def sent(self, data: np.ndarray) -> dict[str, Any]:
        return {
            name: envelope.unpack(self.evaluator, envelope.pack(message))
            for name, message in self.job.encrypt(self.owner, data).items()
        }

    def answers(self, data: np.ndarray) -> dict[str, Any]:
        sent = self.sent(data)
        made = [
            self.job.evaluate(self.evaluator, {name: sent[name] for name in part})
            for part in self.job.parts(list(sent))
        ]
        answer = self.job.combine(self.evaluator, made)
        return {name: envelope.unpack(self.owner, envelope.pack(message)) for name, message in answer.items()}


def sides(folder, job: Inference) -> Sides:
    """Keys of a job, opened; the job as it is after JSON."""
    needs = job.needs()
    keys.make(folder, needs.parameters, LOCK, rotations=needs.rotations, products=needs.products)
    again = Inference.model_validate_json(job.model_dump_json())
    assert again == job
    return Sides(again, keys.open_owner(folder / "owner", LOCK), keys.open_evaluator(folder / "evaluator"))


@pytest.fixture(scope="module")
def logistic(tmp_path_factory):
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(PEOPLE, ILL)
    return model, sides(tmp_path_factory.mktemp("logistic") / "keys", Inference(plan=plan_of(model, PEOPLE)))


@pytest.fixture(scope="module")
def perceptron():
    network = MLPClassifier(hidden_layer_sizes=(2,), activation="logistic", solver="lbfgs", alpha=1.0, random_state=0)
    return make_pipeline(StandardScaler(), network).fit(PEOPLE, ILL)


def within(sides: Sides, data: np.ndarray, expected: np.ndarray) -> None:
    answers = sides.answers(data)
    found, stated = sides.job.decrypt(sides.owner, answers), sides.job.stated_error(answers)
    off = np.abs(found["predictor"] - expected.reshape(len(data), -1)).max()
    assert off <= stated
    assert stated <= sides.job.precision + sides.job.plan.approximation
    assert found["response"] == pytest.approx(sides.job.plan.response(found["predictor"]))


def test_a_logistic_model_takes_no_depth_no_rotations_and_a_small_ring(logistic):
    model, both = logistic
    needs = both.job.needs()
    assert (needs.rotations, needs.products, both.job.depth) == ((), False, 0)
    assert needs.parameters.degree == 4096
    within(both, PEOPLE, model.decision_function(PEOPLE))


def test_more_people_than_slots_go_in_batches_that_workers_can_share(logistic):
    _, both = logistic
    sent = both.sent(PEOPLE)
    parts = both.job.parts(list(sent))
    assert [len(part) for part in parts] == [5, 5]
    assert both.job.decrypt(both.owner, both.answers(PEOPLE))["predictor"].shape == (3_000, 1)


def test_what_a_rehearsal_says_of_the_error_is_what_the_ciphertexts_say(logistic):
    _, both = logistic
    assert max(answer.error for answer in both.answers(PEOPLE[:10]).values()) == both.job.size().error


def test_a_single_row_takes_rotations_instead_of_a_ciphertext_for_each_feature(tmp_path):
    model = LinearRegression().fit(PEOPLE, SCORE)
    both = sides(tmp_path / "keys", Inference(plan=plan_of(model, PEOPLE), layout=Layout.ROWS))
    assert both.job.needs().rotations == (1, 2, 4)
    assert len(both.job.encrypt(both.owner, PEOPLE[:1])) == 1
    within(both, PEOPLE[:2], model.predict(PEOPLE[:2]))


@pytest.mark.parametrize("layout", Layout)
def test_a_multinomial_model_gives_a_predictor_for_each_class(tmp_path, layout):
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(PEOPLE, GRADES)
    both = sides(tmp_path / "keys", Inference(plan=plan_of(model, PEOPLE), layout=layout))
    within(both, PEOPLE[:2], model.decision_function(PEOPLE[:2]))


@pytest.mark.parametrize("layout", Layout)
def test_a_perceptron_is_within_the_stated_error(tmp_path, perceptron, layout):
    plan = plan_of(perceptron, PEOPLE, tolerance=0.05)
    both = sides(tmp_path / "keys", Inference(plan=plan, layout=layout, precision=1e-3))
    data = PEOPLE if layout is Layout.COLUMNS else PEOPLE[:1]
    chances = perceptron.predict_proba(data)[:, 1]
    within(both, data, np.log(chances / (1 - chances)))
    assert both.job.depth == 1 + depth(plan.layers[0].activation.coefficients, both.job.size().babies)


@pytest.mark.parametrize(("function", "babies"), [(Function.TANH, 2), (Function.SILU, 4), (Function.RELU, 4)])
def test_a_polynomial_of_ciphertexts_is_the_polynomial(tmp_path, function, babies):
    activation = polynomial_of(function, 3.0, 15)
    levels = depth(activation.coefficients, babies)
    parameters = Parameters(scheme="ckks", degree=16384, moduli_bits=(50, *[42] * levels, 50), scale_bits=42)
    keys.make(tmp_path / "keys", parameters, LOCK, products=True)
    owner, evaluator = keys.open_owner(tmp_path / "keys/owner", LOCK), keys.open_evaluator(tmp_path / "keys/evaluator")
    arguments = np.linspace(-1, 1, owner.slots)
    sent = envelope.unpack(evaluator, envelope.pack(approximate.encrypt(owner, arguments)))
    made = Polynomial(sent, babies).of(activation.coefficients, levels, evaluator.scale, activation.largest)
    assert (made.level, made.scale) == (levels, pytest.approx(evaluator.scale, rel=1e-12))
    found = approximate.decrypt(envelope.unpack(owner, envelope.pack(made)))
    off = np.abs(found - activation(3.0 * arguments)).max()
    assert off <= made.error
    assert made.error < 1e-4


@pytest.mark.parametrize("value", [1.0, -2.5, 1 / 3, 0.0, 1e-9])
@pytest.mark.parametrize("level", [0, 1])
def test_a_constant_is_the_plaintext_that_encoding_would_make(logistic, value, level):
    _, both = logistic
    parameters = Parameters(scheme="ckks", degree=4096, moduli_bits=(36, 36, 36), scale_bits=30)
    native = keys.native_context(parameters)
    session = Session(parameters, native, f"constant {value} {level}", both.evaluator.role, frozenset(), False)
    made = constant(session, value, level, 2.0**30)
    assert made.native.to_bytes("none") == approximate.encode(session, value, level, 2.0**30).native.to_bytes("none")
    assert made.error <= 2.0**-31
    assert np.abs(np.asarray(native.decodeFrac(made.native)) - value).max() <= made.error + 1e-12


def test_generalized_diagonals_and_sums_of_slots_are_a_matrix_times_a_vector():
    # The same steps on plain numbers, with numpy's roll in place of rotations.
    for outputs, inputs in ((1, 5), (3, 4), (6, 3), (5, 16)):
        weights, values = _RNG.normal(size=(outputs, inputs)), _RNG.normal(size=inputs)
        (shape,) = rows.shapes([inputs, outputs])
        slots = rows.repeated(values, shape.period, 64)
        total = sum(
            np.tile(diagonal, 64 // shape.period) * np.roll(slots, -k)
            for k, diagonal in rows._diagonals(weights, shape).items()
        )
        for step in shape.folds:
            total = total + np.roll(total, -step)
        assert total == pytest.approx(rows.repeated(weights @ values, shape.outputs, 64))


def test_columns_that_changed_places_and_columns_of_another_plan_are_refused(logistic):
    _, both = logistic
    sent = both.sent(PEOPLE[:10])
    first, second, *_ = sent
    with pytest.raises(CiphertextError, match="not the message of that name"):
        both.job.evaluate(both.evaluator, {**sent, first: sent[second], second: sent[first]})
    other = Inference(plan=plan_of(LinearRegression().fit(PEOPLE, SCORE), PEOPLE))
    with pytest.raises(CiphertextError, match="not the message of that name"):
        other.decrypt(both.owner, both.answers(PEOPLE[:10]))
    with pytest.raises(CiphertextError, match="4 ciphertexts instead of 5"):
        both.job.evaluate(both.evaluator, {name: message for name, message in sent.items() if name != first})


def test_an_answer_is_no_question(logistic):
    _, both = logistic
    (answer,) = both.job.evaluate(both.evaluator, both.sent(PEOPLE[:10])).values()
    sent = both.sent(PEOPLE[:10])
    first = next(iter(sent))
    answer.layout = sent[first].layout
    with pytest.raises(CiphertextError, match="send a fresh one"):
        both.job.evaluate(both.evaluator, {**sent, first: answer})


def test_keys_that_are_not_made_for_the_job_are_refused(tmp_path, logistic, perceptron):
    _, both = logistic
    job = Inference(plan=plan_of(perceptron, PEOPLE, tolerance=0.05), precision=1e-3)
    with pytest.raises(ParametersError, match="make keys for it"):
        job.evaluate(both.evaluator, both.sent(PEOPLE[:10]))
    row = Inference(plan=both.job.plan, layout=Layout.ROWS)
    keys.make(tmp_path / "keys", row.needs().parameters, LOCK, rotations=[1])
    with pytest.raises(KeyRefused, match="2, 4"):
        row.evaluate(keys.open_evaluator(tmp_path / "keys/evaluator"), {})


def test_the_evaluator_cannot_decrypt(logistic):
    _, both = logistic
    with pytest.raises(KeyRefused):
        both.job.decrypt(both.evaluator, both.job.evaluate(both.evaluator, both.sent(PEOPLE[:10])))


def test_people_beyond_the_plan_are_refused_before_anything_is_encrypted(logistic):
    _, both = logistic
    people = PEOPLE.copy()
    people[0, 0] = np.nan
    with pytest.raises(WouldBeWrong, match="missing"):
        both.job.encrypt(both.owner, people)


def test_a_precision_that_no_parameters_reach_is_refused_before_keys_are_made(logistic):
    _, both = logistic
    with pytest.raises(ParametersError, match=r"at best the error is"):
        Inference(plan=both.job.plan, precision=1e-30).needs()


def test_rings_without_enough_primes_for_a_deep_network_are_passed_over():
    network = MLPClassifier(hidden_layer_sizes=(1,), activation="tanh", solver="lbfgs", alpha=1.0, random_state=0)
    model = make_pipeline(StandardScaler(), network).fit(PEOPLE, ILL)
    job = Inference(plan=plan_of(model, PEOPLE, tolerance=1e-6), precision=1e-3)
    parameters = job.needs().parameters
    assert parameters.degree >= 16384
    assert parameters.levels == job.depth + 1


def test_more_security_means_a_larger_ring(logistic):
    _, both = logistic
    strict = Inference(plan=both.job.plan, security=256).needs().parameters
    assert strict.security == 256
    assert sum(strict.moduli_bits) <= {4096: 58, 8192: 118}[strict.degree]


def test_parameters_are_found_without_a_native_library(monkeypatch, perceptron):
    monkeypatch.setitem(sys.modules, "Pyfhel", None)
    sized.cache_clear()
    needs = Inference(plan=plan_of(perceptron, PEOPLE, tolerance=0.05), precision=1e-3).needs()
    assert needs.products
    assert not needs.rotations


def test_a_certificate_says_how_far_apart_model_and_ciphertexts_are(tmp_path, logistic):
    model, both = logistic
    made = certify(both.job, both.owner, both.evaluator, PEOPLE, ILL)
    assert made.holds
    assert made.rows == 3_000
    assert 0 < made.largest_error <= made.stated_error
    near = np.abs(model.decision_function(PEOPLE)) <= made.stated_error
    assert made.undecidable == near.sum()
    assert made.decisions_differ <= made.undecidable
    assert made.auc[0] == pytest.approx(made.auc[1], abs=1e-3)
    made.write(tmp_path)
    assert Certificate.model_validate(json.loads((tmp_path / "certificate.json").read_text())) == made
    assert "the same within the stated error" in (tmp_path / "certificate.txt").read_text()


def test_a_certificate_of_something_further_off_than_stated_does_not_hold(logistic):
    _, both = logistic
    made = certify(both.job, both.owner, both.evaluator, PEOPLE[:10])
    wrong = made.model_copy(update={"largest_error": 2 * made.stated_error})
    assert not wrong.holds
    assert "NOT within" in wrong.text()
    assert not made.model_copy(update={"decisions_differ": 1, "undecidable": 0}).holds
