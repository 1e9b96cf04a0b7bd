"""Registration brings one volume onto another, and is done once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from tasks.imaging import registration, volumes
from tasks.imaging.volumes import Volume
from tests.shared_data import shared_data

pytest.importorskip("SimpleITK")
pytest.importorskip("nibabel")


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_a_shifted_volume_is_brought_back_and_read_again_the_second_time(tmp_path: Path) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(32, 32, 32)), 3)
    fixed = Volume((1000 * noise).astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    # The same content, 6 mm away along x and with other numbers for the same tissue.
    moved = fixed.affine.copy()
    moved[0, 3] = 6.0
    moving = Volume(300 - 2 * fixed.voxels, moved)
    found = registration.aligned(moving, fixed, tmp_path)
    middle = (slice(8, -8),) * 3
    assert abs(correlation(found.voxels[middle], fixed.voxels[middle])) > 0.98
    assert abs(correlation(moving.voxels[middle], fixed.voxels[middle])) == pytest.approx(1.0)  # on its own grid
    kept = list(tmp_path.glob("*.nii.gz"))
    assert len(kept) == 1
    changed = kept[0].stat().st_mtime_ns
    again = registration.aligned(moving, fixed, tmp_path)
    np.testing.assert_array_equal(again.voxels, found.voxels)
    assert kept[0].stat().st_mtime_ns == changed


@pytest.mark.long
def test_colin27_comes_onto_mni152(tmp_path: Path) -> None:
    fixed = volumes.read(shared_data("mri_mni152_t1_1mm.nii.gz"))
    moving = volumes.read(shared_data("mri_colin27_t1_brain_1mm.nii.gz"))
    found = registration.aligned(moving, fixed, tmp_path)
    brain = found.voxels > found.voxels.min() + 1
    # Two people's brains: about 0.7. Without registration, on the voxels that happen to lie there:
    places = np.indices(fixed.voxels.shape).reshape(3, -1)
    back = np.linalg.inv(moving.affine) @ fixed.affine @ np.vstack([places, np.ones(places.shape[1])])
    before = ndimage.map_coordinates(moving.voxels, back[:3], order=1).reshape(fixed.voxels.shape)
    assert correlation(found.voxels[brain], fixed.voxels[brain]) > 0.65
    assert (
        correlation(found.voxels[brain], fixed.voxels[brain]) > correlation(before[brain], fixed.voxels[brain]) + 0.03
    )
