"""Single steps as commands: what they write, say and return."""

import json
import stat

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from pycanon import anonymity

from tests.conftest import CHOP_POLICY, CHOP_TABLE
from tests.functional.running import quick_policy, secured


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """People to release and people to hold out, as CSV."""
    folder = tmp_path_factory.mktemp("split")
    frame = pd.read_parquet(CHOP_TABLE).query("result != 'invalid'")
    outside = frame.subject_id % 3 == 0
    frame[~outside].to_csv(folder / "released.csv", index=False)
    frame[outside].to_csv(folder / "control.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def release(split, home):
    result = secured(
        "anonymize", split / "released.csv", "-p", CHOP_POLICY, "-o", split / "release.csv", "--json", split / "a.json",
        home=home,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return split / "release.csv"


def test_anonymize_writes_what_it_says(release, split, chop):
    account = json.loads((split / "a.json").read_text())
    frame = pd.read_csv(release, dtype=str, keep_default_na=False)
    assert len(frame) == account["rows_after"]
    assert anonymity.k_anonymity(frame, chop.quasi) >= account["k"] >= 5
    assert account["suppressed"] <= 0.05
    assert not {"subject_id", "fake_first_name", "fake_last_name", "test_id"} & set(frame.columns)


def test_assess_with_a_control_gives_the_documented_result(release, split, home):
    out = split / "score.json"
    result = secured(
        "assess", split / "released.csv", release, "-p", CHOP_POLICY, "--control", split / "control.csv",
        "--json", out, home=home,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    card = json.loads(out.read_text())
    assert 80 < card["score"] < 100
    assert card["gate"] in {"passes", "fails", "inconclusive"}
    assert card["worst"] in {attack["name"] for attack in card["attacks"]}
    assert card["controlled"] is True
    for attack in card["attacks"]:
        assert {"name", "trials", "risk", "low", "high", "baseline"} <= set(attack)
        assert 0 <= attack["low"] <= attack["risk"] <= attack["high"] <= 1
    assert f"score {card['score']:.1f}" in result.stdout


def test_attacks_stand_under_what_they_are_after_and_fit_a_terminal(release, split, home):
    table = split / "released.csv"
    result = secured("assess", table, release, "-p", CHOP_POLICY, "--control", split / "control.csv", home=home)
    lines = result.stdout.splitlines()
    assert "Singling out" in lines[2]
    assert lines[3].split()[0].startswith("singling-out-")
    assert any(line.strip() == "Membership" for line in lines)
    assert "of members at 1 % false alarms" in result.stdout
    assert "…" not in result.stdout


def test_whom_it_gains_from_is_told_to_the_owner_alone(release, split, home):
    told, out = split / "inside.json", split / "with-inside.json"
    command = ("assess", split / "released.csv", release, "-p", CHOP_POLICY, "--control", split / "control.csv")
    result = secured(*command, "--inside", told, "--json", out, home=home)
    assert result.returncode == 0, result.stderr
    assert stat.S_IMODE(told.stat().st_mode) == 0o600
    inside, card = json.loads(told.read_text()), json.loads(out.read_text())
    assert inside["adversary"] in {attack["name"] for attack in card["attacks"]}
    assert inside["groups"] and inside["people"]["success"]
    assert not {"inside", "groups", "people"} & set(card)
    # A row number finds the person: those who stand in the file as attacked are different people of the table.
    frame = pd.read_csv(split / "released.csv")
    attacked = frame.iloc[[row - 1 for row in inside["people"]["row"]]]
    assert attacked.subject_id.is_unique
    assert len(attacked) == len(inside["people"]["success"]) == len(inside["people"]["stands_out"])


def test_what_others_can_read_is_no_place_for_it(release, split, home, tmp_path):
    open_file = tmp_path / "open.json"
    open_file.write_text("{}")
    open_file.chmod(0o644)
    (tmp_path / "link.json").symlink_to(open_file)
    command = ("assess", split / "released.csv", release, "-p", CHOP_POLICY)
    control = ("--control", split / "control.csv")
    for more in (
        (*control, "--inside", open_file),
        (*control, "--inside", tmp_path / "link.json"),
        (*control, "--inside", release),
        (*control, "--inside", tmp_path / "x.json", "--json", tmp_path / "x.json"),
        (*control, "--inside", tmp_path / "nowhere" / "x.json"),
        ("--inside", tmp_path / "x.json"),
    ):
        result = secured(*command, *more, home=home)
        assert result.returncode == 10, more
        assert "--inside" in result.stderr
    assert open_file.read_text() == "{}"
    assert not (tmp_path / "x.json").exists()


def test_recoding_region_by_region_shows_what_columns_lost(split, home, tmp_path):
    policy, out = quick_policy(tmp_path, recoding="mondrian"), tmp_path / "m.csv"
    result = secured(
        "anonymize", split / "released.csv", "-p", policy, "-o", out, "--json", tmp_path / "m.json", home=home
    )
    assert result.returncode == 0, result.stderr
    account = json.loads((tmp_path / "m.json").read_text())
    assert account["levels"] == {}
    line = next(line for line in result.stdout.splitlines() if line.split()[:1] == ["age"])
    assert line.split() == ["age", "generalized,", "region", "by", "region", f"{account['column_loss']['age']:.1%}"]
    assert "no bound known" in result.stdout


def test_pseudonyms_and_coded_columns_are_told_on_the_command_line(split, home, tmp_path):
    columns = yaml.safe_load(CHOP_POLICY.read_text(encoding="utf-8"))["columns"]
    columns["clinic_name"]["hierarchy"] = "all-or-nothing"
    columns["subject_id"]["pseudonym"] = True
    columns["rec_ver_tat"]["top"] = 40
    policy = quick_policy(tmp_path)
    document = yaml.safe_load(policy.read_text(encoding="utf-8"))
    policy.write_text(yaml.safe_dump(document | {"columns": columns}), encoding="utf-8")
    made = secured("key", "new", tmp_path / "a.key", home=home)
    assert made.returncode == 0, made.stderr
    result = secured(
        "anonymize", split / "released.csv", "-p", policy, "-o", tmp_path / "p.csv", "-k", tmp_path / "a.key", home=home
    )
    assert result.returncode == 0, result.stderr
    told = " ".join(result.stdout.split())
    assert "Pseudonymous data is personal data (GDPR Art. 4(5))" in told
    assert secured("key", "fingerprint", tmp_path / "a.key", home=home).stdout.strip() in told
    assert "all above 40 released as 40" in told


def test_assess_repeats(release, split, home):
    runs = [
        secured(
            "assess", split / "released.csv", release, "-p", CHOP_POLICY, "--control", split / "control.csv", home=home
        )
        for _ in range(2)
    ]
    assert runs[0].returncode == 0
    assert runs[0].stdout == runs[1].stdout


def test_assess_of_the_original_itself_scores_zero_and_can_fail_a_script(split, home):
    table = split / "released.csv"
    result = secured(
        "assess", table, table, "-p", CHOP_POLICY, "--control", split / "control.csv", "--require-pass",
        "--json", split / "copy.json", home=home,
    )  # fmt: skip
    assert result.returncode == 20
    assert "Traceback" not in result.stderr
    assert json.loads((split / "copy.json").read_text())["score"] < 5


def test_synthesize_writes_rows_in_the_releases_vocabulary(release, split, home, tmp_path):
    policy, out = quick_policy(tmp_path), tmp_path / "synthetic.parquet"
    result = secured(
        "synthesize", release, "-p", policy, "-n", "321", "-o", out, "--json", tmp_path / "s.json", home=home
    )
    assert result.returncode == 0, result.stderr
    made, real = pq.read_table(out).to_pandas(), pd.read_csv(release)
    assert len(made) == 321
    assert list(made.columns) == list(real.columns)
    assert set(made.age) <= set(real.age)
    assert json.loads((tmp_path / "s.json").read_text())["rows"] == 321


def test_draft_then_check_works_without_touching_the_draft(home, tmp_path):
    drafted = secured("policy", "draft", CHOP_TABLE, "--out", tmp_path / "p.yaml", home=home)
    assert drafted.returncode == 0, drafted.stderr
    checked = secured("policy", "check", tmp_path / "p.yaml", CHOP_TABLE, home=home)
    assert checked.returncode == 0, checked.stderr
    assert "15,524 rows meet" in checked.stdout


def test_the_schema_is_printed_as_json(home):
    assert json.loads(secured("policy", "schema", home=home).stdout)["title"] == "Policy"


def test_quiet_says_nothing_but_what_matters(release, split, home, tmp_path):
    result = secured("anonymize", split / "released.csv", "-p", CHOP_POLICY, "-o", tmp_path / "o.csv", "-q", home=home)
    assert (result.stdout, result.stderr) == ("", "")


def test_the_doctor_names_every_part(home):
    result = secured("doctor", home=home)
    assert result.returncode == 0, result.stdout
    for part in ("Python", "packages", "home", "Pyfhel", "MP-SPDZ", "Slurm", "Prefect server", "knowledge base"):
        assert part in result.stdout


@pytest.mark.parametrize(
    "name", ["anonymize", "assess", "synthesize", "doctor", "serve", "run data-flow", "policy draft"]
)
def test_help_teaches(home, name):
    result = secured(*name.split(), "--help", home=home)
    assert result.returncode == 0
    assert len(result.stdout) > 400
