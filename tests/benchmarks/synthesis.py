"""Synthetic rows of this project's engines beside those of SDV's CTGANSynthesizer.

Everybody learns from the same real rows on one thread, with the same epochs and the same seeds; seconds are those of
`fit`, with the preparation of columns. As many rows as they learned from are drawn, a classifier is trained on these
and tested on real rows of other people. Floor and ceiling are the rows with every column shuffled on its own, and the
rows themselves. Gates: what a data flow would say of a table that somebody hands in.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.common import policy_file, reading
from tasks.common.policy import Policy
from tasks.common.synthesis_forms import Engine, Synthesis
from tasks.common.table import open_table
from tests.benchmarks import peers, results
from tests.conftest import CHOP_POLICY, CHOP_TABLE, ROOT, make_policy

PACKAGES = ("torch", "ctgan", "scikit-learn", "numpy", "sdmetrics")
SEEDS = (1, 2)
SETTINGS = Synthesis()
_QUASI = {"role": "quasi", "hierarchy": "all-or-nothing"}
_NUMBER = {"role": "other", "kind": "numeric"}
_OTHER, _SECRET = {"role": "other"}, {"role": "sensitive"}


@dataclass(frozen=True)
class Case:
    """A table split by person, and the question it is asked."""

    name: str
    learned: pa.Table
    test: pa.Table
    policy: Policy


def main() -> None:
    """Measure and record."""
    import torch

    torch.set_num_threads(1)
    useful, judged = [], []
    for case in cases():
        rows, tables = _usefulness(case)
        useful += rows
        judged += _gate(case, tables)
        sys.stderr.write("".join(f"synthesis: {row}\n" for row in (*rows, *judged[-5:])))
    head = ("table and rows", "fit, s", "AUC on real people", "pair trends", "nearer than chance", "rare copies")
    text = (
        "Shuffled columns are the floor, the real rows the ceiling; SDV 2.0.0 with its defaults but the epochs, in an "
        "environment of its own. Nearer than chance: tasks/synthesis/copies.py; up to 0.25 passes."
    )
    results.record("Synthesis: usefulness beside SDV", f"{text}\n\n{results.table(head, useful)}", PACKAGES)
    head = ("table", "handed in", "useful", "repeats people", "gate")
    results.record("Synthesis: what the gate says", results.table(head, judged), PACKAGES)


def cases() -> list[Case]:
    """The tables that are there: CHOP, and those that may be read only beside the project."""
    chop = policy_file.read(CHOP_POLICY)
    source = open_table(CHOP_TABLE)
    valid = reading.read(source, chop).take(pa.array(reading.included_rows(source, chop)))
    found = [_split("CHOP", valid.select(chop.released), chop)]
    folder = Path(os.environ.get("SECURED_SHARED_DATA", ROOT.parent / "shared" / "data"))
    for name, (file, columns, downstream, prepare) in _SHARED.items():
        if (folder / file).is_file():
            policy = make_policy(columns, downstream=downstream)
            frame = prepare(pd.read_parquet(folder / file))
            with tempfile.TemporaryDirectory() as scratch:
                place = Path(scratch) / "table.parquet"
                frame[list(columns)].to_parquet(place, index=False)
                table = reading.read(open_table(place), policy)
            found.append(_split(name, table, policy))
    return found


def _split(name: str, table: pa.Table, policy: Policy) -> Case:
    places = np.random.default_rng(0).permutation(table.num_rows)
    count = min(6_000, 2 * table.num_rows // 3)
    learned, test = places[:count], places[count : 3 * count]
    return Case(name, table.take(pa.array(learned)), table.take(pa.array(test)), policy)


def _one_each(frame: pd.DataFrame, person: str) -> pd.DataFrame:
    """One row of each person, the first."""
    return frame.drop_duplicates(person)


_SHARED: dict[str, tuple[str, dict[str, Any], dict[str, str], Callable[[pd.DataFrame], pd.DataFrame]]] = {
    "IST": (
        "ist_stroke_trial.parquet",
        {
            "SEX": _QUASI, "AGE": _NUMBER, "RSBP": _NUMBER, "RDELAY": _NUMBER, "RCONSC": _OTHER, "STYPE": _OTHER,
            "RDEF1": _OTHER, "RDEF2": _OTHER, "RDEF3": _OTHER, "RATRIAL": _OTHER, "FDEAD": _SECRET,
        },
        {"target": "FDEAD", "positive": "Y"},
        lambda frame: frame[frame.FDEAD.isin(["Y", "N"])],
    ),
    "Diabetes-130": (
        "diabetes130.parquet",
        {
            "race": _QUASI, "gender": _QUASI, "age": _QUASI, "admission_type_id": _OTHER, "insulin": _OTHER,
            "discharge_disposition_id": _OTHER, "time_in_hospital": _NUMBER, "num_lab_procedures": _NUMBER,
            "num_medications": _NUMBER, "number_inpatient": _NUMBER, "number_diagnoses": _NUMBER, "readmitted": _SECRET,
        },
        {"target": "readmitted", "positive": "NO"},
        lambda frame: _one_each(frame, "patient_nbr"),
    ),
    "RAND-HIE": (
        "rand_hie.parquet",
        {
            "female": _QUASI, "black": _QUASI, "xage": _NUMBER, "educdec": _NUMBER, "income": _NUMBER, "num": _NUMBER,
            "coins": _NUMBER, "disea": _NUMBER, "mhi": _NUMBER, "hlthf": _OTHER, "hlthp": _OTHER, "binexp": _SECRET,
        },
        {"target": "binexp", "positive": "1"},
        lambda frame: _one_each(frame, "zper"),
    ),
}  # fmt: skip


def _usefulness(case: Case) -> tuple[list[tuple[str, ...]], dict[str, pa.Table]]:
    """Each engine as a data flow uses it, the best of them by the gate's measure, SDV, floor and ceiling."""
    from tasks.synthesis import drawing, engines, worth
    from tasks.utility import fidelity

    count, made, seconds = case.learned.num_rows, {}, {}
    judge = worth.by_downstream(case.learned, case.policy)
    for engine in Engine:
        start = time.perf_counter()
        fitted = [engines.fit(case.learned, SETTINGS, engine, seed, judge) for seed in SEEDS]
        seconds[engine] = (time.perf_counter() - start) / len(SEEDS)
        made[str(engine)] = [
            drawing.draw(model, count, seed, case.policy, case.learned)[0]
            for seed, model in zip(SEEDS, fitted, strict=True)
        ]
    seconds["SDV's CTGANSynthesizer"], made["SDV's CTGANSynthesizer"] = _sdv(case)
    made["shuffled"] = [fidelity.shuffled(case.learned, np.random.default_rng(0))]
    made["real"] = [case.learned]
    rows = [
        (f"{case.name}, {name}", f"{seconds[name]:.1f}" if name in seconds else "", *_figures(tables, case))
        for name, tables in made.items()
    ]
    return rows, {name: tables[0] for name, tables in made.items()}


def _figures(tables: list[pa.Table], case: Case) -> tuple[str, ...]:
    from tasks.synthesis import copies
    from tasks.utility import fidelity

    trends = np.mean([fidelity._quality(case.learned, table)[1] for table in tables])
    near = [copies.look(t, case.learned, case.test, case.policy, np.random.default_rng(0)) for t in tables]
    excess, rare = np.mean([found.excess for found in near]), np.mean([found.rare_copies for found in near])
    return _each([auc(table, case) for table in tables]), f"{trends:.3f}", f"{excess:.2f}", f"{rare:,.0f}"


def _gate(case: Case, made: dict[str, pa.Table]) -> list[tuple[str, ...]]:
    """What the gate says of tables that are no synthesis, and of those that are."""
    from tasks.synthesis import copies
    from tasks.utility import fidelity

    number = next(name for name in case.learned.column_names if pa.types.is_floating(case.learned[name].type))
    values = case.learned[number].to_numpy(zero_copy_only=False)
    noise = np.random.default_rng(1).normal(0, np.nanstd(values), len(values))
    noisy = case.learned.set_column(
        case.learned.column_names.index(number), number, pa.array(values + noise, from_pandas=True)
    )
    handed_in = made | {"a plain copy": made["real"], "a copy with noise in one column": noisy}
    rows = []
    for name in ("shuffled", "a plain copy", "a copy with noise in one column", *Engine):
        table = handed_in[str(name)]
        useful = fidelity.compare(case.learned, table, case.test, case.policy, 0).useful
        near = copies.look(table, case.learned, case.test, case.policy, np.random.default_rng(0)).acceptable
        rows.append((case.name, str(name), "yes" if useful else "no", "no" if near else "yes", _verdict(useful, near)))
    return rows


def _verdict(useful: bool, near: bool) -> str:
    return "goes on to the attacks" if useful and near else "rejected"


def _sdv(case: Case) -> tuple[float, list[pa.Table]]:
    from tasks.synthesis import gan

    python = peers.environment("sdv", "sdv==2.0.0", "torch==2.13.0", "pyarrow")
    epochs = gan.epochs_for(case.learned.num_rows, SETTINGS.batch)
    frame, _ = as_frame(case.learned)
    with tempfile.TemporaryDirectory() as scratch:
        source, out = Path(scratch) / "learned.parquet", Path(scratch) / "made"
        frame.to_parquet(source)
        seconds, tables = [], []
        for seed in SEEDS:
            said = subprocess.run(
                [python, Path(__file__).with_name("sdv_peer.py"), source, out, str(epochs), str(seed)],
                check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
            )  # fmt: skip
            seconds.append(float(said.stdout.strip().splitlines()[-1]))
            tables.append(as_table(pq.read_table(out).to_pandas(), case.learned))
    return float(np.mean(seconds)), tables


def as_frame(table: pa.Table) -> tuple[pd.DataFrame, list[str]]:
    """The table as the peers take it: words, and numbers with the median where one is missing, behind a flag."""
    columns: dict[str, Any] = {}
    discrete = []
    for name in table.column_names:
        values = table[name]
        if not pa.types.is_floating(values.type) or len(values.unique()) <= 50:
            columns[name] = pc.fill_null(values.cast(pa.string()), "(missing)").to_pandas().astype(object)
            discrete.append(name)
            continue
        numbers = values.to_pandas()
        if values.null_count:
            columns[f"{name}?"] = numbers.isna().map({True: "yes", False: "no"}).astype(object)
            discrete.append(f"{name}?")
        columns[name] = numbers.fillna(numbers.median())
    return pd.DataFrame(columns), discrete


def as_table(frame: pd.DataFrame, like: pa.Table) -> pa.Table:
    """Rows of a peer in the types of the table that they were learned from."""
    columns = {}
    for field in like.schema:
        values = frame[field.name]
        if values.dtype == object or str(values.dtype) in {"category", "string"}:
            words = pa.array(values.astype(str), pa.string())
            words = pc.if_else(pc.equal(words, "(missing)"), pa.scalar(None, pa.string()), words)
            columns[field.name] = words.cast(field.type)
            continue
        missing = frame[f"{field.name}?"].eq("yes").to_numpy() if f"{field.name}?" in frame else None
        columns[field.name] = pa.array(values.to_numpy(float), mask=missing).cast(field.type)
    return pa.table(columns)


def auc(rows: pa.Table, case: Case) -> float:
    from tasks.utility import downstream

    question = case.policy.downstream
    assert question is not None, "these tables have a question"
    if len(set(downstream.positives(rows, question))) < 2:
        return 0.5
    features = [name for name in case.policy.features if name in case.learned.column_names]
    words = downstream.vocabulary(case.learned, features, case.policy)
    fitted = downstream.fit(rows, words, question, seed=0)
    return downstream.auc(fitted, case.test, question, np.random.default_rng(0)).value


def _each(values: list[float]) -> str:
    mean = f"{np.mean(values):.3f}"
    return f"{mean} ({', '.join(f'{value:.3f}' for value in values)})" if len(values) > 1 else mean
