"""Whole deformations under encryption, fused and compared with an image, against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.common.errors import CiphertextError
from tasks.encryption import approximate, envelope
from tasks.encryption.regridding import budget, fusion, passes, stages
from tasks.encryption.regridding.blocks import Blocks, Index3
from tasks.encryption.regridding.budget import Budget
from tests.unit.encryption.regridding_keys import sessions
from tests.unit.encryption.test_regridding_passes import smooth_field

pytest.importorskip("Pyfhel")

BOUND = 3.0
BLOCKS = Blocks(shape=(30, 32, 31), grid=(16, 8, 32), block=(2, 4, 1))


class Case:
    """A volume in ciphertexts and a field, under a budget."""

    def __init__(self, chosen: Budget) -> None:
        self.owner, self.evaluator = sessions(budget.needs(chosen, BLOCKS, BOUND, sums=chosen is budget.COMPARING))
        self.budget, rng = chosen, np.random.default_rng(3)
        self.volume, self.image = rng.uniform(size=(2, *BLOCKS.shape))
        self.passes = passes.split(smooth_field(BOUND, width=5.0, shape=BLOCKS.shape), BLOCKS.shape, BOUND)
        self.packed = stages.Packed.of(self.passes, BLOCKS)
        voxels = BLOCKS.pack(self.volume)
        self.encrypted = {o: approximate.encrypt(self.evaluator, voxels[o], bound=1.0) for o in BLOCKS.offsets()}

    def deformed(self, gain: np.ndarray) -> stages.Volume:
        return stages.deformed(self.encrypted, self.packed, BLOCKS.pack(gain), BLOCKS, self.budget)

    def opened(self, made: stages.Volume) -> tuple[np.ndarray, float]:
        voxels = np.zeros((*BLOCKS.block, BLOCKS.slots))
        for offset, ciphertext in made.items():
            voxels[offset] = approximate.decrypt(self.to_owner(ciphertext))
        return BLOCKS.unpack(voxels), max(ciphertext.error for ciphertext in made.values())

    def to_owner(self, ciphertext: approximate.Approximate) -> approximate.Approximate:
        return envelope.unpack(self.owner, envelope.pack(ciphertext))


@pytest.mark.parametrize("chosen", [budget.RESAMPLING, budget.COMPARING])
def test_a_deformed_volume_is_that_of_the_plaintext_passes_within_the_stated_error(chosen: Budget) -> None:
    case = Case(chosen)
    found, stated = case.opened(case.deformed(np.ones(BLOCKS.shape)))
    assert np.abs(found - passes.apply(case.volume, case.passes)).max() <= stated < 0.004


def test_fusion_is_the_weighted_sum() -> None:
    case = Case(budget.RESAMPLING)
    share = np.random.default_rng(4).uniform(0.2, 0.8, BLOCKS.shape)
    weighted = case.deformed(1 - share)
    found, stated = case.opened(fusion.fused(weighted, BLOCKS.pack(case.image), BLOCKS.pack(share)))
    wanted = (1 - share) * passes.apply(case.volume, case.passes) + share * case.image
    assert np.abs(found - wanted).max() <= stated < 0.001


def test_similarity_is_the_correlation_that_numpy_finds() -> None:
    case = Case(budget.COMPARING)
    seen = np.random.default_rng(5).uniform(size=BLOCKS.shape) < 0.6
    counted = seen & case.passes.inside
    moved = passes.apply(case.volume, case.passes)
    image = 0.5 * moved + 0.5 * case.image
    made = fusion.sums(case.deformed(seen.astype(float)), BLOCKS.pack(np.where(counted, image, 0.0)))
    plain = fusion.compare(moved, image, counted)
    opened = {name: float(approximate.decrypt(case.to_owner(part))[0]) for name, part in made.items()}
    found = plain.model_copy(
        update={"volume_sum": opened["sum"], "product": opened["product"], "volume_square": opened["square"]}
    )
    assert found.correlation == pytest.approx(np.corrcoef(moved[counted], image[counted])[0, 1], abs=1e-4)
    for name, wanted in (("sum", plain.volume_sum), ("product", plain.product), ("square", plain.volume_square)):
        assert abs(opened[name] - wanted) <= made[name].error
        assert made[name].error < 0.01 * BLOCKS.slots * BLOCKS.ciphertexts


def test_a_volume_without_one_of_its_ciphertexts_is_refused() -> None:
    case = Case(budget.RESAMPLING)
    missing: Index3 = (1, 2, 0)
    del case.encrypted[missing]
    with pytest.raises(CiphertextError, match=r"offset \(1, 2, 0\) is missing"):
        case.deformed(np.ones(BLOCKS.shape))
