"""Several tables about the same people: k people share what is known of them, and nothing old is left in any table."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tasks.anonymization import linked, pseudonyms
from tasks.common import linked_forms
from tasks.common.errors import PolicyError, TableError
from tasks.common.key_file import Key
from tests.conftest import ROOT

KEY = Key(bytes(range(32)))
SHARED = Path(os.environ.get("SECURED_SHARED_DATA", ROOT.parent / "shared" / "data"))
EICU = SHARED / "eicu_demo_patient.parquet"
needs_eicu = pytest.mark.skipif(not EICU.is_file(), reason=f"the eICU demo may not be copied, and is not at {EICU}")
VITALS = (
    "observationoffset", "noninvasivesystolic", "noninvasivediastolic", "noninvasivemean", "paop", "cardiacoutput",
    "cardiacinput", "svr", "svri", "pvr", "pvri",
)  # fmt: skip
SHIFT = {"days": 364, "keep_weekday": True}


def write(folder, name, **columns):
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def save(folder, base, tables):
    (folder / "base.yaml").write_text(yaml.safe_dump(base, sort_keys=False))
    (folder / "set.yaml").write_text(yaml.safe_dump({"base": "base.yaml", "tables": tables}, sort_keys=False))
    return folder / "set.yaml"


BASE = {
    "name": "clinic", "table": "people.parquet", "person": "pid", "seed": 3,
    "columns": {
        "pid": {"role": "direct", "pseudonym": True},
        "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10, 20, 40]}},
        "sex": {"role": "quasi", "hierarchy": "all-or-nothing"},
        "enrolled": {"role": "other", "kind": "date", "shift": SHIFT},
    },
    "criteria": {"k": 4, "suppression": 0.2},
}  # fmt: skip
VISITS = {
    "table": "visits.parquet",
    "columns": {
        "pid": {"role": "direct"},
        "visit": {"role": "direct", "pseudonym": True},
        "on": {"role": "other", "kind": "date", "shift": SHIFT},
        "weight": {"role": "sensitive", "kind": "numeric", "top": 120, "round": 5},
        "note": {"role": "drop", "kind": "text"},
    },
}
LABS = {
    "table": "labs.parquet", "through": {"table": "visits", "key": "visit"}, "count_bands": [1, 3, 8],
    "most_rows_per_person": 30,
    "columns": {"visit": {"role": "direct", "pseudonym": True}, "test": {"role": "sensitive"}},
}  # fmt: skip


@pytest.fixture
def clinic(tmp_path):
    """120 people, their visits and laboratory tests; one has 10,000 tests, some tests are of nobody."""
    rng = np.random.default_rng(11)
    people = [f"P{n:04d}" for n in range(120)]
    first = dt.date(2021, 3, 1)
    write(
        tmp_path, "people", pid=people, age=rng.integers(18, 90, 120).astype(float),
        sex=["x", *rng.choice(["f", "m"], 119)],
        enrolled=[first + dt.timedelta(days=int(d)) for d in rng.integers(0, 300, 120)],
    )  # fmt: skip
    who = rng.choice(people, 500)
    write(
        tmp_path, "visits", pid=who, visit=np.arange(500) + 7_000_000,
        on=[first + dt.timedelta(days=int(d)) for d in rng.integers(0, 900, 500)],
        weight=rng.normal(80, 25, 500), note=["came in with a cough and left again"] * 500,
    )  # fmt: skip
    visits = np.concatenate([rng.choice(500, 1500), np.zeros(10_000, dtype=int)]) + 7_000_000
    visits[:40] = 9_999_999
    write(tmp_path, "labs", visit=visits, test=rng.choice(["crp", "hb", "na"], len(visits)))
    return tmp_path


def released(path):
    made = linked.anonymize_set(linked_forms.read(path), KEY)
    return made, {name: table.to_pandas() for name, table in made.tables.items()}


def test_k_people_share_what_is_known_of_them_in_every_table(clinic):
    made, tables = released(save(clinic, BASE, {"visits": VISITS, "labs": LABS}))
    base, quasi = tables["base"], ["age", "sex", "rows in labs"]
    assert base.pid.is_unique
    assert base.groupby(quasi).pid.nunique().min() >= 4
    assert made.account.base.k == base.groupby(quasi).pid.nunique().min()
    counts = tables["labs"].groupby("pid").size().reindex(base.pid, fill_value=0).to_numpy()
    known = base[quasi].assign(shown=counts, pid=base.pid)
    assert known.groupby([*quasi, "shown"]).pid.nunique().min() >= 4  # knowing the number of tests adds nothing
    assert known.groupby(quasi).shown.nunique().max() == 1
    assert set(tables["visits"].pid) | set(tables["labs"].pid) <= set(base.pid)


def test_rows_of_what_is_not_shown_are_not_shown_either(clinic):
    # Or the different visits among laboratory tests would tell how many visits there were.
    made, tables = released(save(clinic, BASE, {"labs": LABS, "visits": VISITS | {"count_bands": [1, 3]}}))
    base, quasi = tables["base"], ["age", "sex", "rows in labs", "rows in visits"]
    assert made.account.tables["visits"].beyond_band > 0
    assert set(tables["labs"].visit) <= set(tables["visits"].visit)
    for name in ("labs", "visits"):
        shown = tables[name].groupby("pid").size().reindex(base.pid, fill_value=0).to_numpy()
        assert base.assign(shown=shown).groupby(quasi).shown.nunique().max() == 1
    assert base.groupby(quasi).pid.nunique().min() >= 4


def test_the_suppressed_are_gone_and_everybody_elses_rows_are_there(clinic):
    made, tables = released(save(clinic, BASE, {"visits": VISITS}))
    original = pd.read_parquet(clinic / "visits.parquet")
    names = {pid: pseudonyms.pseudonym(pid, KEY, "clinic", "pid") for pid in original.pid}
    kept = original[original.pid.map(names).isin(tables["base"].pid)]
    assert made.account.people_after < made.account.people_before  # or nothing would be tested
    assert len(tables["visits"]) == len(kept) == made.account.tables["visits"].rows_after
    assert sorted(tables["visits"].pid) == sorted(kept.pid.map(names))
    assert made.account.tables["visits"].suppressed == len(original) - len(kept)


def test_nothing_old_is_left(clinic, tmp_path):
    _, tables = released(save(clinic, BASE, {"visits": VISITS, "labs": LABS}))
    text = "\n".join(table.to_csv() for table in tables.values())
    assert "P0" not in text
    assert "70000" not in text
    assert "cough" not in text
    original = pd.read_parquet(clinic / "visits.parquet")
    names = original.visit.astype(str).map(lambda visit: pseudonyms.pseudonym(visit, KEY, "clinic", "visit"))
    before = dict(zip(names, original.on, strict=True))
    assert all(row.on != before[row.visit] for row in tables["visits"].itertuples())
    assert tables["visits"].weight.max() == 120
    assert set(tables["visits"].weight % 5) == {0}


def test_intervals_between_the_tables_of_a_person_stay(clinic):
    _, tables = released(save(clinic, BASE, {"visits": VISITS}))
    people, visits = pd.read_parquet(clinic / "people.parquet"), pd.read_parquet(clinic / "visits.parquet")

    def intervals(base, events):
        joined = events.merge(base, on="pid")
        days = pd.to_datetime(joined.on) - pd.to_datetime(joined.enrolled)
        return days.dt.days.groupby(joined.pid).apply(lambda each: tuple(sorted(each)))

    people["pid"] = people.pid.map(lambda pid: pseudonyms.pseudonym(pid, KEY, "clinic", "pid"))
    visits["pid"] = visits.pid.map(lambda pid: pseudonyms.pseudonym(pid, KEY, "clinic", "pid"))
    before, after = intervals(people, visits), intervals(tables["base"], tables["visits"])
    assert len(after) > 50
    assert before[after.index].equals(after)


def test_every_row_is_accounted_for(clinic):
    made, tables = released(save(clinic, BASE, {"visits": VISITS, "labs": LABS}))
    labs = made.account.tables["labs"]
    assert labs.rows_before == 11_500
    assert labs.unlinked == 40
    assert labs.over_cap >= 9_970
    assert labs.rows_before == sum((labs.unlinked, labs.over_cap, labs.beyond_band, labs.suppressed, labs.rows_after))
    assert labs.column_loss["test"] == pytest.approx(1 - labs.rows_after / 11_500)
    assert tables["labs"].groupby("pid").size().max() <= 30
    assert set(made.account.base.column_loss) == {"age", "sex", "rows in labs", "enrolled"}
    assert KEY.secret.hex() not in made.account.model_dump_json()


def test_it_repeats(clinic):
    path = save(clinic, BASE, {"visits": VISITS, "labs": LABS})
    first, second = (linked.anonymize_set(linked_forms.read(path), KEY).tables for _ in range(2))
    assert all(first[name].equals(second[name]) for name in first)


def changed(form, *place, to):
    """The form with one place changed; None removes it."""
    made = yaml.safe_load(yaml.safe_dump(form))
    at = made
    for key in place[:-1]:
        at = at[key]
    if to is None:
        del at[place[-1]]
    else:
        at[place[-1]] = to
    return made


@pytest.mark.parametrize(
    ("base", "visits", "complaint"),
    [
        (
            BASE,
            changed(VISITS, "columns", "weight", to={"role": "quasi", "hierarchy": "all-or-nothing"}),
            "in the base",
        ),
        (BASE, changed(VISITS, "columns", "on", "shift", to=None), "date of an event"),
        (BASE, changed(VISITS, "columns", "on", "shift", to={"days": 9}), "have to be the same"),
        (BASE, changed(VISITS, "columns", "note", to={"role": "other", "kind": "text"}), "free text is never released"),
        (BASE, changed(VISITS, "columns", "note", to=None), "gives no role: `note`"),
        (BASE, changed(VISITS, "columns", "pid", to=None), "needs a column `pid`"),
        (BASE, changed(VISITS, "columns", "pid", to={"role": "other"}), "needs the role `direct`"),
        (BASE, changed(VISITS, "through", to={"table": "none", "key": "visit"}), "no table that names the person"),
        (BASE, changed(VISITS, "count_bands", to=[5, 1]), "rising"),
        (BASE, changed(VISITS, "colums", to={}), "did you mean `columns`"),
        (changed(BASE, "person", to=None), VISITS, "needs `table:` and `person:`"),
        (changed(BASE, "columns", "pid", "pseudonym", to=None), VISITS, "needs `pseudonym: true`"),
    ],
)
def test_a_set_that_would_not_protect_is_refused_with_a_reason(clinic, base, visits, complaint):
    with pytest.raises(PolicyError, match=complaint):
        released(save(clinic, base, {"visits": visits}))


def test_a_base_with_two_rows_of_a_person_is_refused_without_naming_anybody(clinic):
    people = pd.read_parquet(clinic / "people.parquet")
    pd.concat([people, people[:3]]).to_parquet(clinic / "people.parquet", index=False)
    with pytest.raises(TableError, match="3 more rows than people") as error:
        released(save(clinic, BASE, {"visits": VISITS}))
    assert "P0" not in str(error.value)


def test_a_key_of_two_people_is_refused(clinic):
    visits = pd.read_parquet(clinic / "visits.parquet")
    visits["visit"] = visits.visit // 2
    visits.to_parquet(clinic / "visits.parquet", index=False)
    with pytest.raises(TableError, match="belong to more than one person"):
        released(save(clinic, BASE, {"visits": VISITS, "labs": LABS}))


def eicu_set(folder):
    """Patients of the eICU demo, their stays, diagnoses and vital signs: the set's file, and the stays as they were."""
    stays = pd.read_parquet(EICU)
    keep = ["uniquepid", "gender", "age", "ethnicity", "admissionheight", "hospitaldischargestatus"]
    people = stays.drop_duplicates("uniquepid")[keep]
    people = people.assign(age=pd.to_numeric(people.age.replace("> 89", "90"), errors="coerce"))
    people.to_parquet(folder / "people.parquet", index=False)
    # The demo has no dates; one is made of the time after a made-up day, so that there is something to shift.
    start = pd.Timestamp("2015-06-01")
    stays["admitted"] = (start + pd.to_timedelta(stays.hospitaladmitoffset, unit="min")).dt.date
    stays[["patientunitstayid", "uniquepid", "unittype", "admitted"]].to_parquet(folder / "stays.parquet", index=False)
    base = {
        "name": "eicu", "table": "people.parquet", "person": "uniquepid",
        "columns": {
            "uniquepid": {"role": "direct", "pseudonym": True},
            "gender": {"role": "quasi", "hierarchy": "all-or-nothing"},
            "age": {"role": "quasi", "kind": "numeric", "top": 90,
                    "hierarchy": {"intervals": [5, 10, 30], "min": 0, "max": 90}},
            "ethnicity": {"role": "quasi", "hierarchy": "all-or-nothing"},
            "admissionheight": {"role": "other", "kind": "numeric", "bottom": 140, "top": 200, "round": 5},
            "hospitaldischargestatus": {"role": "sensitive"},
        },
        "criteria": {"k": 5, "suppression": 0.1},
    }  # fmt: skip
    through = {"through": {"table": "stays", "key": "patientunitstayid"}}
    key = {"patientunitstayid": {"role": "direct", "pseudonym": True}}
    tables = {
        "stays": {
            "table": "stays.parquet", "count_bands": [1, 2, 4],
            "columns": key | {"uniquepid": {"role": "direct"}, "unittype": {"role": "other"},
                              "admitted": {"role": "other", "kind": "date", "shift": SHIFT}},
        },
        "diagnosis": {
            "table": str(SHARED / "eicu_demo_diagnosis.parquet"), **through, "most_rows_per_person": 100,
            "columns": key | {"diagnosisid": {"role": "drop"}, "activeupondischarge": {"role": "other"},
                              "diagnosisoffset": {"role": "other", "kind": "numeric", "round": 60},
                              "diagnosisstring": {"role": "sensitive"}, "icd9code": {"role": "sensitive"},
                              "diagnosispriority": {"role": "other"}},
        },
        "vitals": {
            "table": str(SHARED / "eicu_demo_vitalAperiodic.parquet"), **through, "count_bands": [1, 20, 100],
            "columns": key | {"vitalaperiodicid": {"role": "drop"}} | {
                name: {"role": "other", "kind": "numeric"}
                for name in VITALS
            },
        },
    }  # fmt: skip
    return save(folder, base, tables), stays


@needs_eicu
def test_eicu_is_released_by_person(tmp_path):
    path, stays = eicu_set(tmp_path)
    made, frames = released(path)
    released_people = frames["base"]
    quasi = ["gender", "age", "ethnicity", "rows in stays", "rows in vitals"]
    assert released_people.groupby(quasi, dropna=False).uniquepid.nunique().min() >= 5
    for name in ("stays", "vitals"):
        shown = frames[name].groupby("uniquepid").size().reindex(released_people.uniquepid, fill_value=0)
        known = released_people.assign(shown=shown.to_numpy())
        assert known.groupby([*quasi, "shown"], dropna=False).uniquepid.nunique().min() >= 5
    for frame in frames.values():
        assert set(frame.uniquepid) <= set(released_people.uniquepid)
        words = set(frame.select_dtypes("object").astype(str).to_numpy().ravel())
        assert not words & set(stays.uniquepid)
        assert not words & set(stays.patientunitstayid.astype(str))
    owner = stays.set_index(
        stays.patientunitstayid.astype(str).map(lambda s: pseudonyms.pseudonym(s, KEY, "eicu", "patientunitstayid"))
    )
    old = owner.admitted.reindex(frames["stays"].patientunitstayid)
    assert (old.to_numpy() != frames["stays"].admitted.to_numpy()).all()
    assert made.account.tables["diagnosis"].over_cap > 0
    assert len(frames["vitals"]) > 10_000
    assert made.account.people_after >= 0.9 * made.account.people_before
