"""Encrypted lines are deformed as plaintext ones are, with bounds that do not grow."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.common.errors import KeyRefused, WouldBeWrong
from tasks.encryption import approximate
from tasks.encryption.regridding import budget, passes
from tasks.encryption.regridding.blocks import Blocks
from tasks.encryption.regridding.deforming import Line
from tests.unit.encryption.regridding_keys import sessions
from tests.unit.encryption.test_regridding_passes import smooth_field

pytest.importorskip("Pyfhel")

BOUND = 3.0
BLOCKS = Blocks(shape=(16, 16, 64), grid=(8, 8, 64), block=(2, 2, 1))
NEEDS = budget.needs(budget.RESAMPLING, BLOCKS, BOUND, sums=False)


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_pass_over_encrypted_lines_is_that_over_plaintext_ones(axis: int) -> None:
    owner, evaluator = sessions(NEEDS)
    volume = rng().uniform(size=BLOCKS.shape)
    field = smooth_field(BOUND, seed=axis, width=4.0, shape=BLOCKS.shape)
    field *= np.array([part == axis for part in range(3)], dtype=np.float32)[:, None, None, None]
    made = passes.split(field, BLOCKS.shape, BOUND)
    packed, moved = BLOCKS.pack(volume), BLOCKS.pack_field(made.displacements[axis])
    wanted = BLOCKS.pack(passes.resampled(volume, made.displacements[axis], axis))
    offsets = [tuple(int(i == axis) * place for i in range(3)) for place in range(BLOCKS.block[axis])]
    line = Line([approximate.encrypt(evaluator, packed[o], bound=1.0) for o in offsets], BLOCKS, axis)
    for place, offset in enumerate(offsets):
        result = line.resampled(place, moved[offset], np.ones(BLOCKS.slots), 24)
        assert result is not None
        assert result.bound <= 1.0 + 1e-9
        found = approximate.decrypt(_to(owner, result))
        assert np.abs(found - wanted[offset]).max() <= result.error < 1e-3


def test_rotations_serve_all_that_read_them_and_need_their_key() -> None:
    _, evaluator = sessions(NEEDS)
    line = Line([approximate.encrypt(evaluator, rng().uniform(size=4096), bound=1.0)], BLOCKS, 2)
    assert line.at(2) is line.at(2)
    with pytest.raises(KeyRefused, match="rotate by 17"):
        line.at(17)


def test_voxels_that_come_from_nowhere_have_no_ciphertext() -> None:
    _, evaluator = sessions(NEEDS)
    line = Line([approximate.encrypt(evaluator, rng().uniform(size=4096), bound=1.0)], BLOCKS, 2)
    assert line.resampled(0, np.zeros(4096), np.zeros(4096), 24) is None


def test_a_blend_is_the_weighted_sum_and_knows_its_bound() -> None:
    owner, evaluator = sessions(NEEDS)
    values, weights = rng().uniform(-1, 1, (3, 4096)), rng().uniform(-1, 1, (3, 4096))
    weights[1] = 0
    encrypted = [approximate.encrypt(evaluator, row, bound=1.0) for row in values]
    made = approximate.blend(encrypted, weights, 2.0**24)
    assert made.bound == pytest.approx(np.abs(weights).sum(0).max())
    found = approximate.decrypt(_to(owner, made))
    assert np.abs(found - (values * weights).sum(0)).max() <= made.error


def test_a_weight_too_small_to_be_written_is_left_out_within_the_error() -> None:
    owner, evaluator = sessions(NEEDS)
    encrypted = [approximate.encrypt(evaluator, rng().uniform(size=4096), bound=1.0) for _ in range(2)]
    weights = np.zeros((2, 4096))
    weights[0], weights[1, 7] = 0.5, 1e-9
    made = approximate.blend(encrypted, weights, 2.0**24)
    wanted = approximate.decrypt(_to(owner, encrypted[0])) / 2
    assert np.abs(approximate.decrypt(_to(owner, made)) - wanted).max() <= made.error + encrypted[0].error
    with pytest.raises(WouldBeWrong, match="round to zero"):
        approximate.blend(encrypted, weights * [[0], [1]], 2.0**24)


def test_a_blend_refuses_weights_that_it_cannot_use() -> None:
    _, evaluator = sessions(NEEDS)
    encrypted = [approximate.encrypt(evaluator, rng().uniform(size=4096), bound=1.0)]
    for weights, reason in (
        (np.full((1, 4096), np.nan), "missing"), (np.zeros((1, 4096)), "zeros"),
        (np.ones((2, 4096)), "a row of weights"),
        (np.full((1, 4096), 2.0**60), "wrap around"),
    ):  # fmt: skip
        with pytest.raises(WouldBeWrong, match=reason):
            approximate.blend(encrypted, weights, 2.0**24)


def _to(owner: object, ciphertext: approximate.Approximate) -> approximate.Approximate:
    from tasks.encryption import envelope

    return envelope.unpack(owner, envelope.pack(ciphertext))  # type: ignore[arg-type]
