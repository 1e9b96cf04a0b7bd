"""A drafted policy can be used as it is, and errs on the side of protection."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.common import policy_file
from tasks.common.policy import Role
from tasks.common.table import open_table
from tasks.validation.draft import draft
from tasks.validation.expectations import validate
from tests.conftest import CHOP_TABLE


def drafted(tmp_path, path):
    target = tmp_path / "policy.yaml"
    target.write_text(draft(open_table(path)), encoding="utf-8")
    return policy_file.read(target)


def test_a_draft_of_chop_fits_chop(tmp_path):
    policy = drafted(tmp_path, CHOP_TABLE)
    assert validate(open_table(CHOP_TABLE), policy).problems == []
    assert policy.person == "subject_id"


@pytest.mark.parametrize("name", ["subject_id", "fake_first_name", "fake_last_name"])
def test_who_can_be_named_is_never_released(tmp_path, name):
    assert drafted(tmp_path, CHOP_TABLE).columns[name].role is Role.DIRECT


@pytest.mark.parametrize("name", ["age", "gender", "pan_day", "clinic_name", "payor_group"])
def test_what_others_know_is_generalized(tmp_path, name):
    assert drafted(tmp_path, CHOP_TABLE).columns[name].role is Role.QUASI


def test_free_text_and_constants_are_dropped(tmp_path):
    frame = pa.table(
        {
            "remark": [f"The patient number {n} came in with a cough and went home again" for n in range(30)],
            "site": ["one"] * 30,
            "age": [float(n) for n in range(30)],
        }
    )
    pq.write_table(frame, tmp_path / "t.parquet")
    policy = drafted(tmp_path, tmp_path / "t.parquet")
    assert policy.columns["remark"].role is policy.columns["site"].role is Role.DROP


def test_odd_column_names_survive(tmp_path):
    (tmp_path / "t.csv").write_text("a: b,no,#x,é\n1,y,2,z\n2,n,3,q\n3,y,4,z\n")
    policy = drafted(tmp_path, tmp_path / "t.csv")
    assert list(policy.columns) == ["a: b", "no", "#x", "é"]


def test_a_table_without_a_known_column_still_gets_a_quasi_identifier(tmp_path):
    rows = "\n".join(f"{n}.5,{n * 3}.25" for n in range(40))
    (tmp_path / "t.csv").write_text(f"alpha,beta\n{rows}\n")
    assert drafted(tmp_path, tmp_path / "t.csv").quasi
