"""A ciphertext on its way: whole and of these keys, or refused."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("Pyfhel", reason="Pyfhel is not installed; make env builds it")

from tasks.common.errors import CiphertextError, InputError
from tasks.encryption import envelope, keys
from tests.unit.encryption.worlds import world

MAGIC = b"SECURED-HE-1\n"
FIELDS = ("level", "scale", "bound", "error", "shape", "layout")


def sealed(header: bytes, payload: bytes) -> bytes:
    """An envelope as one who knows the format would write it."""
    content = struct.pack(">I", len(header)) + header + payload
    return MAGIC + hashlib.sha256(content).digest() + content


def parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and payload of an envelope."""
    body = content[len(MAGIC) + 32 :]
    (length,) = struct.unpack_from(">I", body)
    return json.loads(body[4 : 4 + length]), body[4 + length :]


def example(scheme: str) -> Any:
    own = world(scheme)
    return own.encrypt(np.arange(12).reshape(3, 4)) * 2


@pytest.mark.parametrize("scheme", ["ckks", "bfv", "bgv"])
@pytest.mark.parametrize("way", ["bytes", "pickle", "disk"])
def test_what_is_known_of_a_ciphertext_survives(scheme: str, way: str, tmp_path: Path) -> None:
    own = world(scheme)
    sent = example(scheme)
    if scheme == "bgv":
        sent = sent * sent  # which has a correction factor
    if way == "disk":
        envelope.save(sent, tmp_path / "c.he")
        got = envelope.load(own.owner, tmp_path / "c.he")
    else:
        dumped = pickle.dumps(sent) if way == "pickle" else envelope.pack(sent)
        got = pickle.loads(dumped) if way == "pickle" else envelope.unpack(own.owner, dumped)  # noqa: S301
    assert [getattr(got, name) for name in FIELDS] == [getattr(sent, name) for name in FIELDS]
    assert got.session is own.owner  # which is asked first, where both are open
    want = 4 * np.arange(12).reshape(3, 4) ** 2 if scheme == "bgv" else 2 * np.arange(12).reshape(3, 4)
    assert np.abs(own.decrypt(got) - want).max() <= (got.error if scheme == "ckks" else 0)


def test_correction_factors_and_bounds_beyond_floating_point_survive(tmp_path: Path) -> None:
    """In a ring with a plain modulus of 57 bits, where neighbouring integers are one float64."""
    from tasks.encryption import guarded
    from tasks.encryption.parameters import Parameters

    parameters = Parameters(scheme="bgv", degree=8192, moduli_bits=(54, 54, 54, 55), plain_bits=57)
    keys.make(tmp_path / "keys", parameters, "correct horse battery", products=True)
    owner = keys.open_owner(tmp_path / "keys" / "owner", "correct horse battery")
    most = parameters.plain_modulus // 2 - 1
    sent = guarded.encrypt(owner, [most, -most]).dropped()
    got = envelope.unpack(owner, envelope.pack(sent))
    assert (got.scale, got.bound) == (sent.scale, most)
    assert (float(most) != most, float(sent.scale) != sent.scale) == (True, True)
    assert got.scale * parameters.primes[2] % parameters.plain_modulus == 1
    assert guarded.decrypt(got).tolist() == [most, -most]


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_is_noticed(where: float, by: int) -> None:
    own, content = world("bfv"), CONTENT("bfv")
    at = int(where * len(content))
    with pytest.raises(CiphertextError):
        envelope.unpack(own.owner, content[:at] + bytes([content[at] ^ by]) + content[at + 1 :])


@pytest.mark.parametrize("at", range(200))
def test_a_changed_byte_of_the_header_is_noticed(at: int) -> None:
    content = CONTENT("bfv")
    with pytest.raises(CiphertextError):
        envelope.unpack(world("bfv").owner, content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])


@given(st.floats(0, 1, exclude_max=True))
@settings(max_examples=50, deadline=None)
def test_a_lost_end_is_noticed(where: float) -> None:
    content = CONTENT("ckks")
    with pytest.raises(CiphertextError):
        envelope.unpack(world("ckks").owner, content[: int(where * len(content))])


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_what_is_no_envelope_is_refused(noise: bytes) -> None:
    for content in (noise, MAGIC + noise, sealed(noise, b""), sealed(b"{}", noise)):
        with pytest.raises(CiphertextError):
            envelope.unpack(world("bfv").owner, content)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"level": 1}, "says level 1 and is at level 0"),
        ({"level": 99}, "says level 99"),
        ({"level": -1}, "cannot be read"),
        ({"shape": [8192, 2]}, "has 8,192 slots"),
        ({"shape": [-3, -4]}, "cannot be read"),
        ({"bound": float("nan")}, "cannot be read"),
        ({"bound": float("inf")}, "cannot be read"),
        ({"bound": -1}, "cannot be read"),
        ({"error": -1.0}, "cannot be read"),
        ({"scale": 0}, "cannot be read"),
        ({"scheme": "bgv"}, "says bgv, its keys are of bfv"),
        ({"keys": "0" * 32}, "made under the keys 0000"),
        ({"more": 1}, "cannot be read"),
        ({"payload": 5}, "not as long as it says"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(changed: dict[str, Any], message: str) -> None:
    header, payload = parts(CONTENT("bfv"))
    with pytest.raises(CiphertextError, match=message):
        envelope.unpack(world("bfv").owner, sealed(json.dumps(header | changed).encode(), payload))


def test_another_scale_than_the_ciphertext_has_is_refused() -> None:
    header, payload = parts(CONTENT("ckks"))
    changed = json.dumps(header | {"scale": header["scale"] * 2}).encode()
    with pytest.raises(CiphertextError, match="another scale"):
        envelope.unpack(world("ckks").owner, sealed(changed, payload))


@pytest.mark.parametrize("scheme", ["ckks", "bfv", "bgv"])
def test_a_ciphertext_of_another_context_is_refused(scheme: str) -> None:
    content = CONTENT(scheme)
    with pytest.raises(CiphertextError, match="made under the keys"):
        envelope.unpack(world(scheme, "other").owner, content)
    other = "bfv" if scheme != "bfv" else "bgv"
    header, _ = parts(content)
    _, payload = parts(CONTENT(other))
    forged = sealed(json.dumps(header | {"payload": len(payload)}).encode(), payload)
    with pytest.raises(CiphertextError, match="SEAL cannot read"):
        envelope.unpack(world(scheme).owner, forged)


@pytest.mark.parametrize("scheme", ["ckks", "bfv", "bgv"])
def test_a_lie_about_the_bound_is_noticed_by_the_owner(scheme: str) -> None:
    from tasks.common.errors import WouldBeWrong

    header, payload = parts(CONTENT(scheme))
    content = sealed(json.dumps(header | {"bound": 1, "error": 0.01}).encode(), payload)
    with pytest.raises(WouldBeWrong, match="beyond the bound"):
        world(scheme).decrypt(envelope.unpack(world(scheme).owner, content))


def test_files_that_cannot_be_read_say_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        envelope.load(world("bfv").owner, tmp_path / "none.he")
    (tmp_path / "c.he").write_bytes(CONTENT("bfv")[:-1])
    with pytest.raises(CiphertextError, match=r"c\.he: .*damaged or cut off"):
        envelope.load(world("bfv").owner, tmp_path / "c.he")


def _kept() -> Callable[[str], bytes]:
    made: dict[str, bytes] = {}

    def content(scheme: str) -> bytes:
        if scheme not in made:
            made[scheme] = envelope.pack(example(scheme))
        return made[scheme]

    return content


CONTENT = _kept()


# A worker of Dask: another process, in which the evaluator's folder alone was opened.

_opened: list[Any] = []


def open_there(folder: str) -> bool:
    """Whether a secret key is in the worker."""
    _opened.append(keys.open_evaluator(Path(folder)))
    return not _opened[-1].native.is_secret_key_empty()


def work(a: Any, b: Any) -> Any:
    return a * b + a


def decrypt_there(a: Any) -> str:
    from tasks.common.errors import KeyRefused
    from tasks.encryption import guarded

    try:
        return str(guarded.decrypt(a))
    except KeyRefused as refusal:
        return f"refused: {refusal}"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0",
            local_directory=str(tmp_path_factory.mktemp("dask")),
        ) as cluster,
        Client(cluster) as opened,
    ):  # fmt: skip
        yield opened


@pytest.mark.parametrize("scheme", ["ckks", "bfv", "bgv"])
def test_a_dask_worker_computes_and_cannot_decrypt(client: Any, scheme: str) -> None:
    own = world(scheme)
    assert client.submit(open_there, str(own.folder / "evaluator"), pure=False).result() is False
    values = np.arange(6).reshape(2, 3)
    a, b = own.encrypt(values), own.encrypt(values[::-1])
    got = client.submit(work, a, b).result()
    error = got.error if scheme == "ckks" else 0
    assert np.abs(own.decrypt(got) - (values * values[::-1] + values)).max() <= error
    assert got.level == (a * b + a).level
    assert client.submit(decrypt_there, a).result() == (
        "refused: the evaluator has no secret key; only the owner can decrypt"
    )
