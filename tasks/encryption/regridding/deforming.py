"""One pass of a deformation over encrypted lines.

A line is the ciphertexts whose offsets differ along one axis only; it holds whole lines of voxels, so a pass over it
needs nothing else. Lines are what workers share. For each ciphertext of the result and each shift that occurs in it
there is one plaintext of weights; the ciphertext that a shift reads is the one of the shifted offset, rotated by a
block where it leaves its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.encryption.approximate import Approximate, blend
from tasks.encryption.regridding.blocks import Blocks
from tasks.encryption.regridding.passes import taps


class Line:
    """Encrypted voxels along one axis, and what was rotated of them so far; rotations serve all that read them."""

    def __init__(self, ciphertexts: Sequence[Approximate], blocks: Blocks, axis: int) -> None:
        self._own, self._blocks, self._axis = list(ciphertexts), blocks, axis
        self._rotated: dict[tuple[int, int], Approximate] = {}

    def at(self, offset: int) -> Approximate:
        """The ciphertext whose slots hold the voxels at an offset, which may lie in other blocks."""
        carry, place = divmod(offset, self._blocks.block[self._axis])
        if carry == 0:
            return self._own[place]
        if (place, carry) not in self._rotated:
            steps = carry * self._blocks.strides[self._axis]
            self._rotated[place, carry] = self._own[place].rotate(steps)
        return self._rotated[place, carry]

    def resampled(self, offset: int, displacement: np.ndarray, gain: np.ndarray, bits: int) -> Approximate | None:
        """The voxels at an offset of the result, not rescaled; None if all of them are 0.

        displacement: in voxels, of each slot. gain: in [0, 1], what the result is multiplied with. bits: of weights.
        """
        blocks, axis = self._blocks, self._axis
        place = _block_numbers(blocks, axis) * blocks.block[axis] + offset
        low, upper = taps(displacement, place, blocks.shape[axis])
        inside = place < blocks.shape[axis]
        shift, gain = np.where(inside, low - place, 0), np.where(inside, gain, 0.0)
        first, last = int(shift.min()), int(shift.max()) + 1
        slots = np.arange(blocks.slots)
        weights = np.zeros((last - first + 1, self._own[0].session.slots))
        weights[shift - first, slots] = gain * (1 - upper)
        weights[shift - first + 1, slots] = gain * upper
        used = np.flatnonzero(weights.any(1))
        if not len(used):
            return None
        return blend([self.at(offset + first + int(row)) for row in used], weights[used], 2.0**bits)


def _block_numbers(blocks: Blocks, axis: int) -> np.ndarray:
    """Which block along an axis each slot is."""
    return np.arange(blocks.slots) // blocks.strides[axis] % blocks.grid[axis]
