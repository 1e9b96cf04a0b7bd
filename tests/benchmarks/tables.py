"""Large tables for measuring, drawn from the joint distribution of real ones.

Each row is a row of the real table whose every value is replaced, with a probability of 5 %, by a draw from its column:
the relations between columns stay, and new combinations keep turning up however many rows are drawn.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.common import policy_file, reading
from tasks.common.policy import Policy
from tasks.common.table import open_table
from tests.conftest import CHOP_POLICY, CHOP_TABLE

REPLACED = 0.05
SENSITIVE = "turnaround"
_GROUP_ROWS = 1 << 20


def policy(**criteria: Any) -> Policy:
    """Nine quasi-identifiers of the CHOP table with the hierarchies of its example policy, and one secret."""
    example = policy_file.read(CHOP_POLICY)
    columns: dict[str, Any] = {name: example.columns[name].model_dump() for name in example.quasi}
    for name in ("payor_group", "patient_class"):  # a missing value is a word here, as peers want it
        columns[name]["hierarchy"]["groups"][0]["unknown"] = ["unknown"]
    columns |= {name: {"role": "quasi", "hierarchy": "all-or-nothing"} for name in ("drive_thru_ind", "orderset")}
    columns[SENSITIVE] = {"role": "sensitive"}
    return Policy.model_validate({"name": "large", "columns": columns, "criteria": {"suppression": 0.02, **criteria}})


def real_rows() -> pa.Table:
    """The rows to draw from, all of them words; hours in the laboratory in eight bands are the secret."""
    wanted = policy()
    raw = open_table(CHOP_TABLE).read([*wanted.quasi, "rec_ver_tat"])
    columns = {name: reading.as_kind(raw[name], name, wanted.columns[name]) for name in wanted.quasi}
    words = {name: values.cast(pa.string()).fill_null("unknown") for name, values in columns.items()}
    hours = raw["rec_ver_tat"].to_numpy()
    words[SENSITIVE] = pa.chunked_array([np.minimum(hours // 3, 7).astype(int).astype(str)])
    return pa.table(words)


def write(path: Path, rows: int, seed: int = 0) -> None:
    """Draw `rows` rows into a Parquet file, a million at a time."""
    source, rng = real_rows(), np.random.default_rng(seed)
    encoded = {name: source[name].combine_chunks().dictionary_encode() for name in source.column_names}
    schema = pa.schema([(name, pa.string()) for name in encoded])
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for start in range(0, rows, _GROUP_ROWS):
            count = min(_GROUP_ROWS, rows - start)
            chosen = rng.integers(0, source.num_rows, count)
            columns = []
            for column in encoded.values():
                place = np.where(rng.random(count) < REPLACED, rng.integers(0, source.num_rows, count), chosen)
                columns.append(column.take(pa.array(place)).cast(pa.string()))
            file.write_table(pa.table(columns, schema=schema))
