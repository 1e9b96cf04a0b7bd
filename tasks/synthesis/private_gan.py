"""CTGAN's networks trained with differential privacy (DP-SGD, Abadi et al. 2016, CCS, arXiv 1607.00133).

Only the discriminator sees rows, and only through noisy sums of clipped gradients; the generator learns from the
discriminator, which costs nothing more (as in DPGAN, Xie et al. 2018, arXiv 1802.06739, and DP-CTGAN of
Rosenblatt et al. 2020, arXiv 2011.05537). What differs from CTGAN, and why:

- Each row is in a batch by a coin of its own (Poisson sampling), which is what the accounting assumes.
- No conditions: rows drawn by the value of a column would need their frequencies, and would not be drawn by coin.
- No gradient penalty, which has no gradient of a single row, but cross entropy, whose clipped gradients bound it.
- Rows are judged alone (no packing), since a row must move one gradient only.
- Numbers come as the intervals of tasks.synthesis.domain, public or found privately, instead of mixtures of Gaussians.

opacus has the gradients of single rows, the clipping and the accounting. The noise is ours, from the system's random
source; opacus draws its own from torch's generator, which is not made to withstand anyone who sees what it gave.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ctgan.synthesizers.ctgan import Discriminator, Generator
from torch import Tensor
from torch.nn import functional

from tasks.common.errors import MissingPart, RunFailed, TableError
from tasks.common.synthesis_forms import Synthesis
from tasks.synthesis.accountant import Accountant
from tasks.synthesis.noise import Noise

Progress = Callable[[int], None]

_CLIP = 1.0  # norm that a row's gradient is cut to
_NOISE_SIZE, _LAYERS = 64, (128, 128)  # smaller than CTGAN's: noise grows with the number of weights
_RATE_D, _RATE_G, _BETAS = 5e-4, 2e-4, (0.5, 0.9)
_TAU, _LEAST = 0.2, 1e-30
_STEPS = 1_500
_COUNTING = 0.01  # of the budget, to know about how many rows there are
_FEWEST_ROWS = 100


@dataclass(frozen=True)
class Network:
    """A trained generator. sizes: places by column, in the order of its outputs. total: noisy number of rows."""

    generator: Generator
    sizes: Mapping[str, int]
    total: float

    def sample(self, rows: int, seed: int) -> dict[str, np.ndarray]:
        """Places of so many rows, by column."""
        spans, random = _Spans(self.sizes), torch.Generator().manual_seed(seed)
        made = []
        self.generator.eval()
        with torch.no_grad():
            for start in range(0, rows, 1 << 14):
                count = min(1 << 14, rows - start)
                logits = self.generator(torch.randn(count, _NOISE_SIZE, generator=random))
                made.append(spans.places(spans.activate(logits, random)))
        return dict(zip(self.sizes, torch.cat(made).numpy().T, strict=True))


def fit(
    places: Mapping[str, np.ndarray],
    sizes: Mapping[str, int],
    accountant: Accountant,
    settings: Synthesis,
    seed: int,
    progress: Progress,
) -> Network:
    """Spend what is left on training. places: int64 (rows,) by column. sizes: places there are.

    Raises:
        BudgetExhausted, PolicyError: as the accountant does.
        MissingPart: opacus is not installed.
        TableError: too few rows, as far as that may be known.
        RunFailed: the training diverged.
    """
    _opacus()
    rho = _COUNTING * accountant.ledger.rho_left()
    rows = len(next(iter(places.values())))
    total = float(accountant.count("number of rows", np.array([rows]), rho).counts[0])
    if total < _FEWEST_ROWS:
        raise TableError(f"DP-CTGAN needs at least {_FEWEST_ROWS} rows to learn from, and there are about {total:.0f}")
    rate = min(settings.batch / total, 1.0)
    each = max(round(1 / rate), 1)
    steps = settings.epochs * each if settings.epochs else max(_STEPS, each)
    sigma = accountant.gradients("gradients of the discriminator", rate=rate, steps=steps)
    spans = _Spans(sizes)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            training = _Training(spans.encode(places), spans, rate * total, accountant.noise, sigma)
            for step in range(1, steps + 1):
                training.step(rate)
                if step % each == 0:
                    progress(step // each)
    finally:
        torch.set_num_threads(threads)
    return Network(training.generator, dict(sizes), total)


class _Training:
    """Both networks and their optimizers; rows are touched in `_row_gradients` only."""

    def __init__(self, rows: Tensor, spans: _Spans, expected: float, noise: Noise, sigma: float) -> None:
        """rows: float32 (rows, places), one-hot. expected: rows of a batch. sigma: of the noise, in clipping norms."""
        grad_sample, optimizers = _opacus()
        self._rows, self._spans, self._expected, self._noise, self._sigma = rows, spans, expected, noise, sigma
        self.generator = Generator(_NOISE_SIZE, _LAYERS, spans.width)
        self._discriminator = Discriminator(spans.width, _LAYERS, pac=1)
        self._per_row = grad_sample.GradSampleModule(self._discriminator, loss_reduction="sum")
        self._by_generator = torch.optim.Adam(self.generator.parameters(), lr=_RATE_G, betas=_BETAS, weight_decay=1e-6)
        adam = torch.optim.Adam(self._per_row.parameters(), lr=_RATE_D, betas=_BETAS)
        # Its noise is never asked for; `_row_gradients` adds ours to the clipped sums.
        self._by_discriminator = optimizers.DPOptimizer(
            adam, noise_multiplier=0.0, max_grad_norm=_CLIP, expected_batch_size=None, loss_reduction="sum"
        )
        self._fakes = max(round(expected), 2)

    def step(self, rate: float) -> None:
        """One batch for the discriminator and one for the generator."""
        chosen = torch.from_numpy(self._noise.chosen(rate, len(self._rows)))
        noisy = self._row_gradients(self._rows[chosen])
        self._per_row.disable_hooks()
        with torch.no_grad():
            fake = self._made()
        loss = functional.softplus(self._discriminator(fake.requires_grad_())).mean()
        made_up = torch.autograd.grad(loss, list(self._discriminator.parameters()))
        for weight, real, false in zip(self._discriminator.parameters(), noisy, made_up, strict=True):
            weight.grad = real / self._expected + false
        self._by_discriminator.original_optimizer.step()
        self._generator_step()
        self._per_row.enable_hooks()

    def _row_gradients(self, rows: Tensor) -> list[Tensor]:
        """Sums over the rows of their gradients, each cut to the clipping norm, with noise; by weight."""
        self._by_discriminator.zero_grad()
        weights = list(self._discriminator.parameters())
        if len(rows):
            # opacus' hooks warn of an input without a gradient of its own.
            functional.softplus(-self._per_row(rows.requires_grad_())).sum().backward()  # type: ignore[no-untyped-call]
            self._by_discriminator.clip_and_accumulate()
            sums = [weight.summed_grad for weight in weights]
        else:
            sums = [torch.zeros_like(weight) for weight in weights]
        drawn = torch.from_numpy(self._noise.normal(sum(weight.numel() for weight in weights)) * (self._sigma * _CLIP))
        parts = torch.split(drawn, [weight.numel() for weight in weights])
        # In double precision, so that noise and sum are added before they are rounded.
        return [(s.double() + part.view_as(s)).float() for s, part in zip(sums, parts, strict=True)]

    def _generator_step(self) -> None:
        loss = functional.softplus(-self._discriminator(self._made())).mean()
        if not torch.isfinite(loss):
            raise RunFailed("DP-CTGAN diverged; try the engine `mst`, or a larger `synthesis.batch`")
        self._by_generator.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._by_generator.step()

    def _made(self) -> Tensor:
        return self._spans.activate(self.generator(torch.randn(self._fakes, _NOISE_SIZE)))


class _Spans:
    """Columns side by side in a row of zeros and ones."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = dict(sizes)
        self._widths = list(sizes.values())
        self.width = sum(self._widths)

    def encode(self, places: Mapping[str, np.ndarray]) -> Tensor:
        """One-hot rows, float32 (rows, width)."""
        hot = [functional.one_hot(torch.from_numpy(places[name]), size) for name, size in self._sizes.items()]
        return torch.cat(hot, dim=1).float()

    def activate(self, logits: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Gumbel softmax (Jang et al. 2017) of each column at a temperature of 0.2."""
        waiting = torch.empty_like(logits).exponential_(generator=random).clamp_min_(_LEAST)
        scaled = (logits - waiting.log()) / _TAU
        return torch.cat([part.softmax(dim=1) for part in torch.split(scaled, self._widths, dim=1)], dim=1)

    def places(self, rows: Tensor) -> Tensor:
        """The likeliest place of each column, int64 (rows, columns)."""
        return torch.stack([part.argmax(dim=1) for part in torch.split(rows, self._widths, dim=1)], dim=1)


def _opacus() -> tuple[Any, Any]:
    """opacus' gradients of single rows, and its optimizers.

    Raises:
        MissingPart: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own, about torch
            from opacus import grad_sample, optimizers
    except ImportError as error:
        raise MissingPart("DP-CTGAN needs the package opacus; pip install 'secured[privacy]'") from error
    return grad_sample, optimizers
