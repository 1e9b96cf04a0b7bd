"""`secured key`, `dicom` and `anonymize-set` as programs: what they write, say, refuse and return."""

from __future__ import annotations

import json
import shutil
import stat

import pandas as pd
import pydicom
import pytest
import yaml
from pydicom.data import get_testdata_file

from tests.functional.running import secured


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def key(home, tmp_path_factory):
    place = tmp_path_factory.mktemp("keys") / "owner.key"
    made = secured("key", "new", place, home=home)
    assert made.returncode == 0, made.stderr
    assert place.read_text().strip().removeprefix("secured-key-1:") not in made.stdout + made.stderr
    return place


@pytest.fixture
def scans(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("CT_small.dcm", "MR_small.dcm", "examples_ybr_color.dcm"):
        shutil.copy(get_testdata_file(name), folder / f"Doe-{name}")
    return folder


@pytest.fixture
def study(tmp_path):
    """80 people in 8 kinds of 10, each with two visits."""
    people = pd.DataFrame({"pid": range(100, 180), "age": [20.0 + n % 4 for n in range(80)], "sex": ["f", "m"] * 40})
    visits = pd.DataFrame({"pid": [*range(100, 180)] * 2, "on": ["2024-02-28"] * 80 + ["2024-03-01"] * 80})
    people.to_csv(tmp_path / "people.csv", index=False)
    visits.to_csv(tmp_path / "visits.csv", index=False)
    age = {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [2, 10]}}
    base = {
        "name": "study", "table": "people.csv", "person": "pid",
        "columns": {"pid": {"role": "direct", "pseudonym": True}, "age": age,
                    "sex": {"role": "quasi", "hierarchy": "all-or-nothing"}},
    }  # fmt: skip
    on = {"role": "other", "kind": "date", "shift": {"days": 30}}
    visit = {"table": "visits.csv", "columns": {"pid": {"role": "direct"}, "on": on}, "count_bands": [1, 2]}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"base": "base.yaml", "tables": {"visits": visit}}))
    return tmp_path


def test_a_key_is_private_and_has_a_fingerprint(home, key):
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    shown = secured("key", "fingerprint", key, home=home)
    assert len(shown.stdout.strip()) == 16
    again = secured("key", "new", key, home=home)
    assert again.returncode == 10
    assert "never overwritten" in again.stderr
    inside = secured("key", "new", home / "a.key", home=home)
    assert inside.returncode == 10
    assert not (home / "a.key").exists()


def test_scans_are_written_and_refused_ones_are_told(home, key, scans, tmp_path):
    out, account = tmp_path / "out", tmp_path / "account.json"
    result = secured("dicom", scans, "--out", out, "--key", key, "--json", account, home=home)
    assert result.returncode == 11
    assert "refused Doe-examples_ybr_color.dcm" in result.stderr
    assert "Traceback" not in result.stderr
    made = [pydicom.dcmread(place) for place in out.rglob("*.dcm")]
    assert sorted(file.Modality for file in made) == ["CT", "MR"]
    said = json.loads(account.read_text())
    assert (said["written"], len(said["refused"])) == (2, 1)
    assert said["key"] == secured("key", "fingerprint", key, home=home).stdout.strip()
    assert "Doe" not in account.read_text()


def test_reviewed_scans_are_taken_quietly(home, key, scans, tmp_path):
    result = secured(
        "dicom", scans, "-o", tmp_path / "out", "-k", key, "--pixels-reviewed", "no text in them", "-q",
        "--profile", "shift-dates", "--profile", "retain-patient", home=home,
    )  # fmt: skip
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 3


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["--profile", "retain-all"], "no such option"), (["--pixels-reviewed", " "], "say who looked")],
)
def test_wrong_options_are_explained(home, key, scans, tmp_path, arguments, complaint):
    result = secured("dicom", scans, "-o", tmp_path / "out", "-k", key, *arguments, home=home)
    assert result.returncode == 10
    assert complaint in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_set_is_written_whole(home, key, study):
    out, account = study / "out", study / "account.json"
    result = secured("anonymize-set", study / "study.yaml", "-o", out, "-k", key, "--json", account, home=home)
    assert result.returncode == 0, result.stderr
    base, visits = pd.read_parquet(out / "base.parquet"), pd.read_parquet(out / "visits.parquet")
    assert base.groupby(["age", "sex", "rows in visits"]).pid.nunique().min() >= 5
    assert set(visits.pid) == set(base.pid)
    days = pd.to_datetime(visits.on).groupby(visits.pid).agg(["min", "max"])
    assert ((days["max"] - days["min"]).dt.days == 2).all()
    said = json.loads(account.read_text())
    assert said["people_after"] == len(base) == 80
    assert set(said["sha256"]) == {"base", "visits"}
    secret = key.read_text().strip().removeprefix("secured-key-1:")
    kept = [place.read_bytes() for folder in (home, out) for place in folder.rglob("*") if place.is_file()]
    for data in (account.read_bytes(), result.stdout.encode(), result.stderr.encode(), *kept):
        assert secret.encode() not in data
        assert bytes.fromhex(secret) not in data


def test_a_set_that_fails_leaves_nothing(home, key, study):
    key.chmod(0o644)
    try:
        result = secured("anonymize-set", study / "study.yaml", "-o", study / "out", "-k", key, home=home)
    finally:
        key.chmod(0o600)
    assert result.returncode == 10
    assert "read by others" in result.stderr
    assert not list(study.glob("*out*"))


def test_free_text_of_events_is_refused(home, key, study):
    visits = pd.read_csv(study / "visits.csv")
    words = ["fell at home", "came by train", "no better", "sleeps well", "asked for water", "saw the nurse"]
    visits["note"] = [f"{words[n % 6]} {words[n % 5]} {words[n % 7 % 6]} {n}" for n in range(len(visits))]
    visits.to_csv(study / "visits.csv", index=False)
    rules = yaml.safe_load((study / "study.yaml").read_text())
    rules["tables"]["visits"]["columns"]["note"] = {"role": "other"}
    (study / "study.yaml").write_text(yaml.safe_dump(rules))
    result = secured("anonymize-set", study / "study.yaml", "-o", study / "out", "-k", key, home=home)
    assert result.returncode == 11
    assert "visits.csv: column `note` holds free text" in result.stderr
    assert not any(word in result.stderr for word in words)
    assert not (study / "out").exists()


@pytest.mark.parametrize("name", ["key", "key new", "key fingerprint", "dicom", "anonymize-set"])
def test_help_teaches(home, name):
    result = secured(*name.split(), "--help", home=home)
    assert result.returncode == 0
    assert len(result.stdout) > 400
