"""The International Stroke Trial: what was known of patients at randomisation, and how they were after six months.

Sandercock, Niewada, Czlonkowska 2011, Trials 12:101. The file may be read, not copied; see tests/shared_data.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

FILE = "ist_stroke_trial.parquet"
_NUMBERS = ["AGE", "RSBP", "RDELAY"]
_CATEGORIES = ["SEX", "RCONSC", "STYPE", "RSLEEP", "RATRIAL", "RCT", "RVISINF", *[f"RDEF{i}" for i in range(1, 9)]]


def outcome(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Features at randomisation, float64 (19285, 31), categories one-hot with one of each left out; and whether the
    patient was dead or dependent after six months (OCCODE 1 and 2, against 3 and 4), bool (19285,)."""
    table = pd.read_parquet(path)
    table = table[table.OCCODE.isin([1, 2, 3, 4])]
    categories = pd.get_dummies(table[_CATEGORIES].fillna("missing"), drop_first=True)
    features = pd.concat([table[_NUMBERS], categories], axis=1).astype(np.float64)
    return features.reset_index(drop=True), table.OCCODE.isin([1, 2]).to_numpy()
