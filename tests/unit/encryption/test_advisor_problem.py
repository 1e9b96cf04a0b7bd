"""Problems are read so that every complaint names the line and the way out; examples are problems."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.common.errors import InputError, ParametersError
from tasks.encryption.advising import problem as problems
from tasks.encryption.advising.examples import example
from tasks.encryption.advising.problem import KeyHolder, Operation, Problem
from tests.conftest import ROOT

GOOD = "name: x\noperation: logistic\nrows: 100\nfeatures: 30\nrange: 8\nprecision: 0.001\n"


def complaint(tmp_path, text):
    path = tmp_path / "problem.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParametersError) as caught:
        problems.read(path)
    return str(caught.value)


@pytest.mark.parametrize("operation", list(Operation))
def test_every_operation_has_an_example_that_can_be_read(tmp_path, operation):
    path = tmp_path / "problem.yaml"
    path.write_text(example(operation), encoding="utf-8")
    read = problems.read(path)
    assert read.operation is operation
    assert read.key is KeyHolder.OWNER


def test_example_files_are_what_the_command_prints():
    files = sorted((ROOT / "deployments" / "examples").glob("he-*.yaml"))
    assert len(files) >= 5
    for file in files:
        assert file.read_text(encoding="utf-8") == example(file.stem.removeprefix("he-"))


@pytest.mark.parametrize(
    ("before", "after", "line", "word"),
    [
        ("operation: logistic", "operation: logistik", 2, "did you mean `logistic`?"),
        ("operation: logistic", "operation: 7", 2, "there are sum, mean"),
        ("rows: 100", "rows: -100", 3, "rows: input should be greater than or equal to 1"),
        ("rows: 100", "rows: 1.5", 3, "rows"),
        ("range: 8", "range: .nan", 5, "range: input should be a finite number"),
        ("range: 8", "range: .inf", 5, "range: input should be a finite number"),
        ("range: 8", "range: -8", 5, "range: input should be greater than 0"),
        ("precision: 0.001", "precision: 0", 6, "precision: input should be greater than 0"),
        ("precision: 0.001", "precison: 0.001", 6, "did you mean `precision`?"),
        ("precision: 0.001", "security: 80", 6, "security"),
        ("features: 30\n", "", 2, "needs `features:`"),
        ("features: 30", "features: 30\nbins: 4", 2, "has no `bins:`"),
        ("precision: 0.001", "", 1, "precision is missing"),
        ("precision: 0.001", "precision: 0.001\nexact: true", 7, "has no error"),
        ("range: 8\nprecision: 0.001", "range: 8.5\nexact: true", 1, "whole numbers"),
        ("key", "key", 1, ""),
    ][:-1],
)
def test_a_mistake_is_told_with_its_line(tmp_path, before, after, line, word):
    assert before in GOOD
    told = complaint(tmp_path, GOOD.replace(before, after, 1))
    assert f"problem.yaml, line {line}:" in told
    assert word in told


def test_all_mistakes_are_told_at_once_and_nothing_speaks_of_policies(tmp_path):
    told = complaint(tmp_path, "operation: logistik\nrows: -4\nprecision: .nan\nbananas: 1\n")
    assert told.count("problem.yaml, line") == 4
    assert "polic" not in told


def test_what_is_no_mapping_or_no_yaml_is_told(tmp_path):
    assert "a problem is a mapping with `operation:`" in complaint(tmp_path, "logistic")
    assert "line 2: this is not YAML" in complaint(tmp_path, "operation: {sum\nrows: 1\n")


def test_a_missing_file_names_the_way_to_make_one(tmp_path):
    with pytest.raises(InputError, match="--example"):
        problems.read(tmp_path / "none.yaml")


def test_an_unknown_example_is_told_with_what_was_meant():
    with pytest.raises(ParametersError, match="did you mean `variance`"):
        example("varianc")


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_range_is_positive_and_finite_or_refused(value):
    try:
        made = Problem(operation="sum", rows=10, range=value, precision=1.0)
    except ValidationError:
        assert not 0 < value < float("inf")
    else:
        assert made.range == value


def test_integers_are_those_that_have_no_precision():
    assert Problem(operation="histogram", bins=3).integers
    assert Problem(operation="sum", exact=True).integers
    assert not Problem(operation="sum", precision=0.1).integers
    # 9 bits for -100 to 100 in steps of a half: 401 values.
    assert Problem(operation="comparison", range=100, precision=0.5).bits == 9
