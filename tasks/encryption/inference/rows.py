"""Affine layers where a ciphertext is a person and its slots are features, repeated over all slots.

With the numbers in slots of a period P, and m outputs (both powers of two), the k-th generalized diagonal is
multiplied with the numbers rotated by k, for k < m; what remains is to add up the m-th, 2m-th, ... slot, which
log2(P / m) rotations do. Outputs come with period m, so that the next layer finds them as this one did. Rotations of
the same ciphertext are split in small and large ones, of which there are about 2 √m. One output takes one product and
log2(P) rotations.

Sources: Halevi, Shoup, CRYPTO 2014 (diagonals) and 2018/244 (baby steps, giant steps); Juvekar, Vaikuntanathan,
Chandrakasan, Gazelle, USENIX Security 2018, section 4.3 (few outputs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.common.errors import WouldBeWrong
from tasks.encryption.approximate import Approximate, encode
from tasks.encryption.inference.columns import products
from tasks.encryption.inference.polynomial import within


@dataclass(frozen=True)
class Shape:
    """Of one layer. period: after how many slots its numbers come again; outputs: how many it makes; small: how many
    small rotations there are. All are powers of two."""

    period: int
    outputs: int
    small: int

    @property
    def rotations(self) -> set[int]:
        """Steps that there have to be keys for."""
        giants = set(range(self.small, self.outputs, self.small))
        return {*range(1, self.small), *giants, *self.folds}

    @property
    def folds(self) -> list[int]:
        """Steps of the sums at the end."""
        return [self.outputs << i for i in reversed(range((self.period // self.outputs).bit_length() - 1))]


def shapes(widths: Sequence[int]) -> list[Shape]:
    """Of all layers. widths: how many numbers enter the first, and come out of each."""
    found, period = [], _power(widths[0])
    for width in widths[1:]:
        outputs = _power(width)
        period = max(period, outputs)
        found.append(Shape(period, outputs, 1 << ((outputs.bit_length() - 1 + 1) // 2)))
        period = outputs
    return found


def repeated(values: np.ndarray, period: int, slots: int) -> np.ndarray:
    """Numbers padded with zeros to the period, over all slots."""
    padded = np.zeros(period)
    padded[: len(values)] = values
    return np.tile(padded, slots // period)


def affine(
    batches: Sequence[Sequence[Approximate]], weights: np.ndarray, bias: np.ndarray, scale: float, shape: Shape
) -> list[list[Approximate]]:
    """weights @ numbers + bias for each ciphertext, as `columns.affine`, with the shape of this layer."""
    first = batches[0][0]
    session, slots = first.session, first.session.slots
    diagonals = _diagonals(weights, shape)
    encoded = {
        k: encode(session, np.roll(np.tile(diagonal, slots // shape.period), k - k % shape.small), first.level, scale)
        for k, diagonal in diagonals.items()
        if diagonal.any()
    }
    added = encode(session, repeated(bias, shape.outputs, slots), first.level, first.scale * scale)
    made = []
    for (numbers,) in batches:
        turned = {k: numbers.rotate(k) if k else numbers for k in {k % shape.small for k in encoded}}
        total: Approximate | None = None
        for giant in range(0, shape.outputs, shape.small):
            used = [k for k in encoded if k - k % shape.small == giant]
            if used:
                part = products([turned[k % shape.small] for k in used], [encoded[k] for k in used])
                part = part.rotate(giant) if giant else part
                total = part if total is None else total + part
        if total is None:
            raise WouldBeWrong("all weights of a layer are 0")
        made.append([_folded(total, np.abs(list(diagonals.values())).sum(axis=0), shape.folds, numbers.bound) + added])
    return made


def _folded(total: Approximate, reach: np.ndarray, steps: Sequence[int], bound: float) -> Approximate:
    """The sum of slots that are these steps apart. reach: what weights sum up to in each slot, which bounds it."""
    for step in steps:
        reach = reach + np.roll(reach, -step)
        total = within(total + total.rotate(step), float(reach.max()) * bound)
    return total


def _diagonals(weights: np.ndarray, shape: Shape) -> dict[int, np.ndarray]:
    """diagonal_k[i] = weights[i mod outputs, (i + k) mod period], 0 beyond the weights; float64 (period,) each."""
    padded = np.zeros((shape.outputs, shape.period))
    padded[: weights.shape[0], : weights.shape[1]] = weights
    i = np.arange(shape.period)
    return {k: padded[i % shape.outputs, (i + k) % shape.period] for k in range(shape.outputs)}


def _power(width: int) -> int:
    """The smallest power of two that is not below."""
    return 1 << (width - 1).bit_length()
