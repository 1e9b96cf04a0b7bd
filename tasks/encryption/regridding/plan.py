"""How many cores a larger volume needs, from what was measured on a smaller one.

Work grows with the number of ciphertexts of the result, since each takes the same number of products; between the two
stages every ciphertext changes hands once. Both stages fall into parts that need nothing of each other, and no more
workers than parts can share a stage.
"""

from __future__ import annotations

import math

from tasks.common.errors import WouldBeWrong
from tasks.common.values import Value
from tasks.encryption.regridding.blocks import Blocks, Index3
from tasks.encryption.regridding.budget import RESAMPLING

_WORD = 8  # bytes of a coefficient
_PARTS = 2  # polynomials of a ciphertext


class Plan(Value):
    """What a cluster needs. parts: of the stage with fewer of them. Bytes: of ciphertexts alone.

    kept_bytes: the volume with its rotations, over all workers. moved_bytes: between workers, each frame. answer_bytes:
    to the hospital, each frame.
    """

    blocks: Blocks
    hertz: float
    cores: int
    parts: int
    kept_bytes: int
    moved_bytes: int
    answer_bytes: int

    @property
    def shared_out(self) -> bool:
        """Whether there are parts for all cores."""
        return self.parts >= self.cores


def plan(shape: Index3, hertz: float, bound: float, voxels_per_core_second: float, use: float) -> Plan:
    """Cores and traffic for so many frames a second. use: share of the time that workers compute, in (0, 1].

    Raises:
        WouldBeWrong: nothing was measured.
    """
    if not (voxels_per_core_second > 0 and 0 < use <= 1 and hertz > 0):
        raise WouldBeWrong("a plan needs a measured rate above 0, and a use of workers in (0, 1]")
    parameters = RESAMPLING.parameters
    blocks = Blocks.over(shape, parameters.slots, bound)
    voxels = blocks.ciphertexts * blocks.slots
    polynomial = _PARTS * _WORD * parameters.degree
    primes = len(parameters.moduli_bits) - 1
    kept = blocks.ciphertexts * (1 + blocks.rotations(2, bound)) * polynomial * primes
    return Plan(
        blocks=blocks, hertz=hertz, cores=math.ceil(voxels * hertz / (voxels_per_core_second * use)),
        parts=min(blocks.block[0], blocks.block[1] * blocks.block[2]), kept_bytes=int(kept),
        moved_bytes=blocks.ciphertexts * polynomial * (primes - 1),
        answer_bytes=blocks.ciphertexts * polynomial * (primes - 1),
    )  # fmt: skip
