"""Hierarchies say what each value becomes; expected labels and losses are worked out by hand."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.anonymization import hierarchies
from tasks.common.errors import HierarchyError, InputError
from tasks.common.hierarchy_forms import Intervals
from tasks.common.policy import Column


def quasi(hierarchy, kind="categorical"):
    return Column.model_validate({"role": "quasi", "kind": kind, "hierarchy": hierarchy})


def levels(tree):
    return [[tree.labels[level][code] for code in tree.codes[level]] for level in range(tree.levels)]


def test_intervals_nest_and_end_open():
    tree = hierarchies.build(
        "age", quasi({"intervals": [5, 10], "min": 0, "max": 20}, "numeric"), [-1.0, 0.0, 7.0, 19.9, 20.0]
    )
    assert levels(tree) == [
        [-1.0, 0.0, 7.0, 19.9, 20.0],
        ["(-inf, 0)", "[0, 5)", "[5, 10)", "[15, 20)", "[20, inf)"],
        ["(-inf, 0)", "[0, 10)", "[0, 10)", "[10, 20)", "[20, inf)"],
        ["*"] * 5,
    ]
    # Width over the domain 20: 5/20 and 10/20.
    assert tree.loss[1].tolist() == [0.25] * 5
    assert tree.loss[2].tolist() == [0.5] * 5
    assert tree.loss[3].tolist() == [1.0] * 5


def test_an_edge_with_rounding_noise_falls_into_its_own_interval():
    spec = Intervals(intervals=(0.1,))
    assert hierarchies.interval_label(0.1 * 3, 0.1, spec) == "[0.3, 0.4)"


@given(st.floats(-1000, 1000), st.sampled_from([1, 5, 10]))
def test_an_interval_contains_its_value(value, width):
    label = hierarchies.interval_label(value, width, Intervals(intervals=(width,)))
    low, high = (float(edge) for edge in label.strip("[)").split(", "))
    assert low - 1e-9 <= value <= high + 1e-9
    assert high - low == pytest.approx(width)


def test_groups_of_groups_lose_by_leaves():
    spec = {"groups": [{"north": ["a", "b"], "south": ["c"]}, {"land": ["north", "south"]}]}
    tree = hierarchies.build("city", quasi(spec), ["a", "c", None])
    assert levels(tree) == [["a", "c", None], ["north", "south", None], ["land", "land", None], ["*", "*", "*"]]
    # (leaves under the label - 1) / (3 - 1)
    assert tree.loss[1].tolist() == [0.5, 0.0, 0.0]
    assert tree.loss[2].tolist() == [1.0, 1.0, 0.0]


def test_a_value_outside_its_groups_is_told_without_being_named():
    with pytest.raises(HierarchyError) as caught:
        hierarchies.build("city", quasi({"groups": [{"north": ["a"]}]}), ["a", "CANARY"])
    assert "1 of its distinct values" in str(caught.value)
    assert "CANARY" not in str(caught.value)


def test_a_level_that_forgets_a_group_is_told():
    with pytest.raises(HierarchyError, match="no group for the group `south`"):
        hierarchies.build("city", quasi({"groups": [{"north": ["a"], "south": ["b"]}, {"land": ["north"]}]}), ["a"])


def test_postcodes_keep_their_first_characters():
    tree = hierarchies.build("zip", quasi({"prefix": [3, 1]}), ["19104", "19118", "20001"])
    assert levels(tree)[1:] == [["191*", "191*", "200*"], ["1*", "1*", "2*"], ["*", "*", "*"]]


def test_dates_become_parts_of_the_calendar():
    days = [dt.date(2020, 1, 31), dt.date(2020, 4, 1), dt.date(2021, 12, 31)]
    tree = hierarchies.build("day", quasi({"dates": ["month", "quarter", "year", "decade"]}, "date"), days)
    assert levels(tree)[1:5] == [
        ["2020-01", "2020-04", "2021-12"],
        ["2020-Q1", "2020-Q2", "2021-Q4"],
        ["2020", "2020", "2021"],
        ["2020s", "2020s", "2020s"],
    ]


@given(
    st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)), st.sampled_from(["week", "month", "quarter", "year", "decade"])
)
def test_a_calendar_label_spans_its_day(day, part):
    first, last = hierarchies.date_span(hierarchies.date_label(day, part))
    assert first <= day <= last
    assert hierarchies.date_label(first, part) == hierarchies.date_label(last, part)


def test_weeks_follow_iso_8601():
    assert hierarchies.date_label(dt.date(2021, 1, 3), "week") == "2020-W53"  # a Sunday of the old year's last week


def test_a_file_in_arx_format_is_read(tmp_path):
    # The age hierarchy of ARX's first example: value; <=30 or >30; *
    path = tmp_path / "age.csv"
    path.write_text("34;>30;*\n45;>30;*\n22;<=30;*\n")
    tree = hierarchies.build("age", quasi({"csv": str(path)}, "numeric"), [22.0, 34.0, 45.0])
    assert levels(tree) == [[22.0, 34.0, 45.0], ["<=30", ">30", ">30"], ["*", "*", "*"]]
    assert tree.loss[1].tolist() == [0.0, 0.5, 0.5]


def test_a_file_without_a_top_level_gets_one(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a;g\nb;h\n")
    assert levels(hierarchies.build("x", quasi({"csv": str(path)}), ["a", "b"]))[-1] == ["*", "*"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "has no line"),
        ("a;g;*\nb;*\n", "line 2: 2 levels"),
        ("a;g;*\na;h;*\n", "more than one line for the same value"),
        ("a;g;x;*\nb;g;y;*\n", "does not nest"),
    ],
)
def test_a_broken_file_is_told(tmp_path, text, word):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(HierarchyError, match=word):
        hierarchies.build("x", quasi({"csv": str(path)}), ["a", "b"])


def test_a_file_that_is_no_text_is_told(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xff\xfe;*\n")
    with pytest.raises(InputError):
        hierarchies.build("x", quasi({"csv": str(path)}), ["a"])


def test_two_groups_for_one_value_are_told():
    with pytest.raises(HierarchyError, match="into two groups"):
        hierarchies.build("x", quasi({"groups": [{"g": ["a"], "h": ["a"]}]}), ["a"])


def test_two_hundred_values_that_a_hierarchy_never_saw_are_counted_and_not_named():
    column = Column.model_validate({"role": "quasi", "hierarchy": {"groups": [{"north": ["a", "b"], "south": ["c"]}]}})
    strangers = [f"CANARY-{n}" for n in range(200)]
    with pytest.raises(HierarchyError, match="column `city`: 200 of its distinct values stand outside") as told:
        hierarchies.build("city", column, ["a", "b", *strangers])
    assert "CANARY" not in str(told.value)
