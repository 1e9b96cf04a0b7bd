"""Zoom of an encrypted volume by integers, with additions only.

Between two voxels x and y linear interpolation puts ((f - p)·x + p·y)/f for p = 1 … f - 1. The products are multiples,
and dividing by f is another scale, so there is nothing to encode and no level is used up. In the packing by blocks the
result is packed the same way, in blocks f times as long: polyphase components come out, and none has to be taken apart.

A ciphertext is a whole slice where the grid has one block across slices and a block one voxel within them.
"""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from pydantic import model_validator

from tasks.common.errors import CiphertextError, InputError, WouldBeWrong
from tasks.encryption import approximate
from tasks.encryption.approximate import Approximate
from tasks.encryption.ciphertext import Encrypted
from tasks.encryption.job import Job, Messages, Needs
from tasks.encryption.parameters import Parameters, Scheme
from tasks.encryption.regridding.blocks import AXES, Blocks, Index3, name_of, offset_of
from tasks.encryption.regridding.deforming import Line
from tasks.encryption.session import Session

# One prime of data: 40 bits of scale leave 13 for what multiples add up to before they are divided.
PARAMETERS = Parameters(scheme=Scheme.CKKS, degree=8192, moduli_bits=(54, 60), scale_bits=40)
_MOST_GROWTH = 1 << 12
LAYOUT = "blocks"


class Zoom(Job):
    """What enlarging and shrinking share: a volume of voxels in [0, 1], packed by blocks.

    A description may have the volume's shape in place of blocks, which are then chosen.
    """

    factors: Index3
    blocks: Blocks

    @model_validator(mode="before")
    @classmethod
    def _packed(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "shape" not in given or "blocks" in given:
            return given
        rest = {name: value for name, value in given.items() if name != "shape"}
        shape, factors = _three(given, "shape"), _three(given, "factors")
        return {**rest, "blocks": cls._chosen(shape, factors)}

    @classmethod
    @abstractmethod
    def _chosen(cls, shape: Index3, factors: Index3) -> Blocks:
        """The packing of a volume of this shape."""

    @property
    @abstractmethod
    def made(self) -> Blocks:
        """The packing of the result."""

    def encrypt(self, owner: Session, data: np.ndarray) -> dict[str, Encrypted]:
        """One ciphertext for each offset in a block."""
        packed = self.blocks.pack(data)
        return {
            name_of(offset): approximate.encrypt(owner, _all(owner, packed[offset]), LAYOUT, bound=1.0)
            for offset in self.blocks.offsets()
        }

    def decrypt(self, owner: Session, messages: Messages) -> np.ndarray:  # noqa: ARG002 - the session is in messages
        """The volume."""
        packed = np.zeros((*self.made.block, self.made.slots))
        for name, ciphertext in messages.items():
            packed[offset_of(name)] = approximate.decrypt(_approximate(ciphertext))[: self.made.slots]
        return self.made.unpack(packed)


class Enlarge(Zoom):
    """Linear interpolation at every 1/f voxel from the first voxel of an axis to the last: f·(n - 1) + 1 of them."""

    kind: Literal["enlarge"] = "enlarge"

    @classmethod
    def _chosen(cls, shape: Index3, factors: Index3) -> Blocks:  # noqa: ARG003
        return Blocks.over(shape, PARAMETERS.slots, 1)

    @model_validator(mode="after")
    def _fits(self) -> Enlarge:
        if min(self.factors) < 1 or math.prod(self.factors) > _MOST_GROWTH:
            raise WouldBeWrong(f"factors {self.factors} are below 1, or multiply to more than {_MOST_GROWTH:,}")
        return self

    @property
    def made(self) -> Blocks:
        """Blocks that are longer by the factors."""
        shape = tuple(f * (n - 1) + 1 for n, f in zip(self.blocks.shape, self.factors, strict=True))
        block = tuple(f * b for b, f in zip(self.blocks.block, self.factors, strict=True))
        return Blocks.model_validate({"shape": shape, "grid": self.blocks.grid, "block": block})

    def needs(self) -> Needs:
        """A rotation to the next block of each axis that is enlarged."""
        strides = {self.blocks.strides[axis] for axis in AXES if self.factors[axis] > 1 and self.blocks.grid[axis] > 1}
        return Needs(parameters=PARAMETERS, rotations=tuple(sorted(strides)))

    def evaluate(self, evaluator: Session, messages: Messages) -> dict[str, Encrypted]:  # noqa: ARG002
        """Axis by axis, first where a block is short, so that rotations are few."""
        found = {offset_of(name): _approximate(ciphertext) for name, ciphertext in messages.items()}
        if sorted(found) != list(self.blocks.offsets()):
            raise CiphertextError(f"{len(found)} ciphertexts do not make up a volume of {self.blocks.ciphertexts}")
        for axis in sorted(AXES, key=lambda axis: self.blocks.block[axis]):
            if self.factors[axis] > 1:
                found = self._along(axis, found)
        shares = math.prod(self.factors)
        return {name_of(offset): ciphertext.over(shares) for offset, ciphertext in sorted(found.items())}

    def plainly(self, data: np.ndarray) -> np.ndarray:
        """The same by interpolation along each axis."""
        found = data
        for axis, factor in enumerate(self.factors):
            places = np.arange(factor * (data.shape[axis] - 1) + 1) / factor
            low = np.minimum(places.astype(int), max(data.shape[axis] - 2, 0))
            share = (places - low).reshape([-1 if a == axis else 1 for a in AXES])
            upper = np.minimum(low + 1, data.shape[axis] - 1)
            found = np.take(found, low, axis) * (1 - share) + np.take(found, upper, axis) * share
        return found

    def _along(self, axis: int, volume: dict[Index3, Approximate]) -> dict[Index3, Approximate]:
        length, factor, found = self.blocks.block[axis], self.factors[axis], {}
        for start in [offset for offset in volume if offset[axis] == 0]:
            line = Line([volume[_moved(start, axis, place)] for place in range(length)], self.blocks, axis)
            ends = self.blocks.grid[axis] == 1  # then nothing follows the last voxel
            multiples = [_multiples(line.at(place), factor) for place in range(length + (not ends))]
            for place, phase in itertools.product(range(length), range(factor)):
                target = _moved(start, axis, place * factor + phase)
                if phase == 0:
                    found[target] = multiples[place][factor - 1]
                elif place + 1 < len(multiples):
                    found[target] = multiples[place][factor - phase - 1] + multiples[place + 1][phase - 1]
        return found


class Shrink(Zoom):
    """The mean of f₀ × f₁ × f₂ voxels each. The factors divide the shape and the block."""

    kind: Literal["shrink"] = "shrink"

    @classmethod
    def _chosen(cls, shape: Index3, factors: Index3) -> Blocks:
        if any(n % f for n, f in zip(shape, factors, strict=True)):
            raise WouldBeWrong(f"factors {factors} do not divide {shape}")
        made = Blocks.over(_product(shape, factors, int.__floordiv__), PARAMETERS.slots, 1)
        return Blocks(shape=shape, grid=made.grid, block=_product(made.block, factors, int.__mul__))

    @model_validator(mode="after")
    def _fits(self) -> Shrink:
        sizes = (*self.blocks.block, *self.blocks.shape)
        if min(self.factors) < 1 or any(n % f for n, f in zip(sizes, self.factors * 2, strict=True)):
            raise WouldBeWrong(f"factors {self.factors} do not divide {self.blocks.shape} in {self.blocks.block}")
        return self

    @property
    def made(self) -> Blocks:
        """Blocks that are shorter by the factors."""
        shape, block = (
            tuple(n // f for n, f in zip(sizes, self.factors, strict=True))
            for sizes in (self.blocks.shape, self.blocks.block)
        )
        return Blocks.model_validate({"shape": shape, "grid": self.blocks.grid, "block": block})

    def needs(self) -> Needs:
        """No keys but for the public one."""
        return Needs(parameters=PARAMETERS)

    def evaluate(self, evaluator: Session, messages: Messages) -> dict[str, Encrypted]:  # noqa: ARG002
        """Sums of ciphertexts."""
        found: dict[Index3, Approximate] = {}
        for name, ciphertext in messages.items():
            a, b, c = (place // f for place, f in zip(offset_of(name), self.factors, strict=True))
            voxel = _approximate(ciphertext)
            found[a, b, c] = found[a, b, c] + voxel if (a, b, c) in found else voxel
        shares = math.prod(self.factors)
        return {name_of(offset): ciphertext.over(shares) for offset, ciphertext in sorted(found.items())}

    def plainly(self, data: np.ndarray) -> np.ndarray:
        """The same by reshaping."""
        (a, b, c), (x, y, z) = self.factors, data.shape
        return data.reshape(x // a, a, y // b, b, z // c, c).mean((1, 3, 5))


def _three(given: Mapping[str, Any], name: str) -> Index3:
    try:
        x, y, z = (int(value) for value in given[name])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"a zoom has a {name} of three numbers") from None
    if min(x, y, z) < 1:
        raise InputError(f"the {name} of a zoom is at least 1 along each axis")
    return x, y, z


def _product(values: Index3, factors: Index3, operation: Callable[[int, int], int]) -> Index3:
    x, y, z = map(operation, values, factors)
    return x, y, z


def _multiples(ciphertext: Approximate, most: int) -> list[Approximate]:
    found = [ciphertext]
    for _ in range(most - 1):
        found.append(found[-1] + ciphertext)
    return found


def _moved(offset: Index3, axis: int, place: int) -> Index3:
    moved = list(offset)
    moved[axis] = place
    return moved[0], moved[1], moved[2]


def _all(session: Session, slots: np.ndarray) -> np.ndarray:
    """Slots of a grid, with zeros in those that it leaves over."""
    return np.pad(slots, (0, session.slots - len(slots)))


def _approximate(ciphertext: Encrypted) -> Approximate:
    if not isinstance(ciphertext, Approximate) or ciphertext.layout != LAYOUT:
        raise CiphertextError(f"a {ciphertext.layout} is not part of a volume that is packed by blocks")
    return ciphertext
