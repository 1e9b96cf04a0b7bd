"""A brain that shifts during surgery, simulated: no public series of intra-operative ultrasound with its deformations
was found.

After the skull is opened the brain sinks, by up to 20 mm near the opening, and is pushed and pulled besides (Hill et
al. 1998; Gerard et al. 2017, review). Three parts grow from frame to frame: a rigid motion, an affine stretch, and a
cubic B-spline with its largest displacement near the opening. Together they displace by a stated length at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from tasks.imaging.volumes import Volume

# Shares of the largest displacement that the parts have, before all is scaled to it.
_RIGID, _AFFINE, _SPLINE = 0.25, 0.15, 0.6
_SPLINE_MM = 24.0  # between control points
_SPECKLE = 0.25
_CONE_DEGREES = 35.0
_BLUR_VOXELS = 0.7


@dataclass(frozen=True)
class Shift:
    """How a region deforms: displacements in voxels at the end, (3, x, y, z), which frames reach step by step."""

    last: np.ndarray

    def at(self, share: float) -> np.ndarray:
        """The field when so much of the shift has happened, in [0, 1]; float32."""
        return (self.last * np.float32(share)).astype(np.float32)


def simulate(region: Volume, most_mm: float, rng: np.random.Generator) -> Shift:
    """A shift of a region by at most so many mm at any voxel, along each axis in voxels of its own size."""
    shape, spacing = region.voxels.shape, np.array(region.spacing)
    middle = (np.array(shape) - 1) / 2
    from_middle = (np.indices(shape) - middle[:, None, None, None]) * spacing[:, None, None, None]
    # Gravity, along the last axis after the opening was turned up.
    down = np.array([0.15, 0.25, -1.0]) * rng.uniform(0.8, 1.2, 3)
    angles = rng.uniform(-0.04, 0.04, 3)
    turn = np.array([[0, -angles[2], angles[1]], [angles[2], 0, -angles[0]], [-angles[1], angles[0], 0]])
    stretch = np.diag(rng.uniform(-0.05, 0.05, 3)) + rng.uniform(-0.02, 0.02, (3, 3))
    rigid = np.tensordot(turn, from_middle, 1) + down[:, None, None, None] * 3
    affine = np.tensordot(stretch, from_middle, 1)
    spline = _spline(shape, _SPLINE_MM / spacing, down, rng)
    whole = np.zeros((3, *shape))
    for share, part in ((_RIGID, rigid), (_AFFINE, affine), (_SPLINE, spline)):
        whole += share * part / _longest(part)
    return Shift((most_mm * whole / _longest(whole) / spacing[:, None, None, None]).astype(np.float32))


def ultrasound(moved: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What a probe at the top of the last axis might see of a volume in [0, 1], and where it sees at all.

    Edges shine more than tissue, speckle multiplies, and the cone of the probe ends the view. No physics.
    """
    edges = ndimage.gaussian_gradient_magnitude(moved, 1.0)
    echo = 0.7 * moved + 0.3 * edges / max(float(edges.max()), 1e-6)
    speckled = echo * np.exp(_SPECKLE * ndimage.gaussian_filter(rng.normal(size=moved.shape), _BLUR_VOXELS))
    return np.clip(speckled, 0, 1).astype(np.float32), cone(moved.shape)


def cone(shape: tuple[int, ...]) -> np.ndarray:
    """The voxels that the probe sees."""
    x, y, z = np.indices(shape).astype(np.float32)
    depth = shape[2] - 1 - z + 0.3 * max(shape)
    aside = np.hypot(x - (shape[0] - 1) / 2, y - (shape[1] - 1) / 2)
    return aside <= depth * np.tan(np.radians(_CONE_DEGREES))


def _spline(shape: tuple[int, ...], between: np.ndarray, down: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A cubic B-spline field, largest near the top of the last axis."""
    bases = [_basis(n, step) for n, step in zip(shape, between, strict=True)]
    controls = [basis.shape[1] for basis in bases]
    centre = [n / 2 for n in controls[:2]] + [controls[2] - 2]
    away = np.linalg.norm(np.indices(controls) - np.reshape(centre, (3, 1, 1, 1)), axis=0)
    near = np.exp(-((away / 2.5) ** 2))
    weights = down[:, None, None, None] * near + 0.25 * rng.normal(size=(3, *controls)) * (0.3 + near)
    return np.stack([np.einsum("xa,yb,zc,abc->xyz", *bases, part, optimize=True) for part in weights])


def _basis(voxels: int, between: float) -> np.ndarray:
    """Values of the uniform cubic B-splines, (voxels, control points)."""
    place = np.arange(voxels) / between
    first = np.floor(place).astype(int)
    t = place - first
    values = (1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6
    made = np.zeros((voxels, int(first.max()) + 4))
    for offset, value in enumerate(values):
        made[np.arange(voxels), first + offset] = value
    return made


def _longest(field: np.ndarray) -> float:
    return float(np.linalg.norm(field, axis=0).max())
