"""The table is what the policy says, or every difference is told, by column and row and never by value."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.common import streaming
from tasks.common.errors import PolicyError, TableError
from tasks.common.table import open_table
from tasks.validation.expectations import validate
from tests.conftest import CHOP_TABLE, make_policy

COLUMNS = {
    "city": {"role": "quasi", "hierarchy": {"groups": [{"north": ["a", "b"], "south": ["c"]}]}},
    "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10]}, "range": [0, 120]},
    "result": {"role": "sensitive", "missing": 0.3},
}


def table(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    return open_table(tmp_path / "t.csv")


def problems(tmp_path, text, **rest):
    return validate(table(tmp_path, text), make_policy(COLUMNS, **rest)).problems


def test_a_good_table_meets_every_expectation(tmp_path):
    found = validate(table(tmp_path, "city,age,result\na,1,x\nb,2,y\nc,3,x\n"), make_policy(COLUMNS))
    assert found.problems == []
    assert found.rows == 3


def test_chop_is_what_its_policy_says(chop):
    found = validate(open_table(CHOP_TABLE), chop)
    assert found.problems == []
    assert (found.rows, found.excluded) == (15_223, 301)  # 301 tests were invalid


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("city,age,result\nCANARY,1,x\nb,2,y\nc,3,x\n", "`city`: values outside its hierarchy: 1 (row 1)"),
        ("city,age,result\na,1,x\nb,777,y\nc,-5,x\n", "`age`: values outside [0, 120]: 2 (rows 2, 3)"),
        ("city,age,result\na,1,x\nb,2,\nc,3,\n", "`result`: 2 of 3 values are missing, more than the policy's 30.0%"),
        ("city,age,result\na,1,\nb,2,\nc,3,\n", "`result` has no value at all"),
        ("city,age,result\na,1,x\na,2,y\na,3,x\n", "`city` has the same value in every row"),
    ],
)
def test_each_difference_is_told(tmp_path, text, told):
    found = problems(tmp_path, text)
    assert any(told in problem for problem in found), found
    assert not any(value in problem for value in ("CANARY", "777") for problem in found)


def test_rows_are_numbered_as_in_the_file_even_after_exclusions(tmp_path):
    text = "city,age,result\na,1,bad\nb,2,x\nZZZ,3,y\n"
    assert any("(row 3)" in problem for problem in problems(tmp_path, text, exclude={"result": ["bad"]}))


def test_everything_wrong_is_told_at_once(tmp_path):
    with pytest.raises(TableError) as caught:
        validate(table(tmp_path, "city,age,result\nZ,999,x\nZ,998,x\n"), make_policy(COLUMNS)).require()
    assert str(caught.value).count("\n- ") >= 3


def test_a_column_without_a_role_is_told(tmp_path):
    with pytest.raises(PolicyError, match=r"gives no role: `note`.*role: drop"):
        validate(table(tmp_path, "city,age,result,note\na,1,x,n\n"), make_policy(COLUMNS))


def test_a_column_that_is_not_there_is_told(tmp_path):
    with pytest.raises(PolicyError, match="has no column `age`; it has `city`, `result`"):
        validate(table(tmp_path, "city,result\na,x\n"), make_policy(COLUMNS))


def test_batches_are_judged_together(tmp_path, monkeypatch):
    """Two of eight values are missing, all in one batch; the city is constant in each batch, not in the table."""
    monkeypatch.setattr(streaming, "BATCH_ROWS", 2)
    frame = pa.table(
        {"city": ["a", "a", "b", "b"] * 2, "age": [float(n) for n in range(8)], "result": [None, None, *"xyxyxy"]}
    )
    pq.write_table(frame, tmp_path / "t.parquet")
    assert validate(open_table(tmp_path / "t.parquet"), make_policy(COLUMNS)).problems == []
    frame = frame.set_column(2, "result", pa.array([None, None, None, *"xyxyx"]))
    pq.write_table(frame, tmp_path / "t.parquet")
    found = validate(open_table(tmp_path / "t.parquet"), make_policy(COLUMNS)).problems
    assert found == ["column `result`: 3 of 8 values are missing, more than the policy's 30.0%"]
