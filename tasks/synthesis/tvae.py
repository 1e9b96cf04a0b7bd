"""TVAE (Xu et al. 2019, arXiv 1907.00503, section 4.5): an autoencoder whose middle is a normal distribution.

The networks are the ctgan package's (BUSL-1.1) with its sizes and weights of the loss; the loss is taken over all
columns at once, where the package goes from column to column.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from ctgan.synthesizers.tvae import Decoder, Encoder
from torch import Tensor

from tasks.common.errors import RunFailed
from tasks.common.seeds import derive, generator
from tasks.common.synthesis_forms import Synthesis
from tasks.synthesis.coded import Coded, Given
from tasks.synthesis.encoding import Encoding, Place
from tasks.synthesis.networks import Network, Progress, Watch, reproducible, train
from tasks.synthesis.spans import Spans

_MIDDLE, _LAYERS = 128, (128, 128)
_BATCH, _RATE, _DECAY, _FACTOR = 200, 1e-3, 1e-5, 2
_LEAST_SIGMA, _MOST_SIGMA = 0.01, 1.0
_BATCHES, _FEWEST_EPOCHS, _MOST_EPOCHS = 6_000, 30, 300
_DRAWN_AT_ONCE, _LEAST = 8_192, 1e-30


class Trainer:
    """TVAE's networks, and what they learn from."""

    def __init__(self, rows: np.ndarray, places: list[Place], batch: int = _BATCH, rate: float = _RATE) -> None:
        """rows: encoded, float32 (n, width), of which `places` tells the parts."""
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._rows, self._batch = torch.as_tensor(rows, device=self._device), min(batch, len(rows))
        self._spans = Spans(places, self._device)
        width = rows.shape[1]
        self._encoder = Encoder(width, _LAYERS, _MIDDLE).to(self._device)
        self.drawing = Decoder(_MIDDLE, _LAYERS, width).to(self._device)
        parameters = [*self._encoder.parameters(), *self.drawing.parameters()]
        self._optimizer = torch.optim.Adam(parameters, lr=rate, weight_decay=_DECAY, fused=True)

    def epochs(self, count: int) -> Iterator[int]:
        """Pass over the rows `count` times, in another order each time; says the number of each pass that is done.

        Raises:
            RunFailed: the loss is no number any more.
        """
        for epoch in range(1, count + 1):
            order = torch.randperm(len(self._rows), device=self._device)
            for some in torch.split(order, self._batch):
                loss = self.loss(self._rows[some])
                self._optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                self._optimizer.step()
                with torch.no_grad():
                    self.drawing.sigma.clamp_(_LEAST_SIGMA, _MOST_SIGMA)
            if not torch.isfinite(loss.detach()):
                raise RunFailed(f"TVAE diverged in epoch {epoch} of {count}; try another `seed`")
            yield epoch

    def loss(self, real: Tensor) -> Tensor:
        """Twice what the rows lost on their way through, and how far the middle is from normal; by row."""
        mean, deviation, log_variance = self._encoder(real)
        made, sigma = self.drawing(mean + torch.randn_like(deviation) * deviation)
        return _FACTOR * self.lost(made, real, sigma) + away_from_normal(mean, log_variance)

    def lost(self, made: Tensor, real: Tensor, sigma: Tensor) -> Tensor:
        """Negative log likelihood of rows: normal for numbers, of the chosen value or mode for the rest."""
        number = self._spans.is_number
        away = (real - torch.tanh(made))[:, number] ** 2 / (2 * sigma[number] ** 2)
        normal = away.sum() + len(real) * torch.log(sigma[number]).sum()
        chance = torch.log(self._spans.softmax(made).clamp_min(_LEAST))
        return (normal - (chance * real)[:, ~number].sum()) / len(real)

    @torch.no_grad()
    def draw(self, rows: int, given: Given | None = None) -> np.ndarray:  # noqa: ARG002
        """Encoded rows, float32 (rows, width), drawn by the likelihood that was learned. Takes no conditions."""
        made = []
        for start in range(0, rows, _DRAWN_AT_ONCE):
            noise = torch.randn(min(_DRAWN_AT_ONCE, rows - start), _MIDDLE, device=self._device)
            logits, sigma = self.drawing(noise)
            number = torch.tanh(logits) + torch.randn_like(logits) * sigma
            # The greatest of these is a draw by the softmax; the greatest logit alone would hide rare values.
            value = logits - torch.empty_like(logits).exponential_().clamp_min_(_LEAST).log()
            made.append(torch.where(self._spans.is_number, number, value).cpu().numpy())
        return np.concatenate(made) if made else np.zeros((0, self._rows.shape[1]), dtype=np.float32)


def away_from_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the standard normal distribution, by row (Kingma and Welling 2014, app. B)."""
    return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum() / len(mean)


def fit(rows: Coded, settings: Synthesis, seed: int, watch: Watch | None, progress: Progress) -> Network:
    """Train on coded rows.

    Raises:
        RunFailed: training diverged.
    """
    encoding = Encoding(rows)
    encoded = encoding.encode(rows, generator(seed, "modes"))
    with reproducible(derive(seed, "weights")):
        trainer = Trainer(encoded, encoding.places)
    count = settings.epochs or epochs_for(len(rows))
    return train(trainer, encoding, len(rows), count, derive(seed, "training"), watch, progress)


def epochs_for(rows: int) -> int:
    """Passes over the rows that make about 6,000 batches, and from 30 to 300."""
    return min(max(_FEWEST_EPOCHS, math.ceil(_BATCHES / math.ceil(rows / _BATCH))), _MOST_EPOCHS)
