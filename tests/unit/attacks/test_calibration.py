"""The score on other real tables than CHOP: a copy scores 0, leaks are ordered, people it never saw pass."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tasks.attacks.assess import assess
from tasks.attacks.score import Gate
from tasks.common import reading
from tasks.common.table import open_table
from tests.conftest import ROOT, make_policy

FOLDER = Path(os.environ.get("SECURED_SHARED_DATA", ROOT.parent / "shared" / "data"))
QUASI = {"role": "quasi", "hierarchy": "all-or-nothing"}
NUMBER = {"role": "other", "kind": "numeric"}
SECRET = {"role": "sensitive"}
# A table of each kind: a trial of strokes by country and hospital, stays of diabetics in hospital.
TABLES = {
    "ist_stroke_trial.parquet": {
        "SEX": QUASI,
        "COUNTRY": QUASI,
        "AGE": NUMBER,
        "HOSPNUM": {"role": "other"},
        "RSBP": NUMBER,
        "RDELAY": NUMBER,
        "STYPE": {"role": "other"},
        "RCONSC": {"role": "other"},
        "OCCODE": SECRET,
    },
    "diabetes130.parquet": {
        "race": QUASI,
        "gender": QUASI,
        "age": QUASI,
        "medical_specialty": QUASI,
        "diag_1": {"role": "other"},
        "num_lab_procedures": NUMBER,
        "num_medications": NUMBER,
        "time_in_hospital": NUMBER,
        "readmitted": SECRET,
    },
}
PEOPLE = 18_000  # in three groups


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_scores_mean_the_same_on_every_table(name):
    if not (FOLDER / name).is_file():
        pytest.skip(f"{name} is not in {FOLDER}; SECURED_SHARED_DATA names the folder")
    policy = make_policy(TABLES[name], attacks={"inference": {"by": ["neighbour"]}})
    rows = reading.read(open_table(FOLDER / name), policy)
    parts = np.array_split(np.random.default_rng(1).permutation(rows.num_rows)[:PEOPLE], 3)
    train, control, outside = (rows.take(pa.array(part)) for part in parts)

    def card(leaked):
        count = round(leaked * train.num_rows)
        return assess(
            (train, None), (control, None), pa.concat_tables([outside.slice(count), train.slice(0, count)]), policy
        )

    cards = {share: card(share) for share in (0, 0.01, 0.05, 0.2, 1)}
    scores = [card.score for card in cards.values()]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 91
    assert cards[0].gate is Gate.PASSES
    assert cards[0.05].gate is Gate.FAILS
    assert cards[0.2].gate is Gate.FAILS
    assert scores[-1] < 1
