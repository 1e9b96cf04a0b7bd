"""Several hospitals bring data together under encryption: programs that share a folder and no key that reads it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("Pyfhel", reason="homomorphic encryption needs Pyfhel")

from tests.functional.running import secured_here

HOSPITALS = {"north": 120, "south": 300, "west": 1}
CANARY = 119.7
JOB = {
    "kind": "statistics",
    "rows": 300,
    "contributors": list(HOSPITALS),
    "columns": [{"name": "age", "lowest": 0, "highest": 120, "decimals": 1, "edges": [0, 18, 65, 120]}],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The owner's keys, an opened job, and a folder with a table for each hospital."""
    folder = tmp_path_factory.mktemp("pool")
    rng = np.random.default_rng(1)
    for name, rows in HOSPITALS.items():
        (folder / name).mkdir()
        frame = pd.DataFrame({"age": np.round(rng.uniform(0, 120, rows), 1)})
        frame.loc[0, "age"] = CANARY
        frame.to_csv(folder / name / "table.csv", index=False)
    (folder / "job.json").write_text(json.dumps(JOB))
    (folder / "pass").write_text("correct horse battery staple\n")
    (folder / "pass").chmod(0o600)
    he("keys", "make", folder / "keys", "--job", folder / "job.json", "--passphrase-file", folder / "pass")
    opened = he(
        "open", folder / "job.json", "--keys", folder / "keys", "--folder", folder / "shared",
        "--passphrase-file", folder / "pass",
    )  # fmt: skip
    assert "north, south, west" in opened.stdout
    # What a hospital is given: the description, and a key that opens nothing.
    for name in HOSPITALS:
        shutil.copy(folder / "job.json", folder / name / "job.json")
        shutil.copytree(folder / "keys" / "auditor", folder / name / "auditor")
    return folder


def he(*arguments, code=0):
    ended = secured_here("he", *arguments)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended


def contribute(place, name, *, table="table.csv", job="job.json", code=0):
    own = place / name
    given = (own / job, own / table, "--as", name, "--keys", own / "auditor", "--folder", place / "shared")
    return he("contribute", *given, code=code)


def test_totals_of_all_come_out_and_nothing_of_one(place):
    evaluate = ("evaluate", place / "shared", "--keys", place / "keys" / "evaluator")
    contribute(place, "north")
    contribute(place, "west")
    waiting = he(*evaluate, code=10)
    assert "2 of 3 have contributed" in waiting.stderr and "south" in waiting.stderr
    contribute(place, "south")
    he(*evaluate)

    # The owner gets the answer without the contributions, which its key would open.
    owner = place / "owner"
    shutil.copytree(place / "shared", owner, ignore=shutil.ignore_patterns("contributed"))
    lock = ("--keys", place / "keys", "--passphrase-file", place / "pass")
    he("decrypt", owner, *lock, "--out", place / "r.json")
    found = json.loads((place / "r.json").read_text())
    ages = pd.concat([pd.read_csv(place / name / "table.csv") for name in HOSPITALS])["age"]
    assert found["count"] == len(ages) == 421
    assert found["units"] == [round(ages.sum() * 10)]
    assert found["variance"] == pytest.approx([ages.var()], rel=1e-12)
    assert found["histogram age"] == np.histogram(ages, [0, 18, 65, 120])[0].tolist()

    shared = [path for path in (place / "shared").rglob("*") if path.is_file()]
    assert any("contributed/south" in str(path) for path in shared)
    secrets = [str(CANARY).encode(), np.float64(CANARY).tobytes(), np.int64(CANARY * 10 - 700).tobytes()]
    assert secrets[0] in (place / "north" / "table.csv").read_bytes()
    assert all(secret not in path.read_bytes() for secret in secrets for path in shared)


def test_a_second_contribution_replaces_the_first(place):
    contribute(place, "west")
    files = sorted(path.name for path in (place / "shared" / "contributed" / "west").iterdir())
    contribute(place, "west")
    assert sorted(path.name for path in (place / "shared" / "contributed" / "west").iterdir()) == files


def test_who_is_not_named_and_what_does_not_fit_is_refused(place):
    (place / "north" / "wrong.csv").write_text("age\n121\n")
    contribute(place, "north")
    record = place / "shared" / "contributed" / "north" / "record.json"
    before = record.read_bytes()
    assert "1 values outside 0 to 120" in contribute(place, "north", table="wrong.csv", code=10).stderr
    assert record.read_bytes() == before
    own = place / "north"
    given = (own / "job.json", own / "table.csv", "--keys", own / "auditor", "--folder", place / "shared")
    assert "'east' is none of the 3 contributors" in he("contribute", *given, "--as", "east", code=10).stderr


def test_a_description_that_the_evaluator_changed_is_refused(place):
    widened = json.loads((place / "job.json").read_text())
    widened["columns"][0]["edges"] = [0, 119.7, 119.8, 120]
    (place / "north" / "widened.json").write_text(json.dumps(widened))
    assert "belongs to another job" in contribute(place, "north", job="widened.json", code=10).stderr


def test_only_jobs_on_what_several_have_are_opened(place):
    (place / "alone.json").write_text(json.dumps({"kind": "polygenic", "people": 3, "weights": [0.5]}))
    he("keys", "make", place / "k2", "--job", place / "alone.json", "--passphrase-file", place / "pass")
    given = (place / "alone.json", "--keys", place / "k2", "--folder", place / "x", "--passphrase-file", place / "pass")
    assert "has one owner of all data" in he("open", *given, code=10).stderr
    assert not (place / "x").exists()
