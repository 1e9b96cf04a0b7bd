"""CTGAN as this project trains it beside the ctgan package's own training: seconds, and what the rows are good for.

Both learn from the same real rows with the same settings and seeds, on one thread; each side's seconds are those of
`fit`, with the preparation of columns. As many rows as they learned from are drawn, a classifier is trained on these
and tested on real rows that neither saw.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tasks.common import policy_file, reading
from tasks.common.policy import Policy, Synthesis
from tasks.common.table import open_table
from tests.benchmarks import results
from tests.conftest import CHOP_POLICY, CHOP_TABLE, ROOT, make_policy

PACKAGES = ("torch", "ctgan", "rdt", "scikit-learn", "numpy")
ROWS, SEEDS = 6_000, (1, 2)
OURS, THEIRS = Synthesis(), Synthesis(epochs=150, batch=500, pack=10, log_frequency=True)
_QUASI = {"role": "quasi", "hierarchy": "all-or-nothing"}
_NUMBER = {"role": "other", "kind": "numeric"}
_OTHER, _SECRET = {"role": "other"}, {"role": "sensitive"}
_SHARED: dict[str, tuple[dict[str, Any], dict[str, str], tuple[str, ...]]] = {
    "ist_stroke_trial.parquet": (
        {
            "SEX": _QUASI, "AGE": _NUMBER, "RSBP": _NUMBER, "RDELAY": _NUMBER, "RCONSC": _OTHER, "STYPE": _OTHER,
            "RDEF1": _OTHER, "RDEF2": _OTHER, "RDEF3": _OTHER, "RATRIAL": _OTHER, "FDEAD": _SECRET,
        },
        {"target": "FDEAD", "positive": "Y"},
        ("U",),
    ),
    "diabetes130.parquet": (
        {
            "race": _QUASI, "gender": _QUASI, "age": _QUASI, "admission_type_id": _OTHER, "insulin": _OTHER,
            "discharge_disposition_id": _OTHER, "time_in_hospital": _NUMBER, "num_lab_procedures": _NUMBER,
            "num_medications": _NUMBER, "number_inpatient": _NUMBER, "number_diagnoses": _NUMBER, "readmitted": _SECRET,
        },
        {"target": "readmitted", "positive": "NO"},
        (),
    ),
}  # fmt: skip


def main() -> None:
    """Measure and record."""
    import torch

    torch.set_num_threads(1)
    rows = []
    for name, (table, policy) in _tables().items():
        settings = {"policy's defaults": OURS} | ({"package's defaults": THEIRS} if name == "CHOP" else {})
        for said, setting in settings.items():
            rows.append((f"{name}, {said}", *_beside(table, policy, setting)))
            sys.stderr.write(f"synthesis: {rows[-1]}\n")
    head = (
        "table and settings",
        "epochs",
        "ours, s",
        "package, s",
        "faster",
        "AUC ours",
        "AUC package",
        "AUC real rows",
    )
    shape = f"{ROWS:,} rows, one thread, means over {len(SEEDS)} seeds; AUC of each seed in brackets."
    results.record("Synthesis: training CTGAN", f"{shape}\n\n{results.table(head, rows)}", PACKAGES)


def _tables() -> dict[str, tuple[pa.Table, Policy]]:
    chop = policy_file.read(CHOP_POLICY)
    found = {"CHOP": (reading.read(open_table(CHOP_TABLE), chop).select(chop.released), chop)}
    folder = Path(os.environ.get("SECURED_SHARED_DATA", ROOT.parent / "shared" / "data"))
    for file, (columns, downstream, unknown) in _SHARED.items():
        if (folder / file).is_file():
            policy = make_policy(columns, downstream=downstream)
            table = reading.read(open_table(folder / file), policy)
            target = table[downstream["target"]]
            known = pc.and_(pc.is_valid(target), pc.invert(pc.is_in(target, pa.array(unknown, pa.string()))))
            found[file.split("_")[0].removesuffix(".parquet")] = (table.filter(known), policy)
    return found


def _beside(table: pa.Table, policy: Policy, settings: Synthesis) -> tuple[str, ...]:
    from tasks.synthesis import gan

    places = np.random.default_rng(0).permutation(table.num_rows)
    train, test = table.take(pa.array(places[:ROWS])), table.take(pa.array(places[ROWS : 3 * ROWS]))
    epochs = settings.epochs or gan.epochs_for(ROWS, settings.batch)
    seconds, auc = {"ours": [], "package": []}, {"ours": [], "package": []}
    for seed in SEEDS:
        for side, learn in (("ours", _ours), ("package", _package)):
            start = time.perf_counter()
            draw = learn(train, settings, epochs, seed)
            seconds[side].append(time.perf_counter() - start)
            auc[side].append(_auc(draw(), train, test, policy))
    took = {side: float(np.mean(values)) for side, values in seconds.items()}
    return (
        str(epochs), f"{took['ours']:.1f}", f"{took['package']:.1f}", f"{took['package'] / took['ours']:.1f}x",
        _each(auc["ours"]), _each(auc["package"]), f"{_auc(train, train, test, policy):.3f}",
    )  # fmt: skip


def _ours(train: pa.Table, settings: Synthesis, epochs: int, seed: int) -> Callable[[], pa.Table]:
    from tasks.synthesis import gan

    fitted = gan.fit(train, settings.model_copy(update={"epochs": epochs}), seed)
    return lambda: gan.sample(fitted, ROWS, seed)


def _package(train: pa.Table, settings: Synthesis, epochs: int, seed: int) -> Callable[[], pa.Table]:
    from ctgan import CTGAN

    from tasks.synthesis import gan

    frame, discrete = gan._to_frame(train)
    model = CTGAN(
        epochs=epochs, batch_size=settings.batch, pac=settings.pack, log_frequency=settings.log_frequency,
        enable_gpu=False,
    )  # fmt: skip
    model.set_random_state(seed)
    with warnings.catch_warnings(), joblib.parallel_config(backend="sequential"):
        warnings.simplefilter("ignore")
        model.fit(frame, discrete)

    def draw() -> pa.Table:
        made: pd.DataFrame = model.sample(ROWS)
        decimals = {name: gan._decimals(train[name]) for name in train.column_names if name not in discrete}
        return pa.table({field.name: gan._back(made, field, decimals) for field in train.schema})

    return draw


def _auc(rows: pa.Table, train: pa.Table, test: pa.Table, policy: Policy) -> float:
    from tasks.utility import downstream

    assert policy.downstream is not None, "these tables have a question"
    words = downstream.vocabulary(train, [n for n in policy.features if n in train.column_names], policy)
    fitted = downstream.fit(rows, words, policy.downstream, seed=0)
    return downstream.auc(fitted, test, policy.downstream, np.random.default_rng(0)).value


def _each(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})"
