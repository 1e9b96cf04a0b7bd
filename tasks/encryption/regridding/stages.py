"""A whole deformation in two stages, which workers share.

Planes of ciphertexts with one offset along axis 0 are independent of each other in the passes along axes 2 and 1, and
lines along axis 0 in the last. So a worker keeps the planes it was given, with all rotations that the first pass needs,
and only between the two stages ciphertexts change hands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from tasks.common.errors import CiphertextError, WouldBeWrong
from tasks.encryption.approximate import Approximate
from tasks.encryption.regridding.blocks import Blocks, Index3
from tasks.encryption.regridding.budget import Budget
from tasks.encryption.regridding.deforming import Line
from tasks.encryption.regridding.passes import Passes

Volume = Mapping[Index3, Approximate]


class Packed:
    """The passes of one field by offset and slot: displacements (3, a, b, c, slots), and what is inside."""

    def __init__(self, displacements: np.ndarray, inside: np.ndarray) -> None:
        self.displacements, self.inside = displacements, inside

    @classmethod
    def of(cls, passes: Passes, blocks: Blocks) -> Packed:
        """Passes in the packing of a volume."""
        moved = np.stack([blocks.pack_field(component) for component in passes.displacements])
        return cls(moved, blocks.pack(passes.inside.astype(np.float32)))


class Plane:
    """The encrypted voxels of one offset along axis 0; what is rotated for the first pass is kept for all frames."""

    def __init__(self, volume: Volume, blocks: Blocks, budget: Budget, place: int) -> None:
        self._blocks, self._budget, self._place = blocks, budget, place
        _, rows, columns = blocks.block
        self._ones = np.ones(blocks.slots)
        self._lines = [Line([_part(volume, (place, j, k)) for k in range(columns)], blocks, 2) for j in range(rows)]

    def resampled(self, packed: Packed) -> dict[Index3, Approximate]:
        """After the passes along axes 2 and 1."""
        _, rows, columns = self._blocks.block
        across = {
            (j, k): self._pass(self._lines[j], (self._place, j, k), axis=2, packed=packed)
            for j in range(rows)
            for k in range(columns)
        }
        found = {}
        for k in range(columns):
            line = Line([across[j, k] for j in range(rows)], self._blocks, 1)
            for j in range(rows):
                found[self._place, j, k] = self._pass(line, (self._place, j, k), axis=1, packed=packed)
        return found

    def _pass(self, line: Line, offset: Index3, *, axis: int, packed: Packed) -> Approximate:
        made = line.resampled(
            offset[axis], packed.displacements[axis][offset], self._ones, self._budget.weight_bits[2 - axis]
        )
        if made is None:
            raise WouldBeWrong(f"no voxel has the offset {offset}; blocks are longer than the volume")
        return made.rescaled() if self._budget.rescaled[2 - axis] else made


def last_pass(
    volume: Volume, lines: Iterable[tuple[int, int]], packed: Packed, gain: np.ndarray, blocks: Blocks, budget: Budget
) -> dict[Index3, Approximate]:
    """The result along some lines (j, k) of axis 0.

    gain: by offset and slot, in [0, 1], what the result is multiplied with on the way, at no cost. Ciphertexts that
    would be zero in all slots are left out.
    """
    found: dict[Index3, Approximate] = {}
    for j, k in lines:
        line = Line([_part(volume, (i, j, k)) for i in range(blocks.block[0])], blocks, 0)
        for i in range(blocks.block[0]):
            offset = (i, j, k)
            inside = packed.inside[offset] * gain[offset]
            made = line.resampled(i, packed.displacements[0][offset], inside, budget.weight_bits[2])
            if made is not None:
                found[offset] = made.rescaled() if budget.rescaled[2] else made
    return found


def deformed(volume: Volume, packed: Packed, gain: np.ndarray, blocks: Blocks, budget: Budget) -> Volume:
    """Both stages one after the other, for volumes that one worker does alone."""
    between: dict[Index3, Approximate] = {}
    for place in range(blocks.block[0]):
        between |= Plane(volume, blocks, budget, place).resampled(packed)
    return last_pass(between, lines_of(blocks), packed, gain, blocks, budget)


def lines_of(blocks: Blocks) -> list[tuple[int, int]]:
    """All lines of the last pass."""
    return [(j, k) for j in range(blocks.block[1]) for k in range(blocks.block[2])]


def _part(volume: Volume, offset: Index3) -> Approximate:
    if offset not in volume:
        raise CiphertextError(f"the ciphertext of offset {offset} is missing")
    return volume[offset]
