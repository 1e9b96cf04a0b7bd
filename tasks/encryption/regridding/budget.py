"""Which primes three passes need, and how finely weights are written in each.

Weights of interpolation are between 0 and 1, so the numbers never grow; only the scale does, by the bits that weights
are written with. With 24 bits or so a pass, several passes fit before a prime has to be dropped, and few primes are
what encoding and multiplying cost: half of the time is the transform of the weights, once for each prime.
"""

from __future__ import annotations

import math

from tasks.common.values import Value
from tasks.encryption.job import Needs
from tasks.encryption.parameters import Parameters, Scheme
from tasks.encryption.regridding.blocks import Blocks


class Budget(Value):
    """Parameters, and for the passes along axis 2, 1, 0: bits of the weights, and whether a prime is dropped after."""

    parameters: Parameters
    weight_bits: tuple[int, int, int]
    rescaled: tuple[bool, bool, bool]


# The volume itself: two primes of data, and one for the last pass. 36 + 24 + 24 - 50 + 24 = 58 bits of the last prime.
RESAMPLING = Budget(
    parameters=Parameters(scheme=Scheme.CKKS, degree=8192, moduli_bits=(60, 50, 60), scale_bits=36),
    weight_bits=(24, 24, 24),
    rescaled=(False, True, False),
)
# Room for squares and sums over the volume afterwards: 29 + 3·22 - 56 = 39 bits of 102; squares have 2·39 - 51 = 27 of
# 51 bits, which leaves 23 for adding up voxels.
COMPARING = Budget(
    parameters=Parameters(scheme=Scheme.CKKS, degree=8192, moduli_bits=(51, 51, 56, 60), scale_bits=29),
    weight_bits=(22, 22, 22),
    rescaled=(False, False, True),
)


def needs(budget: Budget, blocks: Blocks, bound: float, *, sums: bool) -> Needs:
    """Keys for deformations up to a bound in voxels; sums: whether sums over all slots are wanted too."""
    steps = {
        carry * blocks.strides[axis]
        for axis in range(3)
        for carry in blocks.carries(axis, bound)
        if 0 < abs(carry) < blocks.grid[axis]
    }
    doubling = {1 << power for power in range(int(math.log2(budget.parameters.slots)))} if sums else set()
    return Needs(parameters=budget.parameters, rotations=tuple(sorted(steps | doubling)), products=sums)
