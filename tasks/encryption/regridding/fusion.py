"""What is made of a deformed volume together with an image that is not secret, such as ultrasound.

Fusion is a weighted sum. The weight of the encrypted volume is part of the last pass of its deformation, so only the
addition is left. Similarity is the normalized cross-correlation (Lewis 1995, eq. 2): all sums are computed encrypted,
their ratio by whoever decrypts, since dividing is what homomorphic encryption is bad at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from tasks.common.errors import WouldBeWrong
from tasks.common.values import Value
from tasks.encryption.approximate import Approximate, blend
from tasks.encryption.regridding.blocks import Index3

_IMAGE_BITS = 24
SUMS = ("sum", "product", "square")


def fused(weighted: Mapping[Index3, Approximate], image: np.ndarray, share: np.ndarray) -> dict[Index3, Approximate]:
    """Encrypted voxels, weighted already, plus the share of an image; both by offset and slot.

    Raises:
        WouldBeWrong: the image is not finite, or does not fit.
    """
    return {offset: voxels + _filled(voxels, share[offset] * image[offset]) for offset, voxels in weighted.items()}


def sums(volume: Mapping[Index3, Approximate], image: np.ndarray) -> dict[str, Approximate]:
    """Sums over the volume of its voxels, their products with an image, and their squares, each in every slot.

    image: by offset and slot; it is zero where the volume does not count, and the volume is so too.

    Raises:
        WouldBeWrong: the sums do not fit; they grow with the number of voxels.
        KeyRefused: there are no keys for products, or to rotate by powers of two.
    """
    offsets, voxels = list(volume), list(volume.values())
    if not voxels:
        raise WouldBeWrong("no voxel is left to compare")
    weights = np.stack([_filled(voxel, image[offset]) for offset, voxel in zip(offsets, voxels, strict=True)])
    squares = [voxel * voxel for voxel in voxels]
    parts = {
        "sum": _added(voxels), "product": blend(voxels, weights, 2.0**_IMAGE_BITS), "square": _added(squares),
    }  # fmt: skip
    return {name: over_slots(part) for name, part in parts.items()}


def over_slots(ciphertext: Approximate) -> Approximate:
    """The sum of all slots, in every slot, by doubling."""
    total = ciphertext
    for power in range(int(math.log2(ciphertext.session.slots))):
        total = total + total.rotate(1 << power)
    return total


class Compared(Value):
    """The sums of a comparison, decrypted, with those of the image. voxels: that count."""

    voxels: int
    volume_sum: float
    volume_square: float
    product: float
    image_sum: float
    image_square: float

    @property
    def correlation(self) -> float:
        """Normalized cross-correlation in [-1, 1]; NaN where one of both is constant."""
        n = self.voxels
        numerator = n * self.product - self.volume_sum * self.image_sum
        spread = n * self.volume_square - self.volume_sum**2, n * self.image_square - self.image_sum**2
        return numerator / math.sqrt(spread[0] * spread[1]) if min(spread) > 0 else math.nan


def compare(volume: np.ndarray, image: np.ndarray, counted: np.ndarray) -> Compared:
    """The same in plaintext."""
    a, b = volume[counted].astype(np.float64), image[counted].astype(np.float64)
    return Compared(
        voxels=int(counted.sum()), volume_sum=a.sum(), volume_square=(a * a).sum(), product=(a * b).sum(),
        image_sum=b.sum(), image_square=(b * b).sum(),
    )  # fmt: skip


def _added(ciphertexts: list[Approximate]) -> Approximate:
    total = ciphertexts[0]
    for ciphertext in ciphertexts[1:]:
        total = total + ciphertext
    return total


def _filled(ciphertext: Approximate, slots: np.ndarray) -> np.ndarray:
    return np.pad(slots, (0, ciphertext.session.slots - len(slots)))
