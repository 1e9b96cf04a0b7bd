"""The model of noise: its parts against theory, its sums against what SEAL does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import integrate, special

from tasks.encryption import noise
from tasks.encryption.parameters import Parameters

CHANCE = 1e-13


def test_the_factors_leave_the_stated_chance() -> None:
    """|a| of a complex normal number, |a|·|b| (a K-distribution), and |a|·|b|², by numerical integration."""
    three, _ = integrate.quad(lambda u: math.exp(-u - (noise._THREE / u) ** 2), 1e-9, 200, limit=500, epsabs=0)
    for chance in (math.exp(-(noise._ONE**2)), 2 * noise._TWO * special.k1(2 * noise._TWO), three):
        assert CHANCE / 10 < chance < CHANCE


@pytest.mark.parametrize("n", [16, 1024])
def test_the_embedding_is_that_of_the_ring(n: int) -> None:
    coefficients = np.random.default_rng(0).normal(size=n)
    roots = np.exp(1j * np.pi / n * np.arange(1, 2 * n, 2))
    assert noise.embedding_norm(coefficients) == pytest.approx(np.abs(np.polyval(coefficients[::-1], roots)).max())


def test_ones_are_largest_next_to_one() -> None:
    moduli = noise.Moduli(Parameters(scheme="ckks", degree=4096, moduli_bits=(40, 40), scale_bits=30))
    assert noise.embedding_norm(np.ones(4096)) == pytest.approx(moduli._ones, rel=1e-12)
    assert moduli._ones == pytest.approx(2 * 4096 / math.pi, rel=1e-6)


@pytest.mark.parametrize("plain", [65537, 786433, 1032193])
def test_multipliers_even_out_correction_factors(plain: int) -> None:
    rng = np.random.default_rng(plain)
    for a, b in rng.integers(1, plain, (200, 2)).tolist():
        common, first, second = noise.balance(a, b, plain)
        assert first * a % plain == second * b % plain == common
        around = min(first, plain - first) + min(second, plain - second)
        assert around <= 2 * math.isqrt(plain) + 2  # by the pigeonhole principle there are such


@pytest.mark.parametrize("plain", [97, 193])
def test_multipliers_are_the_smallest_around_zero_that_euclid_meets(plain: int) -> None:
    """Against a search of all pairs: never less, and at most what consecutive convergents can miss."""
    for a in range(1, plain, 7):
        for b in range(1, plain, 5):
            _, first, second = noise.balance(a, b, plain)
            sizes = [
                min(e, plain - e) + min(e * a * pow(b, -1, plain) % plain, -e * a * pow(b, -1, plain) % plain)
                for e in range(1, plain)
            ]
            around = min(first, plain - first) + min(second, plain - second)
            assert min(sizes) <= around <= 2 * min(sizes)


def test_rounding_towards_one_side_counts_where_ones_are_large() -> None:
    """Remainders in [0, 1) of both parts, the second times a ternary secret, next to 1, a thousand times."""
    n, rng = 2048, np.random.default_rng(1)
    moduli = noise.Moduli(Parameters(scheme="bgv", degree=n, moduli_bits=(27, 27), plain_bits=14))
    root = np.exp(1j * np.pi / n * np.arange(n))
    secrets, first, second = rng.integers(-1, 2, (1000, n)), rng.random((1000, n)), rng.random((1000, n))
    largest = np.abs(first @ root + (second @ root) * (secrets @ root)).max()
    assert moduli.rounding < largest < moduli.remainders


def _fresh_errors(world: Any) -> np.ndarray:
    values = np.random.default_rng(2).uniform(-1, 1, world.slots)
    return np.abs(world.decrypt(world.encrypt(values)) - values)


def test_a_fresh_error_has_the_size_that_theory_says() -> None:
    """Its standard deviation is that of rounding times a secret and of rounding, in a slot's real part."""
    pytest.importorskip("Pyfhel", reason="Pyfhel is not installed; make env builds it")
    from tests.unit.encryption.worlds import world

    n, scale = 8192, 2.0**30
    deviation = math.sqrt((n * n / 12 * 2 / 3 + 2 * n / 12) / 2) / scale
    measured = np.sqrt(np.mean(_fresh_errors(world("ckks")) ** 2))
    assert measured == pytest.approx(deviation, rel=0.15)


def test_key_switching_is_worst_in_the_slot_next_to_one() -> None:
    pytest.importorskip("Pyfhel", reason="Pyfhel is not installed; make env builds it")
    from tests.unit.encryption.worlds import world

    own = world("ckks")
    values = np.zeros(own.slots)
    rotated = own.encrypt(values).rotate(1)
    errors = np.abs(own.decrypt(rotated))
    assert errors.max() <= rotated.error
    assert errors.max() > 5 * np.median(errors)
