"""The engines behind one contract: learn from the rows of a release, draw rows of its columns and types.

An engine learns from released rows only, never from the original, so its rows speak the release's vocabulary and
inherit what the release is protected by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from tasks.common.errors import TableError
from tasks.common.seeds import derive, generator
from tasks.common.synthesis_forms import Engine, Synthesis
from tasks.synthesis import columns, copula, gan, trees, tvae
from tasks.synthesis.budget import Ledger
from tasks.synthesis.coded import Coded, Given
from tasks.synthesis.columns import Columns
from tasks.synthesis.networks import Progress, Watch

FEWEST_ROWS = 100
_KEPT_APART = 8  # an eighth of the rows judges where training ends
Worth = Callable[[pa.Table, pa.Table], float]


class Model(Protocol):
    """What an engine learned; `epochs` of training, if it trains."""

    @property
    def epochs(self) -> int | None: ...

    def draw(self, rows: int, seed: int, given: Given | None = None) -> Coded:
        """New rows; an engine that takes no conditions draws without."""


@dataclass(frozen=True)
class Generator:
    """A fitted engine and how its columns translate back to those of the release."""

    model: Model
    columns: Columns
    ledger: Ledger | None = None

    @property
    def epochs(self) -> int | None:
        """Of training, if the engine trains."""
        return self.model.epochs

    def draw(self, rows: int, seed: int, given: Given | None = None) -> pa.Table:
        """Synthetic rows with the release's columns and types; none for `rows` 0."""
        if rows == 0:
            return self.columns.schema.empty_table()
        made = self.model.draw(rows, derive(seed, "rows"), given)
        return self.columns.back(made, generator(seed, "values"))


Fit = Callable[[Coded, Synthesis, int, Watch | None, Progress], Model]
_FIT: dict[Engine, Fit] = {
    Engine.CTGAN: gan.fit,
    Engine.TVAE: tvae.fit,
    Engine.COPULA: copula.fit,
    Engine.TREES: trees.fit,
}


def fit(
    release: pa.Table,
    settings: Synthesis,
    engine: Engine,
    seed: int,
    worth: Worth | None = None,
    progress: Progress = lambda _done, _of: None,
) -> Generator:
    """Learn from the rows of a release.

    worth: what drawn rows (first argument) are worth for answering questions about real ones (second), the higher the
    better; networks are then taken from where an eighth of the release, kept apart, says that they are best.
    progress: is told how much of how much is done.

    Raises:
        TableError: too few rows to learn from, or they break a constraint. RunFailed: training diverged.
    """
    if release.num_rows < FEWEST_ROWS:
        raise TableError(f"an engine needs at least {FEWEST_ROWS} rows to learn from, and there are {release.num_rows}")
    coded, rows = columns.learn(release, settings.constraints)
    if not (len(rows.sizes) or rows.numbers.shape[1]):
        raise TableError("synthesis.constraints.unique names every column, so that nothing is left to learn")
    learn = _FIT[engine]
    if worth is None or not settings.early_stopping or engine not in {Engine.CTGAN, Engine.TVAE}:
        return Generator(learn(rows, settings, seed, None, progress), coded)
    order = generator(seed, "apart").permutation(len(rows))
    apart, learned = order[: len(order) // _KEPT_APART], order[len(order) // _KEPT_APART :]
    judges = release.take(pa.array(apart))

    def watch(drawn: Coded) -> float:
        return worth(coded.back(drawn, generator(seed, "watched")), judges)

    return Generator(learn(rows.take(np.sort(learned)), settings, seed, watch, progress), coded)
