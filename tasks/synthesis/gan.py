"""CTGAN (Xu et al. 2019, NeurIPS, arXiv 1907.00503): the networks are the ctgan package's (BUSL-1.1), trained by
tasks.synthesis.training.
"""

from __future__ import annotations

import math

from tasks.common.seeds import derive, generator
from tasks.common.synthesis_forms import Synthesis
from tasks.synthesis.coded import Coded
from tasks.synthesis.encoding import Encoding
from tasks.synthesis.networks import Network, Progress, Watch, reproducible, train
from tasks.synthesis.training import Trainer

_BATCHES, _FEWEST_EPOCHS = 1_800, 10


def fit(rows: Coded, settings: Synthesis, seed: int, watch: Watch | None, progress: Progress) -> Network:
    """Train on coded rows.

    Raises:
        RunFailed: training diverged.
    """
    count = settings.epochs or epochs_for(len(rows), settings.batch)
    encoding = Encoding(rows)
    encoded = encoding.encode(rows, generator(seed, "modes"))
    with reproducible(derive(seed, "weights")):
        trainer = Trainer(
            encoded,
            encoding.places,
            batch=settings.batch,
            pack=settings.pack,
            log_frequency=settings.log_frequency,
        )
    return train(trainer, encoding, len(rows), count, derive(seed, "training"), watch, progress)


def epochs_for(rows: int, batch: int) -> int:
    """Passes over the rows that make about 1,800 batches, and at least 10."""
    return max(_FEWEST_EPOCHS, math.ceil(_BATCHES / max(rows // batch, 1)))
