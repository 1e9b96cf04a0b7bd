"""Descriptions travel as JSON and are read back as the job that they describe."""

from __future__ import annotations

import json

import pytest

from tasks.common.errors import InputError, WouldBeWrong
from tasks.encryption.jobs.aggregation import Aggregation
from tasks.encryption.jobs.kinds import KINDS, read


def test_every_kind_is_found_under_the_name_that_its_descriptions_say() -> None:
    assert {name: job.model_fields["kind"].default for name, job in KINDS.items()} == {name: name for name in KINDS}


def test_a_description_is_read_from_text_bytes_and_what_json_was_read_to() -> None:
    job = Aggregation(contributors=("a", "b"), length=3, bound=0.1)
    text = job.model_dump_json()
    assert read(text) == read(text.encode()) == read(json.loads(text)) == job
    assert read(text).tag == job.tag


def test_a_job_with_other_fields_has_another_tag() -> None:
    job = Aggregation(contributors=("a", "b"), length=3, bound=0.1)
    assert job.tag != job.model_copy(update={"length": 4}).tag


@pytest.mark.parametrize(
    "change",
    [{"surplus": 1}, {"length": "many"}, {"length": 0}, {"bound": None}, {"contributors": ["a"]}, {"kind": "matvec"}],
)
def test_fields_that_are_not_those_of_the_kind_are_refused_by_name(change: dict[str, object]) -> None:
    description = json.loads(Aggregation(contributors=("a", "b"), length=3, bound=0.1).model_dump_json()) | change
    with pytest.raises(InputError, match="no description of the job"):
        read(description)


@pytest.mark.parametrize(
    ("change", "error", "why"),
    [
        ({"shape": [8, 20]}, InputError, "shape of three numbers"),
        ({"factors": "many"}, InputError, "factors of three numbers"),
        ({"factors": [0, 1, 1]}, InputError, "at least 1"),
        ({"factors": [3, 1, 1]}, WouldBeWrong, "do not divide"),
    ],
)
def test_a_zoom_that_is_none_is_refused(change: dict[str, object], error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        read({"kind": "shrink", "shape": [8, 20, 30], "factors": [2, 1, 3]} | change)
