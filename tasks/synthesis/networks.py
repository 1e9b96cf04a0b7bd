"""What the networks of this room share: one seed and one thread while they work, and training that is watched.

A network is taken from where its rows were worth most, not from where its training ended. What they are worth is told
by a `Watch`, which looks at drawn rows in the second half of training, since the first half wins only by luck; training
ends when four looks have brought nothing better.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch

from tasks.synthesis.coded import Coded, Given
from tasks.synthesis.encoding import Encoding

Progress = Callable[[int, int], None]
Watch = Callable[[Coded], float]

_CHECKS, _PATIENCE, _FIRST_CHECK = 12, 4, 0.5


class Trainer(Protocol):
    """A network that is trained epoch by epoch, and draws encoded rows at any time."""

    @property
    def drawing(self) -> torch.nn.Module:
        """The part of it that draws."""

    def epochs(self, count: int) -> Iterator[int]:
        """Train; says the number of each pass over the rows that is done."""

    def draw(self, rows: int, given: Given | None = None) -> np.ndarray:
        """Encoded rows, float32 (rows, width)."""


class Network:
    """A trained network and how its rows are read; `epochs` is where it was taken from."""

    def __init__(self, trainer: Trainer, encoding: Encoding, epochs: int) -> None:
        self._trainer, self._encoding, self.epochs = trainer, encoding, epochs

    def draw(self, rows: int, seed: int, given: Given | None = None) -> Coded:
        """Rows that the network makes."""
        with reproducible(seed):
            return self._encoding.decode(self._trainer.draw(rows, given))


def train(
    trainer: Trainer, encoding: Encoding, rows: int, count: int, seed: int, watch: Watch | None, progress: Progress
) -> Network:
    """Train for `count` epochs, or take the network from where `watch` says that `rows` of its rows are worth most."""
    every = max(count // _CHECKS, 1)
    best, best_epoch, kept = -np.inf, count, None
    with reproducible(seed):
        for epoch in trainer.epochs(count):
            progress(epoch, count)
            if watch is None or epoch < _FIRST_CHECK * count or (epoch % every and epoch != count):
                continue
            with torch.random.fork_rng():  # looking changes nothing of what comes
                worth = watch(encoding.decode(trainer.draw(rows)))
            if worth > best:
                best, best_epoch, kept = worth, epoch, copy.deepcopy(trainer.drawing.state_dict())
            elif epoch - best_epoch >= _PATIENCE * every:
                break
    if kept is not None:
        trainer.drawing.load_state_dict(kept)
    return Network(trainer, encoding, best_epoch)


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """One seed for all that torch draws, and one thread, so that sums are added in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
