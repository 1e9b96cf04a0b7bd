"""Steps are cached by what they are given, and their errors show no values."""

import pytest

from tasks.common.errors import RunFailed, TableError
from tasks.common.identity import identity
from tasks.common.seeds import derive, generator
from tasks.common.steps import step
from tasks.common.table import open_table
from tasks.common.values import content_hash


def test_an_unforeseen_error_loses_its_message():
    @step("broken")
    def broken(value: str) -> None:
        raise ValueError(f"could not convert {value}")

    with pytest.raises(RunFailed) as caught:
        broken.fn("CANARY")
    assert "ValueError" in str(caught.value)
    assert "CANARY" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_error_for_people_passes_through():
    @step("strict")
    def strict() -> None:
        raise TableError("no rows")

    with pytest.raises(TableError, match="no rows"):
        strict.fn()


def test_identity_ignores_where_a_table_lies(tmp_path):
    handles = []
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text("a\n1\n")
        handles.append(open_table(tmp_path / name))
    assert content_hash(identity([handles[0], {"k": 5}])) == content_hash(identity([handles[1], {"k": 5}]))
    assert content_hash(identity([handles[0], {"k": 5}])) != content_hash(identity([handles[0], {"k": 6}]))


def test_seeds_differ_by_step_and_repeat_by_name():
    assert derive(1, "attack") == derive(1, "attack")
    assert len({derive(1, "attack"), derive(1, "split"), derive(2, "attack")}) == 3
    assert generator(7, "x").random() == generator(7, "x").random()
