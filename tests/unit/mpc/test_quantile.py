"""Quantiles over hospitals in the clear: against numpy's inverse of the distribution, and what is not shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mpc_programs.quantile import Quantile
from tasks.common.errors import InputError


def _plain(values, bins, **options):
    program = Quantile(parties=3, bins=bins, most_rows=1000, **options)
    parts = [values[:1], values[1:1], values[1:]]
    given = {party: {"counts": np.bincount(part, minlength=bins)} for party, part in enumerate(parts)}
    return program.plainly(program.checked(given))["bin"].tolist()


@settings(max_examples=80, deadline=None)
@given(values=st.lists(st.integers(0, 12), min_size=4, max_size=60))
def test_it_is_numpys_inverse_of_the_distribution(values):
    values = np.array(values)
    wanted = [np.quantile(values, share, method="inverted_cdf") for share in (0.25, 0.5, 0.75)]
    assert _plain(values, 13, minimum=1) == wanted


def test_a_median_by_hand():
    # 3 of 6 values are up to 2, which is half; a median of the mean's kind would be 3.
    assert _plain(np.array([4, 1, 0, 2, 5, 5]), 6, thousandths=(500,), minimum=3) == [2]


def test_a_quantile_with_few_rows_on_a_side_is_not_shown():
    values = np.arange(100)
    assert _plain(values, 100, thousandths=(49, 50, 950, 951), minimum=5) == [-1, 4, 94, -1]
    assert _plain(values[:0], 100, minimum=1) == [-1, -1, -1]


def test_what_is_no_quantile_is_refused():
    with pytest.raises(ValidationError):
        Quantile(parties=3, most_rows=5, thousandths=(1000,))
    program = Quantile(parties=3, most_rows=5, bins=2)
    with pytest.raises(InputError, match="party 1: 6 people are more than 5"):
        program.checked_of(1, {"counts": np.array([3, 3])})
