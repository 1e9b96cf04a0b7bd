"""Decision trees under TFHE: exactly the tree's own decisions, with the secret key in the owner's process alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from tasks.common.errors import CiphertextError, InputError, MissingPart, ParametersError, RunFailed, WouldBeWrong
from tasks.encryption.inference import tfhe
from tasks.encryption.inference.tree import TreePlan, tree_plan
from tests import stroke_trial
from tests.shared_data import shared_data

_PEER = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "secured" / "peers" / "concrete"
_RNG = np.random.default_rng(2)
PEOPLE = _RNG.normal(size=(2_000, 6)).astype(np.float32)
GRADES = np.digitize(PEOPLE[:, 0] * PEOPLE[:, 3] + PEOPLE[:, 5], [-0.5, 0.8])


@pytest.fixture
def concrete(monkeypatch):
    """Where Concrete is."""
    if not os.environ.get("SECURED_CONCRETE"):
        monkeypatch.setenv("SECURED_CONCRETE", str(_PEER))
    try:
        tfhe.python()
    except MissingPart as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_a_plan_decides_as_its_tree_for_everybody(depth):
    model = DecisionTreeClassifier(max_depth=depth, random_state=depth, max_leaf_nodes=14).fit(PEOPLE, GRADES)
    plan = TreePlan.model_validate_json(tree_plan(model).model_dump_json())
    assert np.array_equal(plan.decisions(plan.ranks(PEOPLE)), model.predict(PEOPLE))


def test_a_value_at_a_threshold_and_its_neighbours_are_decided_as_by_the_tree():
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(PEOPLE, GRADES)
    plan = tree_plan(model)
    people = PEOPLE[:1].repeat(3 * sum(map(len, plan.thresholds)), axis=0).astype(np.float64)
    row = 0
    for column, thresholds in zip(plan.columns, plan.thresholds, strict=True):
        for threshold in thresholds:
            near = np.float32(threshold)
            people[row : row + 3, column] = np.nextafter(near, np.float32(-9)), near, np.nextafter(near, np.float32(9))
            row += 3
    assert np.array_equal(plan.decisions(plan.ranks(people)), model.predict(people))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (RandomForestClassifier(2).fit(PEOPLE, GRADES), "RandomForestClassifier"),
        (DecisionTreeClassifier(), "not fitted"),
        (DecisionTreeClassifier().fit(PEOPLE, np.zeros(2_000)), "same for everybody"),
        (DecisionTreeClassifier().fit(PEOPLE, _RNG.integers(0, 2, 2_000)), "smaller max_depth"),
        (DecisionTreeClassifier().fit(PEOPLE, np.column_stack([GRADES, GRADES])), "one for each"),
    ],
)
def test_what_is_no_small_tree_is_refused_with_a_reason(model, says):
    with pytest.raises(ParametersError, match=says):
        tree_plan(model)


def test_people_with_missing_values_in_what_the_tree_uses_are_refused():
    plan = tree_plan(DecisionTreeClassifier(max_depth=2).fit(PEOPLE, GRADES))
    people = PEOPLE.copy()
    people[3, plan.columns[0]] = np.nan
    with pytest.raises(WouldBeWrong, match="1 values"):
        plan.ranks(people)
    with pytest.raises(InputError, match="6 columns"):
        plan.ranks(PEOPLE[:, :5])


def test_without_an_environment_of_concrete_the_error_says_how_to_make_one(monkeypatch, tmp_path):
    monkeypatch.setenv("SECURED_CONCRETE", str(tmp_path))
    plan = tree_plan(DecisionTreeClassifier(max_depth=2).fit(PEOPLE, GRADES))
    with pytest.raises(MissingPart, match="pip install concrete-python"):
        tfhe.TreeOwner(plan)


@pytest.mark.long
@pytest.mark.usefixtures("concrete")
def test_stroke_patients_get_the_decisions_of_the_tree_under_encryption():
    features, poor = stroke_trial.outcome(shared_data(stroke_trial.FILE))
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(features, poor)
    plan = tree_plan(model)
    people = features[:25].to_numpy()
    with tfhe.TreeOwner(plan) as owner, tfhe.TreeEvaluator(plan, owner.evaluation_keys) as evaluator:
        questions = owner.encrypt(people)
        decided = owner.decrypt(evaluator.evaluate(questions))
        assert np.array_equal(decided, model.predict(features[:25]))
        assert set(decided) == {0, 1}
        assert len(set(questions)) == len(questions)
        # No secret key, no decision; and what was changed, or is no question, is refused.
        with pytest.raises(RunFailed, match="cannot decrypt"):
            evaluator._asked("decrypt", {}, [evaluator._opened("question", None, questions[0])[1]])
        with pytest.raises(CiphertextError, match="not answer"):
            owner.decrypt(questions[:1])
        with pytest.raises(CiphertextError, match="damaged"):
            evaluator.evaluate([questions[0][:-1]])


@pytest.mark.long
@pytest.mark.usefixtures("concrete")
def test_three_classes_come_out_as_by_the_tree_and_other_keys_are_refused():
    model = DecisionTreeClassifier(max_depth=2, random_state=0).fit(PEOPLE, GRADES)
    plan = tree_plan(model)
    assert len({leaf.label for leaf in plan.leaves}) == 3
    with tfhe.TreeOwner(plan) as owner, tfhe.TreeEvaluator(plan, owner.evaluation_keys) as evaluator:
        assert np.array_equal(owner.decrypt(evaluator.evaluate(owner.encrypt(PEOPLE[:12]))), model.predict(PEOPLE[:12]))
        with tfhe.TreeOwner(plan) as other, pytest.raises(CiphertextError, match="under the keys"):
            evaluator.evaluate(other.encrypt(PEOPLE[:1]))
