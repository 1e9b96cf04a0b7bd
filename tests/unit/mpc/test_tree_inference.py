"""What decision trees say in the clear, against scikit-learn and by hand, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from mpc_programs.inference import MODEL, ROWS
from mpc_programs.tree_inference import TreeInference, completed
from tasks.common.errors import InputError, ParametersError
from tasks.mpc.formats import FixedPoint

_STUMP = {"choice": np.array([[0, 1]]), "threshold": np.array([2.0]), "leaf": np.array([0.25, 0.75])}


def _said(model: dict[str, np.ndarray], rows: np.ndarray, depth: int, **options) -> np.ndarray:
    program = TreeInference(parties=3, rows=len(rows), features=rows.shape[1], depth=depth, **options)
    return program.plainly(program.checked({MODEL: model, ROWS: {"features": rows}, 2: {}}))["value"]


def test_a_row_goes_right_where_its_feature_is_above_the_threshold():
    rows = np.array([[9.0, 2.0], [0.0, 2.0 + 2.0**-20], [0.0, 2.0 - 2.0**-20], [9.0, -50.0]])
    assert _said(_STUMP, rows, depth=1).tolist() == [0.25, 0.75, 0.25, 0.25]


def test_two_levels_by_hand():
    # Left of 0 the second feature is split at 1, right of it the first at 5.
    model = {
        "choice": np.array([[1, 0], [0, 1], [1, 0]]),
        "threshold": np.array([0.0, 1.0, 5.0]),
        "leaf": np.array([0.1, 0.2, 0.3, 0.4]),
    }
    rows = np.array([[-1.0, 0.0], [-1.0, 2.0], [1.0, 2.0], [6.0, 0.0]])
    assert _said(model, rows, depth=2).tolist() == [0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize("most_leaves", [2, 7, 30])
def test_a_completed_tree_says_what_scikit_learn_s_says(most_leaves):
    rows, outcome = load_breast_cancer(return_X_y=True)
    rows = rows[:, :10]
    known = DecisionTreeClassifier(max_leaf_nodes=most_leaves, random_state=0).fit(rows, outcome)
    depth, model = completed(known.tree_, 10)
    found = _said(model, rows, depth, most=3000.0)
    np.testing.assert_allclose(found, known.predict_proba(rows)[:, 1], atol=1e-12)


def test_a_completed_regression_tree_says_what_scikit_learn_s_says():
    rows = np.random.default_rng(1).normal(size=(100, 2))
    known = DecisionTreeRegressor(max_leaf_nodes=9, random_state=0).fit(rows, 3 * rows[:, 0])
    depth, model = completed(known.tree_, 2)
    np.testing.assert_allclose(_said(model, rows, depth, most_value=20.0), known.predict(rows), atol=1e-12)


def test_a_tree_that_never_splits_says_the_same_of_all():
    known = DecisionTreeClassifier().fit(np.zeros((4, 1)), [0, 1, 1, 1])
    depth, model = completed(known.tree_, 1)
    assert _said(model, np.array([[-1.0], [1.0]]), depth).tolist() == [0.75, 0.75]


@pytest.mark.parametrize("choice", [[[1, 1]], [[0, 0]]])
def test_a_split_of_two_features_or_none_is_refused(choice):
    with pytest.raises(InputError, match="1 of 1 rows of choice are not a single 1"):
        _said(_STUMP | {"choice": np.array(choice)}, np.zeros((1, 2)), depth=1)


def test_features_whose_differences_could_overflow_are_refused():
    # 2 * 10,000 and (31, 16) holds 16,384.
    program = TreeInference(
        parties=3, rows=1, features=2, depth=1, most=10_000.0, format=FixedPoint(bits=31, fraction=16)
    )
    with pytest.raises(ParametersError, match=r"may reach 2e\+04"):
        program.checked({})
