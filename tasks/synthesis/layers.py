"""CTGAN's two networks in fewer products of matrices: what is known of their inputs is not multiplied out.

The networks are the ctgan package's (BUSL-1.1), with its sizes, and start from its weights.

- A condition is one-hot: its product with weights is a row of them, and the weights' gradient a sum by condition.
- Every layer of the generator sees its input again. What noise and condition bring to all layers is computed at once,
  and no gradient goes back to them.
- The discriminator is piecewise linear, so its derivatives are products of weights and slopes, and are written down.
  Of the gradient penalty (Gulrajani et al. 2017, arXiv 1704.00028, eq. 3) that includes the second derivative: the
  penalty's gradient by the weights is that of scores, with the scaled gradient for an input and without biases.
- The penalty looks between real and fake rows. There the first layer is between what it is for both.
- Half of the units are dropped; a random bit decides for each, where the package draws a random number.
"""

from __future__ import annotations

import numpy as np
import torch
from ctgan.synthesizers.ctgan import Discriminator, Generator
from torch import Tensor
from torch.nn import functional

_PENALTY, _SLOPE, _LEAST = 10.0, 0.2, 1e-12
_TWO = np.uint32(1 << 30)  # of the bits of the float32 2.0 only this is set
_SHIFTS = np.arange(31, dtype=np.uint32)[:, None]  # that bring a random bit to its place


class Maker(torch.nn.Module):
    """The generator. Layers: of its input, the outputs of all layers before are part."""

    def __init__(self, generator: Generator, noise: int) -> None:
        """noise: places of the input that are noise; the others are a one-hot condition."""
        super().__init__()
        linear = [*(layer.fc for layer in generator.seq[:-1]), generator.seq[-1]]
        self._sizes = [layer.out_features for layer in linear]
        width = generator.seq[0].fc.in_features
        with torch.no_grad():
            ends = [layer.weight[:, layer.in_features - width :].T for layer in linear]
            brought = torch.cat(ends, dim=1)  # the package puts a layer's output before its input
            self.noise = torch.nn.Parameter(brought[:noise].clone())
            self.condition = torch.nn.Parameter(brought[noise:].clone())
            self.bias = torch.nn.Parameter(torch.cat([layer.bias for layer in linear]))
            self.weights = torch.nn.ParameterList(
                layer.weight[:, : layer.in_features - width].T.contiguous() for layer in linear[1:]
            )
        self.norms = torch.nn.ModuleList(layer.bn for layer in generator.seq[:-1])

    def forward(self, noise: Tensor, condition: Tensor | None) -> Tensor:
        """Logits (rows, width). noise: (rows, places); condition: int64 (rows,), which one, None if there are none."""
        brought = torch.addmm(self.bias, noise, self.noise)
        if condition is not None:
            brought = brought + functional.embedding(condition, self.condition)
        values, *others = torch.split(brought, self._sizes, dim=1)
        seen: list[Tensor] = []
        for norm, weight, other in zip(self.norms, self.weights, others, strict=True):
            seen.insert(0, torch.relu(norm(values)))
            values = torch.addmm(other, torch.cat(seen, dim=1) if len(seen) > 1 else seen[0], weight)
        return values


class Critic:
    """The discriminator. Of a pack, it is given the rows side by side, then their conditions.

    weights: of each layer, (inputs, outputs); biases: (outputs,).
    """

    def __init__(self, discriminator: Discriminator, chances: Chances | None) -> None:
        """chances: for dropout; none without it."""
        linear = [layer for layer in discriminator.seq if isinstance(layer, torch.nn.Linear)]
        self.weights = [torch.nn.Parameter(layer.weight.detach().T.contiguous()) for layer in linear]
        self.biases = [torch.nn.Parameter(layer.bias.detach().clone()) for layer in linear]
        self._together, self._chances = discriminator.pac, chances

    @property
    def parameters(self) -> list[Tensor]:
        """All that is learned."""
        return [*self.weights, *self.biases]

    @torch.no_grad()
    def learn(self, real: Tensor, fake: Tensor, conditions: tuple[Tensor, Tensor] | None = None) -> None:
        """Set the gradients of: mean score of fake packs - mean score of real ones + penalty.

        real, fake: (rows, width). conditions: of real and of fake rows, int64 (rows,) each; None if nothing is asked.
        The penalty is 10 times the mean of (|gradient| - 1) squared, by packs between real and fake ones.
        """
        rows = torch.cat([real, fake]).view(2 * len(real) // self._together, -1)
        hot = None if conditions is None else self._hot(torch.cat(conditions), rows.shape[1])
        both, packs = len(rows), len(rows) // 2
        first = rows.new_empty(both + packs, len(self.biases[0]))
        self._first(rows, hot, first[:both])
        torch.lerp(first[packs:both], first[:packs], torch.rand(packs, 1, device=rows.device), out=first[both:])
        outputs, slopes, _ = self._forward(first)
        shares = torch.ones(both + packs, 1, device=rows.device)
        shares[:packs], shares[packs:both] = -1 / packs, 1 / packs
        back = self._back(slopes, shares)
        along = self._along(back[0][both:], [slope[both:] for slope in slopes])
        self.weights[0].grad = self._first_gradient(rows, hot, along[0], back[0])
        for layer, inputs in enumerate(outputs, start=1):
            gradient = inputs[:both].T @ back[layer][:both]
            self.weights[layer].grad = gradient.addmm_(along[layer].T, back[layer][both:])
        for bias, by_output in zip(self.biases, back, strict=True):
            bias.grad = by_output[:both].sum(dim=0)

    @torch.no_grad()
    def judge(self, rows: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The mean score of packs, and its gradient by the rows, (rows, width)."""
        packs = rows.view(len(rows) // self._together, -1)
        hot = None if condition is None else self._hot(condition, packs.shape[1])
        first = self._first(packs, hot, packs.new_empty(len(packs), len(self.biases[0])))
        _, slopes, scores = self._forward(first)
        back = self._back(slopes, torch.full_like(scores, 1 / len(packs)))
        return scores.mean(), (back[0] @ self.weights[0][: packs.shape[1]].T).view_as(rows)

    def _hot(self, condition: Tensor, start: int) -> Tensor:
        """Which inputs are 1 for the conditions of each pack, int64 (packs, rows of a pack); they begin at `start`."""
        many = (len(self.weights[0]) - start) // self._together
        ahead = torch.arange(self._together, device=condition.device) * many + start
        return condition.view(-1, self._together) + ahead

    def _first(self, packs: Tensor, hot: Tensor | None, made: Tensor) -> Tensor:
        """What the first layer makes of packs, in the memory of `made`."""
        weight, width = self.weights[0], packs.shape[1]
        torch.addmm(self.biases[0], packs, weight[:width], out=made)
        if hot is not None:
            for place in hot.T:
                made += weight.index_select(0, place)
        return made

    def _forward(self, values: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Outputs and slopes of each hidden layer, and the scores. values: of the first, before its rectifier."""
        outputs, slopes = [], []
        for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            slopes.append(self._slopes(values))
            outputs.append(values * slopes[-1])
            values = torch.addmm(bias, outputs[-1], weight)
        return outputs, slopes, values

    def _back(self, slopes: list[Tensor], shares: Tensor) -> list[Tensor]:
        """Gradients by what each layer makes before its rectifier, where scores count by `shares` (packs, 1)."""
        found = [shares]
        for weight, slope in zip(reversed(self.weights[1:]), reversed(slopes), strict=True):
            found.append((found[-1] @ weight.T).mul_(slope))
        return found[::-1]

    def _along(self, back: Tensor, slopes: list[Tensor]) -> list[Tensor]:
        """The derivative of the penalty by the gradient of scores, and what each layer's weights make of it.

        back: the gradient of scores by what the first layer makes.
        """
        gradient = back @ self.weights[0].T
        steepness = torch.linalg.vector_norm(gradient, dim=1, keepdim=True).clamp_min_(_LEAST)
        found = [gradient.mul_((1 - 1 / steepness).mul_(2 * _PENALTY / len(gradient)))]
        for weight, slope in zip(self.weights[:-1], slopes, strict=True):
            found.append((found[-1] @ weight).mul_(slope))
        return found

    def _first_gradient(self, rows: Tensor, hot: Tensor | None, along: Tensor, back: Tensor) -> Tensor:
        """Of the first layer's weights: rows and penalty by a product, conditions by a sum over those with the same."""
        found, (many, width) = torch.empty_like(self.weights[0]), rows.shape
        torch.mm(along.T, back[many:], out=found)
        found[:width].addmm_(rows.T, back[:many])
        if hot is not None:
            for place in hot.T:
                found[width:] += torch.ops.aten.embedding_dense_backward(
                    back[:many], place - width, len(found) - width, -1, False
                )
        return found

    def _slopes(self, values: Tensor) -> Tensor:
        """Of leaky rectifier and dropout together, at these values."""
        kept = torch.ones_like(values) if self._chances is None else self._chances.kept(values)
        return torch.ops.aten.leaky_relu_backward(kept, values, _SLOPE, False)


class Chances:
    """Random numbers of training; on a processor numpy's, which take a fraction of the time of torch's."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._random = np.random.default_rng(int(torch.randint(2**62, (1,))))

    def kept(self, like: Tensor) -> Tensor:
        """2 or 0 with equal chances, float32, in the shape of `like`: dropout of half of the units."""
        if self._device.type != "cpu":
            return functional.dropout(torch.ones_like(like), 0.5)
        words = self._random.bit_generator.random_raw(-(-like.numel() // (2 * len(_SHIFTS)))).view(np.uint32)
        bits = np.left_shift(words, _SHIFTS)
        bits &= _TWO
        return torch.from_numpy(bits.view(np.float32).reshape(-1)[: like.numel()]).view(like.shape)

    def waiting(self, like: Tensor) -> Tensor:
        """Exponentially distributed numbers, float32, in the shape of `like`."""
        if self._device.type != "cpu":
            return torch.empty_like(like).exponential_()
        return torch.from_numpy(self._random.standard_exponential(tuple(like.shape), dtype=np.float32))
