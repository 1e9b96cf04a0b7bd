"""`secured he` as programs: what each side writes, says, refuses and returns."""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import pty
import shutil
import stat
import subprocess
import sys
import termios

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

pytest.importorskip("Pyfhel", reason="homomorphic encryption needs Pyfhel")

from flows import cli
from tasks.encryption import keys
from tasks.encryption.inference.job import Inference
from tasks.encryption.inference.transformation import plan_of
from tests.functional.running import command, environment, secured, secured_here

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - of keys that tests make
ROWS = 300
JOB = {
    "kind": "statistics",
    "rows": ROWS,
    "columns": [
        {"name": "age", "lowest": 0, "highest": 120, "edges": [0, 18, 65, 120]},
        {"name": "bmi", "lowest": 10, "highest": 60, "decimals": 1},
    ],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A job, a table, a passphrase."""
    folder = tmp_path_factory.mktemp("owner")
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"age": rng.integers(0, 121, ROWS), "bmi": np.round(rng.uniform(15, 45, ROWS), 1)})
    frame.assign(name="x").to_csv(folder / "table.csv", index=False)
    (folder / "job.json").write_text(json.dumps(JOB))
    (folder / "passphrase").write_text(PASSPHRASE + "\n")
    (folder / "passphrase").chmod(0o600)
    return folder


@pytest.fixture(scope="module")
def done(place, home):
    """A whole job by four programs, one after the other: their outputs."""
    lock = ("--passphrase-file", place / "passphrase")
    runs = [
        ("keys", "make", place / "keys", "--job", place / "job.json", "--expires", "2999-12-31", *lock),
        ("encrypt", place / "job.json", place / "table.csv", "--keys", place / "keys", "--folder", place / "x", *lock),
        ("evaluate", place / "x", "--keys", place / "keys" / "evaluator"),
        ("decrypt", place / "x", "--keys", place / "keys", "--out", place / "result.json", *lock),
    ]
    finished = []
    for run in runs:
        finished.append(secured("he", *run, "--json", place / f"{run[0]}.json", home=home))
        assert finished[-1].returncode == 0, finished[-1].stderr
    return finished


def he(*arguments):
    """The command in this process: (exit code, output, errors)."""
    ended = secured_here("he", *arguments)
    return ended.returncode, ended.stdout, ended.stderr


def refused(ended, code, *words):
    assert ended[0] == code, ended
    assert "Traceback" not in ended[1] + ended[2]
    assert ended[2].startswith("error: ")
    for word in words:
        assert word in ended[2].replace("\n", " ")


def test_four_programs_come_to_what_pandas_computes(place, done):
    frame = pd.read_csv(place / "table.csv")
    found = json.loads((place / "result.json").read_text())
    assert found["count"] == ROWS
    assert found["units"] == [frame["age"].sum(), round(frame["bmi"].sum() * 10)]
    assert found["variance"] == pytest.approx(frame[["age", "bmi"]].var().tolist(), rel=1e-12)
    assert found["histogram age"] == np.histogram(frame["age"], [0, 18, 65, 120])[0].tolist()


def test_a_fitted_model_predicts_on_a_table_that_stays_encrypted(place, tmp_path):
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(rng.normal(size=(ROWS, 3)), columns=["age", "bmi", "pressure"])
    model = LogisticRegression().fit(frame, frame.sum(axis=1) + rng.normal(size=ROWS) > 0)
    (tmp_path / "job.json").write_text(Inference(plan=plan_of(model, frame)).model_dump_json())
    # The table has the features in another order, and more than the model asks for.
    frame.assign(name="x")[["name", "pressure", "age", "bmi"]].to_csv(tmp_path / "table.csv", index=False)
    lock = ("--passphrase-file", place / "passphrase")
    both = ("--keys", tmp_path / "k")
    for run in (
        ("keys", "make", tmp_path / "k", "--job", tmp_path / "job.json", *lock),
        ("encrypt", tmp_path / "job.json", tmp_path / "table.csv", *both, "--folder", tmp_path / "x", *lock),
        ("evaluate", tmp_path / "x", *both, "--json", tmp_path / "answer.json"),
        ("decrypt", tmp_path / "x", *both, "--out", tmp_path / "result.npz", *lock),
    ):
        assert he(*run)[0] == 0
    stated = json.loads((tmp_path / "answer.json").read_text())["error"]
    assert 0 < stated < 1e-3
    with np.load(tmp_path / "result.npz") as found:
        off = np.abs(found["predictor"].ravel() - model.decision_function(frame))
        assert off.max() <= stated
        assert np.array_equal(found["predictor"].ravel() > 0, model.predict(frame))


def test_the_result_is_its_owners_alone_and_is_not_shown(place, done):
    assert stat.S_IMODE((place / "result.json").stat().st_mode) == 0o600
    total = str(json.loads((place / "result.json").read_text())["units"][0])
    for run in done:
        assert total not in run.stdout + run.stderr
        assert PASSPHRASE not in run.stdout + run.stderr
    assert all(total not in path.read_text() for path in (place / "x").rglob("*.json"))


def test_machines_read_what_was_done(place, done):
    made = json.loads((place / "keys.json").read_text())
    assert made["expires"] == "2999-12-31"
    assert json.loads((place / "encrypt.json").read_text())["state"] == "encrypted"
    answer = json.loads((place / "evaluate.json").read_text())
    assert (answer["state"], answer["error"]) == ("evaluated", 0.0)
    assert answer["bytes"] == sum(path.stat().st_size for path in (place / "x" / "from-evaluator").glob("*.he"))


def test_keys_are_shown_without_a_passphrase(place, done, tmp_path):
    code, out, _ = he("keys", "show", place / "keys", "--json", tmp_path / "keys.json")
    assert code == 0
    assert "128 bits" in out
    roles = json.loads((tmp_path / "keys.json").read_text())["roles"]
    assert set(roles) == {"owner", "evaluator", "auditor"}
    # Relinearization and more rotations than are needed would be room and risk for nothing.
    assert roles["evaluator"]["products"] is False
    code, out, _ = he("keys", "show", place / "keys" / "evaluator")
    assert code == 0
    assert "owner" not in out
    refused(he("keys", "show", tmp_path), 10, "there are no keys")


def test_a_ciphertext_is_inspected_without_a_key(place, done, tmp_path):
    one = next((place / "x" / "to-evaluator").glob("*.he"))
    code, out, _ = he("inspect", one, "--json", tmp_path / "header.json")
    assert code == 0
    header = json.loads((tmp_path / "header.json").read_text())
    assert header["keys"] == json.loads((place / "keys.json").read_text())["fingerprint"]
    assert header["keys"] in out
    cut = tmp_path / "cut.he"
    cut.write_bytes(one.read_bytes()[:-1])
    refused(he("inspect", cut), 16, "damaged or cut off")
    refused(he("inspect", place / "table.csv"), 16, "no ciphertext of SECURED")
    refused(he("inspect", tmp_path / "none.he"), 10, "no ciphertext at")


def test_renewed_keys_say_what_they_replace_and_refuse_the_old_job(place, done, tmp_path):
    lock = ("--passphrase-file", place / "passphrase")
    code, *_ = he("keys", "renew", place / "keys", tmp_path / "new", "--json", tmp_path / "new.json", *lock)
    assert code == 0
    made = json.loads((tmp_path / "new.json").read_text())
    assert made["replaces"] == json.loads((place / "keys.json").read_text())["fingerprint"]
    refused(he("evaluate", place / "x", "--keys", tmp_path / "new"), 15, "is a job under the keys")
    decrypt = ("decrypt", place / "x", "--keys", tmp_path / "new", "--out", tmp_path / "r.json")
    refused(he(*decrypt, *lock), 15, "is a job under the keys")


def test_nothing_of_keys_is_ever_overwritten(place, done):
    make = ("keys", "make", place / "keys", "--job", place / "job.json", "--passphrase-file", place / "passphrase")
    refused(he(*make), 10, "is not empty; keys are never overwritten")


def test_keys_are_made_from_parameters_too_but_never_insecure_ones(place, tmp_path):
    lock = ("--passphrase-file", place / "passphrase")
    needs = {"parameters": {"scheme": "ckks", "degree": 8192, "moduli_bits": [40, 30, 40], "scale_bits": 30}}
    (tmp_path / "p.json").write_text(json.dumps({**needs, "rotations": [1], "products": True}))
    assert he("keys", "make", tmp_path / "k", "--parameters", tmp_path / "p.json", *lock)[0] == 0
    needs["parameters"]["degree"] = 2048  # 110 bits there are broken in an afternoon
    (tmp_path / "p.json").write_text(json.dumps(needs))
    make = ("keys", "make", tmp_path / "weak", "--parameters", tmp_path / "p.json", *lock)
    refused(he(*make), 14, "has less than 128 bits of security")
    assert not (tmp_path / "weak").exists()
    (tmp_path / "p.json").write_text(json.dumps({"degree": 1}))
    refused(he(*make), 10, "cannot be read")
    refused(he("keys", "make", tmp_path / "weak", *lock), 10, "say what the keys are for")


def test_a_short_passphrase_is_refused(place, tmp_path):
    (tmp_path / "short").write_text("hunter2")
    (tmp_path / "short").chmod(0o600)
    make = ("keys", "make", tmp_path / "k", "--job", place / "job.json", "--passphrase-file", tmp_path / "short")
    refused(he(*make), 15, "12 characters at least")


def test_keys_can_be_locked_by_the_owners_key_file(place, tmp_path):
    key = tmp_path / "owner.key"
    assert secured("key", "new", key, home=tmp_path / "home").returncode == 0
    assert he("keys", "make", tmp_path / "k", "--job", place / "job.json", "--key", key)[0] == 0
    encrypt = ("encrypt", place / "job.json", place / "table.csv", "--keys", tmp_path / "k", "--folder", tmp_path / "x")
    assert he(*encrypt, "--key", key)[0] == 0
    refused(he(*encrypt, "--passphrase-file", place / "passphrase"), 15, "does not open")
    refused(he(*encrypt, "--key", key, "--passphrase-file", place / "passphrase"), 10, "not both")


WRONG = {
    "a missing passphrase": (("--keys", "keys"), 10, "give --passphrase-file or --key where nobody can be asked"),
    "a wrong passphrase": (("--keys", "keys", "--passphrase-file", "wrong"), 15, "does not open"),
    "a passphrase for all to read": (("--keys", "keys", "--passphrase-file", "open"), 10, "can be read by others"),
    "no keys": (("--keys", "nothing", "--passphrase-file", "passphrase"), 10, "there are no keys at"),
    "the evaluator's keys": (
        ("--keys", "keys/evaluator", "--passphrase-file", "passphrase"), 10, "holds keys of the evaluator",
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_owners_are_told_what_opens_nothing(place, done, tmp_path, wrong):
    options, code, words = WRONG[wrong]
    for name, mode in (("wrong", 0o600), ("open", 0o644)):
        (place / name).write_text("another horse battery staple")
        (place / name).chmod(mode)
    given = [option if option.startswith("--") else place / option for option in options]
    encrypt = ("encrypt", place / "job.json", place / "table.csv", "--folder", tmp_path / "x", *given)
    refused(he(*encrypt), code, words)
    assert not (tmp_path / "x").exists()
    refused(he("decrypt", place / "x", "--out", tmp_path / "r.json", *given), code, words)
    assert not (tmp_path / "r.json").exists()


BAD = {
    "NaN": (
        lambda f: f.assign(bmi=f["bmi"].where(f.index != 6)), 11,
        "`bmi` has 1 missing or infinite values (first in row 7)",
    ),
    "another column": (
        lambda f: f.rename(columns={"bmi": "weight"}), 11, "has no column `bmi`; it has `age`, `weight`",
    ),
    "words": (lambda f: f.assign(age="CANARY"), 11, "`age` holds string that is not a number"),
    "out of range": (lambda f: f.assign(age=121), 10, "values outside 0 to 120"),
    "too many decimals": (lambda f: f.assign(bmi=20.123), 10, "more than 1 decimals"),
    "too many rows": (lambda f: pd.concat([f, f]), 10, "600 rows were given"),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_a_table_that_does_not_fit_the_job_is_refused_before_anything_is_written(place, done, tmp_path, bad):
    change, code, words = BAD[bad]
    change(pd.read_csv(place / "table.csv").drop(columns="name")).to_csv(tmp_path / "bad.csv", index=False)
    ended = he(
        "encrypt", place / "job.json", tmp_path / "bad.csv", "--keys", place / "keys", "--folder", tmp_path / "x",
        "--passphrase-file", place / "passphrase",
    )  # fmt: skip
    refused(ended, code, words)
    assert "CANARY" not in ended[2]
    assert not list(tmp_path.rglob("*.he"))


def test_a_description_that_is_none_is_refused(place, done, tmp_path):
    for text, words in (("{", "is no JSON"), ("[]", "describes nothing"), ('{"kind": "magic"}', "'magic'")):
        (tmp_path / "job.json").write_text(text)
        make = ("keys", "make", tmp_path / "k", "--job", tmp_path / "job.json")
        refused(he(*make, "--passphrase-file", place / "passphrase"), 10, words)


def test_keys_of_another_job_are_refused_before_the_table_is_read(place, done, tmp_path):
    (tmp_path / "job.json").write_text(json.dumps({**JOB, "rows": 3_000_000}))
    encrypt = ("encrypt", tmp_path / "job.json", tmp_path / "none.csv", "--keys", place / "keys", "--folder", tmp_path)
    refused(he(*encrypt), 15, "`secured he keys make --job` makes the right ones")


def test_expired_keys_do_nothing_any_more(place, tmp_path, monkeypatch):
    class Later(datetime.date):
        @classmethod
        def today(cls):
            return cls(2031, 1, 1)

    lock = ("--passphrase-file", place / "passphrase")
    he("keys", "make", tmp_path / "k", "--job", place / "job.json", "--expires", "2030-12-31", *lock)
    encrypt = ("encrypt", place / "job.json", place / "table.csv", "--keys", tmp_path / "k", "--folder", tmp_path / "x")
    assert he(*encrypt, *lock)[0] == 0
    monkeypatch.setattr(keys.datetime, "date", Later)
    refused(he("evaluate", tmp_path / "x", "--keys", tmp_path / "k"), 15, "are expired")
    refused(he(*encrypt, *lock), 15, "are expired; `secured he keys renew`")
    assert he("keys", "show", tmp_path / "k")[0] == 0
    make = ("keys", "make", tmp_path / "late", "--job", place / "job.json", "--expires", "2030-12-31")
    refused(he(*make, *lock), 15, "would be expired from the start")


def test_a_message_that_is_missing_or_damaged_is_named(place, done, tmp_path):
    shutil.copytree(place / "x", tmp_path / "x")
    one = next((tmp_path / "x" / "to-evaluator").glob("*.he"))
    whole = one.read_bytes()
    one.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused(he("evaluate", tmp_path / "x", "--keys", place / "keys"), 16, one.name, "copy the folder again")
    one.unlink()
    refused(he("evaluate", tmp_path / "x", "--keys", place / "keys"), 16, "ciphertexts are missing", one.name)
    next((tmp_path / "x" / "from-evaluator").glob("*.he")).unlink()
    decrypt = ("decrypt", tmp_path / "x", "--keys", place / "keys", "--out", tmp_path / "r.json")
    refused(he(*decrypt, "--passphrase-file", place / "passphrase"), 16, "1 of 1 ciphertexts are missing")
    assert not (tmp_path / "r.json").exists()


def test_a_result_is_not_written_where_the_evaluator_reads(place, done):
    decrypt = ("decrypt", place / "x", "--keys", place / "keys", "--out", place / "x" / "r.json")
    refused(he(*decrypt, "--passphrase-file", place / "passphrase"), 10, "the evaluator reads")


def test_a_passphrase_is_asked_without_echo_on_a_terminal(place, done, home, tmp_path):
    controller, terminal = pty.openpty()
    run = command(
        "he", "decrypt", place / "x", "--keys", place / "keys", "--out", tmp_path / "r.json"
    )  # fmt: skip
    ours = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", ours, *run], env=environment(home), stdin=terminal, stdout=terminal, stderr=terminal,
        start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    while b"Passphrase" not in shown:
        shown += os.read(controller, 1024)
    while termios.tcgetattr(controller)[3] & termios.ECHO:
        pass
    os.write(controller, PASSPHRASE.encode() + b"\n")
    shown += drained(controller)
    assert process.wait(timeout=60) == 0, shown
    assert PASSPHRASE.encode() not in shown
    assert (tmp_path / "r.json").exists()


def drained(descriptor):
    """All that is written to a terminal until the last program leaves it."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)
    found = b""
    while True:
        try:
            found += os.read(descriptor, 1024)
        except OSError:  # Linux says so when nobody has the terminal open any more
            os.close(descriptor)
            return found


def test_the_help_tells_the_exit_codes_and_who_does_what(home):
    help_ = " ".join(CliRunner().invoke(cli.app, ["--help"], env={"COLUMNS": "200"}).output.split())
    for words in ("14 parameters", "15 key refused", "16 ciphertext", "24 would decrypt to something wrong"):
        assert words in help_
    sides = CliRunner().invoke(cli.app, ["he", "--help"], env={"COLUMNS": "200"}).output
    for words in ("Owner: encrypt", "Evaluator: compute", "Owner: decrypt"):
        assert words in sides
