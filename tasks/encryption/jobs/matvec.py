"""A plaintext matrix times encrypted vectors, by diagonals with baby steps and giant steps.

Diagonal d of a matrix has the entries (j, j + d); the product is the sum over d of diagonal d times the vector rotated
by d (Halevi, Shoup 2014/106, section 4.3). With d = g + k, for k below about a square root and g a multiple of it, the
rotations by k are made once, those by g are of sums: some 2·√D rotations in place of D (Halevi, Shoup 2018/244, section
4.2). A vector is repeated around all slots, so that rotations wrap around in it. If there are fewer rows than columns,
diagonals of as many rows cover the matrix in turns that are summed afterwards (Juvekar, Vaikuntanathan, Chandrakasan,
GAZELLE, USENIX Security 2018, hybrid method). What has more rows or columns than slots is done in blocks. Diagonals
without entries are left out, and with them rotations and keys: a banded matrix is fast.

Who learns what. The evaluator: how many vectors, and the bound of their entries; the matrix is in the description. The
owner, who decrypts: the products; each slot that is not one of them holds a repetition, or zero.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from tasks.common.errors import InputError, ParametersError
from tasks.encryption import approximate
from tasks.encryption.approximate import Approximate
from tasks.encryption.ciphertext import Encrypted
from tasks.encryption.job import Job, Messages, Needs
from tasks.encryption.jobs import fitting
from tasks.encryption.jobs.messages import labelled, require_keys, require_known, taken
from tasks.encryption.jobs.numbers import Numbers
from tasks.encryption.jobs.slots import doublings, folded
from tasks.encryption.parameters import Parameters
from tasks.encryption.session import Session

# One product, in a ring with 4,096 slots.
_DEGREE = 8192
_SLOTS = _DEGREE // 2
# Vectors that one worker gets, for which each diagonal is encoded once.
_PART = 16


class Plan(NamedTuple):
    """How a block is multiplied: rows and columns, padded to powers of two; diagonals by giant and baby step; folds."""

    rows: int
    columns: int
    steps: dict[int, tuple[int, ...]]
    folds: tuple[int, ...]


class MatrixVector(Job):
    """matrix · vector, for each of so many vectors. bound: of the absolute values of their entries.

    Data are (vectors, columns); the result, by the name of product, is float64 (vectors, rows).
    """

    kind: Literal["matvec"] = "matvec"
    matrix: Numbers
    vectors: Annotated[int, Field(ge=1)] = 1
    bound: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    @model_validator(mode="after")
    def _possible(self) -> MatrixVector:
        if len(self.matrix.shape) != 2:
            raise ParametersError(f"a matrix has rows and columns, not the shape {self.matrix.shape}")
        if not self.matrix.array.any():
            raise ParametersError("the matrix is all zeros; there is nothing to compute")
        return self

    def needs(self) -> Needs:
        plan = _plan(self.matrix)
        babies = {baby for row in plan.steps.values() for baby in row}
        rotations = sorted({*babies, *plan.steps, *plan.folds} - {0})
        return Needs(parameters=_parameters(self.matrix, self.bound), rotations=tuple(rotations))

    def encrypt(self, owner: Session, data: np.ndarray) -> dict[str, Encrypted]:
        require_keys(self, owner)
        vectors, made = self._vectors(data), {}
        width = _plan(self.matrix).columns
        for vector, row in enumerate(vectors):
            for block, name in enumerate(self._inputs(vector)):
                piece = np.zeros(width)
                chosen = row[block * width : (block + 1) * width]
                piece[: len(chosen)] = chosen
                slots = np.tile(piece, owner.slots // width)
                made[name] = labelled(self, name, approximate.encrypt(owner, slots, bound=self.bound))
        return made

    def evaluate(self, evaluator: Session, messages: Messages) -> dict[str, Encrypted]:
        require_keys(self, evaluator)
        require_known(messages, [name for vector in range(self.vectors) for name in self._inputs(vector)])
        there = [vector for vector in range(self.vectors) if any(name in messages for name in self._inputs(vector))]
        turned = {vector: self._turned(messages, vector) for vector in there}
        made: dict[str, Encrypted] = {}
        for block in range(self._blocks[0]):
            sums = self._giant_steps(evaluator, block, turned)
            for vector, total in sums.items():
                name = _output(vector, block)
                made[name] = labelled(self, name, folded(total, _plan(self.matrix).folds))
        return made

    def decrypt(self, owner: Session, messages: Messages) -> dict[str, Any]:
        require_keys(self, owner)
        rows, product = self.matrix.shape[0], np.zeros((self.vectors, self.matrix.shape[0]))
        for vector in range(self.vectors):
            names = [_output(vector, block) for block in range(self._blocks[0]) if _fills(self.matrix, block)]
            for name, answer in zip(names, taken(self, messages, names), strict=True):
                first = int(name.rsplit("k", 1)[1]) * _SLOTS
                product[vector, first : first + _SLOTS] = approximate.decrypt(answer)[: rows - first]
        return {"product": product}

    def plainly(self, data: np.ndarray) -> dict[str, Any]:
        return {"product": self._vectors(data) @ self.matrix.array.T}

    def parts(self, names: list[str]) -> list[list[str]]:
        vectors = sorted({name.split(".")[0] for name in names})
        groups = [set(vectors[start : start + _PART]) for start in range(0, len(vectors), _PART)]
        return [[name for name in names if name.split(".")[0] in group] for group in groups]

    @property
    def _blocks(self) -> tuple[int, int]:
        """Of rows and of columns."""
        plan = _plan(self.matrix)
        return math.ceil(self.matrix.shape[0] / _SLOTS), math.ceil(self.matrix.shape[1] / plan.columns)

    def _inputs(self, vector: int) -> list[str]:
        return [f"vector{vector:06d}.block{block:04d}" for block in range(self._blocks[1])]

    def _turned(self, messages: Messages, vector: int) -> list[dict[int, Approximate]]:
        """The blocks of a vector, rotated by each baby step."""
        babies = sorted({baby for row in _plan(self.matrix).steps.values() for baby in row})
        blocks = taken(self, messages, self._inputs(vector))
        return [{baby: block.rotate(baby) if baby else block for baby in babies} for block in blocks]

    def _giant_steps(
        self, evaluator: Session, block: int, turned: dict[int, list[dict[int, Approximate]]]
    ) -> dict[int, Any]:
        """The product of a block of rows with each vector, before it is folded."""
        totals: dict[int, Any] = {}
        prime = float(evaluator.noise.dropped[0])
        for giant, babies in _plan(self.matrix).steps.items():
            sums: dict[int, Any] = {}
            for column, baby, diagonal in _diagonals(self.matrix, block, giant, babies):
                factor = approximate.encode(evaluator, diagonal, 0, prime)
                for vector, blocks in turned.items():
                    product = blocks[column][baby].times(factor)
                    sums[vector] = sums[vector] + product if vector in sums else product
            for vector, total in sums.items():
                moved = total.rescaled().rotate(giant) if giant else total.rescaled()
                totals[vector] = totals[vector] + moved if vector in totals else moved
        return totals

    def _vectors(self, data: np.ndarray) -> np.ndarray:
        data = np.asarray(data)
        if data.shape != (self.vectors, self.matrix.shape[1]) or data.dtype.kind not in "biuf":
            raise InputError(f"the vectors have to be numbers, {self.vectors:,} by {self.matrix.shape[1]:,}")
        if missing := int((~np.isfinite(data)).sum()):
            raise InputError(f"{missing:,} entries of the vectors are missing or infinite")
        if beyond := int((np.abs(data) > self.bound).sum()):
            raise InputError(f"{beyond:,} entries of the vectors are beyond ±{self.bound:g}")
        return data.astype(np.float64)


@functools.lru_cache(maxsize=8)
def _plan(matrix: Numbers) -> Plan:
    """One plan for all blocks, with the diagonals that have an entry in any of them."""
    rows, columns = (min(_SLOTS, 1 << (side - 1).bit_length()) for side in matrix.shape)
    count = min(rows, columns)
    row, column = np.nonzero(matrix.array)
    filled = np.unique((column - row) % count)
    baby_steps = 1 << math.ceil(math.log2(count) / 2)
    steps: dict[int, tuple[int, ...]] = {}
    for diagonal in filled.tolist():
        giant = diagonal // baby_steps * baby_steps
        steps[giant] = (*steps.get(giant, ()), diagonal - giant)
    return Plan(rows, columns, steps, doublings(count, columns))


@functools.lru_cache(maxsize=8)
def _parameters(matrix: Numbers, bound: float) -> Parameters:
    plan = _plan(matrix)
    most = 0.0
    for block in range(math.ceil(matrix.shape[0] / _SLOTS)):
        diagonals = (each for giant, babies in plan.steps.items() for each in _diagonals(matrix, block, giant, babies))
        most = max(most, sum(float(np.abs(diagonal).max()) for _, _, diagonal in diagonals))
    bound *= most * 2 ** len(plan.folds)
    return fitting.approximate(
        levels=1, scale_bits=fitting.widest_scale(bound), bound=bound, least_degree=_DEGREE
    )  # fmt: skip


@functools.lru_cache(maxsize=64)
def _fills(matrix: Numbers, block: int) -> bool:
    """Whether a block of rows has an entry."""
    return bool(matrix.array[block * _SLOTS : (block + 1) * _SLOTS].any())


def _diagonals(
    matrix: Numbers, block: int, giant: int, babies: tuple[int, ...]
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Block of columns, baby step and diagonal (slots,) of those diagonals that have entries.

    They are turned back by the giant step, which turns their products forward.
    """
    plan, slot = _plan(matrix), np.arange(_SLOTS)
    below = matrix.array[block * _SLOTS : (block + 1) * _SLOTS]
    row = slot % plan.rows
    inside = row < len(below)
    for first in range(0, matrix.shape[1], plan.columns):
        piece = below[:, first : first + plan.columns]
        for baby in babies:
            column = (slot + giant + baby) % plan.columns
            there = inside & (column < piece.shape[1])
            diagonal = np.zeros(_SLOTS)
            diagonal[there] = piece[row[there], column[there]]
            if diagonal.any():
                yield first // plan.columns, baby, np.roll(diagonal, giant)


def _output(vector: int, block: int) -> str:
    return f"product{vector:06d}.block{block:04d}"
