"""A deformation of a volume as three resamplings of lines, one along each axis.

A field d says for each voxel p of the result from where p + d(p) of the source it comes. Along one axis at a time that
is cheap under encryption, since only shifts along that axis occur. The result along the first axis is taken from an
intermediate volume that is already right along the others; which displacement that needs at (a, y, z) is found by
inverting x + d₀(x, y, z) = a along x, in plaintext, and the same once more along the second axis.

Source: Catmull, Smith, 3-D transformations of images in scanline order (SIGGRAPH 1980); Wolberg, Digital Image Warping
(1990), chapter 7, whose bottleneck cannot occur here, since lines neither fold nor turn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tasks.common.compiling import compiled
from tasks.common.errors import InputError
from tasks.encryption.regridding.blocks import AXES

# A voxel is at least this long after the deformation; below, lines all but fold.
_LEAST_STRETCH = 0.05
# How far beyond the bound rounding may bring a displacement.
_ROUNDING = 1e-4


@dataclass(frozen=True)
class Passes:
    """Displacements in voxels, (3, x, y, z): component 2 is applied first, then 1, then 0.

    inside: whether the source of a voxel of the result lies in the volume; where it does not, the result is 0.
    """

    displacements: np.ndarray
    inside: np.ndarray


def split(field: np.ndarray, shape: tuple[int, int, int], bound: float) -> Passes:
    """The three passes of a field (3, x, y, z), in voxels, for a volume of this shape.

    Raises:
        InputError: the field has another shape, is not finite, goes beyond the bound, or folds the volume.
    """
    require_field(field, shape, bound)
    places = [_along(np.arange(n, dtype=np.float32), axis) for axis, n in enumerate(shape)]
    inside = np.ones(shape, dtype=bool)
    for axis, n in enumerate(shape):
        source = places[axis] + field[axis]
        inside &= (source >= 0) & (source <= n - 1)
    second = _transported(field[0], field[1:], axis=0)
    third = _transported(second[0], second[1:], axis=1)
    made = np.stack([field[0], second[0], third[0]])
    return Passes(np.clip(made, -bound, bound, out=made), inside)


def require_field(field: np.ndarray, shape: tuple[int, int, int], bound: float) -> None:
    """Refuse a field that cannot be applied.

    Raises:
        InputError: as in `split`.
    """
    if field.shape != (3, *shape):
        raise InputError(f"a field of shape {field.shape} does not fit a volume of {shape}; it needs {(3, *shape)}")
    largest = float(np.abs(field).max()) if field.size else 0.0
    if not math.isfinite(largest):
        raise InputError("the field has displacements that are missing or infinite")
    if largest > bound + _ROUNDING:
        raise InputError(
            f"the field displaces by up to {largest:.2f} voxels, more than the {bound:g} of these keys; "
            "make keys for a larger bound, or align the volume first"
        )
    for axis in AXES:
        if shape[axis] > 1 and not float(np.diff(field[axis], axis=axis).min()) > _LEAST_STRETCH - 1:
            raise InputError(f"the field folds the volume along axis {axis}; smooth it")


def apply(volume: np.ndarray, passes: Passes) -> np.ndarray:
    """What the passes make of a volume in plaintext; linear along each line."""
    found = volume
    for axis in reversed(AXES):
        found = resampled(found, passes.displacements[axis], axis)
    return np.where(passes.inside, found, 0.0)


def taps(displacement: np.ndarray, place: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Where a line is read: the lower of two neighbours, and the weight of the upper one.

    place: of the voxels of the result on their line. Beyond the ends of a line its last voxel counts.
    """
    source = np.clip(place + displacement.astype(np.float64), 0, length - 1)
    low = np.minimum(np.floor(source), max(length - 2, 0)).astype(np.int64)
    return low, source - low


def resampled(volume: np.ndarray, displacement: np.ndarray, axis: int) -> np.ndarray:
    """One pass in plaintext: displacement in voxels along an axis, for every voxel of the result."""
    length = volume.shape[axis]
    low, weight = taps(displacement, _along(np.arange(length), axis), length)
    lower = np.take_along_axis(volume, low, axis)
    upper = np.take_along_axis(volume, np.minimum(low + 1, length - 1), axis)
    return lower * (1 - weight) + upper * weight


def _transported(displacement: np.ndarray, values: np.ndarray, axis: int) -> np.ndarray:
    """`values` (k, x, y, z) as functions of where the displacement brings a voxel along an axis."""
    lines = np.ascontiguousarray(np.moveaxis(displacement, axis, -1), dtype=np.float32)
    carried = np.ascontiguousarray(np.moveaxis(values, axis + 1, -1), dtype=np.float32)
    length = lines.shape[-1]
    found = _invert(lines.reshape(-1, length), carried.reshape(len(carried), -1, length))
    return np.moveaxis(found.reshape(carried.shape), -1, axis + 1)


@compiled
def _invert(displacement: np.ndarray, values: np.ndarray) -> np.ndarray:
    kinds, lines, length = values.shape
    found = np.empty_like(values)
    for line in range(lines):
        left = 0
        for target in range(length):
            while left < length - 2 and left + 1 + displacement[line, left + 1] <= target:
                left += 1
            right = min(left + 1, length - 1)
            start, end = left + displacement[line, left], right + displacement[line, right]
            share = min(max((target - start) / (end - start), 0.0), 1.0) if right > left else 0.0
            for kind in range(kinds):
                found[kind, line, target] = values[kind, line, left] * (1 - share) + values[kind, line, right] * share
    return found


def _along(line: np.ndarray, axis: int) -> np.ndarray:
    """A line as an array that broadcasts along one of three axes."""
    return line.reshape([-1 if place == axis else 1 for place in AXES])
