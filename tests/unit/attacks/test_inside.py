"""What is kept inside: the group that stands out, each person, and a file for its owner only."""

import json
import stat

import numpy as np
import pyarrow as pa
import pytest

from tasks.attacks import inside
from tasks.attacks.adversary import Adversary, Goal
from tasks.attacks.targets import Targets
from tests.conftest import make_policy

POLICY = make_policy(
    {
        "sex": {"role": "quasi", "hierarchy": "all-or-nothing"},
        "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10], "min": 0, "max": 400}},
        "code": {"role": "other"},
    }
)


@pytest.fixture
def seen():
    """Women are released word for word, each with a code of her own; men are not."""
    women, men = 100, 100
    sexes = ["f"] * women + ["m"] * men
    ages = [float(n) for n in range(women + men)]
    people = pa.table({"sex": sexes, "age": ages, "code": [f"r{n}" for n in range(200)]})
    control = people.set_column(2, "code", pa.array([f"c{n}" for n in range(200)]))
    adversary = Adversary(name="s", goal=Goal.SINGLING_OUT, knows=("sex", "code"))
    sides = [Targets(rows, np.arange(200) % 4 == 0) for rows in (people, control)]
    return inside.look(adversary, people.slice(0, women), *sides, POLICY, {}, np.random.default_rng(1))


def test_the_group_at_risk_comes_first(seen):
    first, *others = seen.groups
    assert (first.column, first.value, first.people, first.control) == ("sex", "f", 100, 100)
    assert first.risk.value == 1.0
    by_name = {(g.column, g.value): g.risk.value for g in others}
    assert by_name[("sex", "m")] == 0.0
    # Ages run from 0 to 199: the quarters are of 50 people, and the first two are the women's.
    assert [round(g.risk.value) for g in seen.groups if g.column == "age"] == [1, 1, 0, 0]


def test_each_person_attacked_has_a_row(seen):
    assert seen.people.num_rows == 200
    assert seen.people["success"].to_pylist() == [1.0] * 100 + [0.0] * 100
    assert sum(seen.people["stands_out"].to_pylist()) == 50


def test_only_the_owner_can_read_the_file(seen, tmp_path):
    path = tmp_path / "inside.json"
    seen.write(path)
    seen.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["inside.json"]
    assert json.loads(path.read_text())["groups"][0]["column"] == "sex"
