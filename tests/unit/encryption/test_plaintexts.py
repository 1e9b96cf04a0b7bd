"""What the owner reads and writes: complete numbers in, results that only the owner can read out."""

import json
import stat

import numpy as np
import pandas as pd
import pytest

from tasks.common.errors import InputError, TableError
from tasks.encryption import plaintexts
from tasks.encryption.jobs.polygenic import Polygenic
from tasks.encryption.passphrase import read_passphrase

FRAME = pd.DataFrame({"age": [40, 50, 60], "bmi": [20.5, 30.0, 25.25], "sex": ["f", "m", "f"]})


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_columns_come_in_the_jobs_order_and_whole_numbers_as_integers(tmp_path, name):
    path = tmp_path / name
    FRAME.to_csv(path, index=False) if name.endswith("csv") else FRAME.to_parquet(path)
    both = plaintexts.read(path, ("bmi", "age"))
    assert both.dtype == np.float64
    assert both.tolist() == [[20.5, 40], [30.0, 50], [25.25, 60]]
    assert plaintexts.read(path, ("age",)).dtype == np.int64


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("bmi", [1.5, None, None], "column `bmi` has 2 missing or infinite values (first in row 2, 3)"),
        ("bmi", [1.5, 2.5, float("inf")], "column `bmi` has 1 missing or infinite values (first in row 3)"),
        ("bmi", ["1.5", "CANARY", "2"], "column `bmi` holds string that is not a number"),
    ],
)
def test_what_no_ciphertext_can_hold_is_refused_by_column_and_row_without_a_value(tmp_path, column, values, said):
    FRAME.assign(**{column: values}).to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(TableError) as refused:
        plaintexts.read(tmp_path / "table.csv", ("age", column))
    assert said in str(refused.value)
    assert "CANARY" not in str(refused.value)


def test_nan_in_parquet_is_missing_too(tmp_path):
    FRAME.assign(bmi=[1.5, float("nan"), 2.0]).to_parquet(tmp_path / "table.parquet")
    with pytest.raises(TableError, match=r"1 missing or infinite values \(first in row 2\)"):
        plaintexts.read(tmp_path / "table.parquet", ("bmi",))


def test_a_column_that_is_not_there_is_named_beside_those_that_are(tmp_path):
    FRAME.to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(TableError, match="no column `weight`; it has `age`, `bmi`, `sex`"):
        plaintexts.read(tmp_path / "table.csv", ("age", "weight"))


def test_a_job_without_columns_wants_an_array(tmp_path):
    FRAME.to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(InputError, match=r"give it an array \(\.npy\), or several"):
        plaintexts.read(tmp_path / "table.csv", ())
    np.save(tmp_path / "volume.npy", np.ones((2, 3, 4), dtype=np.int16))
    assert plaintexts.read(tmp_path / "volume.npy", ()).shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.array([{"a": 1}], dtype=object), "no array of numbers"),  # pickled: never loaded
        (np.array(["a"]), "something else than numbers"),
        (np.empty(0), "or nothing"),
    ],
)
def test_an_array_that_is_none_of_numbers_is_refused(tmp_path, array, said):
    np.save(tmp_path / "array.npy", array, allow_pickle=True)
    np.savez(tmp_path / "array.npz", array, allow_pickle=True)
    for name in ("array.npy", "array.npz"):
        with pytest.raises(InputError, match=said):
            plaintexts.read(tmp_path / name, ())


def test_several_arrays_come_by_name(tmp_path):
    np.savez(tmp_path / "updates.npz", east=np.arange(3.0), west=np.ones(3))
    found = plaintexts.read(tmp_path / "updates.npz", ())
    assert {name: values.tolist() for name, values in found.items()} == {"east": [0, 1, 2], "west": [1, 1, 1]}


def test_an_array_that_is_cut_off_or_missing_is_refused(tmp_path):
    np.save(tmp_path / "array.npy", np.ones(100))
    (tmp_path / "array.npy").write_bytes((tmp_path / "array.npy").read_bytes()[:300])
    with pytest.raises(InputError, match="damaged"):
        plaintexts.read(tmp_path / "array.npy", ())
    with pytest.raises(InputError, match="no array at"):
        plaintexts.read(tmp_path / "none.npy", ())


def test_results_come_back_as_they_were_and_only_their_owner_can_read_them(tmp_path):
    result = {"count": 3, "file": np.array([1, 2]), "mean": np.array([0.5, 2.0])}  # numpy.savez has a word `file`
    for suffix in (".json", ".npz"):
        path = tmp_path / f"result{suffix}"
        plaintexts.write(result, path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads((tmp_path / "result.json").read_text()) == {"count": 3, "file": [1, 2], "mean": [0.5, 2.0]}
    with np.load(tmp_path / "result.npz", allow_pickle=False) as found:
        assert {name: found[name].tolist() for name in found} == {"count": 3, "file": [1, 2], "mean": [0.5, 2.0]}
    plaintexts.write(np.arange(3), tmp_path / "result.npy")
    assert np.load(tmp_path / "result.npy").tolist() == [0, 1, 2]


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_what_a_kind_of_file_cannot_hold_is_refused_and_nothing_is_left(tmp_path, suffix):
    with pytest.raises(InputError, match=r"take \.json"):
        plaintexts.write({"a": {"b": 1}}, tmp_path / f"result{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_a_result_is_not_written_where_the_evaluator_reads(tmp_path):
    folder = tmp_path / "job"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    for out in (folder / "result.json", tmp_path / "link" / "result.json"):
        with pytest.raises(InputError, match="the evaluator reads"):
            plaintexts.require_output(out, folder)
    with pytest.raises(InputError, match="has to end in"):
        plaintexts.require_output(tmp_path / "result.txt", folder)
    with pytest.raises(InputError, match="there is no folder"):
        plaintexts.require_output(tmp_path / "nowhere" / "result.json", folder)


def test_a_passphrase_is_the_first_line_of_a_file_that_nobody_else_can_read(tmp_path):
    path = tmp_path / "passphrase"
    path.write_bytes("größer als zwölf\r\nsecond\n".encode())
    path.chmod(0o640)
    with pytest.raises(InputError, match=r"can be read by others \(mode 640\)"):
        read_passphrase(path)
    path.chmod(0o600)
    assert read_passphrase(path) == "größer als zwölf"
    path.write_bytes(b"\nsecond")
    with pytest.raises(InputError, match="is empty"):
        read_passphrase(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is no text"):
        read_passphrase(path)
    with pytest.raises(InputError, match="no passphrase at"):
        read_passphrase(tmp_path / "none")


def test_missing_genotypes_of_a_table_are_the_jobs_to_impute(tmp_path):
    (tmp_path / "genotypes.csv").write_text("id,rs2,rs1\na,1,2\nb,,0\nc,2,\n")
    job = Polygenic(people=3, weights=(0.5, 1.0), columns=("rs1", "rs2"), frequencies=(0.25, 0.5))
    found = plaintexts.read_for(job, tmp_path / "genotypes.csv")
    assert np.array_equal(found, [[2, 1], [0, np.nan], [np.nan, 2]], equal_nan=True)
    assert job.plainly(found)["scores"].tolist() == [2.0, 1.0, 2.25]
    with pytest.raises(TableError, match="`rs1` has 1 missing or infinite values"):
        plaintexts.read_for(job.model_copy(update={"frequencies": ()}), tmp_path / "genotypes.csv")
