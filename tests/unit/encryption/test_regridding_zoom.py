"""Encrypted volumes are zoomed by integers as scipy and reshaping do it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from tasks.common.errors import CiphertextError, WouldBeWrong
from tasks.encryption import approximate, envelope
from tasks.encryption.regridding.blocks import Blocks
from tasks.encryption.regridding.zoom import Enlarge, Shrink, Zoom
from tests.unit.encryption.regridding_keys import sessions

pytest.importorskip("Pyfhel")

SLICES = Blocks(shape=(3, 64, 60), grid=(1, 64, 64), block=(3, 1, 1))
CUBES = Blocks(shape=(30, 32, 31), grid=(16, 16, 16), block=(2, 2, 2))


def through(job: Zoom, volume: np.ndarray) -> tuple[np.ndarray, float]:
    """What comes out, by way of envelopes, and the stated error."""
    owner, evaluator = sessions(job.needs())
    sent = {name: envelope.pack(c) for name, c in job.encrypt(owner, volume).items()}
    made = job.evaluate(evaluator, {name: envelope.unpack(evaluator, content) for name, content in sent.items()})
    back = {name: envelope.unpack(owner, envelope.pack(c)) for name, c in made.items()}
    return job.decrypt(owner, back), max(c.error for c in back.values())


@pytest.mark.parametrize(
    ("blocks", "factors"), [(SLICES, (2, 2, 2)), (SLICES, (1, 3, 2)), (CUBES, (2, 2, 2)), (CUBES, (3, 1, 2))]
)
def test_an_enlarged_volume_is_that_of_linear_interpolation(blocks: Blocks, factors: tuple[int, int, int]) -> None:
    volume = np.random.default_rng(7).uniform(size=blocks.shape)
    found, stated = through(Enlarge(blocks=blocks, factors=factors), volume)
    fine = [np.arange(f * (n - 1) + 1) / f for n, f in zip(blocks.shape, factors, strict=True)]
    wanted = ndimage.map_coordinates(volume, np.meshgrid(*fine, indexing="ij"), order=1)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= stated < 1e-5
    np.testing.assert_allclose(Enlarge(blocks=blocks, factors=factors).plainly(volume), wanted, atol=1e-12)


def test_a_shrunk_volume_is_the_mean_of_its_voxels() -> None:
    blocks = Blocks(shape=(8, 8, 8), grid=(2, 4, 4), block=(4, 2, 2))
    volume = np.random.default_rng(8).uniform(size=blocks.shape)
    found, stated = through(Shrink(blocks=blocks, factors=(2, 2, 1)), volume)
    wanted = sum(volume[i::2, j::2] for i in range(2) for j in range(2)) / 4
    assert np.abs(found - wanted).max() <= stated < 1e-5


def test_factors_that_do_not_fit_and_missing_parts_are_refused() -> None:
    with pytest.raises(WouldBeWrong, match="multiply to more"):
        Enlarge(blocks=CUBES, factors=(32, 32, 32))
    with pytest.raises(WouldBeWrong, match="do not divide"):
        Shrink(blocks=CUBES, factors=(3, 1, 1))
    job = Enlarge(blocks=CUBES, factors=(2, 1, 1))
    owner, evaluator = sessions(job.needs())
    some = {"000-000-000": approximate.encrypt(owner, np.zeros(4096), "blocks", bound=1.0)}
    with pytest.raises(CiphertextError, match="do not make up a volume"):
        job.evaluate(evaluator, some)
    with pytest.raises(CiphertextError, match="packed by blocks"):
        job.evaluate(evaluator, {"000-000-000": approximate.encrypt(owner, np.zeros(4096), "rows", bound=1.0)})
