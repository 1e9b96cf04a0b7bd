"""Coding, pseudonyms and shifted dates of single columns."""

import datetime as dt
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tasks.anonymization import coding, date_shift, pseudonyms
from tasks.common.errors import PolicyError, TableError
from tasks.common.key_file import Key
from tasks.common.policy import Column
from tasks.common.transformation_forms import Shift
from tests.conftest import make_policy

KEY, OTHER_KEY = Key(bytes(range(32))), Key(bytes(range(1, 33)))
DAYS = st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1))
X = {"x": {"role": "quasi", "hierarchy": "all-or-nothing"}}


def numeric(**limits):
    return Column.model_validate({"role": "other", "kind": "numeric", **limits})


def test_ages_over_89_become_90_as_hipaa_asks():
    ages = pa.array([3.0, 89.0, 90.0, 91.0, 107.0, None])
    assert coding.coded(ages, numeric(top=90)).to_pylist() == [3, 89, 90, 90, 90, None]


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1))
def test_coding_is_clipping_and_doing_it_twice_changes_nothing(values):
    column = numeric(bottom=-5, top=7.5)
    once = coding.coded(pa.array(values, pa.float64()), column)
    assert once.to_pylist() == [None if v is None else float(np.clip(v, -5, 7.5)) for v in values]
    assert coding.coded(once, column).equals(once)


def test_dates_are_coded_too():
    column = Column.model_validate({"role": "other", "kind": "date", "bottom": "1930-01-01"})
    born = pa.chunked_array([pa.array([dt.date(1912, 5, 1), dt.date(1980, 2, 3), None])])
    assert coding.coded(born, column).to_pylist() == [dt.date(1930, 1, 1), dt.date(1980, 2, 3), None]


def test_a_limit_stands_for_everything_beyond_it():
    column = numeric(bottom=5, top=90)
    assert coding.span(90, column) == (90, math.inf)
    assert coding.span(5, column) == (-math.inf, 5)
    assert coding.span(50, column) is None


def test_the_loss_of_coding_is_the_root_mean_square_error_in_standard_deviations():
    # 0, 0, 0, 4 has the mean 1 and the variance 3; at most 2, one of four errors is 2: sqrt(4 / 4) = 1 over sqrt(3).
    exact = pa.array([0.0, 0.0, 0.0, 4.0])
    assert coding.moved_loss(exact, coding.coded(exact, numeric(top=2))) == pytest.approx(1 / math.sqrt(3))
    assert coding.moved_loss(exact, exact) == 0
    assert coding.moved_loss(pa.array([1.0, 1.0]), pa.array([0.0, 0.0])) == 0  # nothing varied, nothing was lost
    assert coding.moved_loss(pa.array([0.0, 1.0]), pa.array([50.0, 50.0])) == 1


def test_pseudonyms_join_tables_and_do_not_survive_another_key_project_or_column():
    ids = pa.array(["a", "b", None, "a"])
    made = pseudonyms.pseudonyms(ids, KEY, "p", "id").to_pylist()
    assert made[0] == made[3] != made[1]
    assert made[2] is None
    assert pseudonyms.pseudonyms(pa.chunked_array([["b"], ["a"]]), KEY, "p", "id").to_pylist() == [made[1], made[0]]
    others = [(OTHER_KEY, "p", "id"), (KEY, "q", "id"), (KEY, "p", "name")]
    everything = [made[0], *(pseudonyms.pseudonyms(ids, *other)[0].as_py() for other in others)]
    assert len(set(everything)) == 4
    assert all(len(one) == 32 and set(one) <= set("0123456789abcdef") for one in everything)


def test_a_pseudonym_is_the_hmac_that_the_module_says():
    import hashlib
    import hmac

    parts = [b"secured-1", b"pseudonym", b"p", b"id", b"a"]
    message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    expected = hmac.new(bytes(range(32)), message, hashlib.sha256).hexdigest()[:32]
    assert pseudonyms.pseudonym("a", KEY, "p", "id") == expected


def test_a_number_has_one_pseudonym_however_it_is_stored():
    stored = [
        pa.array([7, 12]),
        pa.array([7.0, 12.0]),
        pa.array(["7", "12"]),
        pa.array(["7", "12"]).dictionary_encode(),
    ]
    made = [pseudonyms.pseudonyms(values, KEY, "p", "id").to_pylist() for values in stored]
    assert all(one == made[0] for one in made)


def test_columns_may_share_their_pseudonyms():
    policy = make_policy({"id": {"role": "direct", "pseudonym": "patient"}, "mother": {"role": "direct"}} | X)
    same = make_policy({"patient": {"role": "direct", "pseudonym": True}} | X)
    first = pseudonyms.released(pa.table({"id": ["a"]}), policy, KEY)
    second = pseudonyms.released(pa.table({"patient": ["a"]}), same, KEY)
    assert first["id"].equals(second["patient"])
    assert list(first) == policy.pseudonymous == ["id"]


@given(st.lists(st.tuples(st.sampled_from("abc"), DAYS, DAYS), min_size=1), st.sampled_from([1, 13, 365]))
def test_intervals_between_all_dates_of_a_person_stay_and_no_date_does(rows, days):
    shift = {"role": "other", "kind": "date", "shift": {"days": days}}
    policy = make_policy({"id": {"role": "direct"}, "in": shift, "out": shift} | X, person="id")
    who, came, left = (pa.array(column) for column in zip(*rows, strict=True))
    table = pa.table({"in": came, "out": left})
    moved = date_shift.released(table, who, policy, KEY)
    offsets: dict[str, set[int]] = {}
    for name in ("in", "out"):
        for person, before, after in zip(who, table[name].to_pylist(), moved[name].to_pylist(), strict=True):
            offsets.setdefault(person.as_py(), set()).add((after - before).days)
    assert all(len(found) == 1 and 1 <= abs(next(iter(found))) <= days for found in offsets.values())


@pytest.mark.parametrize(
    ("shift", "possible"),
    [
        (Shift(days=5), [-5, -4, -3, -2, -1, 1, 2, 3, 4, 5]),
        (Shift(days=30, keep_weekday=True), [-28, -21, -14, -7, 7, 14, 21, 28]),
    ],
)
def test_offsets_are_uniform_without_zero(shift, possible):
    people = pa.array([f"person {n}" for n in range(20_000)])
    found = date_shift.offsets(people, KEY, "p", shift)
    values, counts = np.unique(found, return_counts=True)
    assert values.tolist() == possible
    assert stats.chisquare(counts).pvalue > 1e-4


def test_offsets_depend_on_the_key_and_the_project():
    people = pa.array([str(n) for n in range(1000)])
    first = date_shift.offsets(people, KEY, "p", Shift(days=365))
    for key, project in ((OTHER_KEY, "p"), (KEY, "q")):
        again = date_shift.offsets(people, key, project, Shift(days=365))
        assert abs(np.corrcoef(first, again)[0, 1]) < 0.15  # 4.7 standard errors
        assert np.mean(first == again) < 0.02


def test_missing_dates_stay_missing():
    assert date_shift.shifted(pa.array([None, dt.date(2020, 2, 28)]), np.array([3, 2])).to_pylist() == [
        None,
        dt.date(2020, 3, 1),
    ]


def test_dates_without_a_person_are_refused():
    policy = make_policy({"when": {"role": "other", "kind": "date", "shift": {"days": 9}}} | X)
    table = pa.table({"when": [dt.date(2020, 1, 1)]})
    with pytest.raises(PolicyError, match="`when` cannot be shifted without `person:`"):
        date_shift.released(table, None, policy, KEY)
    with pytest.raises(TableError, match="at least 1 rows name no person"):
        date_shift.released(table, pa.array([None], pa.string()), policy, KEY)


def test_different_shifts_in_a_policy_are_refused():
    columns = {name: {"role": "other", "kind": "date", "shift": {"days": days}} for name, days in (("a", 9), ("b", 10))}
    with pytest.raises(PolicyError, match="different `shift:`"):
        date_shift.form(make_policy(columns | X))
