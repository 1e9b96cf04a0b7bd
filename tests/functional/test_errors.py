"""Bad input gets a sentence, an exit code of its own, no traceback, and leaves nothing behind."""

import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import CHOP_POLICY, CHOP_TABLE
from tests.functional.running import command, environment, quick_policy, secured


@pytest.fixture(scope="module")
def frame():
    return pd.read_parquet(CHOP_TABLE)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


def refused(result, code, *words):
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    assert result.stderr.startswith("error: ")
    for word in words:
        assert word in result.stderr


def change(frame, column, rows, value):
    changed = frame.astype({column: object}).copy()
    changed.loc[rows, column] = value
    return changed


BAD_TABLES = {
    "empty file": (lambda _: "", 10, ["is empty"]),
    "no rows": (lambda f: f.iloc[:0].to_csv(index=False), 11, ["no rows"]),
    "all-null column": (lambda f: f.assign(payor_group=None).to_csv(index=False), 11, ["`payor_group` has no value"]),
    "constant column": (lambda f: f.assign(gender="x").to_csv(index=False), 11, ["`gender` has the same value"]),
    "duplicate names": (
        lambda f: f.to_csv(index=False).replace("gender", "age", 1), 11, ["more than one column called `age`"],
    ),
    "mixed types": (
        lambda f: change(f, "age", [5, 99], "CANARY").to_csv(index=False), 11, ["2 of its 15524 values", "rows 6, 100"],
    ),
    "not UTF-8": (
        lambda f: f.head(200).to_csv(index=False).encode().replace(b"female", "f\xe9male".encode("latin-1"), 1),
        10, ["UTF-8", "iconv"],
    ),
    "outside its hierarchy": (
        lambda f: change(f, "clinic_name", [7], "CANARY").to_csv(index=False), 11, ["outside its hierarchy: 1 (row 8)"],
    ),
    "column missing": (lambda f: f.drop(columns="age").to_csv(index=False), 12, ["no column `age`"]),
    "column unknown": (lambda f: f.assign(extra=1).to_csv(index=False), 12, ["no role: `extra`"]),
    "ragged": (lambda _: "a,b\n1,2\n3,4,5\n", 10, ["Expected 2 columns"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_bad_table_is_refused(tmp_path, frame, home, name):
    make, code, words = BAD_TABLES[name]
    made = make(frame)
    table, out = tmp_path / "table.csv", tmp_path / "out.parquet"
    table.write_bytes(made if isinstance(made, bytes) else made.encode())
    result = secured("anonymize", table, "-p", CHOP_POLICY, "-o", out, home=home)
    refused(result, code, *words)
    assert "CANARY" not in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["table.csv"]


def test_k_larger_than_the_table_says_how_many_people_there_are(tmp_path, frame, home):
    frame.sample(300, random_state=1).to_csv(tmp_path / "table.csv", index=False)
    policy = quick_policy(tmp_path, tmp_path / "table.csv", criteria={"k": 5000})
    result = secured("anonymize", tmp_path / "table.csv", "-p", policy, "-o", tmp_path / "out.csv", home=home)
    refused(result, 11, "k is 5000, but the table holds only")


def test_a_missing_table_is_refused(tmp_path, home):
    refused(secured("assess", tmp_path / "no", tmp_path / "no", "-p", CHOP_POLICY, home=home), 10, "no table at")


def test_a_missing_policy_is_refused(tmp_path, home):
    refused(secured("run", "data-flow", "-p", tmp_path / "no.yaml", home=home), 10, "no policy at")


def test_a_typo_in_the_policy_names_its_line(tmp_path, home):
    text = CHOP_POLICY.read_text(encoding="utf-8").replace("suppression:", "supression:")
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "supression" in row)
    (tmp_path / "p.yaml").write_text(text)
    result = secured("policy", "check", tmp_path / "p.yaml", CHOP_TABLE, home=home)
    refused(result, 12, f"p.yaml, line {line}: unknown key `supression`; did you mean `suppression`?")


def test_a_quasi_identifier_without_a_hierarchy_is_refused(tmp_path, home):
    text = CHOP_POLICY.read_text(encoding="utf-8").replace("{role: quasi, hierarchy: all-or-nothing}", "{role: quasi}")
    (tmp_path / "p.yaml").write_text(text)
    refused(secured("policy", "check", tmp_path / "p.yaml", CHOP_TABLE, home=home), 12, "without a hierarchy")


def test_wrong_usage_has_its_own_exit_code(home):
    result = secured("anonymize", home=home)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("out", ["out.xlsx", "nowhere/out.parquet"])
def test_an_impossible_output_is_refused_before_any_work(tmp_path, home, out):
    refused(secured("anonymize", CHOP_TABLE, "-p", CHOP_POLICY, "-o", tmp_path / out, home=home), 10, "--out")


def test_a_home_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    result = secured("run", "data-flow", "-p", CHOP_POLICY, home=tmp_path / "file" / "home")
    refused(result, 30, "set SECURED_HOME")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path, home):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    run = " ".join(command("anonymize", CHOP_TABLE, "-p", CHOP_POLICY, "-o", disk / "out.csv"))
    # A mount namespace of its own: the disk goes with the command.
    script = f"{' '.join(mount)} && {{ {run}; code=$?; ls -A {disk} | wc -l; exit $code; }}"
    result = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], env=environment(home), capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    if "unshare failed" in result.stderr or "mount:" in result.stderr:
        pytest.skip("this machine permits no mount namespaces")
    refused(result, 30, "the disk is full")
    assert result.stdout.strip().endswith("0")


def test_a_recoding_of_single_steps_is_refused_by_the_flow(tmp_path, home):
    policy = quick_policy(tmp_path, recoding="mondrian")
    refused(secured("run", "data-flow", "-p", policy, home=home), 12, "the data flow recodes `full-domain`")


def test_what_needs_the_owners_key_is_refused_by_the_flow(tmp_path, home):
    policy = quick_policy(tmp_path)
    policy.write_text(policy.read_text().replace("  fake_first_name:\n", "  fake_first_name:\n    pseudonym: true\n"))
    refused(secured("run", "data-flow", "-p", policy, home=home), 12, "the owner's key, which the data flow never gets")
