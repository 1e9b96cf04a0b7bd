"""Signs and products of shared numbers are what they are in the clear, at the ends of ranges and a step beside them."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.mpc.protocols import named
from tests.unit.mpc.programs import Negative, Squares

_SECONDS = 60.0
# Of the embedded engine's numbers in the format (48, 20): as many bits behind the point as before it.
_STEP = 2.0**-27


def _run(engine, program, values):
    """Party 0 brings values less those of all others, so that sums are the values and no party has any of them."""
    others = np.random.default_rng(0).integers(-(2**30), 2**30, (program.parties - 1, len(values))) * _STEP
    vectors = [values - others.sum(axis=0), *others]
    given = {party: {"vector": vector} for party, vector in enumerate(vectors)}
    return engine.run(program, engine.compile(program, named("shamir")), given, _SECONDS)


@pytest.mark.long
@pytest.mark.parametrize(("parties", "bits"), [(3, 2), (3, 3), (3, 9), (3, 33), (3, 34), (3, 50), (4, 34), (5, 34)])
def test_numbers_below_0_are_told_from_0_and_those_above(embedded, parties, bits):
    most = min(2 ** (bits - 1) - 1, 2**49 - 2**33)
    random = np.random.default_rng(bits).integers(-most, most + 1, 30)
    numbers = np.concatenate([[0, 1, -1, most, -most, most // 2, -(most // 2) - 1, most - 1, 1 - most], random])
    program = Negative(parties=parties, length=len(numbers), most=2.0**22, below=2.0 ** (bits - 1) * _STEP)
    found = _run(embedded, program, numbers * _STEP)
    assert found.outputs["total"].tolist() == (numbers < 0).astype(float).tolist()


@pytest.mark.slow
@pytest.mark.parametrize(("parties", "steps"), [(3, 2.0), (5, 5.5)])
def test_products_are_off_by_half_as_many_steps_as_there_are_parts_and_half(embedded, parties, steps):
    # 3 sets of 2 among 3 parties, 10 of 3 among 5: results are off by less than (3 + 1) / 2 and (10 + 1) / 2 steps.
    random = np.random.default_rng(1)
    values = np.concatenate(
        [[0.0, _STEP, -_STEP, 1.0, -1.0, 1000.0, -1000.0], random.integers(-(2**36), 2**36, 500) * _STEP]
    )
    program = Squares(parties=parties, length=len(values), most=2.0**12)
    off = (_run(embedded, program, values).outputs["total"] - values**2) / _STEP
    assert np.abs(off).max() < steps + 0.01
    assert abs(off.mean()) < 0.7  # by half a step if parts are even in number, and else by none
