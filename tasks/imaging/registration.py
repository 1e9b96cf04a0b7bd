"""Bringing one volume onto another, once before surgery.

Affine and then B-spline, mutual information over a pyramid, as SimpleITK does it (Mattes et al. 2003; Lowekamp et al.
2013). Both use a random sample of voxels with a seed, so the same volumes give the same result; it is kept by content.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np

from tasks.common.errors import InputError, MissingPart
from tasks.imaging import volumes
from tasks.imaging.volumes import Volume

_BINS, _SAMPLES, _SEED = 32, 20_000, 1
_AFFINE_STEPS, _SPLINE_STEPS = 100, 20
_MESH = (6, 6, 6)
_VERSION = b"registration-2\0"
_LPS = np.diag([-1.0, -1.0, 1.0])


def aligned(moving: Volume, fixed: Volume, cache: Path) -> Volume:
    """`moving` on the voxels of `fixed`; where it has none, its lowest value. A result for the same two is read again.

    Raises:
        MissingPart: SimpleITK is not installed.
        InputError: they do not overlap enough to be registered.
    """
    kept = cache / f"{_content(moving, fixed)}.nii.gz"
    if kept.is_file():
        return volumes.read(kept)
    found = _register(moving, fixed)
    cache.mkdir(parents=True, exist_ok=True)
    volumes.write(found, kept)
    return found


def _register(moving: Volume, fixed: Volume) -> Volume:
    try:
        import SimpleITK
    except ImportError:
        raise MissingPart("registration needs SimpleITK; install secured[imaging]") from None
    sitk: Any = SimpleITK
    still, floating = _image(sitk, fixed), _image(sitk, moving)
    geometry = sitk.CenteredTransformInitializerFilter.GEOMETRY
    start = sitk.CenteredTransformInitializer(still, floating, sitk.AffineTransform(3), geometry)
    try:
        affine = _method(sitk, (4, 2), _AFFINE_STEPS, start, fixed.voxels.size).Execute(still, floating)
        spline = sitk.BSplineTransformInitializer(still, list(_MESH))
        method = _method(sitk, (4, 2), _SPLINE_STEPS, spline, fixed.voxels.size)
        method.SetMovingInitialTransform(affine)
        whole = sitk.CompositeTransform([affine, method.Execute(still, floating)])
    except RuntimeError:
        raise InputError("the two volumes cannot be registered: they hardly overlap, or one has no contrast") from None
    made = sitk.Resample(floating, still, whole, sitk.sitkLinear, float(moving.voxels.min()))
    return fixed.like(sitk.GetArrayFromImage(made).transpose(2, 1, 0))


def _method(sitk: Any, shrinking: tuple[int, ...], steps: int, start: Any, voxels: int) -> Any:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    at_levels = [min(1.0, _SAMPLES * factor**3 / voxels) for factor in shrinking]
    method.SetMetricSamplingPercentagePerLevel(at_levels, _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel(list(shrinking))
    method.SetSmoothingSigmasPerLevel([float(factor - 1) for factor in shrinking])
    if isinstance(start, sitk.BSplineTransform):
        method.SetOptimizerAsLBFGSB(numberOfIterations=steps, maximumNumberOfFunctionEvaluations=2 * steps)
    else:
        method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, steps)
        method.SetOptimizerScalesFromPhysicalShift()
    method.SetNumberOfThreads(1)
    method.SetNumberOfWorkUnits(1)
    method.SetInitialTransform(start, inPlace=False)
    return method


def _image(sitk: Any, volume: Volume) -> Any:
    """SimpleITK counts in LPS+ and takes arrays (z, y, x)."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.voxels.transpose(2, 1, 0), dtype=np.float32))
    spacing = volume.spacing
    image.SetSpacing(spacing)
    image.SetOrigin((_LPS @ volume.affine[:3, 3]).tolist())
    image.SetDirection((_LPS @ volume.affine[:3, :3] / np.array(spacing)).ravel().tolist())
    return image


def _content(moving: Volume, fixed: Volume) -> str:
    digest = hashlib.sha256(_VERSION + importlib.metadata.version("SimpleITK").encode())
    for volume in (moving, fixed):
        digest.update(np.ascontiguousarray(volume.voxels).tobytes() + volume.affine.tobytes())
    return digest.hexdigest()[:32]
