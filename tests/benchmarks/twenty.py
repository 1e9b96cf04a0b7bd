"""Twenty quasi-identifiers of a hundred thousand hospital stays: how near to the bound a search ends."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tasks.anonymization import anonymizer
from tasks.anonymization.plan import first_plan
from tasks.common.policy import Policy
from tasks.common.streaming import InFile
from tasks.common.table import open_table
from tests.benchmarks import results
from tests.shared_data import shared_data_or_none

PACKAGES = ("numpy", "numba", "pyarrow", "scipy")
_NUMBERS = {
    "time_in_hospital": [2, 4, 8], "num_lab_procedures": [5, 10, 20, 40], "num_procedures": [2, 4],
    "num_medications": [5, 10, 20], "number_outpatient": [2, 4, 8], "number_emergency": [2, 4, 8],
    "number_inpatient": [2, 4, 8], "number_diagnoses": [2, 4, 8],
}  # fmt: skip
_WORDS = (
    "race", "gender", "weight", "admission_type_id", "discharge_disposition_id", "admission_source_id", "payer_code",
    "A1Cresult", "insulin",
)  # fmt: skip
_DECADES = [f"[{low}-{low + 10})" for low in range(0, 100, 10)]
_AGES = {
    "groups": [
        {f"[{low}-{low + 20})": [_DECADES[low // 10], _DECADES[low // 10 + 1]] for low in range(0, 100, 20)},
        {"minor or young": ["[0-20)", "[20-40)"], "older": ["[40-60)", "[60-80)", "[80-100)"]},
    ]
}


def policy(columns: list[str]) -> Policy:
    """Diabetes 130-US hospitals with twenty quasi-identifiers; everything else is dropped."""
    quasi: dict[str, Any] = {
        name: {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": widths, "min": 0}}
        for name, widths in _NUMBERS.items()
    }
    quasi |= {name: {"role": "quasi", "hierarchy": "all-or-nothing"} for name in _WORDS}
    quasi["age"] = {"role": "quasi", "hierarchy": _AGES}
    quasi["medical_specialty"] = {"role": "quasi", "hierarchy": {"prefix": [10, 5, 2]}}
    quasi["diag_1"] = {"role": "quasi", "hierarchy": {"prefix": [3, 2, 1]}}
    rest = {name: {"role": "drop"} for name in columns if name not in quasi}
    return Policy.model_validate(
        {"name": "diabetes", "columns": quasi | rest, "criteria": {"k": 5, "suppression": 0.02}}
    )


def main() -> None:
    """Measure and record, where the table is."""
    path = shared_data_or_none("diabetes130.parquet")
    if path is None:
        return
    table = open_table(path)
    rules = policy(list(table.columns))
    rows = anonymizer.source(InFile(table, rules), rules)
    start = time.perf_counter()
    counted = anonymizer.count(rows, None)
    making = anonymizer.Making(rows, counted, first_plan(rules))
    _, tables = making.tables(np.random.default_rng(0))
    released = sum(table.num_rows for table in tables)
    seconds, account = time.perf_counter() - start, making.account()
    nodes = float(np.prod([levels + 1 for levels in account.top_levels.values()]))
    gap = account.loss / account.bound - 1 if account.bound else 0.0
    proof = "proven optimal" if account.optimal else f"at most {gap:.1%} above the optimum"
    text = f"""\
{counted.rows:,} rows, {len(account.levels)} quasi-identifiers, {len(counted.tuples):,} distinct tuples, {nodes:.1e}
nodes: {seconds:.1f} s. Loss {account.loss:.4f}, no recoding below {account.bound:.4f}: {proof}.
{account.nodes} nodes evaluated, {released:,} rows released."""
    results.record("Anonymization: twenty quasi-identifiers", text, PACKAGES)
