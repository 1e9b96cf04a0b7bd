"""Volumes from DICOM and NIfTI, in one form: voxels with the affine that says where they are, in mm, RAS+.

DICOM counts in LPS+ and rows first (PS3.3 C.7.6.2); NIfTI in RAS+ (NIfTI-1, qform and sform). Both become arrays
(x, y, z) with a RAS+ affine, as nibabel has them. Nothing but voxels and geometry is taken from a file: names, dates
and identifiers in its header go nowhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from tasks.common.errors import InputError, MissingPart
from tasks.common.store import atomic

_NIFTI = (".nii", ".nii.gz")
# Slices may be so far from evenly spaced, in mm, as their positions are written with.
_EVEN_MM = 0.01
_LEAST_SLICES = 2


@dataclass(frozen=True)
class Volume:
    """Voxels (x, y, z), float32, and the 4 × 4 affine from voxel numbers to mm (RAS+)."""

    voxels: np.ndarray
    affine: np.ndarray

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Edge lengths of a voxel in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    def like(self, voxels: np.ndarray) -> Volume:
        """Other voxels in the same place."""
        return Volume(voxels.astype(np.float32), self.affine)

    def cut(self, start: tuple[int, int, int], shape: tuple[int, int, int]) -> Volume:
        """A part that begins at a voxel.

        Raises:
            InputError: it is not all inside.
        """
        if any(s < 0 or s + n > whole for s, n, whole in zip(start, shape, self.voxels.shape, strict=True)):
            raise InputError(f"a region of {shape} voxels from {start} is not inside a volume of {self.voxels.shape}")
        part = tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))
        moved = self.affine.copy()
        moved[:3, 3] += self.affine[:3, :3] @ np.array(start)
        return Volume(np.ascontiguousarray(self.voxels[part]), moved)


def read(path: Path) -> Volume:
    """A NIfTI file, a DICOM file with several frames, or a folder with one DICOM series.

    Raises:
        InputError: it is none of these, not one grayscale volume, or has voxels that are not finite.
        MissingPart: it is NIfTI, and nibabel is not installed.
    """
    if not path.exists():
        raise InputError(f"there is no volume at {path}")
    volume = _nifti(path) if path.name.endswith(_NIFTI) else _dicom(path)
    bad = int((~np.isfinite(volume.voxels)).sum())
    if bad:
        raise InputError(
            f"{path.name}: {bad:,} of {volume.voxels.size:,} voxels are missing or infinite; repair it first"
        )
    return volume


def write(volume: Volume, path: Path) -> None:
    """A NIfTI file, whole or not at all; its header says where voxels are, and no more."""
    nibabel = _nibabel()
    image = nibabel.Nifti1Image(volume.voxels.astype(np.float32), volume.affine)
    image.header.set_xyzt_units("mm")
    with atomic(path) as temporary:
        named = temporary.with_name(temporary.name + ".nii.gz")
        nibabel.save(image, named)
        named.replace(temporary)


def scaled(volume: Volume) -> tuple[Volume, float, float]:
    """Voxels in [0, 1], with the lowest value and the range that they had.

    Raises:
        InputError: all voxels are alike.
    """
    low, high = float(volume.voxels.min()), float(volume.voxels.max())
    if not high > low:
        raise InputError("all voxels are alike, so there is nothing to see in this volume")
    return volume.like((volume.voxels - low) / (high - low)), low, high - low


def _nibabel() -> Any:
    try:
        import nibabel
    except ImportError:
        raise MissingPart("NIfTI files need nibabel; install secured[imaging]") from None
    return nibabel


def _nifti(path: Path) -> Volume:
    nibabel = _nibabel()
    try:
        image = nibabel.load(path)
        voxels = np.asarray(image.dataobj, dtype=np.float32)
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError) as error:
        raise InputError(f"{path.name} is no NIfTI file that can be read ({type(error).__name__})") from None
    if voxels.ndim == 4 and voxels.shape[3] == 1:
        voxels = voxels[..., 0]
    _require_volume(path, voxels)
    return Volume(voxels, np.asarray(image.affine, dtype=np.float64))


def _dicom(path: Path) -> Volume:
    places = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    slices = [_dataset(place) for place in places]
    series = {str(ds.get("SeriesInstanceUID", "")) for ds in slices}
    if len(series) > 1:
        raise InputError(f"{path.name} holds {len(series)} DICOM series; give a folder with one")
    if len(slices) == 1:
        return _frames(path, slices[0])
    return _stacked(path, slices)


def _dataset(place: Path) -> Any:
    try:
        dataset = pydicom.dcmread(place)
    except (InvalidDicomError, OSError, EOFError) as error:
        raise InputError(f"{place.name} is neither NIfTI nor DICOM ({type(error).__name__})") from None
    if "PixelData" not in dataset or int(dataset.get("SamplesPerPixel", 1)) != 1:
        raise InputError(f"{place.name} is no grayscale image")
    return dataset


def _stacked(path: Path, slices: list[Any]) -> Volume:
    if any(
        key not in ds for ds in slices for key in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing")
    ):
        raise InputError(f"{path.name}: a slice does not say where it is (ImagePositionPatient and its kin)")
    rows, columns, spacing = _plane(slices[0])
    normal = np.cross(rows, columns)
    along = np.array([float(normal @ _vector(ds.ImagePositionPatient)) for ds in slices])
    order = np.argsort(along)
    steps = np.diff(along[order])
    if len({(ds.Rows, ds.Columns, str(ds.ImageOrientationPatient), str(ds.PixelSpacing)) for ds in slices}) > 1:
        raise InputError(f"{path.name}: slices differ in size, direction or pixel spacing")
    if len(slices) < _LEAST_SLICES or steps.min() <= 0 or np.ptp(steps) > _EVEN_MM:
        raise InputError(f"{path.name}: slices are not evenly spaced, or one is there twice or missing")
    voxels = np.stack([_pixels(slices[i]).T for i in order], axis=2)
    origin = _vector(slices[order[0]].ImagePositionPatient)
    return Volume(voxels, _affine(rows * spacing[1], columns * spacing[0], normal * steps.mean(), origin))


def _frames(path: Path, dataset: Any) -> Volume:
    pixels = _pixels(dataset)
    if pixels.ndim != 3:
        raise InputError(f"{path.name} is a single slice; give the folder of its series")
    voxels = pixels.transpose(2, 1, 0)
    _require_volume(path, voxels)
    rows, columns, spacing = _plane(dataset)
    between = float(dataset.get("SpacingBetweenSlices", dataset.get("SliceThickness", 0)) or spacing[0])
    origin = _vector(dataset.get("ImagePositionPatient", (0, 0, 0)))
    steps = rows * spacing[1], columns * spacing[0], np.cross(rows, columns) * between
    return Volume(voxels, _affine(*steps, origin))


def _plane(dataset: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    direction = _vector(dataset.get("ImageOrientationPatient", (1, 0, 0, 0, 1, 0)))
    spacing = _vector(dataset.get("PixelSpacing", (1, 1)))
    if not np.isfinite(direction).all() or spacing.min() <= 0:
        raise InputError("a DICOM image has an impossible direction or pixel spacing")
    return direction[:3], direction[3:], spacing


def _pixels(dataset: Any) -> np.ndarray:
    try:
        stored = dataset.pixel_array
    except (ValueError, AttributeError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"the pixels of a DICOM image cannot be read ({type(error).__name__})") from None
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    return np.asarray(stored * slope + intercept, dtype=np.float32)


def _vector(values: Any) -> np.ndarray:
    return np.array([float(value) for value in values])


def _affine(i: np.ndarray, j: np.ndarray, k: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """RAS+ from steps and origin in LPS+."""
    made = np.eye(4)
    made[:3, :] = np.stack([i, j, k, origin], axis=1)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ made


def _require_volume(path: Path, voxels: np.ndarray) -> None:
    if voxels.ndim != 3 or min(voxels.shape) < _LEAST_SLICES or not math.prod(voxels.shape):
        raise InputError(f"{path.name} holds an array of {voxels.shape}, not one volume")
