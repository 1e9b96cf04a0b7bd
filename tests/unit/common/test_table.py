"""Tables are handles; what cannot be a table is told without a value of it."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.common import reading
from tasks.common.errors import InputError, StorageError, TableError
from tasks.common.store import Store
from tasks.common.table import open_table
from tests.conftest import CHOP_TABLE, make_policy


def csv(tmp_path, text, name="table.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def test_csv_and_parquet_give_the_same_values(tmp_path):
    frame = pa.table({"name": ["a", "b", None], "age": [1.0, None, 3.5]})
    pq.write_table(frame, tmp_path / "t.parquet")
    path = csv(tmp_path, "name,age\na,1\nb,NA\n,3.5\n")
    policy = make_policy(
        {"name": {"role": "quasi", "hierarchy": "all-or-nothing"}, "age": {"role": "other", "kind": "numeric"}}
    )
    from_csv, from_parquet = (reading.read(open_table(p), policy) for p in (path, tmp_path / "t.parquet"))
    assert from_csv.to_pydict() == from_parquet.to_pydict() == {"name": ["a", "b", None], "age": [1.0, None, 3.5]}


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_delimiter_is_seen_in_the_header(tmp_path, mark):
    table = open_table(csv(tmp_path, f"a{mark}b\n1{mark}2\n"))
    assert table.columns == ("a", "b")
    assert table.rows == 1


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert open_table(csv(tmp_path, "\ufeffa,b\n1,2\n")).columns == ("a", "b")


def test_a_selection_reads_those_rows_in_that_order(tmp_path):
    table = open_table(csv(tmp_path, "a\n10\n11\n12\n"))
    chosen = Store(tmp_path / "store").put_selection(table, np.array([2, 0]))
    assert chosen.read().to_pydict() == {"a": ["12", "10"]}
    assert chosen.rows == 2
    assert chosen.identity != table.identity


def test_the_identity_follows_content_and_not_place(tmp_path):
    one = open_table(csv(tmp_path, "a\n1\n", "one.csv"))
    two = open_table(csv(tmp_path, "a\n1\n", "two.csv"))
    other = open_table(csv(tmp_path, "a\n2\n", "other.csv"))
    assert one.identity == two.identity != other.identity


@pytest.mark.parametrize(
    ("text", "error", "word"),
    [
        ("", InputError, "is empty"),
        ("a,b\n", TableError, "no rows"),
        ("a,b,a\n1,2,3\n", TableError, "more than one column called `a`"),
        ("a,,c\n1,2,3\n", TableError, "without a name"),
        ("a,b\n1,2\n3,4,5\n", InputError, "Expected 2 columns"),
    ],
)
def test_what_is_no_table_is_told(tmp_path, text, error, word):
    with pytest.raises(error, match=word):
        open_table(csv(tmp_path, text))


def test_text_that_is_not_utf8_names_the_byte_and_the_remedy(tmp_path):
    with pytest.raises(InputError, match=r"byte 3 is not.*iconv"):
        open_table(csv(tmp_path, "a\nné\n", encoding="latin-1"))


def test_utf8_is_fine_across_the_borders_of_reading(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.common.table._ENCODING_CHUNK", 4)
    assert open_table(csv(tmp_path, "a\nééééé\n")).rows == 1


def test_damaged_parquet_is_told(tmp_path):
    path = tmp_path / "cut.parquet"
    path.write_bytes(CHOP_TABLE.read_bytes()[:4000])
    with pytest.raises(InputError, match="damaged or cut off"):
        open_table(path)


def test_a_file_that_went_away_names_the_way_out(tmp_path):
    table = open_table(csv(tmp_path, "a\n1\n"))
    table.path.unlink()
    with pytest.raises(StorageError, match="--fresh"):
        table.read()


def test_a_wrong_kind_is_told_by_count_and_row_and_never_by_value(tmp_path):
    table = open_table(csv(tmp_path, "id,age\n1,30\n2,CANARY\n3,31\n4,CANARY2\n"))
    policy = make_policy(
        {"id": {"role": "quasi", "hierarchy": "all-or-nothing"}, "age": {"role": "other", "kind": "numeric"}}
    )
    with pytest.raises(TableError) as caught:
        reading.read(table, policy)
    assert "2 of its 4 values are not (first in rows 2, 4)" in str(caught.value)
    assert "CANARY" not in str(caught.value)


def test_dates_are_read_from_text_and_from_timestamps(tmp_path):
    import datetime as dt

    policy = make_policy({"day": {"role": "quasi", "kind": "date", "hierarchy": {"dates": ["month", "year"]}}})
    pq.write_table(pa.table({"day": pa.array([dt.datetime(2020, 2, 29, 13, 5)])}), tmp_path / "t.parquet")
    from_text = reading.read(open_table(csv(tmp_path, "day\n2020-02-29\n")), policy)
    from_stamp = reading.read(open_table(tmp_path / "t.parquet"), policy)
    assert from_text.to_pydict() == from_stamp.to_pydict() == {"day": [dt.date(2020, 2, 29)]}


def test_excluded_rows_are_left_out(tmp_path):
    table = open_table(csv(tmp_path, "id,result\n1,ok\n2,invalid\n3,\n4,ok\n"))
    policy = make_policy(
        {"id": {"role": "quasi", "hierarchy": "all-or-nothing"}, "result": {"role": "sensitive"}},
        exclude={"result": ["invalid", None]},
    )
    assert reading.included_rows(table, policy).tolist() == [0, 3]
