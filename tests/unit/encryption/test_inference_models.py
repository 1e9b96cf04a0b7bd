"""Fitted models become plans that say the same, or a sentence that says why not."""

from __future__ import annotations

import json
import pickle
import struct

import numpy as np
import pandas as pd
import pytest
import torch
from lifelines import CoxPHFitter
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, PolynomialFeatures, RobustScaler, StandardScaler
from sklearn.svm import SVC
from torch import nn

from tasks.common.errors import InputError, ParametersError, WouldBeWrong
from tasks.encryption.inference.files import from_safetensors, from_skops
from tasks.encryption.inference.models import network_of
from tasks.encryption.inference.network import Link
from tasks.encryption.inference.plan import Plan
from tasks.encryption.inference.transformation import plan_of, transformed

_RNG = np.random.default_rng(3)
PEOPLE = _RNG.normal(size=(300, 4)) * [1.0, 20.0, 0.1, 3.0] + [0.0, 60.0, 1.0, -5.0]
SCORE = (PEOPLE - PEOPLE.mean(axis=0)) / PEOPLE.std(axis=0) @ [1.0, -0.5, 0.3, 0.0]
NUMBERS = SCORE + _RNG.normal(size=300) / 4
ILL = NUMBERS > 0
GRADES = np.digitize(NUMBERS, [-0.7, 0.7])


def perceptron(kind, activation, target, **settings):
    network = kind(hidden_layer_sizes=(3,), activation=activation, solver="lbfgs", alpha=1.0, max_iter=2_000,
                   random_state=0, **settings)  # fmt: skip
    return make_pipeline(StandardScaler(), network).fit(PEOPLE, target)


@pytest.mark.parametrize("model", [LinearRegression(), Ridge(), Lasso(alpha=0.01)])
def test_a_linear_model_predicts_the_same_as_a_plan(model):
    model.fit(PEOPLE, NUMBERS)
    assert plan_of(model, PEOPLE).predictor(PEOPLE)[:, 0] == pytest.approx(model.predict(PEOPLE))


@pytest.mark.parametrize(
    "scaler",
    [StandardScaler(), StandardScaler(with_mean=False), StandardScaler(with_std=False), MinMaxScaler((-1, 3)),
     MaxAbsScaler(), RobustScaler(), RobustScaler(with_centering=False)],
)  # fmt: skip
def test_scaling_of_features_is_folded_into_the_first_layer(scaler):
    model = make_pipeline(scaler, "passthrough", LogisticRegression()).fit(PEOPLE, ILL)
    plan = plan_of(model, PEOPLE)
    assert plan.predictor(PEOPLE)[:, 0] == pytest.approx(model.decision_function(PEOPLE))
    assert plan.classes == ("False", "True")
    assert np.array_equal(plan.decisions(plan.predictor(PEOPLE)), model.predict(PEOPLE))


def test_a_multinomial_model_has_a_predictor_for_each_class():
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(PEOPLE, GRADES)
    plan = plan_of(model, PEOPLE)
    assert plan.outputs == 3
    assert plan.response(plan.predictor(PEOPLE)) == pytest.approx(model.predict_proba(PEOPLE))
    assert np.array_equal(plan.decisions(plan.predictor(PEOPLE)), model.predict(PEOPLE))


@pytest.mark.parametrize("activation", ["tanh", "logistic", "identity"])
def test_a_perceptron_is_within_its_stated_error_of_its_polynomials(activation):
    model = perceptron(MLPClassifier, activation, ILL)
    plan = plan_of(model, PEOPLE, tolerance=1e-3)
    values = (PEOPLE - plan.middle) / plan.half
    weights, bias = plan.entering()
    for layer in plan.layers:
        values = values @ weights.T + bias
        if layer.activation is not None:
            values, weights, bias = layer.activation(values), plan.layers[-1].matrix, np.array(plan.layers[-1].bias)
    assert np.abs(values - plan.predictor(PEOPLE)).max() <= plan.approximation + 1e-12
    assert plan.approximation <= 1e-3
    assert plan.response(plan.predictor(PEOPLE))[:, 0] == pytest.approx(model.predict_proba(PEOPLE)[:, 1])


def test_regressors_of_several_numbers_and_of_counts_keep_their_outputs():
    two = perceptron(MLPRegressor, "tanh", np.column_stack([NUMBERS, -NUMBERS]))
    assert plan_of(two, PEOPLE).predictor(PEOPLE) == pytest.approx(two.predict(PEOPLE))
    counts = perceptron(MLPRegressor, "tanh", np.round(np.exp(NUMBERS)), loss="poisson")
    plan = plan_of(counts, PEOPLE, tolerance=1e-2)
    assert plan.link is Link.EXPONENTIAL
    assert plan.response(plan.predictor(PEOPLE))[:, 0] == pytest.approx(counts.predict(PEOPLE))


def test_a_cox_model_gives_its_log_partial_hazard():
    frame = pd.DataFrame(PEOPLE, columns=["a", "b", "c", "d"])
    frame["days"], frame["died"] = np.exp(-SCORE / 2) * _RNG.exponential(size=300), _RNG.random(300) < 0.8
    model = CoxPHFitter().fit(frame, "days", "died")
    plan = plan_of(model, PEOPLE)
    assert plan.features == ("a", "b", "c", "d")
    assert plan.predictor(PEOPLE)[:, 0] == pytest.approx(model.predict_log_partial_hazard(frame).to_numpy())
    assert plan.response(plan.predictor(PEOPLE))[:, 0] == pytest.approx(model.predict_partial_hazard(frame).to_numpy())


def test_a_sequential_of_pytorch_predicts_the_same_as_a_plan():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 3), nn.Identity(), nn.Tanh(), nn.Dropout(0.5), nn.Sequential(nn.Linear(3, 3), nn.SiLU()),
        nn.Linear(3, 2), nn.Linear(2, 1, bias=False), nn.Sigmoid(),
    ).eval()  # fmt: skip
    data = PEOPLE / 30
    plan = plan_of(model, data)
    with torch.no_grad():
        expected = model.double()(torch.from_numpy(data)).numpy()
    assert plan.link is Link.LOGISTIC
    assert len(plan.layers) == 3
    assert plan.response(plan.predictor(data)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (RandomForestClassifier(3).fit(PEOPLE, ILL), "thresholds"),
        (SVC().fit(PEOPLE, ILL), "people it was trained on"),
        (LogisticRegression(), "not fitted"),
        (make_pipeline(PolynomialFeatures(), LinearRegression()).fit(PEOPLE, NUMBERS), "PolynomialFeatures"),
        (nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.2), nn.Linear(2, 1)).train(), "eval"),
        (nn.Sequential(nn.Linear(4, 2), nn.Softplus(), nn.Linear(2, 1)), "Softplus"),
        (nn.Sequential(nn.Linear(4, 2), nn.GELU(approximate="tanh"), nn.Linear(2, 1)), "GELU"),
        (nn.Sequential(nn.Linear(4, 2), nn.Tanh()), "end with a Linear"),
        (nn.Sequential(nn.Linear(4, 2), nn.Sigmoid()), "several labels"),
        (nn.Linear(4, 1), "Sequential"),
        (nn.Sequential(nn.Tanh(), nn.Linear(4, 1)), "follow a Linear"),
        ("a model", "what can be transformed"),
    ],
)
def test_what_cannot_be_transformed_is_refused_with_a_reason(model, says):
    with pytest.raises(ParametersError, match=says):
        network_of(model)


def test_an_unreachable_tolerance_is_refused_and_names_what_is_reachable():
    model = perceptron(MLPClassifier, "relu", ILL)
    with pytest.raises(ParametersError, match=r"relu on .* off by up to 0\.\d+"):
        plan_of(model, PEOPLE, tolerance=1e-6)
    plan = plan_of(model, PEOPLE, tolerance=2.0)
    assert plan.approximation <= 2.0


def test_a_model_that_ignores_all_features_is_refused():
    with pytest.raises(ParametersError, match="constant"):
        plan_of(Lasso(alpha=1e6).fit(PEOPLE, NUMBERS), PEOPLE)


def test_units_that_ignore_their_inputs_become_part_of_the_next_bias():
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    with torch.no_grad():
        model[0].weight[1] = 0.0
    plan = plan_of(model, PEOPLE / 50)
    assert len(plan.layers[0].bias) == 2


def test_people_out_of_range_or_with_missing_values_are_refused():
    plan = plan_of(LinearRegression().fit(PEOPLE, NUMBERS), PEOPLE)
    for value, says in ((1e6, "out of the range"), (np.nan, "missing"), (np.inf, "infinite")):
        people = PEOPLE.copy()
        people[7, 1] = value
        with pytest.raises(WouldBeWrong, match=says) as refused:
            plan.entered(people)
        assert "1 values" in str(refused.value)
    with pytest.raises(InputError, match="4 columns"):
        plan.entered(PEOPLE[:, :3])


def test_people_within_all_features_but_out_of_range_of_a_polynomial_are_refused():
    model = perceptron(MLPClassifier, "tanh", ILL)
    plan = plan_of(model, PEOPLE, margin=0.0, tolerance=1e-2)
    weights = plan.layers[0].matrix[0]
    # The corner of the box of features that drives the first unit the furthest; nobody observed is there.
    corner = np.where(weights > 0, plan.high, plan.low)[None, :]
    with pytest.raises(WouldBeWrong, match="activation of layer 1"):
        plan.entered(corner)


def test_a_plan_is_the_same_after_json_and_a_changed_one_is_refused():
    plan = plan_of(perceptron(MLPClassifier, "tanh", ILL), PEOPLE)
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    broken = json.loads(plan.model_dump_json())
    broken["layers"][1]["weights"][0].append(1.0)
    with pytest.raises(ParametersError, match="does not take"):
        Plan.model_validate(broken)


def test_a_skops_file_is_read_and_a_pickle_is_not(tmp_path):
    skops = pytest.importorskip("skops.io")
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(PEOPLE, ILL)
    skops.dump(model, tmp_path / "model.skops")
    read = from_skops(tmp_path / "model.skops")
    assert plan_of(read, PEOPLE) == plan_of(model, PEOPLE)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    with pytest.raises(InputError, match="pickles can run code"):
        from_skops(tmp_path / "model.pkl")
    with pytest.raises(InputError, match="cannot be read"):
        from_skops(tmp_path / "nothing.skops")


def test_a_skops_file_with_a_foreign_type_is_refused(tmp_path):
    skops = pytest.importorskip("skops.io")
    skops.dump(Foreign(), tmp_path / "model.skops")
    with pytest.raises(InputError, match="not trusted"):
        from_skops(tmp_path / "model.skops")


def test_a_safetensors_file_and_its_description_are_the_network(tmp_path):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 3), nn.SiLU(), nn.Linear(3, 1))
    _safetensors(tmp_path / "m.safetensors", {name: value.numpy() for name, value in model.state_dict().items()})
    description = {"layers": ["0", "2"], "functions": ["silu"], "features": ["a", "b", "c", "d"]}
    (tmp_path / "m.json").write_text(json.dumps(description))
    data = PEOPLE / 30
    plan = transformed(from_safetensors(tmp_path / "m.safetensors", tmp_path / "m.json"), data)
    assert plan.predictor(data) == pytest.approx(plan_of(model, data).predictor(data))

    (tmp_path / "m.json").write_text(json.dumps({"layers": ["0", "1"], "functions": ["silu"]}))
    with pytest.raises(InputError, match=r"no floating-point tensor 1\.weight"):
        from_safetensors(tmp_path / "m.safetensors", tmp_path / "m.json")
    (tmp_path / "m.json").write_text(json.dumps(description))
    content = (tmp_path / "m.safetensors").read_bytes()
    (tmp_path / "m.safetensors").write_bytes(content[:-9])
    with pytest.raises(InputError, match="cut off"):
        from_safetensors(tmp_path / "m.safetensors", tmp_path / "m.json")


class Foreign:
    """Of no library that is trusted."""


def _safetensors(path, tensors):
    """As github.com/huggingface/safetensors describes the format."""
    header, body = {}, b""
    for name, values in tensors.items():
        content = values.astype("<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(values.shape),
            "data_offsets": [len(body), len(body) + len(content)],
        }
        body += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
