"""What people typed is told from what a system let them choose, and never released."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.common import policy_file
from tasks.common.policy import Kind, Role
from tasks.common.table import open_table
from tasks.validation.draft import draft
from tasks.validation.expectations import validate
from tasks.validation.free_text import Watch, prose
from tests.conftest import CHOP_TABLE, ROOT, make_policy

SHARED = Path(os.environ.get("SECURED_SHARED_DATA", ROOT.parent / "shared" / "data"))
IST = SHARED / "ist_stroke_trial.parquet"
needs_shared = pytest.mark.skipif(not IST.is_file(), reason=f"the tables may not be copied, and are not in {SHARED}")
# The trial's columns for comments (Sandercock et al. 2011, Trials 12:101).
IST_TEXT = {"DSIDEX", "DDEADX", "FDEADX", "DNOSTRKX", "DMAJNCHX"}
WORDS = "patient came went home cough fever pain left right arm leg night morning again better worse".split()  # noqa: SIM905


def remarks(rows, seed=1):
    rng = random.Random(seed)  # noqa: S311
    return [" ".join(rng.choices(WORDS, k=rng.randint(2, 9))) for _ in range(rows)]


def strings(values):
    return pa.array(values, pa.string())


def test_remarks_are_free_text_and_the_reason_says_why():
    found = prose(strings(remarks(400)))
    assert found is not None
    assert "occur only once" in found.reason
    assert not any(word in found.reason.split() for word in WORDS)


@pytest.mark.parametrize(
    "values",
    [
        [f"{n:08x}-{n * 7:04x}-aa-bb" for n in range(400)],  # numbers of people
        [f"2020-01-{n % 28 + 1:02d} 12:{n % 60:02d}:{n * 7 % 60:02d}" for n in range(400)],  # times
        ["Coronary artery disease without mention of any earlier intervention", "Sepsis"] * 200,  # long but chosen
        [f"A{n % 100:02d}.{n % 10}" for n in range(400)],  # codes
        ["Emergency Department", "Operating Room"],  # too few to tell
        [None] * 50,
        [],
    ],
)
def test_codes_numbers_and_choices_are_not(values):
    assert prose(strings(values)) is None


def test_sentences_are_seen_even_where_rows_are_few():
    assert prose(strings(["came in with a cough", "went home again in the morning"])) is not None


def test_watching_batches_is_looking_at_them_together():
    values = strings([None, *remarks(300), None])
    watch = Watch(["a", "b"])
    for start in range(0, len(values), 70):
        part = values.slice(start, 70)
        watch.add(pa.table({"a": part, "b": strings(["x"] * len(part))}))
    assert watch.found() == {"a": prose(values), "b": None}


@needs_shared
def test_in_real_tables_it_is_found_where_it_is_and_nowhere_else():
    found = set()
    for place in [*sorted(SHARED.glob("*.parquet")), CHOP_TABLE]:
        table = pq.read_table(place)
        for name in table.column_names:
            if pa.types.is_large_string(table[name].type) or pa.types.is_string(table[name].type):
                found |= {name} if prose(table[name].cast(pa.string())) else set()
    assert found == IST_TEXT


@needs_shared
def test_a_draft_drops_it_with_the_reason(tmp_path):
    (tmp_path / "p.yaml").write_text(draft(open_table(IST), "ist"), encoding="utf-8")
    policy = policy_file.read(tmp_path / "p.yaml")
    for name in IST_TEXT:
        assert (policy.columns[name].role, policy.columns[name].kind) == (Role.DROP, Kind.TEXT)
    line = next(line for line in (tmp_path / "p.yaml").read_text().splitlines() if line.strip().startswith("DSIDEX"))
    assert "occur only once" in line


def test_a_name_of_several_words_is_a_direct_identifier(tmp_path):
    pq.write_table(pa.table({"full_name": remarks(60), "age": [float(n) for n in range(60)]}), tmp_path / "t.parquet")
    (tmp_path / "p.yaml").write_text(draft(open_table(tmp_path / "t.parquet")), encoding="utf-8")
    assert policy_file.read(tmp_path / "p.yaml").columns["full_name"].role is Role.DIRECT


def test_validation_refuses_to_release_it_without_showing_it(tmp_path):
    pq.write_table(pa.table({"remark": remarks(200), "sex": ["f", "m"] * 100}), tmp_path / "t.parquet")
    quasi = {"sex": {"role": "quasi", "hierarchy": "all-or-nothing"}}
    refused = validate(open_table(tmp_path / "t.parquet"), make_policy({"remark": {"role": "sensitive"}} | quasi))
    assert len(refused.problems) == 1
    assert refused.problems[0].startswith("column `remark` holds free text")
    assert not set(refused.problems[0].replace("`", "").split()) & (set(WORDS) - {"patient", "left", "right"})
    dropped = validate(
        open_table(tmp_path / "t.parquet"), make_policy({"remark": {"role": "drop", "kind": "text"}} | quasi)
    )
    assert dropped.problems == []
