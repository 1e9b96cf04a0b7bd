"""Three passes along lines do what one interpolation in space does, and what cannot be done so is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from tasks.common.errors import InputError
from tasks.encryption.regridding import passes

SHAPE = (40, 36, 44)


def smooth_field(
    amplitude: float, seed: int = 1, width: float = 9.0, shape: tuple[int, int, int] = SHAPE
) -> np.ndarray:
    """Filtered noise, scaled so that the largest displacement along each axis is the amplitude in voxels."""
    noise = np.random.default_rng(seed).normal(size=(3, *shape))
    smooth = np.stack([ndimage.gaussian_filter(part, width, mode="nearest") for part in noise])
    return (amplitude * smooth / np.abs(smooth).max((1, 2, 3), keepdims=True)).astype(np.float32)


def smooth_volume(seed: int = 2) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 2.0)
    return (noise - noise.min()) / np.ptp(noise)


def in_space(volume: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Trilinear interpolation by scipy."""
    places = np.indices(volume.shape) + field
    return ndimage.map_coordinates(volume, places, order=1, mode="nearest")


def test_the_passes_agree_with_interpolation_in_space_within_a_percent() -> None:
    volume, field = smooth_volume(), smooth_field(6.0)
    made = passes.split(field, SHAPE, 8.0)
    error = np.abs(passes.apply(volume, made) - in_space(volume, field))[made.inside]
    assert made.inside.mean() > 0.6
    assert np.sqrt((error**2).mean()) < 0.002
    assert np.percentile(error, 99) < 0.01


def test_a_linear_volume_is_deformed_exactly() -> None:
    # Of a linear function the interpolation is exact wherever it is taken, so only the inversion can be wrong.
    x, y, z = np.indices(SHAPE).astype(float)
    volume = (2 * x + 3 * y - z) / 300
    field = smooth_field(5.0, seed=3, width=14.0)
    made = passes.split(field, SHAPE, 8.0)
    wanted = (2 * (x + field[0]) + 3 * (y + field[1]) - (z + field[2])) / 300
    deep = ndimage.binary_erosion(made.inside, iterations=6)
    assert deep.any()
    assert np.abs(passes.apply(volume, made) - wanted)[deep].max() < 2e-3


def test_a_whole_shift_moves_voxels_and_leaves_zeros_where_nothing_was() -> None:
    volume = smooth_volume()
    field = np.zeros((3, *SHAPE), dtype=np.float32)
    field[0], field[1], field[2] = 2, -1, 3
    made = passes.split(field, SHAPE, 8.0)
    wanted = np.zeros(SHAPE)
    wanted[:-2, 1:, :-3] = volume[2:, :-1, 3:]
    np.testing.assert_allclose(passes.apply(volume, made), wanted, atol=1e-12)


def test_no_displacement_changes_nothing() -> None:
    volume = smooth_volume()
    made = passes.split(np.zeros((3, *SHAPE)), SHAPE, 8.0)
    np.testing.assert_array_equal(passes.apply(volume, made), volume)


def test_a_field_that_cannot_be_applied_is_refused() -> None:
    field = smooth_field(4.0)
    with pytest.raises(InputError, match="does not fit"):
        passes.split(field[:, :-1], SHAPE, 8.0)
    with pytest.raises(InputError, match="more than the 3"):
        passes.split(field, SHAPE, 3.0)
    broken = field.copy()
    broken[1, 3, 3, 3] = np.nan
    with pytest.raises(InputError, match="missing or infinite"):
        passes.split(broken, SHAPE, 8.0)
    folded = field.copy()
    folded[2, 5, 5, 10], folded[2, 5, 5, 11] = 2.0, 0.5
    with pytest.raises(InputError, match="folds the volume along axis 2"):
        passes.split(folded, SHAPE, 8.0)
