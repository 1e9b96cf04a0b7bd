"""Voxels lie in ciphertexts as agreed on, and a shift is an exchange of ciphertexts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.common.errors import WouldBeWrong
from tasks.encryption.regridding.blocks import Blocks, name_of, offset_of

sizes = st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20))


@settings(deadline=None, max_examples=50)
@given(sizes, st.sampled_from([8, 64, 256]), st.floats(0, 9))
def test_a_packed_volume_unpacks_to_itself(shape: tuple[int, int, int], slots: int, bound: float) -> None:
    blocks = Blocks.over(shape, slots, bound)
    volume = np.arange(np.prod(shape), dtype=float).reshape(shape)
    packed = blocks.pack(volume)
    assert packed.shape == (*blocks.block, slots)
    np.testing.assert_array_equal(blocks.unpack(packed), volume)


def test_a_voxel_lies_where_the_docstring_says() -> None:
    blocks = Blocks(shape=(4, 6, 8), grid=(2, 2, 4), block=(2, 3, 2))
    volume = np.arange(4 * 6 * 8, dtype=float).reshape(4, 6, 8)
    # Voxel (3, 4, 5) = block (1, 1, 2), offset (1, 1, 1); slots count blocks in row-major order: 1·8 + 1·4 + 2.
    assert blocks.pack(volume)[1, 1, 1, 14] == volume[3, 4, 5]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_shift_beyond_the_block_is_a_rotation_by_the_stride_of_the_grid(axis: int) -> None:
    blocks = Blocks(shape=(8, 8, 8), grid=(4, 2, 4), block=(2, 4, 2))
    volume = np.random.default_rng(1).uniform(size=(8, 8, 8))
    shifted, packed = blocks.pack(np.roll(volume, -1, axis)), blocks.pack(volume)
    last = [0, 0, 0]
    last[axis] = blocks.block[axis] - 1
    moved = np.roll(packed[0, 0, 0], -blocks.strides[axis])
    inside = np.arange(blocks.slots) // blocks.strides[axis] % blocks.grid[axis] < blocks.grid[axis] - 1
    np.testing.assert_array_equal(shifted[tuple(last)][inside], moved[inside])


def test_carries_are_the_blocks_that_a_displacement_reaches() -> None:
    blocks = Blocks(shape=(64, 64, 64), grid=(16, 16, 16), block=(4, 4, 4))
    # From offset 0 eight voxels back is two blocks back; from offset 3 eight on is two on.
    assert list(blocks.carries(0, 8)) == [-2, -1, 0, 1, 2]
    assert list(blocks.carries(0, 4)) == [-1, 0, 1]
    assert list(blocks.carries(0, 0.5)) == [-1, 0, 1]


def test_a_volume_of_another_shape_is_refused() -> None:
    with pytest.raises(WouldBeWrong, match="agreed on"):
        Blocks.over((4, 4, 4), 8, 1).pack(np.zeros((4, 4, 5)))
    with pytest.raises(WouldBeWrong, match="do not cover"):
        Blocks(shape=(9, 4, 4), grid=(2, 2, 2), block=(4, 2, 2))


def test_names_of_ciphertexts_are_read_back() -> None:
    assert offset_of(name_of((3, 11, 0))) == (3, 11, 0)
