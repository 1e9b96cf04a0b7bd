"""What the secure sum says of itself: its inputs, its outputs, and what it would give in the clear."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from mpc_programs.secure_sum import SecureSum
from tasks.common.errors import InputError, ParametersError
from tasks.mpc.engine import PartyFailed, agreed
from tasks.mpc.formats import FixedPoint

PLAIN = SecureSum(parties=3, length=2, most=10.0)
WEIGHTED = SecureSum(parties=3, length=2, most=10.0, weighted=True, most_weight=100.0)


def test_a_sum_by_hand():
    given = {
        0: {"vector": np.array([1.0, -10])},
        1: {"vector": np.array([0.5, 10])},
        2: {"vector": np.array([0, -3.0])},
    }
    assert PLAIN.plainly(PLAIN.checked(given))["total"].tolist() == [1.5, -3.0]


def test_a_weighted_mean_by_hand():
    # (10 * 2 + 30 * 4 + 60 * -1) / 100 = 0.8 and (10 * 0 + 30 * 1 + 60 * 2) / 100 = 1.5.
    given = {
        0: {"vector": np.array([2.0, 0]), "weight": np.array([10.0])},
        1: {"vector": np.array([4.0, 1]), "weight": np.array([30.0])},
        2: {"vector": np.array([-1.0, 2]), "weight": np.array([60.0])},
    }
    found = WEIGHTED.plainly(WEIGHTED.checked(given))
    np.testing.assert_allclose(found["mean"], [0.8, 1.5], rtol=1e-15)
    assert found["weight"].tolist() == [100.0]


def test_a_missing_party_and_a_surplus_one_are_refused():
    vector = {"vector": np.zeros(2)}
    with pytest.raises(InputError, match=r"for parties 0 to 2; inputs are of \[0, 2\]"):
        PLAIN.checked({0: vector, 2: vector})
    with pytest.raises(InputError, match=r"inputs are of \[0, 1, 2, 3\]"):
        PLAIN.checked(dict.fromkeys(range(4), vector))


def test_an_input_that_nobody_reads_and_one_that_is_missing_are_refused_by_name():
    with pytest.raises(InputError, match="party 1 brings weight, which secure_sum does not read"):
        PLAIN.checked_of(1, {"vector": np.zeros(2), "weight": np.ones(1)})
    with pytest.raises(InputError, match="party 1 has to bring weight"):
        WEIGHTED.checked_of(1, {"vector": np.zeros(2)})


def test_a_weight_below_one_is_refused():
    with pytest.raises(InputError, match="1 of 1 numbers of weight are outside 1 to 100"):
        WEIGHTED.checked_of(0, {"vector": np.zeros(2), "weight": np.array([0.5])})


@pytest.mark.parametrize(
    ("most", "most_weight"),
    # 3 * 128 * 100 = 38,400, and weights of 3 * 20,000 = 60,000 on small numbers: 16 bits with a sign hold 32,767.
    [(128.0, 100.0), (0.01, 20_000.0)],
)
def test_a_sum_that_would_overflow_is_refused_before_anything_starts(most, most_weight):
    small = FixedPoint(bits=32, fraction=16)
    program = SecureSum(parties=3, length=1, most=most, weighted=True, most_weight=most_weight, format=small)
    given = {party: {"vector": np.zeros(1), "weight": np.ones(1)} for party in range(3)}
    with pytest.raises(ParametersError, match="secure_sum: a result on the way may reach"):
        program.checked(given)


@pytest.mark.parametrize("wrong", [{"length": 0}, {"parties": 1}, {"parties": 17}, {"most": float("inf")}, {"rows": 3}])
def test_a_sum_of_nothing_or_among_too_few_is_no_program(wrong):
    with pytest.raises(ValidationError):
        SecureSum(**({"parties": 3, "length": 2} | wrong))


def test_programs_that_differ_have_other_fingerprints():
    variants = [PLAIN, WEIGHTED, PLAIN.model_copy(update={"length": 3}), PLAIN.model_copy(update={"parties": 4})]
    assert len({program.fingerprint for program in variants}) == len(variants)
    assert PLAIN.fingerprint == SecureSum(parties=3, length=2, most=10.0).fingerprint


def test_outputs_that_all_parties_agree_on_get_names_and_shapes():
    numbers = np.array([0.8, 1.5, 100.0])
    found = agreed(WEIGHTED, [numbers, numbers.copy(), numbers.copy()])
    assert {name: values.tolist() for name, values in found.items()} == {"mean": [0.8, 1.5], "weight": [100.0]}


def test_a_party_that_writes_another_number_or_too_few_is_named():
    numbers = np.array([0.8, 1.5, 100.0])
    with pytest.raises(PartyFailed, match="parties 0 and 2 came to different results"):
        agreed(WEIGHTED, [numbers, numbers, numbers + np.array([0, 1e-9, 0])])
    with pytest.raises(PartyFailed, match="party 1 wrote 2 numbers where secure_sum has 3"):
        agreed(WEIGHTED, [numbers, numbers[:2], numbers])
    with pytest.raises(PartyFailed):
        agreed(WEIGHTED, [np.full(3, np.nan)] * 3)


def test_a_mean_in_a_format_that_mp_spdz_divides_wrongly_is_refused():
    numbers = FixedPoint(bits=48, fraction=36)
    SecureSum(parties=3, length=2, format=numbers)
    with pytest.raises(ParametersError, match="36 bits behind the point"):
        SecureSum(parties=3, length=2, weighted=True, most_weight=9.0, format=numbers)
