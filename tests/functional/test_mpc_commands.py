"""`secured mpc`: what can be computed, with what, and a program tried with all parties on one machine."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.functional.running import secured_here

pytest.importorskip("mpyc", reason="the embedded engine needs MPyC")

VECTORS = [np.array([0.5, -1.0, 0.25]), np.array([0.125, 0.75, 0.0]), np.array([-0.5, 1.0, 0.5])]
JOB = {"kind": "secure_sum", "parties": 3, "length": 3}


@pytest.fixture
def place(tmp_path):
    (tmp_path / "job.json").write_text(json.dumps(JOB))
    for party, vector in enumerate(VECTORS):
        np.save(tmp_path / f"{party}.npy", vector)
    return tmp_path


def mpc(*arguments, code=0):
    ended = secured_here("mpc", *arguments)
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return " ".join((ended.stdout if code == 0 else ended.stderr).split())


def parties(place):
    return [place / f"{party}.npy" for party in range(3)]


def test_programs_and_engines_are_listed(place):
    assert "secure_sum" in mpc("programs")
    said = mpc("engines", "--json", place / "engines.json")
    assert "even if a minority of parties pool what they see and follow the protocol" in said
    assert json.loads((place / "engines.json").read_text())["embedded"] == ["shamir"]


@pytest.mark.slow
def test_a_sum_is_tried_and_says_what_it_cost(place):
    where = ("--out", place / "total.json", "--json", place / "cost.json", "--protocol", "shamir")
    said = mpc("try", place / "job.json", *parties(place), *where)
    assert "a minority of parties" in said
    cost = json.loads((place / "cost.json").read_text())
    assert cost["protocol"] == "shamir"
    assert len(cost["sent"]) == 3 and min(cost["sent"]) > 0
    total = json.loads((place / "total.json").read_text())["total"]
    assert np.abs(np.array(total) - [0.125, 0.75, 0.75]).max() <= cost["error"] < 1e-5


@pytest.mark.parametrize(
    ("change", "more", "code", "why"),
    [
        ({"kind": "nothing"}, (), 10, "there are"),
        ({"length": 0}, (), 10, "length"),
        ({"length": 4}, (), 10, "party 0: vector has shape (3,)"),
        ({"most": 0.25}, (), 10, "outside -0.25 to 0.25"),
        ({"most": 1e9}, (), 14, "may reach"),
        ({}, ("--protocol", "nonsense"), 10, "there is no protocol"),
        ({"parties": 2}, (), 10, "inputs are of [0, 1, 2]"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_party_starts(place, change, more, code, why):
    (place / "job.json").write_text(json.dumps(JOB | change))
    given = ("try", place / "job.json", *parties(place), "--out", place / "r.json", "--protocol", "shamir", *more)
    assert why in mpc(*given, code=code)
    assert not (place / "r.json").exists()
