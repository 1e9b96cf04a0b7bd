"""What an evaluator has of a job under encryption: neither a value of a patient nor the key, in no file, no memory."""

import sqlite3
import subprocess
import sys

import pytest

pytest.importorskip("Pyfhel", reason="homomorphic encryption needs Pyfhel")

from tests import encrypted_run as running
from tests.functional.running import secured
from tests.security import canaries, memory

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Another job, done command by command."""
    return running.prepared(tmp_path_factory.mktemp("commands"))


@pytest.fixture(scope="module")
def owner_found(place):
    """What is in the owner's memory once the table is encrypted."""
    lock = ("--passphrase-file", place.passphrase)
    encrypt = ("he", "encrypt", place.job, place.table, "--keys", place.keys, "--folder", place.shared, *lock)
    with running.held(place, *encrypt) as (pid, _):
        return memory.found(pid, place.needles())


@pytest.fixture(scope="module")
def evaluator(place, owner_found):
    """What is in the evaluator's memory at the end of its work, and what it opened."""
    with running.held(place, "he", "evaluate", place.shared, "--keys", place.keys / "evaluator") as (pid, opened):
        return memory.found(pid, place.needles()), opened


def test_the_search_finds_key_values_and_passphrase_where_they_are(place, owner_found):
    # A search that cannot find anything would prove nothing. The owner's process has it all.
    assert owner_found >= {f"{value} as a double" for value in (canaries.AGE, canaries.DAY)}
    assert owner_found >= {"secret key at 0", "secret key at 8000", "secret key at 20000"}
    assert "passphrase" in owner_found


def test_the_search_finds_every_form_that_is_looked_for(place):
    needles = place.needles()
    hold = "import sys; held = [bytes.fromhex(n) for n in sys.stdin.readline().split()]; print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        print(*(needle.hex() for _, needle in needles), file=process.stdin, flush=True)
        process.stdout.readline()
        assert memory.found(process.pid, needles) == {name for name, _ in needles}
        process.communicate("\n")


def test_the_evaluators_memory_has_neither_the_key_nor_a_value(evaluator):
    found, _ = evaluator
    assert found == set()


def test_the_evaluator_opens_nothing_of_the_owners(place, evaluator):
    _, opened = evaluator
    ours = {path for path in opened if path.startswith(str(place.folder))}
    assert any(path.startswith(str(place.keys / "evaluator")) for path in ours)
    assert any(path.startswith(str(place.shared / "to-evaluator")) for path in ours)
    allowed = tuple(map(str, (place.keys / "evaluator", place.shared, place.home, place.temporary)))
    assert [path for path in ours if not path.startswith(allowed) and not path.endswith("opened.json")] == []


def test_what_went_between_them_is_ciphertext_and_records(place, evaluator):
    assert {path.suffix for path in place.shared.rglob("*") if path.is_file()} == {".he", ".json"}
    assert canaries.traces(place.shared, more=place.disguised()) == []
    assert canaries.traces(place.keys, more=place.disguised()) == [], "the secret key is locked where it lies"


def test_the_evaluators_folder_cannot_decrypt(place, evaluator, tmp_path):
    out = tmp_path / "result.json"
    for keys in ("evaluator", "auditor"):
        ended = secured(
            "he", "decrypt", place.shared, "--keys", place.keys / keys, "--out", out,
            "--passphrase-file", place.passphrase, home=place.home,
        )  # fmt: skip
        assert ended.returncode == 10
        assert f"holds keys of the {keys}, not of the owner" in ended.stderr
    assert not out.exists()


def test_neither_the_flow_nor_a_worker_ever_has_the_key_or_a_value(encrypted_run):
    kinds = sorted(name.split()[0] for name in encrypted_run.in_memory)
    assert kinds.count("worker") >= 2, kinds
    assert "flow" in kinds
    assert {name: found for name, found in encrypted_run.in_memory.items() if found} == {}


def test_no_store_has_the_key_the_passphrase_or_a_value(encrypted_run):
    place = encrypted_run.place
    needles = place.disguised()
    assert canaries.traces(place.table.parent, more=needles), "where they are they are found"
    for folder in (place.home, place.temporary, place.shared, place.keys):
        assert canaries.traces(folder, more=needles) == []
    assert canaries.in_text(encrypted_run.output) == []
    assert running.PASSPHRASE not in encrypted_run.output


def test_the_stores_that_were_searched_are_the_ones_that_are_used(encrypted_run):
    home = encrypted_run.place.home
    names = {path.name for path in home.rglob("*") if path.is_file()}
    assert {"prefect.db", "mlflow.db", "evidence.json"} <= names
    database = sqlite3.connect(home / "prefect" / "prefect.db")
    assert database.execute("select count(*) from task_run").fetchone()[0] >= 7
    (parameters,) = database.execute("select parameters from flow_run").fetchone()
    assert str(encrypted_run.place.passphrase) in parameters  # its path, and no more
