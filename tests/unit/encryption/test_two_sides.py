"""Owner and evaluator share a folder: nothing is lost, nothing done twice, and nothing foreign gets through."""

import datetime
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("Pyfhel", reason="homomorphic encryption needs Pyfhel")

from tasks.common.errors import CiphertextError, InputError, KeyRefused
from tasks.encryption import evaluator_side, evidence, exchange, keys, owner_side
from tasks.encryption.exchange import Sent
from tests.conftest import ROOT
from tests.unit.encryption.two_sides import DESCRIPTION, PASSPHRASE, make_keys, sides


@pytest.fixture(scope="module")
def key_folder(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("keys") / "keys")


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory, key_folder):
    """A job that the owner has encrypted; to be copied."""
    job = sides(key_folder, tmp_path_factory.mktemp("shared") / "job")
    job.encrypt()
    return job


@pytest.fixture
def job(encrypted, tmp_path):
    folder = tmp_path / "job"
    shutil.copytree(encrypted.folder, folder)
    return sides(encrypted.keys, folder)


@pytest.fixture
def counted(monkeypatch):
    """Which parts were really computed, by the number of their messages."""
    done, real = [], evaluator_side._assignment

    class Counting:
        def __init__(self, task):
            self._task = task

        def evaluate(self, session, messages):
            done.append(len(messages))
            return self._task.evaluate(session, messages)

        def __getattr__(self, name):
            return getattr(self._task, name)

    class Wrapped:
        def __init__(self, assignment):
            self.task = Counting(assignment.task)

    monkeypatch.setattr(evaluator_side, "_assignment", lambda work: Wrapped(real(work)))
    return done


def same(found, wanted):
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_two_sides_come_to_the_result_that_is_computed_plainly(job, counted):
    answer = evaluator_side.evaluate(job.folder, job.evaluator)
    assert answer.parts == len(counted) == 3
    same(job.decrypt(), job.job.plainly(job.data))
    assert not (job.folder / "working").exists()


def test_the_same_data_again_keep_the_ciphertexts_and_other_data_replace_them(job):
    first = job.encrypt()
    assert job.encrypt() == first
    # The same bytes under another dtype are other data.
    assert job.encrypt(job.data.astype(float)).identity != first.identity


def test_an_answer_to_earlier_data_is_refused(job):
    evaluator_side.evaluate(job.folder, job.evaluator)
    job.encrypt(job.data[::-1].copy())
    with pytest.raises(InputError, match="to other messages than were sent last"):
        job.decrypt()
    with pytest.raises(InputError, match="has no answer yet"):
        evidence.collect(job.folder)
    evaluator_side.evaluate(job.folder, job.evaluator)
    same(job.decrypt(), job.job.plainly(job.data))


def test_finished_parts_are_not_done_again(job, counted):
    work = evaluator_side.take(job.folder, job.evaluator)
    first, *rest = evaluator_side.parts(work)
    evaluator_side.evaluate_part(work, first)
    evaluator_side.evaluate(job.folder, job.evaluator)
    assert len(counted) == 1 + len(rest)
    evaluator_side.evaluate(job.folder, job.evaluator)
    assert len(counted) == 1 + len(rest), "a whole answer is kept"


def test_a_finished_part_that_was_damaged_since_is_done_again(job, counted):
    work = evaluator_side.take(job.folder, job.evaluator)
    parts = evaluator_side.parts(work)
    (message,) = evaluator_side.evaluate_part(work, parts[0]).messages
    spoil(job.folder / message.file)
    evaluator_side.evaluate(job.folder, job.evaluator)
    assert len(counted) == 1 + len(parts)
    same(job.decrypt(), job.job.plainly(job.data))


def test_another_version_of_the_code_does_all_again(job, counted, monkeypatch):
    evaluator_side.evaluate(job.folder, job.evaluator)
    monkeypatch.setattr(evaluator_side, "code_version", lambda: "another")
    evaluator_side.evaluate(job.folder, job.evaluator)
    assert len(counted) == 6


KILLED = """
import os, signal, sys
from pathlib import Path
from tasks.encryption import envelope, evaluator_side
from tests.unit.encryption.two_sides import sides
keys, folder, stage, after = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
pack, left = envelope.pack, [after]
def killing(ciphertext):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return pack(ciphertext)
envelope.pack = killing
job = sides(keys, folder)
job.encrypt() if stage == "encrypt" else evaluator_side.evaluate(folder, job.evaluator)
"""


@pytest.mark.parametrize(("stage", "after"), [("encrypt", 0), ("encrypt", 70), ("evaluate", 1), ("evaluate", 3)])
def test_a_process_that_is_killed_loses_nothing_and_leaves_nothing_half_written(
    job, key_folder, tmp_path, stage, after
):
    folder = tmp_path / "fresh" if stage == "encrypt" else job.folder
    command = [sys.executable, "-c", KILLED, key_folder, folder, stage, str(after)]
    ended = subprocess.run(list(map(str, command)), cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (folder / ("to-evaluator" if stage == "encrypt" else "from-evaluator") / "record.json").exists()
    again = sides(key_folder, folder)
    if stage == "encrypt":
        with pytest.raises(InputError, match="nothing is encrypted"):
            evaluator_side.take(folder, again.evaluator)
        again.encrypt()
    else:
        assert len(list((folder / "working").glob("*/record.json"))) == after
    evaluator_side.evaluate(folder, again.evaluator)
    same(again.decrypt(), again.job.plainly(again.data))


def test_a_missing_message_is_counted_and_named(job):
    (job.folder / "to-evaluator" / "owner.000007.he").unlink()
    with pytest.raises(CiphertextError, match=r"1 of 130 ciphertexts are missing .*owner\.000007\.he"):
        evaluator_side.take(job.folder, job.evaluator)


def test_a_damaged_message_is_refused_by_both_sides(job):
    evaluator_side.evaluate(job.folder, job.evaluator)
    spoil(job.folder / "from-evaluator" / "totals.he")
    with pytest.raises(CiphertextError, match="not the ciphertext that was recorded"):
        job.decrypt()
    spoil(job.folder / "to-evaluator" / "owner.000000.he")
    with pytest.raises(CiphertextError, match="not the ciphertext that was recorded"):
        evaluator_side.take(job.folder, job.evaluator)


def test_messages_that_changed_places_are_refused(job):
    one, other = (job.folder / "to-evaluator" / f"owner.00000{n}.he" for n in (0, 1))
    (held := one.read_bytes(), one.write_bytes(other.read_bytes()), other.write_bytes(held))
    with pytest.raises(CiphertextError, match="not the ciphertext that was recorded"):
        evaluator_side.take(job.folder, job.evaluator)


def test_a_description_that_was_changed_on_the_way_is_noticed_by_the_owner(job):
    # Bins of twice the width would make other numbers of the same totals.
    evaluator_side.evaluate(job.folder, job.evaluator)
    path = job.folder / "job.json"
    document = json.loads(path.read_text())
    document["job"]["columns"][0]["lowest"] = 2
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="is not what the owner wrote there"):
        job.decrypt()


def test_a_record_can_name_nothing_outside_the_folder(job):
    path = job.folder / "to-evaluator" / "record.json"
    document = json.loads(path.read_text())
    for place in ("../secret.he", "/etc/passwd", "to-evaluator/../../x.he", "to-evaluator/a/b.he"):
        document["messages"][0]["file"] = place
        path.write_text(json.dumps(document))
        with pytest.raises(InputError, match=r"record\.json is damaged"):
            exchange.read_record(job.folder / "to-evaluator", Sent)


def test_a_record_that_is_cut_off_is_refused(job):
    path = job.folder / "to-evaluator" / "record.json"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"record\.json is damaged"):
        evaluator_side.take(job.folder, job.evaluator)


def test_keys_of_another_job_are_refused_by_both_sides(job, tmp_path):
    other = make_keys(tmp_path / "other")
    with pytest.raises(KeyRefused, match="is a job under the keys"):
        evaluator_side.take(job.folder, other / "evaluator")
    evaluator_side.evaluate(job.folder, job.evaluator)
    with pytest.raises(KeyRefused, match="is a job under the keys"):
        owner_side.decrypt(job.folder, other / "owner", PASSPHRASE)


def test_keys_that_do_not_fit_the_job_are_refused_before_they_are_opened(job):
    wider = {**DESCRIPTION, "columns": [{"name": "age", "lowest": 0, "highest": 120}]}
    with pytest.raises(KeyRefused, match="`secured he keys make --job` makes the right ones"):
        owner_side.describe(wider, job.owner)


def test_a_folder_of_another_job_is_never_overwritten(job):
    other = sides(job.keys, job.folder, {**DESCRIPTION, "contributors": ["clinic"]})
    with pytest.raises(InputError, match="belongs to another job"):
        other.encrypt()
    evaluator_side.evaluate(job.folder, job.evaluator)
    same(job.decrypt(), job.job.plainly(job.data))


def test_a_wrong_passphrase_opens_nothing(job):
    with pytest.raises(KeyRefused, match="does not open"):
        owner_side.encrypt(job.folder, job.assignment, job.owner, "wrong horse battery", job.data)


def test_the_evaluators_keys_decrypt_nothing(job):
    evaluator_side.evaluate(job.folder, job.evaluator)
    with pytest.raises(InputError, match="holds keys of the evaluator, not of the owner"):
        owner_side.decrypt(job.folder, job.evaluator, PASSPHRASE)
    session = keys.open_evaluator(job.evaluator)
    (message,) = exchange.read_record(job.folder / "from-evaluator", exchange.Answer).messages
    with pytest.raises(KeyRefused, match="only the owner can decrypt"):
        job.job.decrypt(session, {message.name: exchange.get(session, job.folder, message)})


def test_keys_that_expire_while_they_are_open_are_refused(job, monkeypatch):
    work = evaluator_side.take(job.folder, job.evaluator)
    (first, *_) = evaluator_side.parts(work)
    evaluator_side.session_of(work)
    real = keys.read_manifest
    yesterday = datetime.date.today() - datetime.timedelta(days=1)
    monkeypatch.setattr(
        keys, "read_manifest", lambda *given: expired(real(*given).model_copy(update={"expires": yesterday}))
    )

    def expired(manifest):
        keys._require_current(manifest.expires, "the keys are expired")
        return manifest

    with pytest.raises(KeyRefused, match="are expired"):
        evaluator_side.evaluate_part(work, first)


def test_without_an_answer_there_is_nothing_to_decrypt(job):
    with pytest.raises(InputError, match="no answer in"):
        job.decrypt()


def test_nothing_that_is_no_job_is_taken_for_one(tmp_path, key_folder):
    with pytest.raises(InputError, match="no folder of a job"):
        evaluator_side.take(tmp_path, key_folder / "evaluator")


def test_the_seal_says_nothing_of_the_data_to_who_can_guess_them(job, tmp_path):
    # A plain hash would let an evaluator try guesses; two folders of the same data share no digest.
    again = sides(job.keys, tmp_path / "again")
    first = exchange.read_record(job.folder / "to-evaluator", Sent)
    second = again.encrypt()
    assert first.made_of != second.made_of
    assert first.seal != second.seal


def test_names_of_messages_become_names_of_files_and_back(tmp_path, job):
    session = keys.open_owner(job.owner, PASSPHRASE)
    made = job.job.encrypt(session, job.data[:1])
    ciphertext = next(iter(made.values()))
    names = {"a/b", "..", "größe %", "x" * 150}
    written = exchange.put(tmp_path / "out", "to-evaluator", dict.fromkeys(names, ciphertext))
    assert {message.name for message in written} == names
    assert {path.parent for path in (tmp_path / "out").rglob("*.he")} == {tmp_path / "out" / "to-evaluator"}
    with pytest.raises(InputError, match="too long for a file"):
        exchange.put(tmp_path / "out", "to-evaluator", {"x" * 300: ciphertext})


def test_evidence_tells_how_a_job_was_done_and_not_what_came_out(job):
    evaluator_side.evaluate(job.folder, job.evaluator)
    assert evidence.collect(job.folder).seconds_decrypting is None
    job.decrypt()
    found = evidence.collect(job.folder)
    assert (found.kind, found.error, found.parts, found.messages_sent) == ("statistics", 0.0, 3, 130)
    assert found.seconds_decrypting > 0
    assert found.bytes_sent == sum(path.stat().st_size for path in (job.folder / "to-evaluator").glob("*.he"))
    assert found.needs == job.job.needs()
    assert found.security == 128


def spoil(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
