"""Affine layers where a ciphertext is a column and its slots are people: sums of ciphertexts times numbers.

No slot ever meets another, so that there are no rotations and no keys for them, and every slot is used. An output's
numbers are encoded once for all batches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.common.errors import WouldBeWrong
from tasks.encryption.approximate import Approximate, require_fit
from tasks.encryption.ciphertext import Encoded, natively
from tasks.encryption.inference.constants import constant


def affine(
    batches: Sequence[Sequence[Approximate]], weights: np.ndarray, bias: np.ndarray, scale: float
) -> list[list[Approximate]]:
    """weights @ columns + bias for each batch of columns, not rescaled; numbers are encoded at this scale.

    weights: float64 (outputs, columns); bias: float64 (outputs,). All columns are of one level and scale.

    Raises:
        WouldBeWrong: an output would not be encrypted, or as for products and sums.
    """
    made: list[list[Approximate]] = [[] for _ in batches]
    first = batches[0][0]
    for row, offset in zip(weights, bias, strict=True):
        factors = [constant(first.session, float(weight), first.level, scale) for weight in row]
        added = constant(first.session, float(offset), first.level, first.scale * scale)
        for columns, outputs in zip(batches, made, strict=True):
            outputs.append(products(columns, factors) + added)
    return made


def products(columns: Sequence[Approximate], factors: Sequence[Encoded]) -> Approximate:
    """The sum of products with plaintexts, summed in place and not rescaled; factors that were rounded to nothing are
    left out, and count as error.

    Raises:
        WouldBeWrong: nothing is left to sum, or as for products and sums.
    """
    total: Approximate | None = None
    bound = error = 0.0
    for column, factor in zip(columns, factors, strict=True):
        if not factor.bound:
            error += factor.error * (column.bound + column.error)
            continue
        product = column.times(factor)
        bound, error = bound + product.bound, error + product.error
        if total is None:
            total = product
            continue
        total.require_same(product)
        if product.level != total.level or product.scale != total.scale:
            raise WouldBeWrong("the products have different levels or scales")
        require_fit(total.session, total.level, total.scale, bound, error)
        natively(total.session.native.add, total.native, product.native)
    if total is None:
        raise WouldBeWrong("all weights of an output are rounded to nothing; scale the model's features")
    return total.like(total.native, bound=bound, error=error)
