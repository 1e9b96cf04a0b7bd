"""CTGAN trained several times faster: the ctgan package's networks and losses, computed with fewer operations.

The package's loop spends most of its time on overhead. What differs here changes no expected value:

- While the discriminator learns, no gradient goes through the generator; the package takes one and throws it away.
- The gradient penalty (Gulrajani et al. 2017, arXiv 1704.00028, eq. 3) needs the discriminator's gradient by its input.
  With leaky rectifiers and dropout that is a product of weights and slopes; it is written down here, where the package
  differentiates twice.
- All softmaxes of a row are taken at once, as sums over the places of each, and so is the loss of the condition.
- Rows that fulfil a condition are drawn from one sorted list of row numbers, all rows of a batch at once.
- Half of the units are dropped; a random bit decides for each, where the package draws a random number.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from ctgan.synthesizers.ctgan import Discriminator, Generator
from torch import Tensor
from torch.nn import functional

from tasks.common.errors import RunFailed
from tasks.synthesis.coded import Given
from tasks.synthesis.encoding import Place

# Sizes, rates and decays are the package's defaults.
NOISE, LAYERS = 128, (256, 256)
_RATE, _BETAS, _DECAY = 2e-4, (0.5, 0.9), 1e-6
_TAU, _PENALTY = 0.2, 10.0
_SLOPE = 0.2
_LEAST = 1e-30
_DRAWN_AT_ONCE = 8_192


class Trainer:
    """CTGAN's networks, and what they learn from."""

    def __init__(
        self, rows: np.ndarray, places: list[Place], *, batch: int, pack: int, log_frequency: bool, rate: float = _RATE
    ) -> None:
        """rows: encoded, float32 (n, width), of which `places` tells the parts."""
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._rows = torch.as_tensor(rows, device=self._device)
        self._spans = Spans(places, self._device)
        self._conditions = Conditions(rows, self._spans, log_frequency, self._device)
        self._asked_at_drawing = (
            Conditions(rows, self._spans, False, self._device) if log_frequency else self._conditions
        )
        width, asked = rows.shape[1], self._conditions.width
        self.drawing = Generator(NOISE + asked, LAYERS, width).to(self._device)
        self._discriminator = Discriminator(width + asked, LAYERS, pac=pack).to(self._device)
        self._batch, self._coins = batch, Coins(self._device)
        self._by_generator = _adam(self.drawing, rate, _DECAY)
        self._by_discriminator = _adam(self._discriminator, rate, _DECAY)

    def epochs(self, count: int) -> Iterator[int]:
        """Pass over the rows `count` times; says the number of each pass that is done.

        Raises:
            RunFailed: the loss is no number any more.
        """
        for epoch in range(1, count + 1):
            for _ in range(max(len(self._rows) // self._batch, 1)):
                self._step(self._by_discriminator, self._discriminator_loss(Layers(self._discriminator, self._coins)))
                frozen = Layers(self._discriminator, self._coins, frozen=True)
                loss = self._step(self._by_generator, self._generator_loss(frozen))
            if not torch.isfinite(loss):
                raise RunFailed(f"CTGAN diverged in epoch {epoch} of {count}; try a larger `synthesis.batch`")
            yield epoch

    @torch.no_grad()
    def draw(self, rows: int, given: Given | None = None) -> np.ndarray:
        """Rows that the generator makes, float32 (rows, width), asked for what is given or what the data has.

        Normalized by what the batches of training were like, not by the batch that is drawn: where all its rows are
        asked for the same, that would take the condition out again.
        """
        self.drawing.eval()
        made = []
        for start in range(0, rows, _DRAWN_AT_ONCE):
            count = min(_DRAWN_AT_ONCE, rows - start)
            asked = self._asked_at_drawing.given(count, given) if given else self._asked_at_drawing.draw(count).vector
            noise = torch.randn(count, NOISE, device=self._device)
            logits = self.drawing(torch.cat([noise, asked], dim=1))
            made.append(self._spans.activate(logits).cpu().numpy())
        self.drawing.train()
        return np.concatenate(made) if made else np.zeros((0, self._rows.shape[1]), dtype=np.float32)

    @staticmethod
    def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.detach()

    def _discriminator_loss(self, layers: Layers) -> Tensor:
        asked = self._conditions.draw(self._batch)
        with torch.no_grad():
            fake = torch.cat([self._made(asked.vector)[1], asked.vector], dim=1)
            shuffled = torch.randperm(self._batch, device=self._device)
            real = torch.cat([self._rows[asked.rows[shuffled]], asked.vector[shuffled]], dim=1)
        scores = layers.scores(torch.cat([real, fake]))
        half = len(scores) // 2
        return scores[half:].mean() - scores[:half].mean() + layers.penalty(real, fake)

    def _generator_loss(self, layers: Layers) -> Tensor:
        asked = self._conditions.draw(self._batch)
        logits, made = self._made(asked.vector)
        scores = layers.scores(torch.cat([made, asked.vector], dim=1))
        return self._conditions.missed(logits, asked) - scores.mean()

    def _made(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        noise = torch.randn(self._batch, NOISE, device=self._device)
        logits = self.drawing(torch.cat([noise, condition], dim=1))
        return logits, self._spans.activate(logits)


def _adam(module: torch.nn.Module, rate: float, decay: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(module.parameters(), lr=rate, betas=_BETAS, weight_decay=decay, fused=True)


class Spans:
    """The places of a generated row that belong together: a number, the mode it is in, or a category's values."""

    def __init__(self, places: list[Place], device: torch.device | str) -> None:
        """places: of an encoding, without gaps between them."""
        self.starts = np.array([place.start for place in places])
        self.widths = np.array([place.width for place in places])
        # Categorical columns, by number of their span; these can be asked for.
        self.categorical = np.array([n for n, place in enumerate(places) if place.category], dtype=np.int64)
        number = np.repeat(np.arange(len(places)), self.widths)
        self.of_place = torch.as_tensor(number, device=device)
        self.is_number = torch.as_tensor(np.array([place.number for place in places])[number], device=device)
        self.member = torch.zeros(len(number), len(places), device=device)
        self.member[torch.arange(len(number)), self.of_place] = 1.0

    def activate(self, logits: Tensor) -> Tensor:
        """Numbers by tanh, the rest by Gumbel softmax (Jang et al. 2017) at a temperature of 0.2; (rows, places)."""
        waiting = torch.empty_like(logits).exponential_().clamp_min_(_LEAST)
        scaled = (logits - waiting.log()) / _TAU
        return torch.where(self.is_number, torch.tanh(logits), self.softmax(scaled))

    def softmax(self, values: Tensor) -> Tensor:
        """Softmax over the places of each span."""
        with torch.no_grad():
            places = self.of_place.expand(len(values), -1)
            most = torch.full((len(values), self.member.shape[1]), -torch.inf, device=values.device)
            most = most.scatter_reduce_(1, places, values, "amax").gather(1, places)
        powers = torch.exp(values - most)
        return powers / ((powers @ self.member) @ self.member.T)


class Asked:
    """Conditions of a batch: one categorical column of each row has to have one value.

    vector: float32 (rows, values), one-hot; rows: int64 (rows,), a row of the data that fulfils each.
    place, span: int64 (rows,), the wanted value's place in a generated row, and its span; None if nothing is asked.
    """

    def __init__(self, vector: Tensor, rows: Tensor, place: Tensor | None = None, span: Tensor | None = None) -> None:
        self.vector, self.rows, self.place, self.span = vector, rows, place, span


class Conditions:
    """Draws conditions (Xu et al. 2019, section 4.3): a column evenly, then a value by its frequency or its log."""

    def __init__(self, rows: np.ndarray, spans: Spans, log_frequency: bool, device: torch.device | str) -> None:
        self._spans, self._device, self._count = spans, device, len(rows)
        widths = spans.widths[spans.categorical]
        self.width = int(widths.sum())
        most = int(widths.max(initial=1))
        cumulative = np.ones((len(widths), most))
        first, many = np.zeros((2, len(widths), most), dtype=np.int64)
        order = []
        for column, number in enumerate(spans.categorical):
            start, width = spans.starts[number], spans.widths[number]
            value = rows[:, start : start + width].argmax(axis=1)
            order.append(np.argsort(value, kind="stable"))
            counts = np.bincount(value, minlength=width)
            weights = np.log(counts + 1) if log_frequency else counts.astype(float)
            cumulative[column, : width - 1] = np.cumsum(weights / weights.sum())[:-1]  # the last is 1 and stays so
            first[column, :width] = column * len(rows) + np.cumsum(counts) - counts
            many[column, :width] = counts
        tensors = [cumulative, first, many, np.cumsum(widths) - widths, spans.starts[spans.categorical]]
        self._cumulative, self._first, self._many, self._begin, self._place = (
            torch.as_tensor(values, device=device) for values in tensors
        )
        self._order = torch.as_tensor(np.concatenate(order) if order else np.zeros(0, dtype=np.int64), device=device)
        self._span = torch.as_tensor(spans.categorical, device=device)

    def draw(self, rows: int) -> Asked:
        """Conditions for so many rows; none are asked where no column is categorical."""
        if not self.width:
            nothing = torch.zeros(rows, 0, device=self._device)
            return Asked(nothing, torch.randint(self._count, (rows,), device=self._device))
        column = torch.randint(len(self._span), (rows,), device=self._device)
        lot = torch.rand(rows, 1, dtype=torch.float64, device=self._device)
        value = (self._cumulative[column] <= lot).sum(dim=1)
        vector = torch.zeros(rows, self.width, device=self._device)
        vector[torch.arange(rows, device=self._device), self._begin[column] + value] = 1.0
        many = self._many[column, value]
        which = (torch.rand(rows, dtype=torch.float64, device=self._device) * many).long()
        found = self._order[self._first[column, value] + torch.minimum(which, many - 1)]
        return Asked(vector, found, self._place[column] + value, self._span[column])

    def given(self, rows: int, given: Given) -> Tensor:
        """The vectors, float32 (rows, values), that ask for the values given, each as often as it shall come."""
        weights = torch.as_tensor(given.shares, dtype=torch.float64, device=self._device)
        value = torch.as_tensor(given.codes, device=self._device)[torch.multinomial(weights, rows, replacement=True)]
        vector = torch.zeros(rows, self.width, device=self._device)
        vector[torch.arange(rows, device=self._device), self._begin[given.column] + value] = 1.0
        return vector

    def missed(self, logits: Tensor, asked: Asked) -> Tensor:
        """Cross entropy of the asked values, summed and divided by the rows."""
        if asked.place is None or asked.span is None:
            return torch.zeros((), device=logits.device)
        within = self._spans.member[:, asked.span].T > 0
        all_values = torch.logsumexp(logits.masked_fill(~within, -torch.inf), dim=1)
        return (all_values - logits.gather(1, asked.place[:, None])[:, 0]).mean()


class Coins:
    """Dropout of half of the units, by random bits."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._bits = np.random.default_rng(int(torch.randint(2**62, (1,))))

    def kept(self, like: Tensor) -> Tensor:
        """2 or 0 with equal chances, float32, in the shape of `like`."""
        if self._device.type != "cpu":
            return functional.dropout(torch.ones_like(like), 0.5)
        count = like.numel()
        bits = np.unpackbits(np.frombuffer(self._bits.bytes(-(-count // 8)), dtype=np.uint8), count=count)
        return torch.from_numpy(bits).view(like.shape).to(like.dtype).mul_(2)


class Layers:
    """A discriminator's weights and biases, applied by hand so that its gradient by the input can be written down."""

    def __init__(self, discriminator: Discriminator, coins: Coins | None, *, frozen: bool = False) -> None:
        """coins: for dropout; none without it. frozen: whether no gradient goes to the weights."""
        linear = [layer for layer in discriminator.seq if isinstance(layer, torch.nn.Linear)]
        pairs = [(layer.weight, layer.bias) for layer in linear]
        self._weights = [(w.detach(), b.detach()) for w, b in pairs] if frozen else pairs
        self._together, self._coins = discriminator.pac, coins

    def scores(self, rows: Tensor) -> Tensor:
        """The score of each pack of rows, (packs, 1)."""
        values = rows.reshape(len(rows) // self._together, -1)
        for weight, bias in self._weights[:-1]:
            values = functional.linear(values, weight, bias)
            values = values * self._slopes(values.detach())
        return functional.linear(values, *self._weights[-1])

    def penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        """10 times the mean of (|gradient| - 1) squared, in packs between real and fake ones."""
        packs = len(real) // self._together
        share = torch.rand(packs, 1, device=real.device)
        between = share * real.reshape(packs, -1) + (1 - share) * fake.reshape(packs, -1)
        steepness = torch.linalg.vector_norm(self.gradient(between), dim=1)
        return _PENALTY * ((steepness - 1) ** 2).mean()

    def gradient(self, packs: Tensor) -> Tensor:
        """The gradient of each pack's score by the pack, (packs, places): slopes are constant almost everywhere."""
        slopes = []
        with torch.no_grad():
            values = packs
            for weight, bias in self._weights[:-1]:
                values = functional.linear(values, weight, bias)
                slopes.append(self._slopes(values))
                values = values * slopes[-1]
        back = self._weights[-1][0].expand(len(packs), -1)
        for (weight, _), slope in zip(reversed(self._weights[:-1]), reversed(slopes), strict=True):
            back = (back * slope) @ weight
        return back

    def _slopes(self, values: Tensor) -> Tensor:
        """Of leaky rectifier and dropout together, at these values."""
        slopes = (values > 0).to(values.dtype).mul_(1 - _SLOPE).add_(_SLOPE)
        return slopes if self._coins is None else slopes.mul_(self._coins.kept(values))
