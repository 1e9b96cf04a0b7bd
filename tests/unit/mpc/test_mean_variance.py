"""What the program for mean, variance and histogram would give in the clear, and which cells it suppresses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc_programs.mean_variance import MeanVariance
from tasks.common.errors import InputError, ParametersError
from tasks.mpc.formats import FixedPoint


def _plain(*values: list[float], **options: float) -> dict[str, np.ndarray]:
    program = MeanVariance(
        parties=len(values), rows=tuple(map(len, values)), **{"low": 0, "high": 8, "bins": 4, "minimum": 2} | options
    )
    return program.plainly(program.checked({party: {"values": each} for party, each in enumerate(values)}))


def test_moments_by_hand():
    # 1, 2, 3, 6: mean 3, squares of differences 4 + 1 + 0 + 9 = 14, over 3.
    found = _plain([1.0], [2.0, 3.0], [6.0])
    assert found["mean"].tolist() == [3.0]
    np.testing.assert_allclose(found["variance"], [14 / 3], rtol=1e-15)


def test_a_cell_has_its_lower_edge_and_the_last_one_its_upper_as_well():
    # Cells from 0, 2, 4 and 6; a step below an edge is in the cell before.
    below = 4 - 2.0**-20
    assert _plain([0.0, 0.0], [2.0, below, below], [6.0, 8.0, 4.0, 4.0])["histogram"].tolist() == [2, 3, 2, 2]


def test_small_cells_are_suppressed_where_it_is_not_told_which_rows_are_missing():
    # Cells of 6, 3, 4 and 0 with a minimum of 5: 7 rows are missing.
    assert _plain([1.0] * 6, [3.0] * 3, [5.0] * 4, minimum=5)["histogram"].tolist() == [6, 0, 0, 0]


def test_a_single_small_cell_hides_all_since_it_would_be_what_is_missing():
    assert _plain([1.0] * 6, [3.0] * 3, [5.0] * 5, minimum=5)["histogram"].tolist() == [0, 0, 0, 0]


def test_cells_of_the_minimum_and_empty_ones_are_no_small_cells():
    assert _plain([1.0] * 5, [3.0] * 5, [5.0] * 7, minimum=5)["histogram"].tolist() == [5, 5, 7, 0]


@given(rows=st.lists(st.floats(0, 8), min_size=12, max_size=40), minimum=st.integers(2, 10))
def test_no_cell_below_the_minimum_is_shown_nor_what_is_missing_for_one(rows, minimum):
    shown = _plain(rows[:1], rows[1:4], rows[4:], minimum=minimum)["histogram"]
    true = np.histogram(np.rint(np.array(rows) * 2**20), bins=np.array([0, 2, 4, 6, 8]) * 2**20)[0]
    assert all(cell == 0 or cell >= minimum for cell in shown)
    assert all(cell in (0, whole) for cell, whole in zip(shown, true, strict=True))
    missing = len(rows) - shown.sum()
    assert missing == 0 or missing >= minimum


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"rows": (5, 5)}, "rows has 2 numbers for 3 parties"),
        ({"rows": (1, 1, 1)}, "3 rows in all are fewer than the minimum, 10"),
        ({"low": 1.0, "high": 1.0}, "are narrower than a step"),
        ({"low": 2.0, "high": 1.0}, "are narrower than a step"),
        ({"low": 0.0, "high": 2.0**-20, "bins": 2}, "are narrower than a step"),
    ],
)
def test_what_is_no_histogram_is_refused(wrong, reason):
    with pytest.raises(ParametersError, match=reason):
        MeanVariance(**{"parties": 3, "rows": (5, 6, 7), "low": 0.0, "high": 8.0} | wrong)


def test_squares_that_would_overflow_are_refused():
    # 10,000 rows up to 120 from the middle: 1.44e8, and (48, 20) holds 1.34e8.
    column = {"parties": 3, "low": -120.0, "high": 120.0}
    with pytest.raises(ParametersError, match=r"may reach 1\.44e\+08"):
        MeanVariance(rows=(4000, 4000, 2000), **column).checked({})
    with pytest.raises(InputError, match="for parties 0 to 2"):
        MeanVariance(rows=(4000, 4000, 2000), format=FixedPoint(bits=50, fraction=20), **column).checked({})


def test_another_number_of_rows_than_was_said_is_refused():
    program = MeanVariance(parties=3, rows=(5, 6, 7), low=0, high=8)
    with pytest.raises(InputError, match=r"party 1: values has shape \(5,\), and the program wants \(6,\)"):
        program.checked_of(1, {"values": np.zeros(5)})
