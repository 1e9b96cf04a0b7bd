"""What a generated row is made of: numbers, the modes they are in, and the values of categories."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tasks.synthesis.encoding import Place

_TAU = 0.2  # temperature, the ctgan package's default
_LEAST = 1e-30


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
        self.numbers = self.is_number.nonzero()[:, 0]
        self.member = torch.zeros(len(number), len(places), device=device)
        self.member[torch.arange(len(number)), self.of_place] = 1.0
        self.member_of = self.member.T.contiguous()

    def activate(self, logits: Tensor, waiting: Tensor) -> Tensor:
        """Numbers by tanh, the rest by Gumbel softmax (Jang et al. 2017) at a temperature of 0.2; (rows, places).

        waiting: exponentially distributed, as `logits`; is changed.
        """
        return _Activation.apply(logits, waiting, self)  # type: ignore[no-untyped-call]

    def softmax(self, values: Tensor) -> Tensor:
        """Softmax over the places of each span."""
        with torch.no_grad():
            places = self.of_place.expand(len(values), -1)
            most = torch.full((len(values), self.member.shape[1]), -torch.inf, device=values.device)
            most = most.scatter_reduce_(1, places, values, "amax").index_select(1, self.of_place)
        powers = torch.exp(values - most)
        return powers * ((powers @ self.member).reciprocal() @ self.member_of)


class _Activation(torch.autograd.Function):
    """Its derivative written down: one product over the spans instead of a step back through each operation."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, waiting: Tensor, spans: Spans) -> Tensor:
        made = spans.softmax((logits - waiting.clamp_min_(_LEAST).log_()).div_(_TAU))
        made[:, spans.numbers] = torch.tanh(logits[:, spans.numbers])
        ctx.save_for_backward(made)
        ctx.spans = spans
        return made

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,), (made,), spans = gradients, ctx.saved_tensors, ctx.spans
        weighted = gradient * made
        by_logits = torch.addcmul(weighted, made, (weighted @ spans.member) @ spans.member_of, value=-1).div_(_TAU)
        by_logits[:, spans.numbers] = gradient[:, spans.numbers] * (1 - made[:, spans.numbers] ** 2)
        return by_logits, None, None
