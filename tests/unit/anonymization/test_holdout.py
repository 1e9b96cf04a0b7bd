"""People are set aside whole: no one stands on two sides."""

import numpy as np
import pytest

from tasks.anonymization import holdout
from tasks.common.errors import TableError
from tasks.common.streaming import InFile
from tasks.common.table import open_table
from tests.conftest import CHOP_TABLE, make_policy


def test_no_person_is_on_two_sides(chop):
    table = open_table(CHOP_TABLE)
    parts = holdout.split(table, chop, np.random.default_rng(1))
    subjects = table.read(["subject_id"])["subject_id"].to_numpy()
    people = {name: set(subjects[rows].tolist()) for name, rows in parts.items()}
    assert not people["train"] & people["working"]
    assert not people["train"] & people["sealed"]
    assert not people["working"] & people["sealed"]
    everyone = len(set.union(*people.values()))
    assert len(people["working"]) == len(people["sealed"]) == round(0.2 * everyone)


def test_every_row_that_is_not_excluded_is_somewhere(chop):
    table = open_table(CHOP_TABLE)
    parts = holdout.split(table, chop, np.random.default_rng(1))
    invalid = np.array(table.read(["result"])["result"].to_pylist()) == "invalid"
    assert sorted(np.concatenate(list(parts.values())).tolist()) == np.flatnonzero(~invalid).tolist()


def test_rows_without_an_identifier_are_people_of_their_own(tmp_path):
    (tmp_path / "t.csv").write_text("id,x\np,1\np,2\n,3\n,4\n")
    policy = make_policy({"id": {"role": "direct"}, "x": {"role": "quasi", "hierarchy": "all-or-nothing"}}, person="id")
    persons = holdout.persons(open_table(tmp_path / "t.csv"), policy)
    assert persons[0] == persons[1]
    assert len(set(persons.tolist())) == 3


def test_too_few_people_are_told(tmp_path):
    (tmp_path / "t.csv").write_text("x\n" + "1\n2\n" * 10)
    policy = make_policy({"x": {"role": "quasi", "hierarchy": "all-or-nothing"}})
    with pytest.raises(TableError, match="20 people, too few"):
        holdout.split(open_table(tmp_path / "t.csv"), policy, np.random.default_rng(1))


def test_nobody_keeps_more_rows_than_the_policy_allows(tmp_path):
    """Person p has ten thousand rows, fifty others two each."""
    lines = ["p,1"] * 10_000 + [f"q{n},{n % 3}" for n in range(50)] * 2
    (tmp_path / "t.csv").write_text("id,x\n" + "\n".join(lines) + "\n")
    columns = {"id": {"role": "direct"}, "x": {"role": "quasi", "hierarchy": "all-or-nothing"}}
    policy = make_policy(columns, person="id", rows_per_person=3)
    table = open_table(tmp_path / "t.csv")
    ids = np.array(table.read(["id"])["id"].to_pylist())
    kept = ids[np.concatenate(list(holdout.split(table, policy, np.random.default_rng(1)).values()))]
    assert (kept == "p").sum() == 3
    assert len(kept) == 103
    rows, persons = holdout.limited(InFile(table, policy), policy)
    values = [value for (batch,) in rows.batches(["x"]) for value in batch.to_pylist()]
    assert len(values) == len(persons) == 103
    assert np.unique(persons, return_counts=True)[1].max() == 3
    with pytest.raises(ValueError, match="`rows_per_person:` needs `person:`"):
        make_policy(columns, rows_per_person=3)
