"""Keys by role: who can do what with them, and what is noticed when a file was changed."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("Pyfhel", reason="Pyfhel is not installed; make env builds it")

from tasks.common import key_file
from tasks.common.errors import InputError, KeyRefused, ParametersError, SecuredError
from tasks.common.key_file import Key
from tasks.common.values import content_hash
from tasks.encryption import envelope, guarded, keys
from tasks.encryption.parameters import Parameters
from tasks.encryption.session import Role
from tests.unit.encryption.worlds import PASSPHRASE

SMALL = Parameters(scheme="bfv", degree=4096, moduli_bits=(36, 36, 37), plain_bits=16)
TOMORROW = datetime.date.today() + datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of a small ring, which no test changes."""
    made = tmp_path_factory.mktemp("keys") / "keys"
    keys.make(made, SMALL, PASSPHRASE, rotations=[1], products=True, expires=TOMORROW)
    return made


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(folder, tmp_path / "keys"))


def rewritten(path: Path, **changed: Any) -> None:
    """A manifest with other content, and with the hash of it, as one who knows the format would write it."""
    manifest = keys.Manifest.model_validate(
        {name: value for name, value in json.loads(path.read_text()).items() if name != "sha256"} | changed
    )
    path.write_text(json.dumps(manifest.model_dump(mode="json") | {"sha256": content_hash(manifest)}))


def test_the_owner_alone_can_read_the_owners_files(folder: Path) -> None:
    owner = folder / "owner"
    assert owner.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in owner.iterdir()} == {
        "manifest.json": 0o600, "public.key": 0o600, "secret.locked": 0o600,
    }  # fmt: skip


def test_a_role_has_no_more_than_its_work_needs(folder: Path) -> None:
    assert {path.name for path in (folder / "evaluator").iterdir()} == {
        "manifest.json", "public.key", "products.key", "rotations.key",
    }  # fmt: skip
    assert {path.name for path in (folder / "auditor").iterdir()} == {"manifest.json", "public.key"}
    for session in keys.open_evaluator(folder / "evaluator"), keys.open_auditor(folder / "auditor"):
        assert session.native.is_secret_key_empty()
        ciphertext = guarded.encrypt(session, [1, 2])
        with pytest.raises(KeyRefused, match=f"the {session.role} has no secret key"):
            guarded.decrypt(ciphertext)
    auditor = keys.open_auditor(folder / "auditor")
    assert (auditor.native.is_relin_key_empty(), auditor.native.is_rotate_key_empty()) == (True, True)


def test_the_secret_is_in_no_file_but_locked(folder: Path) -> None:
    """Its bytes, in pieces of 16, are searched in all files of all roles."""
    owner = keys.open_owner(folder / "owner", PASSPHRASE)
    secret = owner.native.to_bytes_secret_key("none")
    pieces = [secret[start : start + 16] for start in range(len(secret) // 2, len(secret) // 2 + 1600, 16)]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 9
    for path in files:
        content = path.read_bytes()
        assert not any(piece in content for piece in pieces), path
        assert PASSPHRASE.encode() not in content


def test_keys_that_a_job_does_not_need_are_not_made(tmp_path: Path) -> None:
    keys.make(tmp_path / "keys", SMALL, PASSPHRASE)
    assert {path.name for path in (tmp_path / "keys" / "evaluator").iterdir()} == {"manifest.json", "public.key"}
    session = keys.open_evaluator(tmp_path / "keys" / "evaluator")
    ciphertext = guarded.encrypt(session, np.arange(4))
    for refused in (lambda: ciphertext * ciphertext, lambda: ciphertext.rotate(1), ciphertext.flip):
        with pytest.raises(KeyRefused):
            refused()


@pytest.mark.parametrize("lock", ["another passphrase", Key(b"k" * 32)])
def test_another_lock_does_not_open(folder: Path, lock: keys.Lock) -> None:
    with pytest.raises(KeyRefused, match="passphrase or key file is another one"):
        keys.open_owner(folder / "owner", lock)


def test_a_key_file_opens_what_it_locked(tmp_path: Path) -> None:
    made, other = key_file.new(tmp_path / "own.key"), key_file.new(tmp_path / "other.key")
    keys.make(tmp_path / "keys", SMALL, made)
    session = keys.open_owner(tmp_path / "keys" / "owner", key_file.read(tmp_path / "own.key"))
    assert np.array_equal(guarded.decrypt(guarded.encrypt(session, [3, -4])), [3, -4])
    for lock in (other, PASSPHRASE):
        with pytest.raises(KeyRefused, match="does not open"):
            keys.open_owner(tmp_path / "keys" / "owner", lock)


def test_a_short_passphrase_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(KeyRefused, match="12 characters"):
        keys.make(tmp_path / "keys", SMALL, "elevenchars")
    assert not (tmp_path / "keys").exists()


def test_nothing_is_overwritten(folder: Path) -> None:
    before = (folder / "owner" / "secret.locked").read_bytes()
    with pytest.raises(InputError, match="never overwritten"):
        keys.make(folder, SMALL, PASSPHRASE)
    assert (folder / "owner" / "secret.locked").read_bytes() == before


def test_rotations_that_cannot_be_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ParametersError, match="less than 2,048"):
        keys.make(tmp_path / "keys", SMALL, PASSPHRASE, rotations=[2048])
    assert not (tmp_path / "keys").exists()


def test_expired_keys_open_for_nobody(copied: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Later(datetime.date):
        @classmethod
        def today(cls) -> datetime.date:
            return TOMORROW + datetime.timedelta(days=1)

    monkeypatch.setattr(keys.datetime, "date", Later)
    for opened in (
        lambda: keys.open_owner(copied / "owner", PASSPHRASE), lambda: keys.open_evaluator(copied / "evaluator"),
        lambda: keys.open_auditor(copied / "auditor"),
    ):  # fmt: skip
        with pytest.raises(KeyRefused, match=f"expired.*{TOMORROW}"):
            opened()
    with pytest.raises(KeyRefused, match="from the start"):
        keys.make(tmp_path / "new", SMALL, PASSPHRASE, expires=TOMORROW)
    # They can be renewed, for the same work, and the new ones say which they replace.
    new = keys.renew(copied / "owner", tmp_path / "new", PASSPHRASE)
    old = keys.read_manifest(copied / "owner", Role.OWNER, expired=True)
    assert (new.replaces, new.rotations, new.products) == (old.fingerprint, old.rotations, old.products)
    assert new.fingerprint != old.fingerprint


def test_renewing_takes_the_lock_of_the_old_keys(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyRefused, match="does not open"):
        keys.renew(folder / "owner", tmp_path / "new", "another passphrase")
    assert not (tmp_path / "new").exists()


def test_the_owner_notices_another_expiry_date(copied: Path) -> None:
    """Even where whoever changed it also wrote the hash anew: the date is authenticated with the secret key."""
    rewritten(copied / "owner" / "manifest.json", expires="2999-12-31")
    with pytest.raises(KeyRefused, match="a file was changed"):
        keys.open_owner(copied / "owner", PASSPHRASE)


def test_other_parameters_do_not_fit_the_public_key(copied: Path) -> None:
    other = SMALL.model_copy(update={"plain_bits": 17}).model_dump(mode="json")
    for role in ("owner", "evaluator", "auditor"):
        rewritten(copied / role / "manifest.json", parameters=other)
    with pytest.raises(InputError, match="public key is not the one"):
        keys.open_evaluator(copied / "evaluator")
    with pytest.raises(InputError, match="public key is not the one"):
        keys.open_owner(copied / "owner", PASSPHRASE)


def test_keys_of_other_keys_are_noticed(copied: Path, tmp_path: Path) -> None:
    """SEAL loads relinearization keys of the same parameters, whoever's they are."""
    keys.make(tmp_path / "other", SMALL, PASSPHRASE, rotations=[1], products=True)
    for name in ("products.key", "rotations.key"):
        kept = (copied / "evaluator" / name).read_bytes()
        shutil.copy(tmp_path / "other" / "evaluator" / name, copied / "evaluator" / name)
        with pytest.raises(InputError, match="damaged or of other keys"):
            keys.open_evaluator(copied / "evaluator")
        (copied / "evaluator" / name).write_bytes(kept)
    shutil.copy(tmp_path / "other" / "owner" / "secret.locked", copied / "owner" / "secret.locked")
    with pytest.raises(KeyRefused, match="does not open"):
        keys.open_owner(copied / "owner", PASSPHRASE)


def test_a_folder_of_another_role_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="of the evaluator, not of the owner"):
        keys.open_owner(folder / "evaluator", PASSPHRASE)
    with pytest.raises(InputError, match="there are no keys"):
        keys.open_evaluator(tmp_path)


FILES = [
    ("owner", "manifest.json"), ("owner", "public.key"), ("owner", "secret.locked"), ("evaluator", "manifest.json"),
    ("evaluator", "public.key"), ("evaluator", "products.key"), ("evaluator", "rotations.key"),
]  # fmt: skip


@given(st.sampled_from(FILES), st.floats(0, 1, exclude_max=True), st.integers(1, 255), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_byte_or_a_lost_end_is_noticed(
    folder: Path, file: tuple[str, str], where: float, by: int, cut: bool
) -> None:
    role, name = file
    path = folder / role / name
    whole = path.read_bytes()
    at = int(where * len(whole))
    changed = whole[:at] if cut else whole[:at] + bytes([whole[at] ^ by]) + whole[at + 1 :]
    if name == "manifest.json" and _same_content(whole, changed):
        return
    path.write_bytes(changed)
    try:
        with pytest.raises(SecuredError):
            keys.open_owner(folder / role, PASSPHRASE) if role == "owner" else keys.open_evaluator(folder / role)
    finally:
        path.write_bytes(whole)


def _same_content(a: bytes, b: bytes) -> bool:
    """White space in JSON may change."""
    try:
        return bool(json.loads(a) == json.loads(b))
    except ValueError:
        return False


def test_a_session_is_not_pickled(folder: Path) -> None:
    import pickle

    for session in (keys.open_owner(folder / "owner", PASSPHRASE), keys.open_evaluator(folder / "evaluator")):
        with pytest.raises(TypeError, match="stays in the process"):
            pickle.dumps(session)


def test_ciphertexts_of_keys_that_are_not_open_say_so(folder: Path, tmp_path: Path) -> None:
    import pickle

    keys.make(tmp_path / "keys", SMALL, PASSPHRASE)
    session = keys.open_auditor(tmp_path / "keys" / "auditor")
    content, sealed = pickle.dumps(ciphertext := guarded.encrypt(session, [1])), envelope.pack(ciphertext)
    del session, ciphertext
    with pytest.raises(KeyRefused, match="open the folder of its keys"):
        pickle.loads(content)  # noqa: S301
    with pytest.raises(SecuredError, match="made under the keys"):
        envelope.unpack(keys.open_auditor(folder / "auditor"), sealed)
