"""CTGAN (Xu et al. 2019, NeurIPS, arXiv 1907.00503) on an anonymized release.

The generator learns from released rows only, never from the original, so its rows speak the release's vocabulary and
inherit what the release is protected by. The model is the ctgan package's (BUSL-1.1), trained by
tasks.synthesis.training; what stands here makes it reproducible and polite: one seed for all of its random sources, one
thread, no process pool of its own, missing numbers carried along.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import torch

from tasks.common.errors import TableError
from tasks.common.policy import Synthesis
from tasks.synthesis.training import FastCTGAN, Progress

# A number with so few different released values is learned as a category: it is then never made up in between.
_FEW_VALUES = 50
_FEWEST_ROWS = 100
_BATCHES, _FEWEST_EPOCHS = 1_800, 10
_MISSING = "(missing)"


@dataclass(frozen=True)
class Generator:
    """A fitted CTGAN and how its columns translate back to those of the release."""

    model: FastCTGAN
    schema: pa.Schema
    decimals: dict[str, int]
    epochs: int


def fit(release: pa.Table, settings: Synthesis, seed: int, progress: Progress = lambda _epoch: None) -> Generator:
    """Train on the rows of a release; `progress` is told the number of each finished epoch.

    Raises:
        TableError: too few rows or columns to learn from.
    """
    if release.num_rows < _FEWEST_ROWS:
        raise TableError(f"CTGAN needs at least {_FEWEST_ROWS} rows to learn from, and there are {release.num_rows}")
    frame, discrete = _to_frame(release)
    epochs = settings.epochs or epochs_for(release.num_rows, settings.batch)
    model = FastCTGAN(
        progress,
        epochs=epochs,
        batch_size=settings.batch,
        pac=settings.pack,
        log_frequency=settings.log_frequency,
        enable_gpu=torch.cuda.is_available(),
    )
    model.set_random_state(seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(), joblib.parallel_config(backend="sequential"):
            warnings.simplefilter("ignore")  # scikit-learn's, about mixtures that stop before they converge
            model.fit(frame, discrete)
    finally:
        torch.set_num_threads(threads)
    decimals = {name: _decimals(release[name]) for name in release.column_names if name not in discrete}
    return Generator(model, release.schema, decimals, epochs)


def epochs_for(rows: int, batch: int) -> int:
    """Passes over the rows that make about 1,800 batches, and at least 10."""
    return max(_FEWEST_EPOCHS, math.ceil(_BATCHES / max(rows // batch, 1)))


def sample(generator: Generator, rows: int, seed: int) -> pa.Table:
    """Draw synthetic rows with the release's columns and types; none for `rows` 0."""
    if rows == 0:
        return generator.schema.empty_table()
    generator.model.set_random_state(seed)
    frame = generator.model.sample(rows).iloc[:rows]
    return pa.table({field.name: _back(frame, field, generator.decimals) for field in generator.schema})


def _to_frame(release: pa.Table) -> tuple[pd.DataFrame, list[str]]:
    """The release as CTGAN takes it, and which columns are discrete.

    A number with missing values becomes two columns, a flag and the number with the median in its place.
    """
    columns: dict[str, Any] = {}
    discrete = []
    for name in release.column_names:
        values = release[name]
        if _is_discrete(values):
            columns[name] = pc.fill_null(values.cast(pa.string()), _MISSING).to_pandas().astype(object)
            discrete.append(name)
            continue
        numbers = values.cast(pa.float64()).to_pandas()
        if values.null_count:
            columns[_flag(name)] = values.is_null().to_pandas().map({True: "yes", False: "no"}).astype(object)
            discrete.append(_flag(name))
        columns[name] = numbers.fillna(numbers.median())
    return pd.DataFrame(columns), discrete


def _is_discrete(values: pa.ChunkedArray) -> bool:
    if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
        return True
    return len(values.unique()) <= _FEW_VALUES


def _flag(name: str) -> str:
    return f"{name} is missing"


def _back(frame: pd.DataFrame, field: pa.Field, decimals: dict[str, int]) -> pa.Array:
    column = frame[field.name]
    if field.name not in decimals:
        words = pa.array(column.astype(str), type=pa.string())
        return pc.if_else(pc.equal(words, _MISSING), pa.scalar(None, pa.string()), words).cast(field.type)
    numbers = np.round(column.to_numpy(dtype=float), decimals[field.name])
    missing = (
        frame[_flag(field.name)].eq("yes").to_numpy() if _flag(field.name) in frame else np.zeros(len(frame), bool)
    )
    return pa.array(numbers, mask=missing).cast(field.type)


def _decimals(values: pa.ChunkedArray) -> int:
    """How many decimals the released numbers have, at most 6."""
    numbers = values.drop_null().cast(pa.float64()).to_numpy()
    return next((digits for digits in range(6) if np.allclose(numbers, np.round(numbers, digits), atol=1e-9)), 6)
