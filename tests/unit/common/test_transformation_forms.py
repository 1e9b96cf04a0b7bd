"""A policy accepts transformations that make sense, and says why it refuses others."""

import pytest
from pydantic import ValidationError

from tests.conftest import make_policy

AGE = {"role": "quasi", "kind": "numeric"}


@pytest.mark.parametrize(
    "column",
    [
        {**AGE, "top": 90, "hierarchy": {"intervals": [5, 10], "min": 0, "max": 90}},
        {**AGE, "bottom": 5, "hierarchy": {"intervals": [5], "min": 10, "max": 90}},
        {**AGE, "top": 90, "hierarchy": "all-or-nothing"},
        {"role": "other", "kind": "date", "top": "2020-01-01"},
        {"role": "other", "kind": "date", "shift": {"days": 14, "keep_weekday": True}},
        {"role": "direct", "pseudonym": True},
        {"role": "direct", "pseudonym": "patient"},
    ],
)
def test_sense_is_accepted(column):
    policy = make_policy({"a": column, "x": {"role": "quasi", "hierarchy": "all-or-nothing"}})
    said = policy.columns["a"].model_dump(mode="json", exclude_unset=True)
    assert {name: said[name] for name in column if name != "hierarchy"} == {
        name: value for name, value in column.items() if name != "hierarchy"
    }


@pytest.mark.parametrize(
    ("column", "complaint"),
    [
        ({**AGE, "top": 90, "hierarchy": {"intervals": [5]}}, "need a `max:` of 90 or less"),
        ({**AGE, "top": 90, "hierarchy": {"intervals": [5], "min": 0, "max": 95}}, "need a `max:`"),
        ({**AGE, "bottom": 5, "hierarchy": {"intervals": [5], "min": 5, "max": 90}}, "need a `min:` above 5"),
        ({"role": "quasi", "kind": "date", "top": "2020-01-01", "hierarchy": {"dates": ["year"]}}, "of intervals"),
        ({"role": "other", "top": 3}, "a number or a date"),
        ({"role": "other", "kind": "date", "top": 3}, "has to be a date"),
        ({"role": "other", "kind": "numeric", "bottom": 3, "top": 3}, "less than `top`"),
        ({"role": "drop", "kind": "numeric", "top": 3}, "released"),
        ({"role": "other", "kind": "date", "top": "2020-01-01", "shift": {"days": 3}}, "cannot be combined"),
        ({"role": "other", "kind": "date", "shift": {"days": 6, "keep_weekday": True}}, "7 or more"),
        ({"role": "other", "shift": {"days": 6}}, "kind: date"),
        ({"role": "sensitive", "kind": "date", "shift": {"days": 6}}, "role `quasi` or `other`"),
        ({"role": "other", "pseudonym": True}, "role `direct`"),
        ({"role": "direct", "kind": "text", "pseudonym": True}, "free text"),
    ],
)
def test_nonsense_is_refused_with_a_reason(column, complaint):
    with pytest.raises(ValidationError, match=complaint):
        make_policy({"a": column, "x": {"role": "quasi", "hierarchy": "all-or-nothing"}})
