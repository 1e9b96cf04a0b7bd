"""What models say in the clear, against scikit-learn and by hand, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from mpc_programs.inference import MODEL, ROWS, Inference, fresh_pad, without_pad
from mpc_programs.link import LINK_ERROR
from tasks.common.errors import InputError, ParametersError
from tasks.mpc.formats import FixedPoint


def _said(layers: list[np.ndarray], rows: np.ndarray, pad: np.ndarray | None = None, **options) -> np.ndarray:
    hidden = tuple(len(each) for each in layers[:-1])
    program = Inference(parties=3, rows=len(rows), features=rows.shape[1], hidden=hidden, **options)
    given = {
        MODEL: {f"layer_{place}": each for place, each in enumerate(layers)},
        ROWS: {"features": rows} | ({"pad": pad} if pad is not None else {}),
        2: {},
    }
    return program.plainly(program.checked(given))[program.reveal]


def _data(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(200, 3)).clip(-4, 4)
    return rows, (rows[:, 0] * rows[:, 1] + random.normal(size=200) / 4 > 0).astype(int)


def test_a_perceptron_by_hand():
    # Units: 2 * 1 - 1 * 3 + 0.5 = -0.5, cut to 0; and 1 + 3 - 1 = 3. Score: 4 * 0 - 2 * 3 + 1 = -5.
    layers = [np.array([[2.0, -1.0, 0.5], [1.0, 1.0, -1.0]]), np.array([[4.0, -2.0, 1.0]])]
    row = np.array([[1.0, 3.0]])
    assert _said(layers, row, reveal="score").tolist() == [-5.0]
    assert _said(layers, row, reveal="class").tolist() == [0]


def test_a_score_of_0_is_the_lower_class():
    assert _said([np.array([[1.0, 0.0]])], np.array([[0.0], [1e-6]]), reveal="class").tolist() == [0, 1]


def test_probabilities_of_a_logistic_model_are_those_of_scikit_learn_within_the_link_s_error():
    rows, outcome = _data(1)
    known = LogisticRegression(C=10.0).fit(rows, outcome)
    layer = np.column_stack([known.coef_, known.intercept_])
    found = _said([layer], rows)
    assert np.abs(found - known.predict_proba(rows)[:, 1]).max() <= LINK_ERROR


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_classes_of_a_perceptron_are_those_of_scikit_learn():
    rows, outcome = _data(2)
    known = MLPClassifier((6, 4), max_iter=300, random_state=0).fit(rows, outcome)
    layers = [np.column_stack([w.T, b]) for w, b in zip(known.coefs_, known.intercepts_, strict=True)]
    found = _said(layers, rows, reveal="class", most=4.0, most_sum=12.0)
    assert found.tolist() == known.predict(rows).tolist()
    assert 0.3 < found.mean() < 0.7


def test_a_pad_hides_classes_from_all_and_comes_off_for_who_has_it():
    rows, _ = _data(3)
    layer = [np.array([[1.0, -2.0, 0.5, 0.1]])]
    pad = fresh_pad(200)
    padded = _said(layer, rows, pad, reveal="padded")
    classes = _said(layer, rows, reveal="class")
    assert without_pad(padded, pad).tolist() == classes.tolist()
    # Of 200 fair bits fewer than 60 or more than 140 differ once in 10^8 runs.
    assert 60 <= (padded != classes).sum() <= 140


def test_pads_are_bits_and_no_two_are_the_same():
    one, other = fresh_pad(200), fresh_pad(200)
    assert set(one.tolist()) == {0, 1}
    assert one.tolist() != other.tolist()


def test_a_model_beyond_what_it_says_of_itself_is_refused_without_its_weights():
    layer = np.array([[2.25, 3.0, 2.875]])
    with pytest.raises(InputError, match="weights into 1 of 1 units of layer_0 sum up to more than 8") as refusal:
        _said([layer], np.zeros((1, 2)))
    assert "2.25" not in str(refusal.value)


def test_layers_whose_units_could_overflow_are_refused():
    # 8 * 8 * 8 * 8 * 8 = 32768, and (31, 16) holds 16384.
    short = FixedPoint(bits=31, fraction=16)
    with pytest.raises(ParametersError, match=r"may reach 3\.28e\+04"):
        Inference(parties=3, rows=1, features=2, hidden=(2, 2, 2), format=short).checked({})


def test_helpers_bring_nothing():
    program = Inference(parties=3, rows=1, features=2)
    assert program.inputs(2) == {}
    with pytest.raises(InputError, match="party 2 brings features, which inference does not read"):
        program.checked_of(2, {"features": np.zeros((1, 2))})
