"""Copies are seen, with noise or without; rows that know nobody are not taken for copies."""

import numpy as np
import pyarrow as pa
import pytest

from tasks.synthesis import copies
from tasks.synthesis.copies import RareRows, Vocabulary
from tasks.synthesis.handles import MOST_EXCESS
from tasks.utility.fidelity import shuffled
from tests.conftest import make_policy

POLICY = make_policy(
    {
        "ward": {"role": "quasi", "hierarchy": "all-or-nothing"},
        "hours": {"role": "other", "kind": "numeric"},
        **{name: {"role": "other", "kind": "numeric"} for name in ("dose", "pulse", "pressure")},
    }
)


def people(count, seed):
    rng = np.random.default_rng(seed)
    ward = rng.choice(list("abcde"), count, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    hours = rng.gamma(2, 3, count).round(1)
    dose = (hours * rng.uniform(0.5, 1.5, count)).round(2)
    pulse, pressure = rng.normal(70, 9, count).round(), rng.normal(130, 20, count).round()
    return pa.table({"ward": ward, "hours": hours, "dose": dose, "pulse": pulse, "pressure": pressure})


LEARNED, CONTROL = people(2_000, 1), people(1_000, 2)


def look(rows):
    return copies.look(rows, LEARNED, CONTROL, POLICY, np.random.default_rng(3))


@pytest.mark.parametrize("seed", range(10, 20))
def test_rows_of_other_people_are_as_near_to_these_as_to_those(seed):
    found = look(people(1_500, seed))
    assert found.expected == pytest.approx(2 / 3)
    assert abs(found.excess) < 0.1
    assert found.acceptable, "and no two of them are alike by chance"


def test_shuffled_columns_repeat_nobody():
    assert abs(look(shuffled(LEARNED, np.random.default_rng(4))).excess) < 0.1


def test_a_plain_copy_is_all_copies():
    found = look(LEARNED)
    assert found.rare_copies > 1_500
    assert found.excess > 0.9
    assert not found.acceptable


def test_a_copy_with_noise_in_one_column_is_seen():
    noise = np.random.default_rng(5).normal(0, 1, 2_000)
    noisy = LEARNED.set_column(1, "hours", pa.array(LEARNED["hours"].to_numpy() + noise))
    found = look(noisy)
    assert found.rare_copies == 0
    assert found.low > MOST_EXCESS
    assert found.without == "hours", "in all other columns it is a copy"
    assert not found.acceptable


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_the_excess_is_the_share_of_copies(share):
    count = round(2_000 * share)
    mixed = pa.concat_tables([LEARNED.slice(0, count), people(2_000 - count, 6)])
    assert look(mixed).excess == pytest.approx(share, abs=0.08)


def test_rows_at_the_same_distance_count_by_their_number():
    # Every row is alike: the nearest one is any of 30 learned rows and 10 others.
    alike = pa.table({"ward": ["a"] * 30} | {n: [1.0] * 30 for n in ("hours", "dose", "pulse", "pressure")})
    found = copies.look(alike, alike, alike.slice(0, 10), POLICY, np.random.default_rng(1))
    assert found.nearer == pytest.approx(0.75)
    assert found.excess == pytest.approx(0, abs=1e-9)
    assert found.rare_copies == 0, "thirty are alike"


def test_rare_is_what_fewer_than_k_rows_look_like():
    learned = pa.table({"ward": ["a"] * 5 + ["b"] * 4 + ["c"], "key": range(10)})
    others = pa.table({"ward": ["a", "b", "c", "d", None], "key": [99, 98, 97, 96, 95]})
    assert RareRows(learned, 5, ("key",)).repeated_by(others).tolist() == [False, True, True, False, False]
    assert RareRows(learned, 1, ("key",)).repeated_by(others).tolist() == [False, False, True, False, False]


def test_rows_have_the_same_key_only_if_they_are_alike():
    rng = np.random.default_rng(7)
    wide = pa.table({f"c{n}": rng.integers(0, 3, 5_000) for n in range(60)})  # 3 to the 60: more than 64 bits
    keys = Vocabulary(wide, wide.column_names).keys(wide)
    rows = [tuple(row.values()) for row in wide.to_pylist()]
    assert len(set(keys.tolist())) == len(set(rows))
    again = wide.take(pa.array([3, 3, 8]))
    assert Vocabulary(wide, wide.column_names).keys(again).tolist() == [keys[3], keys[3], keys[8]]
