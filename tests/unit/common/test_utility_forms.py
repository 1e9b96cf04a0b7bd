"""How a policy asks for usefulness and survival."""

import json

import pytest
from pydantic import ValidationError

from tasks.common import policy_file
from tasks.common.errors import PolicyError
from tests.conftest import make_policy

COLUMNS = {
    "name": {"role": "direct"},
    "age": {"role": "quasi", "kind": "numeric", "hierarchy": "all-or-nothing"},
    "days": {"role": "other", "kind": "numeric"},
    "relapse": {"role": "sensitive"},
}
SURVIVAL = {"time": "days", "event": "relapse", "positive": "yes", "groups": ["age"]}


def test_without_a_word_a_tenth_of_auc_may_be_lost_and_survival_is_not_asked_for():
    policy = make_policy(COLUMNS)
    assert policy.usefulness.gap == 0.1
    assert policy.survival is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"time": "dys"}, "survival.time names `dys`, which is not under `columns:`"),
        ({"time": "name"}, "survival.time names `name`, whose role `direct` does not fit"),
        ({"event": "name"}, "survival names `name`, whose role `direct` does not fit"),
        ({"groups": ["agee"]}, "survival names `agee`, which is not under"),
        (
            {"time": "relapse", "event": "age", "groups": []},
            "survival.time names `relapse`, which needs `kind: numeric`",
        ),
        ({"groups": ["days"]}, "`days` stands more than once"),
    ],
)
def test_columns_that_do_not_fit_are_told(change, word):
    with pytest.raises(ValidationError, match=word):
        make_policy(COLUMNS, survival=SURVIVAL | change)


def test_the_place_in_the_file_is_told(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(
        "name: test\n"
        "columns:\n"
        "  age: {role: quasi, kind: numeric, hierarchy: all-or-nothing}\n"
        "  relapse: {role: sensitive}\n"
        "survival:\n"
        "  time: dys\n"
        "  event: relapse\n"
        "  positive: yes\n"
    )
    with pytest.raises(PolicyError, match=r"line 6: .*names `dys`"):
        policy_file.read(path)


@pytest.mark.parametrize("gap", [-0.1, 0.6])
def test_a_gap_is_a_loss_of_auc(gap):
    with pytest.raises(ValidationError):
        make_policy(COLUMNS, usefulness={"gap": gap})


def test_editors_know_them():
    schema = json.loads(policy_file.schema())
    assert {"survival", "usefulness"} <= set(schema["properties"])
    assert set(schema["$defs"]["Survival"]["properties"]) == {"time", "event", "positive", "groups"}
