"""`secured compare`: what it says, writes and returns for rows that are useful and rows that are not."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.conftest import CHOP_POLICY, CHOP_TABLE
from tests.functional.running import quick_policy, secured


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Real tests, tests of others, rows drawn again from the real ones, and the real ones with columns shuffled."""
    folder = tmp_path_factory.mktemp("tables")
    frame = pd.read_parquet(CHOP_TABLE).query("result != 'invalid'").drop(columns="test_id")
    outside = frame.subject_id % 3 == 0
    real = frame[~outside]
    rng = np.random.default_rng(1)
    frame[outside].to_csv(folder / "heldout.csv", index=False)
    real.to_csv(folder / "real.csv", index=False)
    real.sample(len(real), replace=True, random_state=1).to_csv(folder / "again.csv", index=False)
    real.apply(rng.permutation).to_csv(folder / "shuffled.csv", index=False)
    return folder


def test_rows_like_the_real_ones_are_useful(tables, home, tmp_path):
    out, page = tmp_path / "c.json", tmp_path / "c.html"
    result = secured(
        "compare", tables / "real.csv", tables / "again.csv", "-p", CHOP_POLICY, "--test", tables / "heldout.csv",
        "--json", out, "--html", page, "--require-useful", home=home,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    found = json.loads(out.read_text())
    assert found["figures"]["odds_agreeing"] > 0.8
    assert found["useful"] is True and found["held_out"] is False
    assert [answer["family"] for answer in found["fidelity"]["answers"]] == ["boosting", "logistic", "forest"]
    assert "The synthetic rows are useful." in result.stdout
    assert "odds ratios lead to the same conclusion" in result.stdout
    assert "…" not in result.stdout
    assert page.read_text().startswith("<!doctype html>")


def test_shuffled_rows_are_not_and_can_fail_a_script(tables, home):
    command = ("compare", tables / "real.csv", tables / "shuffled.csv", "-p", CHOP_POLICY)
    told = secured(*command, home=home)
    assert told.returncode == 0, told.stderr
    assert "not useful" in told.stdout
    assert "a random fifth held out here" in " ".join(told.stdout.split())
    failed = secured(*command, "--require-useful", home=home)
    assert failed.returncode == 20
    assert "Traceback" not in failed.stderr
    assert failed.stdout == told.stdout  # and it repeats


def test_survival_is_told_where_the_policy_asks(tables, home, tmp_path):
    asked = {"time": "rec_ver_tat", "event": "drive_thru_ind", "positive": 1, "groups": ["gender"]}
    policy = quick_policy(tmp_path, survival=asked)
    result = secured("compare", tables / "real.csv", tables / "again.csv", "-p", policy, home=home)
    assert result.returncode == 0, result.stderr
    assert "percentage points apart" in result.stdout
    assert "hazard ratios" in result.stdout


def test_what_cannot_be_compared_is_a_sentence(tables, home, tmp_path):
    pd.read_csv(tables / "again.csv").drop(columns="result").to_csv(tmp_path / "no-result.csv", index=False)
    result = secured("compare", tables / "real.csv", tmp_path / "no-result.csv", "-p", CHOP_POLICY, home=home)
    assert result.returncode == 11
    assert "the synthetic rows have no column `result`" in " ".join(result.stderr.split())
    nowhere = tmp_path / "nowhere" / "c.html"
    result = secured(
        "compare", tables / "real.csv", tables / "again.csv", "-p", CHOP_POLICY, "--html", nowhere, home=home
    )
    assert result.returncode == 10


def test_help_teaches(home):
    result = secured("compare", "--help", home=home)
    assert result.returncode == 0
    assert "--require-useful" in result.stdout
