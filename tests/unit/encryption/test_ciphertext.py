"""What goes into a ciphertext, what is known of it, and which operations are refused before anything is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("Pyfhel", reason="Pyfhel is not installed; make env builds it")

from tasks.common.errors import CiphertextError, KeyRefused, WouldBeWrong
from tasks.encryption import approximate, envelope, exact, guarded, keys
from tests.unit.encryption.worlds import World, world

SCHEMES = ["ckks", "bfv", "bgv"]


def off(own: World, ciphertext: Any, want: Any) -> float:
    """How far decrypted numbers are off, as a share of what is stated; 0 for integers, which have to be right."""
    got = own.decrypt(ciphertext)
    assert got.shape == np.shape(want)
    if got.dtype.kind == "i":
        assert np.array_equal(got, want)
        return 0.0
    return float(np.abs(got - want).max() / ciphertext.error)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "0 values do not fit"),
        (np.zeros(8193), "8,193 values do not fit"),
        (np.array([1 + 2j]), "only real numbers"),
        (["one"], "only real numbers"),
        (None, "only real numbers"),
        (np.array([object()]), "only real numbers"),
        ([[1, np.nan], [np.inf, 2]], "2 of 4 values are missing or infinite"),
        (2.0**200, "wrap around|fractions"),
        (np.float64(1e308), "wrap around|fractions"),
    ],
)
def test_what_cannot_be_encrypted_is_refused(scheme: str, values: Any, message: str) -> None:
    own = world(scheme)
    with pytest.raises(WouldBeWrong, match=message):
        own.encrypt(values)
    for refused in (own.encrypt([1.0]).encode_for, own.encrypt([1.0]).__mul__, own.encrypt([1.0]).__add__):
        with pytest.raises(WouldBeWrong, match=message):
            refused(values)


@pytest.mark.parametrize("scheme", ["bfv", "bgv"])
@pytest.mark.parametrize(
    "values", [[0.5], [2.0**53], np.array([2**63], np.uint64), np.array([2**64 - 1], np.uint64), [-(2**63)]]
)
def test_what_is_no_integer_of_the_ring_is_refused(scheme: str, values: Any) -> None:
    with pytest.raises(WouldBeWrong, match=r"fractions|64 bits|wrap around"):
        world(scheme).encrypt(values)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint16, np.int64, np.float16, np.float32])
def test_every_type_of_real_number_is_taken(scheme: str, dtype: Any) -> None:
    own = world(scheme)
    values = np.array([0, 1, 1, 0]).astype(dtype)
    assert off(own, own.encrypt(values), values.astype(float)) <= 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_stated_bound_tells_less_than_the_values(scheme: str) -> None:
    own = world(scheme)
    assert own.encrypt([1, 2], bound=100).bound == 100
    assert own.encrypt([1, -2]).bound == 2
    for bound in (1, 1.99, float("nan"), float("inf"), -5):
        with pytest.raises(WouldBeWrong, match="beyond the stated bound"):
            own.encrypt([1, 2], bound=bound)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_shapes_have_to_fit(scheme: str) -> None:
    own = world(scheme)
    a = own.encrypt(np.ones((2, 3)))
    for other in (own.encrypt(np.ones(6)), np.ones(6), np.ones((3, 2)), a.encode_for(np.ones(2))):
        with pytest.raises(WouldBeWrong, match="do not fit each other"):
            a * other
    for other in (own.encrypt(np.ones(6)), np.ones((1, 6))):
        with pytest.raises(WouldBeWrong, match="do not fit each other"):
            a + other
    assert off(own, a + np.full((2, 3), 2) + 1, np.full((2, 3), 4.0)) <= 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_single_number_fills_all_slots(scheme: str) -> None:
    own = world(scheme)
    seven = own.encrypt(7)
    assert seven.shape == (own.slots,)
    assert off(own, seven * 3 - 1, np.full(own.slots, 20.0)) <= 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_sessions_of_the_same_keys_do_not_mix(scheme: str) -> None:
    own = world(scheme)
    here = own.encrypt([1])
    there = envelope.unpack(own.owner, envelope.pack(here))
    with pytest.raises(CiphertextError, match="opened in two sessions"):
        here + there


@pytest.mark.parametrize("scheme", SCHEMES)
def test_rotations_move_numbers_as_they_say(scheme: str) -> None:
    own = world(scheme)
    values = np.arange(own.slots) % 101
    rows = values.reshape(1 if scheme == "ckks" else 2, -1)
    for steps in (1, -3):
        rotated = own.encrypt(values).rotate(steps)
        assert off(own, rotated, np.roll(rows, -steps, axis=1).reshape(-1)) <= 1
    with pytest.raises(KeyRefused, match="no key to rotate by 5"):
        own.encrypt(values).rotate(5)


def test_rows_change_places_in_bfv_only() -> None:
    own = world("bfv")
    values = np.arange(own.slots) % 101
    assert off(own, own.encrypt(values).flip(), np.concatenate([values[4096:], values[:4096]])) == 0
    with pytest.raises(WouldBeWrong, match="BFV only"):
        world("bgv").encrypt([1]).flip()


def test_bgv_sums_of_other_correction_factors_are_right_and_cost_what_seal_takes() -> None:
    own = world("bgv")
    values = np.arange(own.slots) % 17 - 8
    a = own.encrypt(values)
    fourth, lowered = a * a * (a * a), a.dropped().dropped()
    assert (fourth.level, lowered.level) == (2, 2)
    assert fourth.scale != lowered.scale
    total = fourth + lowered
    assert total.error > 10 * (fourth.error + lowered.error)
    assert off(own, total, values**4 + values) == 0
    assert off(own, lowered - fourth, values - values**4) == 0
    assert off(own, a - fourth, values - values**4) == 0
    assert off(own, (a - fourth) * 3 + total, 4 * values - 2 * values**4) == 0


def test_a_product_is_rescaled_in_place_and_says_so() -> None:
    own = world("ckks")
    a = own.encrypt([1.0, 2.0])
    product = a.times(a.encode_for([3.0, 4.0]))
    assert (product.level, a.level) == (0, 0)
    rescaled = product.rescaled()
    assert rescaled is product
    assert product.level == 1
    assert off(own, product, [3.0, 8.0]) <= 1
    assert off(own, a, [1.0, 2.0]) <= 1


def test_a_sum_of_products_is_rescaled_once() -> None:
    own = world("ckks")
    values = [np.linspace(-1, 1, 8) * k for k in (1, 2, 3)]
    a = [own.encrypt(value) for value in values]
    total = approximate.dot(a, [a[0].encode_for(np.full(8, float(k))) for k in (4, 5, 6)])
    assert total.level == 1
    assert off(own, total, 4 * values[0] + 5 * values[1] + 6 * values[2]) <= 1
    with pytest.raises(WouldBeWrong, match="no products"):
        approximate.dot([], [])
    with pytest.raises(WouldBeWrong, match="different levels or scales"):
        approximate.dot(a[:2], [a[0].encode_for(1.0), approximate.encode(own.evaluator, 1.0, 0, 2.0**20)])
    with pytest.raises(WouldBeWrong, match="encoded for level 0, the ciphertext is at 1"):
        (a[0] * 1.0).times(a[0].encode_for(1.0))


def test_depth_ends_with_a_word() -> None:
    own = world("ckks")
    a = own.encrypt([0.5])
    for _ in range(3):
        a = a * 1.0
    for refused in (lambda: a * 1.0, lambda: a * a, lambda: a.encode_for(1.0), a.rescaled):
        with pytest.raises(WouldBeWrong, match="no level is left"):
            refused()
    b = world("bgv").encrypt([1])
    for _ in range(3):
        b = b.dropped()
    with pytest.raises(WouldBeWrong, match="no level is left"):
        b.dropped()


def test_levels_and_scales_are_evened_out() -> None:
    own = world("ckks")
    values = np.linspace(-1, 1, 16)
    a = own.encrypt(values)
    deep = a * a
    for level, scale in ((1, deep.scale), (3, 2.0**28), (2, a.scale), (3, a.scale)):
        there = a.at(level, scale)
        assert (there.level, there.scale, there.native.scale) == (level, scale, scale)
        assert off(own, there, values) <= 1
    for level, scale in ((0, 2.0**29), (4, a.scale), (-1, a.scale), (1, 1e-9)):
        with pytest.raises(WouldBeWrong):
            a.at(level, scale)


def test_scales_beyond_the_modulus_are_refused_however_small_the_numbers_are() -> None:
    """SEAL 4.1 rescales to a scale just beyond the last prime, and refuses only to decrypt."""
    own = world("ckks")
    a = own.encrypt([1e-12]).at(2, 2.0**30)
    prime = own.evaluator.parameters.primes[0]
    for scale in (float(prime), 2.0**40, 2.0**45):
        with pytest.raises(WouldBeWrong, match="beyond what level"):
            a.at(3, scale)
    assert off(own, a.at(3, 2.0**35), [1e-12]) <= 1


def test_the_owner_notices_what_noise_made_of_integers() -> None:
    """A ciphertext past all noise, of which an evaluator that does not go by the guard says that it is fine."""
    own = world("bfv")
    for most in (3, own.owner.most):  # the bound tells; and where it could not, SEAL is asked for its noise
        a = own.encrypt([1], bound=most)
        native = a.native
        for _ in range(8):
            native = own.evaluator.native.multiply(native, a.native, True)
            own.evaluator.native.relinearize(native)
        lie = exact.Exact(
            own.evaluator, native, level=0, scale=1, bound=most, error=1e-9, shape=(1,), layout="values"
        )  # fmt: skip
        with pytest.raises(WouldBeWrong, match=r"beyond the bound|no noise budget"):
            own.decrypt(lie)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nobody_but_the_owner_decrypts(scheme: str) -> None:
    own = world(scheme)
    for session in own.evaluator, keys.open_auditor(own.folder / "auditor"):
        with pytest.raises(KeyRefused, match="has no secret key"):
            guarded.decrypt(guarded.encrypt(session, [1]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1, 500, 999])
def test_a_number_that_is_none_is_found_wherever_it_is(value: float, place: int) -> None:
    values = np.random.default_rng(place).uniform(-1, 1, 1000)
    values[place] = value
    with pytest.raises(WouldBeWrong, match=r"1 of 1,000 values are missing or infinite"):
        approximate.encode(world("ckks").evaluator, values, 0, 2.0**30)


@pytest.mark.parametrize("seed", range(5))
def test_the_bound_is_the_largest_magnitude(seed: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=777) * 10.0 ** rng.integers(-3, 3)
    assert approximate.encode(world("ckks").evaluator, numbers, 0, 2.0**30).bound == np.abs(numbers).max()
    integers = rng.integers(-5000, 5000, 777)
    assert exact.encode(world("bfv").evaluator, integers).bound == np.abs(integers).max()


def test_the_least_integer_of_64_bits_is_refused() -> None:
    with pytest.raises(WouldBeWrong, match="64 bits"):
        exact.encode(world("bfv").evaluator, np.array([0, -(2**63), 1]))
