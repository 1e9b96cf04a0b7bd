"""People held out are read in the words of a release that is only a file."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pytest

from tasks.anonymization import anonymizer, holdout
from tasks.anonymization.plan import first_plan
from tasks.common import reading
from tasks.common.errors import PolicyError, TableError
from tasks.common.store import write_parquet
from tasks.common.table import open_table
from tasks.fairness import heldout
from tests.conftest import CHOP_TABLE


@pytest.fixture(scope="module")
def made(chop, tmp_path_factory):
    """A release of some real tests as CSV, the others as they are, and those in the words of the release."""
    folder = tmp_path_factory.mktemp("heldout")
    raw = open_table(CHOP_TABLE).read()
    raw = raw.take(pa.array(np.random.default_rng(1).permutation(raw.num_rows)[:5000]))
    write_parquet(raw.slice(0, 3500), folder / "train.parquet")
    write_parquet(raw.slice(3500), folder / "test.parquet")
    train, test = (open_table(folder / f"{name}.parquet") for name in ("train", "test"))
    plan = first_plan(chop)

    def rows(table):
        return reading.read(table, chop).take(pa.array(reading.included_rows(table, chop)))

    release = anonymizer.anonymize(rows(train), None, chop, plan, np.random.default_rng(1))
    pa_csv.write_csv(release.table, folder / "release.csv")
    persons = holdout.persons(test, chop)[reading.included_rows(test, chop)]
    same_words = anonymizer.recode(rows(test), chop, plan, release.account.levels)
    return folder, test, heldout.one_row_each(same_words, persons, chop.seed), release


def as_words(values):
    return ["" if value is None else str(value).removesuffix(".0") for value in values.to_pylist()]


def test_each_column_has_the_level_of_the_release(chop, made):
    folder, test, expected, release = made
    assert set(release.account.levels.values()) > {0}, "some columns were generalized, others not"
    found = heldout.read(test, reading.read_release(open_table(folder / "release.csv"), chop), chop)
    assert set(found.column_names) == set(expected.column_names)
    for name in expected.column_names:
        assert as_words(found[name]) == as_words(expected[name]), name


def test_of_each_person_one_row_is_tested():
    rows = pa.table({"visit": [10, 11, 20, 30, 31, 32]})
    persons = np.array([1, 1, 2, 3, 3, 3])
    drawn = [heldout.one_row_each(rows, persons, seed)["visit"].to_pylist() for seed in range(20)]
    assert all([visit // 10 for visit in sorted(visits)] == [1, 2, 3] for visits in drawn)
    assert len({tuple(visits) for visits in drawn}) > 3
    assert heldout.one_row_each(rows, None, 1) is rows


def test_people_who_have_the_labels_already_are_left_as_they_are(chop, made):
    folder, _, expected, _ = made
    released = reading.read_release(open_table(folder / "release.csv"), chop)
    known = [pc.is_in(expected[n].cast(pa.string()), value_set=released[n].cast(pa.string()).unique())
             for n in ("age", "pan_day", "clinic_name")]  # fmt: skip
    kept = expected.filter(pc.and_(pc.and_(known[0], known[1]), known[2]))
    pa_csv.write_csv(kept, folder / "labelled.csv")
    found = heldout.read(open_table(folder / "labelled.csv"), released, chop)
    assert as_words(found["age"]) == as_words(kept["age"])


def test_labels_that_no_level_has_are_told(chop, made):
    folder, test, _, _ = made
    released = reading.read_release(open_table(folder / "release.csv"), chop)
    foreign = pa.array(["[0, 17)"] * released.num_rows)
    released = released.set_column(released.column_names.index("age"), "age", foreign)
    with pytest.raises(TableError, match="column `age`: at no level of its hierarchy do the people held out have"):
        heldout.read(test, released, chop)


def test_people_without_a_column_of_the_release_are_told(chop, made):
    folder, test, _, _ = made
    write_parquet(test.read().drop_columns(["gender"]), folder / "without.parquet")
    released = reading.read_release(open_table(folder / "release.csv"), chop)
    with pytest.raises(PolicyError, match="has no column `gender`"):
        heldout.read(open_table(folder / "without.parquet"), released, chop)


def test_rows_to_draw_from_have_to_be_like_the_release():
    release = pa.table({"a": ["x"], "n": [1]})
    same = heldout.like(pa.table({"n": [2.0], "a": ["y"], "more": ["z"]}), release, "--pool: the rows")
    assert same.schema == release.schema
    with pytest.raises(TableError, match="--pool: the rows lack the column `n`"):
        heldout.like(pa.table({"a": ["y"]}), release, "--pool: the rows")
    with pytest.raises(TableError, match="values of other kinds"):
        heldout.like(pa.table({"a": ["y"], "n": ["[0, 1)"]}), release, "--pool: the rows")
