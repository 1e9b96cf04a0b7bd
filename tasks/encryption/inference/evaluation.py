"""A plan on ciphertexts, layer by layer.

Features come in [-1, 1]. Each layer but the last is brought to [-1, 1] by its activation's radius, at the cost of no
level, since that is folded into weights. The last one is not rescaled: its numbers are encoded as finely as the modulus
that is left has room for. So a linear model takes no level at all.
"""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np

from tasks.encryption.approximate import Approximate
from tasks.encryption.inference import columns, rows
from tasks.encryption.inference.activations import Activation
from tasks.encryption.inference.plan import Plan
from tasks.encryption.inference.polynomial import Polynomial, depth, within

Batches = list[list[Approximate]]
_FINEST = 50  # bits of weights in the last layer; finer ones gain nothing beside the error of ciphertexts


class Layout(StrEnum):
    """What a ciphertext is."""

    COLUMNS = "columns"  # a feature of as many people as there are slots
    ROWS = "rows"  # a person


def levels(plan: Plan, babies: int) -> int:
    """How many primes a plan drops."""
    return sum(1 + depth(layer.activation.coefficients, babies) for layer in plan.layers if layer.activation)


def shapes(plan: Plan) -> list[rows.Shape]:
    """Of the layers where a ciphertext is a person."""
    return rows.shapes([len(plan.features), *(len(layer.bias) for layer in plan.layers)])


def evaluated(plan: Plan, layout: Layout, babies: int, batches: Batches) -> Batches:
    """The linear predictors of each batch.

    batches: lists of one ciphertext a feature, or of one with all of a person's; all fresh.

    Raises:
        WouldBeWrong, KeyRefused: the keys are not made for this.
    """
    weights, bias = plan.entering()
    for number, layer in enumerate(plan.layers):
        if number:
            weights, bias = layer.matrix, np.array(layer.bias)
        first = batches[0][0]
        activation = layer.activation
        if activation is None:
            most = float((np.abs(weights).sum(axis=1) * first.bound + np.abs(bias)).max())
            scale = _finest(first, most)
            made = _affine(plan, layout, number, batches, weights, bias, scale)
            return [[within(output, most) for output in batch] for batch in made]
        scale = first.session.scale * first.next_prime / first.scale
        made = _affine(plan, layout, number, batches, weights / activation.radius, bias / activation.radius, scale)
        batches = [[_activated(argument.rescaled(), activation, babies) for argument in batch] for batch in made]
    raise AssertionError("a plan ends with a layer without an activation")


def _affine(
    plan: Plan, layout: Layout, number: int, batches: Batches, weights: np.ndarray, bias: np.ndarray, scale: float
) -> Batches:
    if layout is Layout.COLUMNS:
        return columns.affine(batches, weights, bias, scale)
    return rows.affine(batches, weights, bias, scale, shapes(plan)[number])


def _activated(argument: Approximate, activation: Activation, babies: int) -> Approximate:
    level = argument.level + depth(activation.coefficients, babies)
    polynomial = Polynomial(argument, babies)
    return polynomial.of(activation.coefficients, level, argument.session.scale, activation.largest)


def _finest(first: Approximate, most: float) -> float:
    """The largest power of two that weights of the last layer can be encoded at, with two bits to spare.

    most: of the absolute values that come out. Where slots are summed by rotations, the guard takes a sum of two for
    twice the larger one until it is told better.
    """
    room = first.session.noise.modulus[first.level] / 8 / first.scale / (most + 1)
    return 2.0 ** min(_FINEST, math.floor(math.log2(room))) if room > 1 else 1.0
