"""Keys are random, private, never shown, and derive by HMAC-SHA-256 as RFC 4231 says."""

import pickle
import stat
from pathlib import Path

import pytest

from tasks.common import key_file
from tasks.common.errors import InputError
from tasks.common.key_file import Key, mac

# RFC 4231, section 4: key, data and HMAC-SHA-256 of test cases 1 to 7 (5 is cut to 128 bits).
RFC_4231 = [
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (bytes(range(1, 26)), b"\xcd" * 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
    (b"\x0c" * 20, b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    (
        b"\xaa" * 131,
        b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be "
        b"hashed before being used by the HMAC algorithm.",
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
]


@pytest.mark.parametrize(("secret", "message", "expected"), RFC_4231)
def test_the_vectors_of_rfc_4231_come_out(secret, message, expected):
    assert mac(secret, message).hex()[: len(expected)] == expected


def test_a_new_key_is_private_random_and_read_back(tmp_path):
    made = key_file.new(tmp_path / "a.key")
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600
    assert key_file.read(tmp_path / "a.key") == made
    assert len(made.secret) == 32
    assert key_file.new(tmp_path / "b.key").fingerprint != made.fingerprint


def test_a_key_is_never_overwritten(tmp_path):
    made = key_file.new(tmp_path / "a.key")
    with pytest.raises(InputError, match="exists"):
        key_file.new(tmp_path / "a.key")
    assert key_file.read(tmp_path / "a.key") == made


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path, mode):
    key_file.new(tmp_path / "a.key")
    (tmp_path / "a.key").chmod(mode)
    with pytest.raises(InputError, match="read by others"):
        key_file.read(tmp_path / "a.key")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("secured-key-1:" + "0123456789abcdef" * 3 + "\n", "24 bytes"),
        ("secured-key-1:" + "00" * 32 + "\n", "not drawn at random"),
        ("secured-key-1:" + "0123456789abcdef" * 4 + "0\n", "no key file"),
        ("my password", "no key file"),
        ("", "no key file"),
    ],
)
def test_a_weak_or_foreign_key_is_refused_without_showing_it(tmp_path, text, complaint):
    place = tmp_path / "a.key"
    place.touch(mode=0o600)
    place.write_text(text)
    with pytest.raises(InputError, match=complaint) as error:
        key_file.read(place)
    assert "0123456789abcdef" not in str(error.value)


def test_a_key_does_not_lie_where_results_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("SECURED_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "runs").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "home")
    for place in (tmp_path / "home" / "runs" / "a.key", tmp_path / "link" / "a.key"):
        with pytest.raises(InputError, match="keep it apart"):
            key_file.new(place)
        assert not place.exists()


def test_a_key_is_neither_shown_nor_pickled():
    key = Key(bytes(range(32)))
    assert key.secret.hex() not in repr(key) + str(key)
    assert repr(key.secret) not in repr(key)
    with pytest.raises(TypeError, match="stays in the process"):
        pickle.dumps(key)


def test_a_missing_key_says_how_to_make_one():
    with pytest.raises(InputError, match="secured key new"):
        key_file.read(Path("/nowhere/a.key"))


def test_parts_of_a_message_cannot_run_into_each_other():
    key = Key(bytes(range(32)))
    assert len({key.derive("p", "ab", "c"), key.derive("p", "a", "bc"), key.derive("p", "abc"), key.derive("pa")}) == 4
