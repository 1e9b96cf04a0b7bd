"""Fixed-point formats hold what they say, and inputs are refused without a word about their values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.common.errors import InputError, ParametersError
from tasks.mpc.formats import FixedPoint, Shape, for_range


def test_eight_bits_with_four_behind_the_point_end_a_sixteenth_below_eight():
    # The integers go from -128 to 127; 127 / 16 = 7.9375.
    shortest = FixedPoint(bits=8, fraction=4)
    assert shortest.most == 7.9375
    assert shortest.step == 0.0625


def test_a_result_at_the_limit_fits_and_one_step_beyond_does_not():
    numbers = FixedPoint(bits=32, fraction=16)
    numbers.require(32767.9999847412109375, "a sum")
    with pytest.raises(ParametersError, match=r"a sum may reach 3\.28e\+04.*scale the data"):
        numbers.require(32768.0, "a sum")


def test_a_result_of_unknown_size_does_not_fit():
    with pytest.raises(ParametersError):
        FixedPoint().require(float("nan"), "a sum")


@pytest.mark.parametrize(("bits", "fraction"), [(65, 20), (7, 4), (48, 41), (48, 3)])
def test_formats_beyond_the_engines_are_refused(bits, fraction):
    with pytest.raises(ValidationError):
        FixedPoint(bits=bits, fraction=fraction)


def test_a_format_with_no_room_before_the_point_is_refused():
    with pytest.raises(ParametersError, match="hold no numbers above 2"):
        FixedPoint(bits=16, fraction=14)


def test_numbers_to_a_thousand_within_a_thousandth_take_20_bits():
    # Steps of 2**-9 are within 2e-3; 1000 needs 10 bits before the point, and there is a sign.
    assert for_range(1000, 1e-3) == FixedPoint(bits=20, fraction=9)


@given(largest=st.floats(0.01, 1e6), error=st.floats(1e-6, 0.1))
def test_a_format_for_a_range_holds_it_and_rounds_within_the_error(largest, error):
    found = for_range(largest, error)
    found.require(largest, "it")
    assert found.step <= 2 * error


def test_a_range_that_takes_more_than_64_bits_is_refused():
    with pytest.raises(ParametersError, match="need more than 64 bits"):
        for_range(1e15, 1e-6)


AGES = Shape(shape=(3,), low=0, high=120)
COUNTS = Shape(shape=(3,), low=0, high=120, whole=True)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([1.0, np.nan, 77.25], "1 of 3 numbers of age are missing or infinite"),
        ([np.inf, -np.inf, 77.25], "2 of 3 numbers of age are missing or infinite"),
        ([-0.1, 120.1, 77.25], "2 of 3 numbers of age are outside 0 to 120"),
        ([77.25, 2], r"age has shape \(2,\), and the program wants \(3,\)"),
        ([], r"age has shape \(0,\)"),
        ([[77.25, 1, 2]], r"age has shape \(1, 3\)"),
        (["77.25", "1", "2"], "age has to be numbers"),
        ([None, 77.25, 1], "age has to be numbers"),
    ],
)
def test_an_input_that_is_not_what_it_should_be_is_refused_without_naming_values(values, reason):
    with pytest.raises(InputError, match=reason) as refusal:
        AGES.checked(values, "age", "party 1")
    assert str(refusal.value).startswith("party 1: ")
    assert "77.25" not in str(refusal.value)


def test_fractions_are_refused_where_counts_are_wanted():
    with pytest.raises(InputError, match="1 of 3 numbers of rows are fractions"):
        COUNTS.checked([1, 2.5, 3], "rows", "party 0")


def test_whole_numbers_are_taken_whatever_their_type():
    for values in ([0, 120, 7], np.array([0, 120, 7], np.uint8), [0.0, 120.0, 7.0], np.array([0, 120, 7.0], ">f4")):
        checked = COUNTS.checked(values, "rows", "party 0")
        assert checked.dtype == np.int64
        assert checked.tolist() == [0, 120, 7]


def test_a_column_of_a_table_is_laid_out_in_one_piece():
    checked = AGES.checked(np.arange(12.0).reshape(3, 4)[:, 1], "age", "party 0")
    assert checked.flags["C_CONTIGUOUS"]
    assert checked.tolist() == [1, 5, 9]
