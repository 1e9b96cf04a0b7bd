"""`secured unbias`: what it writes, says and returns."""

import json

import pandas as pd
import pytest
import yaml

from tests.conftest import CHOP_POLICY, CHOP_TABLE
from tests.functional.running import quick_policy, secured


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A release of two thirds of the people, and the other third as they are."""
    folder = tmp_path_factory.mktemp("unbias")
    frame = pd.read_parquet(CHOP_TABLE).query("result != 'invalid'")
    outside = frame.subject_id % 3 == 0
    frame[~outside].to_csv(folder / "released.csv", index=False)
    frame[outside].to_csv(folder / "heldout.csv", index=False)
    made = secured(
        "anonymize", folder / "released.csv", "-p", CHOP_POLICY, "-o", folder / "release.csv", home=folder / "home"
    )
    assert made.returncode == 0, made.stderr
    return folder


def unbias(folder, policy, *more):
    return secured(
        "unbias", folder / "release.csv", "-p", policy, "--test", folder / "heldout.csv", "-o", folder / "fair.csv",
        *more, home=folder / "home",
    )  # fmt: skip


def test_it_writes_rows_with_origin_and_weight_and_tells_groups_before_and_after(folder):
    release = pd.read_csv(folder / "release.csv", dtype=str, keep_default_na=False)
    pool = release.sample(3000, random_state=1)  # stands in for synthetic rows
    pool.to_csv(folder / "pool.csv", index=False)
    result = unbias(folder, CHOP_POLICY, "--pool", folder / "pool.csv", "--json", folder / "bias.json")
    assert result.returncode == 0, result.stderr
    fair = pd.read_csv(folder / "fair.csv", dtype=str, keep_default_na=False)
    account = json.loads((folder / "bias.json").read_text())
    assert fair["origin"].value_counts().to_dict() == {"anonymized": len(release), "synthetic": account["added"]}
    assert fair["weight"].astype(float).sum() == pytest.approx(len(fair), abs=1)
    assert [bias["column"] for bias in account["after"]] == ["payor_group", "gender", "payor_group x gender"]
    for words in ("payor_group x gender", "before", "after", "female", "AUC went from", "chance"):
        assert words in result.stdout


def test_thresholds_by_group_are_in_the_json(folder, tmp_path):
    policy = quick_policy(tmp_path, fairness={"protected": ["gender"], "labels": "biased"})
    result = unbias(folder, policy, "--json", tmp_path / "bias.json", "--quiet")
    assert result.returncode == 0, result.stderr
    account = json.loads((tmp_path / "bias.json").read_text())
    assert set(account["thresholds"]["groups"]) == {"female", "male"}
    shares = [bias["parity_difference"]["value"] for bias in (account["before"][0], account["after"][0])]
    assert shares[1] < shares[0] / 2
    assert "is itself wrong more often for some groups" in result.stdout


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (
            lambda frame: frame.drop(columns="gender"),
            11,
            "the release has no column `gender`, which the policy protects",
        ),
        (lambda frame: frame.assign(gender="*"), 11, "every row of the release has the same value of `gender`"),
        (lambda frame: frame.assign(result="negative"), 11, "the release: no row has `result` = positive"),
        (lambda frame: frame.drop(columns="result"), 11, "there is no column `result`, the target"),
    ],
)
def test_what_cannot_be_measured_is_told_and_nothing_is_written(folder, tmp_path, change, code, words):
    frame = pd.read_csv(folder / "release.csv", dtype=str, keep_default_na=False)
    change(frame).to_csv(tmp_path / "release.csv", index=False)
    result = secured(
        "unbias", tmp_path / "release.csv", "-p", CHOP_POLICY, "--test", folder / "heldout.csv",
        "-o", tmp_path / "fair.csv", home=folder / "home",
    )  # fmt: skip
    assert result.returncode == code
    assert words in result.stderr
    assert not (tmp_path / "fair.csv").exists()


def test_a_policy_that_protects_nobody_is_told(folder, tmp_path):
    policy = quick_policy(tmp_path)
    document = yaml.safe_load(policy.read_text())
    del document["fairness"]
    policy.write_text(yaml.safe_dump(document))
    result = unbias(folder, policy)
    assert result.returncode == 12
    assert "protects nobody; add `downstream: {target: COLUMN, positive: VALUE}`" in result.stderr
