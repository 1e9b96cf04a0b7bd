"""What Pyfhel does wrong without a word, shown, and what is done here instead."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("Pyfhel", reason="Pyfhel is not installed; make env builds it")
from Pyfhel import PyCtxt, Pyfhel

from tasks.common.errors import CiphertextError, KeyRefused, WouldBeWrong
from tasks.encryption import approximate, exact, guarded
from tests.unit.encryption.worlds import world

X = np.linspace(-1, 1, 2048)


def raw(scheme: str, degree: int = 4096, sizes: tuple[int, ...] = (40, 30, 39)) -> Any:
    """A context of Pyfhel's own, with keys of all kinds but for rotations."""
    made = Pyfhel()
    rest = {"scale": 2**30} if scheme == "ckks" else {"t_bits": 20}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.contextGen(scheme=scheme, n=degree, qi_sizes=list(sizes), **rest)
    made.keyGen()
    made.relinKeyGen()
    return made


def encrypted(session: Any, values: np.ndarray) -> Any:
    return session.encryptInt(values) if session.scheme.name == "bfv" else session.encryptBGV(values)


def decrypted(session: Any, ciphertext: Any) -> np.ndarray:
    open_ = session.decryptInt if session.scheme.name == "bfv" else session.decryptBGV
    return np.asarray(open_(ciphertext))


def test_ciphertexts_of_two_contexts_are_not_added() -> None:
    a, b = raw("ckks"), raw("ckks")
    wrong = a.decryptFrac(a.add(a.encryptFrac(X), b.encryptFrac(X)))
    assert np.abs(wrong - 2 * X).max() > 1e6

    mine, theirs = world("ckks").encrypt(X), world("ckks", "other").encrypt(X)
    for operation in (mine.__add__, mine.__sub__, mine.__mul__):
        with pytest.raises(CiphertextError, match="cannot meet"):
            operation(theirs)


@pytest.mark.parametrize("scheme", ["ckks", "bfv", "bgv"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_not_encrypted(scheme: str, value: float) -> None:
    if scheme == "ckks":
        plain = raw("ckks")
        assert np.abs(plain.decryptFrac(plain.encryptFrac(np.array([1.0, value])))[0] - 1) > 1e6
    own = world(scheme)
    ciphertext = own.encrypt(np.ones(2))
    for operation in (own.encrypt, ciphertext.__add__, ciphertext.__mul__, ciphertext.encode_for):
        with pytest.raises(WouldBeWrong, match="1 of 2 values are missing or infinite"):
            operation(np.array([1.0, value]))


@pytest.mark.parametrize("scheme", ["bfv", "bgv"])
def test_a_product_too_many_is_refused(scheme: str) -> None:
    """With SEAL's default primes for the ring and a plain modulus of 20 bits, the fifth product is always wrong."""
    session = raw(scheme, 8192, (43, 43, 44, 44, 44))
    two = encrypted(session, np.full(8192, 2))
    power, right = two, []
    for count in range(1, 6):
        power = session.multiply(power, two, True)
        session.relinearize(power)
        right.append(bool(np.all(decrypted(session, power) == 2 ** (count + 1))))
    assert (right[:3], right[4]) == ([True, True, True], False)  # the fourth depends on the key

    own = world(scheme)
    power = two = own.encrypt(np.full(own.slots, 2))
    made = 0
    with pytest.raises(WouldBeWrong, match="noise of one more operation"):
        for made in range(20):
            power = power * two
            assert np.array_equal(own.decrypt(power), np.full(own.slots, 2 ** (made + 2)))
    assert made >= 2  # refusing everything would not be a guard


@pytest.mark.parametrize("scheme", ["bfv", "bgv"])
def test_integers_do_not_wrap_around(scheme: str) -> None:
    session = raw(scheme, 8192, (43, 43, 44, 44, 44))
    product = encrypted(session, np.full(8192, 1000))
    product = session.multiply(product, product, True)
    session.relinearize(product)
    assert decrypted(session, product)[0] == 1000 * 1000 - session.t < 0

    own = world(scheme)
    most = own.owner.most
    thousand, half = own.encrypt(np.full(own.slots, 1000)), own.encrypt(np.full(own.slots, most // 2 + 1))
    for refused in (
        lambda: thousand * thousand, lambda: half + half, lambda: half - half, lambda: thousand * 1000,
        lambda: thousand + most, lambda: half * 2, lambda: own.encrypt([most + 1]), lambda: own.encrypt([-most - 1]),
    ):  # fmt: skip
        with pytest.raises(WouldBeWrong, match="wrap around"):
            refused()
    assert np.array_equal(own.decrypt(own.encrypt([most, -most])), [most, -most])


def test_values_do_not_wrap_around_the_modulus() -> None:
    own = world("ckks")
    room = 2.0**39 / 2**30  # half of the last prime, by the scale
    deep = own.encrypt(np.full(4, 0.9 * room)).at(3, own.evaluator.scale)
    assert np.abs(own.decrypt(deep) - 0.9 * room).max() <= deep.error
    with pytest.raises(WouldBeWrong, match="wrap around"):
        own.encrypt(np.full(4, room)).at(3, own.evaluator.scale)
    with pytest.raises(WouldBeWrong, match="wrap around"):
        own.encrypt(np.full(4, 2.0**100))


DECRYPTING = """
import numpy as np
from Pyfhel import PyCtxt, Pyfhel
owner, evaluator = Pyfhel(), Pyfhel()
for session in owner, evaluator:
    session.contextGen(scheme="bfv", n=4096, t_bits=20, sec=128)
owner.keyGen()
evaluator.from_bytes_public_key(owner.to_bytes_public_key())
evaluator.decryptInt(evaluator.encryptInt(np.arange(4)))
"""


def test_decrypting_without_the_secret_key_is_refused() -> None:
    ended = subprocess.run([sys.executable, "-c", DECRYPTING], capture_output=True, timeout=120, check=False)
    assert ended.returncode == -11  # natively the process ends with a segmentation fault

    for scheme in ("ckks", "bfv", "bgv"):
        with pytest.raises(KeyRefused, match="only the owner can decrypt"):
            guarded.decrypt(world(scheme).encrypt([1]))


def test_a_ciphertext_keeps_its_level() -> None:
    session = raw("ckks")
    deeper = session.mod_switch_to_next_ctxt(session.encryptFrac(X), True)
    assert (deeper.mod_level, pickle.loads(pickle.dumps(deeper)).mod_level) == (1, 0)  # noqa: S301

    own = world("ckks")
    ciphertext = own.encrypt(X) * 2.0
    copy = pickle.loads(pickle.dumps(ciphertext))  # noqa: S301
    assert (copy.level, copy.native.mod_level, copy.scale) == (1, 1, ciphertext.scale)
    shallow = approximate.encrypt(copy.session, X)
    total = copy + shallow  # which is brought to the level of the other
    assert (total.level, np.abs(own.decrypt(total) - 3 * X).max() <= total.error) == (1, True)


def test_missing_keys_are_not_made_up() -> None:
    owner, other = raw("ckks"), Pyfhel()
    other.from_bytes_context(owner.to_bytes_context())
    other.from_bytes_public_key(owner.to_bytes_public_key())
    ciphertext = PyCtxt(pyfhel=other, bytestring=owner.encryptFrac(X).to_bytes(), scheme="ckks")
    with pytest.warns(RuntimeWarning, match="rot_key empty"):
        rotated = other.rotate(ciphertext, 1, True)
    there = PyCtxt(pyfhel=owner, bytestring=rotated.to_bytes(), scheme="ckks")
    assert np.abs(owner.decryptFrac(there) - np.roll(X, -1)).max() > 1e6

    own = world("ckks")
    with pytest.raises(KeyRefused, match="no key to rotate by 2; the job has keys for -3, 1"):
        own.encrypt(X).rotate(2)
    fresh = approximate.encrypt(own.owner, X)
    with pytest.raises(KeyRefused, match="no key to rotate by 1; the job has keys for none"):
        fresh.rotate(1)
    with pytest.raises(KeyRefused, match="relinearization key"):
        fresh * fresh


def test_bgv_multiplies_twice() -> None:
    session = raw("bgv", 8192, (43, 43, 44, 44, 44))
    a = encrypted(session, np.full(8192, 2))
    with pytest.raises(ValueError, match="parameter mismatch"):
        a * a * a

    own = world("bgv")
    b = own.encrypt(np.full(own.slots, 2))
    assert np.array_equal(own.decrypt(b * b * b), np.full(own.slots, 8))


@pytest.mark.parametrize("scheme", ["ckks", "bfv", "bgv"])
def test_zeros_that_would_not_be_encrypted_are_refused(scheme: str) -> None:
    own = world(scheme)
    a = own.encrypt(np.arange(8))
    for refused in (lambda: a - a, lambda: a + -a, lambda: a * 0, lambda: a * np.zeros(8)):
        with pytest.raises(WouldBeWrong, match="not encrypted any more"):
            refused()


@pytest.mark.parametrize("scheme", ["ckks", "bfv", "bgv"])
def test_strided_arrays_keep_their_values(scheme: str) -> None:
    """Pyfhel reads the memory of an array from its start, whatever its strides are."""
    every = np.arange(4096) % 97
    if scheme == "ckks":
        session = raw("ckks")
        wrong = session.decryptFrac(session.encryptFrac(every[::2].astype(float)[::-1]))[:2048]
        assert np.abs(wrong - every[::2][::-1]).max() > 1
    own = world(scheme)
    for view in (every[::2], every[::-1], every.reshape(64, 64).T):
        given = view[: 64 * 64] if view.ndim == 1 else view
        assert np.abs(own.decrypt(own.encrypt(given)) - given).max() < 1e-2


def test_a_product_with_minus_one_costs_no_noise() -> None:
    """SEAL multiplies BFV by a single negative coefficient modulo the plain modulus, which costs all of its bits."""
    session = raw("bfv", 8192, (43, 43, 44, 44, 44))
    a = encrypted(session, np.arange(8192))
    product = session.multiply_plain(a, session.encodeInt(np.full(8192, -1)), True)
    assert session.noise_level(a) - session.noise_level(product) >= 18

    own = world("bfv")
    b = own.encrypt(np.arange(own.slots))
    assert (b * -1).error == b.error
    assert (b * np.full(own.slots, -1)).error > b.error * own.owner.most  # as it is given, and as it is known
    assert np.array_equal(own.decrypt(b * -1), -np.arange(own.slots))
    assert np.array_equal(own.decrypt(b * exact.encode(own.evaluator, -1)), -np.arange(own.slots))
