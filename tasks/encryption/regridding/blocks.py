"""How a volume lies in ciphertexts: a slot is a block of voxels, a ciphertext is an offset inside the block.

Voxel (x, y, z) = (X·a + i, Y·b + j, Z·c + k) of a grid of blocks with a × b × c voxels each is in ciphertext (i, j, k),
slot (X, Y, Z). All voxels of one offset lie in one ciphertext, so a shift of the whole volume by a voxel exchanges
ciphertexts; only those that leave their block need a rotation, by one step of the grid. Compare the packing of slices,
where every shift is a rotation and a mask. The order is that of polyphase filters (Vaidyanathan 1993, section 4.3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from pydantic import model_validator

from tasks.common.errors import WouldBeWrong
from tasks.common.values import Value

Index3 = tuple[int, int, int]
AXES = (0, 1, 2)
# A rotation takes as long as so many products with fresh weights; one that is kept for all frames takes memory instead.
_ROTATION, _ONCE = 2.5, 0.1


class Blocks(Value):
    """A grid of blocks over a volume. shape: of the volume in voxels; the last blocks may stick out of it.

    grid: how many blocks along each axis, so many slots in all. block: voxels of a block, so many ciphertexts.
    """

    shape: Index3
    grid: Index3
    block: Index3

    @model_validator(mode="after")
    def _covers(self) -> Blocks:
        if min(*self.shape, *self.grid, *self.block) < 1:
            raise WouldBeWrong(f"a volume of {self.shape} in {self.grid} blocks of {self.block} voxels is impossible")
        if any(g * b < n for g, b, n in zip(self.grid, self.block, self.shape, strict=True)):
            raise WouldBeWrong(f"{self.grid} blocks of {self.block} voxels do not cover a volume of {self.shape}")
        return self

    @classmethod
    def over(cls, shape: Index3, slots: int, bound: float) -> Blocks:
        """The grid of so many slots (a power of two) in which deformations up to a bound cost least.

        Rotations along axis 2 are made once for all frames, since that is the first pass; those along the others in
        every frame, so blocks are rather long there.
        """
        bits = int(math.log2(slots))
        grids = [(1 << a, 1 << b, 1 << (bits - a - b)) for a in range(bits + 1) for b in range(bits + 1 - a)]
        made = [cls(shape=shape, grid=grid, block=_ceil(shape, grid)) for grid in grids]
        return min(made, key=lambda blocks: (blocks._cost(bound), blocks.block))

    def rotations(self, axis: int, bound: float) -> float:
        """How many rotations a pass along an axis takes for each ciphertext of its result, at most."""
        reach, length = math.ceil(bound), self.block[axis]
        return min(2 * reach / length, self.grid[axis] - 1)

    def _cost(self, bound: float) -> float:
        products = sum(min(2 * math.ceil(bound) + 2, n) for n in self.padded)
        each_frame = self.rotations(0, bound) + self.rotations(1, bound)
        return self.ciphertexts * (products + _ROTATION * (each_frame + _ONCE * self.rotations(2, bound)))

    @property
    def padded(self) -> Index3:
        """The voxels that the grid covers."""
        return tuple(g * b for g, b in zip(self.grid, self.block, strict=True))  # type: ignore[return-value]

    @property
    def slots(self) -> int:
        """The slots that are used."""
        return math.prod(self.grid)

    @property
    def ciphertexts(self) -> int:
        """How many there are."""
        return math.prod(self.block)

    @property
    def strides(self) -> Index3:
        """The rotation that brings the next block along each axis."""
        return self.grid[1] * self.grid[2], self.grid[2], 1

    def offsets(self) -> Iterator[Index3]:
        """The ciphertexts, in order."""
        return (tuple(map(int, index)) for index in np.ndindex(*self.block))  # type: ignore[misc]

    def carries(self, axis: int, bound: float) -> range:
        """By how many blocks a voxel can be displaced along an axis."""
        reach, length = math.ceil(bound), self.block[axis]
        return range(-((reach + length - 1) // length), (length - 1 + reach) // length + 1)

    def pack(self, volume: np.ndarray) -> np.ndarray:
        """(block, block, block, slots) from a volume of this shape; voxels outside it are zero.

        Raises:
            WouldBeWrong: the volume has another shape.
        """
        if volume.shape != self.shape:
            raise WouldBeWrong(f"a volume of {volume.shape} was given where {self.shape} was agreed on")
        return self._split(np.pad(volume, [(0, p - n) for p, n in zip(self.padded, self.shape, strict=True)]))

    def pack_field(self, field: np.ndarray) -> np.ndarray:
        """The same of one component of a field, which goes on outside the volume as at its face."""
        return self._split(np.pad(field, [(0, p - n) for p, n in zip(self.padded, self.shape, strict=True)], "edge"))

    def unpack(self, packed: np.ndarray) -> np.ndarray:
        """The volume again."""
        a, b, c = self.block
        whole = packed.reshape(a, b, c, *self.grid).transpose(3, 0, 4, 1, 5, 2).reshape(self.padded)
        x, y, z = self.shape
        return whole[:x, :y, :z]

    def _split(self, whole: np.ndarray) -> np.ndarray:
        (a, b, c), (gx, gy, gz) = self.block, self.grid
        split = whole.reshape(gx, a, gy, b, gz, c).transpose(1, 3, 5, 0, 2, 4)
        return np.ascontiguousarray(split).reshape(a, b, c, self.slots)


def name_of(offset: Index3) -> str:
    """What the ciphertext of an offset is called in messages and files: `003-011-000`."""
    return "-".join(f"{part:03d}" for part in offset)


def offset_of(name: str) -> Index3:
    """The offset of a name."""
    a, b, c = (int(part) for part in name.split("-"))
    return a, b, c


def _ceil(shape: Index3, grid: Index3) -> Index3:
    return tuple(-(-n // g) for n, g in zip(shape, grid, strict=True))  # type: ignore[return-value]
