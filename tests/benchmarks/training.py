"""Our training of CTGAN beside that of the ctgan package: what it takes, and what its rows are worth.

Both learn from the same real rows on one thread, with the same settings, epochs and seeds, one after the other for each
seed. Seconds are those of the processor, which the load of other programs changes least, for `fit` with the preparation
of columns. As many rows as they learned from are drawn, a classifier is trained on these and tested on real rows of
other people.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Sequence

import joblib
import numpy as np
import pyarrow as pa

from tasks.common.synthesis_forms import Engine, Synthesis
from tests.benchmarks import results
from tests.benchmarks.synthesis import PACKAGES, SETTINGS, Case, as_frame, as_table, auc, cases

SEEDS = (1, 2, 3, 4, 5)
HEAD = ("table", "rows", "epochs", "ours, s", "ctgan package, s", "faster", "AUC ours", "AUC package", "AUC real")


def main() -> None:
    """Measure and record."""
    import torch

    torch.set_num_threads(1)
    trained = []
    for case in cases():
        trained.append(measured(case))
        sys.stderr.write(f"training: {trained[-1]}\n")
    text = f"Seconds of the processor on one thread; mean ± standard error over {len(SEEDS)} seeds, the same epochs."
    results.record("Synthesis: training CTGAN", f"{text}\n\n{results.table(HEAD, trained)}", PACKAGES)


def measured(case: Case, seeds: Sequence[int] = SEEDS) -> tuple[str, ...]:
    """A row of the table; both sides train for all epochs."""
    from tasks.synthesis import gan

    epochs = gan.epochs_for(case.learned.num_rows, SETTINGS.batch)
    settings = SETTINGS.model_copy(update={"epochs": epochs, "early_stopping": False})
    both = [(_ours(case, settings, seed), _package(case, settings, seed)) for seed in seeds]
    ours, theirs = ([took for took, _ in side] for side in zip(*both, strict=True))
    rows = ([auc(made, case) for _, made in side] for side in zip(*both, strict=True))
    return (
        case.name, f"{case.learned.num_rows:,}", str(epochs), _mean(ours, 1), _mean(theirs, 1),
        f"{_mean(np.divide(theirs, ours), 2)}x", *(_mean(side, 3) for side in rows), f"{auc(case.learned, case):.3f}",
    )  # fmt: skip


def _ours(case: Case, settings: Synthesis, seed: int) -> tuple[float, pa.Table]:
    from tasks.synthesis import encoding, engines

    encoding._KNOWN.clear()  # the modes that another seed found
    start = time.process_time()
    fitted = engines.fit(case.learned, settings, Engine.CTGAN, seed)
    return time.process_time() - start, fitted.draw(case.learned.num_rows, seed)


def _package(case: Case, settings: Synthesis, seed: int) -> tuple[float, pa.Table]:
    from ctgan import CTGAN

    frame, discrete = as_frame(case.learned)
    model = CTGAN(
        epochs=settings.epochs, batch_size=settings.batch, pac=settings.pack, log_frequency=settings.log_frequency,
        enable_gpu=False,
    )  # fmt: skip
    model.set_random_state(seed)
    start = time.process_time()
    with warnings.catch_warnings(), joblib.parallel_config(backend="sequential"):
        warnings.simplefilter("ignore")
        model.fit(frame, discrete)
    return time.process_time() - start, as_table(model.sample(case.learned.num_rows), case.learned)


def _mean(values: Sequence[float] | np.ndarray, digits: int) -> str:
    """With its standard error."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.{digits}f} ± {error:.{digits}f}"
