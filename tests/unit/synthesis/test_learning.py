"""Learning with and without a privacy budget goes by the same way, and what was learned privately stays private."""

import numpy as np
import pyarrow as pa
import pytest

from tasks.common.errors import ConditionsNotReached
from tasks.common.privacy_forms import PrivateEngine
from tasks.common.synthesis_forms import Engine
from tasks.synthesis import copies, drawing, learning
from tests.conftest import make_policy

COLUMNS = {
    "sex": {"role": "quasi", "hierarchy": {"groups": [{"any": ["F", "M"]}]}},
    "age": {"role": "other", "kind": "numeric", "range": [0, 90], "round": 1},
    "result": {"role": "sensitive"},
}


def release(count=2_000):
    rng = np.random.default_rng(1)
    age = np.floor(rng.uniform(0, 90, count))
    sick = rng.random(count) < np.where(age > 60, 0.7, 0.1)
    return pa.table({"sex": rng.choice(["F", "M"], count), "age": age, "result": np.where(sick, "sick", "well")})


def private(**synthesis):
    return make_policy(COLUMNS, synthesis={"privacy": {"epsilon": 3}, **synthesis})


@pytest.fixture(scope="module")
def learned():
    return learning.learn(release(), private(), PrivateEngine.MST, 1)


def test_rows_learned_privately_say_what_was_spent(learned):
    table, account = drawing.draw(learned, 1_000, 2, private(), release())
    assert table.schema.equals(release().schema)
    assert 0 < account.ledger.epsilon <= 3
    assert account.ledger.parts
    sick = np.array(table["result"].to_pylist()) == "sick"
    old = table["age"].to_numpy() > 60
    assert sick[old].mean() - sick[~old].mean() > 0.3  # 0.6 in the rows learned from


def test_rows_learned_privately_are_not_compared_with_those_again(learned, monkeypatch):
    monkeypatch.setattr(copies.RareRows, "__init__", lambda *_: pytest.fail("looked at the rows once more"))
    monkeypatch.setattr(drawing, "RareRows", copies.RareRows)
    never = make_policy(COLUMNS, synthesis={"privacy": {"epsilon": 3}, "conditions": {"sex": "F", "age": {"most": 40}}})
    table, account = drawing.draw(learned, 500, 2, never, release())
    assert set(table["sex"].to_pylist()) == {"F"}
    assert max(table["age"].to_pylist()) <= 40
    assert account.copies == 0


def test_what_is_not_there_ends_by_drawing_not_by_looking(learned, monkeypatch):
    monkeypatch.setattr(drawing, "_PATIENCE", 3_000)
    with pytest.raises(ConditionsNotReached, match="rows drawn only 0"):
        drawing.draw(learned, 10, 2, private(conditions={"sex": "X"}), release())


def test_a_budget_leaves_one_engine():
    assert private().synthesis.engines == (PrivateEngine.MST,)
    assert make_policy(COLUMNS).synthesis.engines[0] is Engine.CTGAN


def test_constraints_that_private_engines_do_not_keep_are_refused():
    with pytest.raises(ValueError, match="not kept by the engines of `privacy:`"):
        private(constraints={"together": [["sex", "result"]]})


def test_without_a_budget_nothing_was_spent():
    policy = make_policy(COLUMNS, synthesis={"engine": "trees"})
    _, account = drawing.draw(learning.learn(release(), policy, Engine.TREES, 1), 100, 1, policy, release())
    assert account.ledger is None
