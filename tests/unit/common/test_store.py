"""Files are written whole or not at all, and are found by their content."""

import errno
import os

import pyarrow as pa
import pytest

from tasks.common.errors import StorageError
from tasks.common.store import Store, atomic, write_text


def test_equal_tables_are_one_file(tmp_path):
    store = Store(tmp_path)
    first, second = (store.put_table(pa.table({"a": [1, 2]})) for _ in range(2))
    assert first == second
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


def test_a_failure_in_the_middle_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), atomic(tmp_path / "out.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_survives_a_failure(tmp_path):
    path = tmp_path / "out.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"


def test_a_full_disk_is_told_as_such(tmp_path):
    with pytest.raises(StorageError, match="the disk is full; nothing half-written"), atomic(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_told_as_such(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="no permission"):
        write_text(tmp_path / "out.txt", "x")


def test_a_folder_that_is_a_file_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_text(tmp_path / "file" / "out.txt", "x")
