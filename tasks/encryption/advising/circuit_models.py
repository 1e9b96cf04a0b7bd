"""Circuits that apply a linear model: weighted sums, tables, matrices.

Matrices by diagonals with baby and giant steps: Halevi, Shoup, Algorithms in HElib (CRYPTO 2014), section 4.3.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

import numpy as np
from typing_extensions import override

from tasks.encryption.advising.circuit import Circuit, Data, Kit, added, ceil_div, power_of_two
from tasks.encryption.advising.problem import Model, Operation, Problem
from tasks.encryption.ciphertext import Encrypted

_MOST_DIAGONALS = 2048  # of a matrix at once; larger ones are cut into blocks
_BLOCK = 32  # features whose products are summed before they are rescaled once


class _Weighted(Circuit):
    """What weighted sums by columns and by rows share: the model, data, and the plain result."""

    def __init__(self, problem: Problem, slots: int, integers: bool) -> None:
        super().__init__(problem, slots, integers)
        self.lookup = problem.operation is Operation.LOOKUP
        self.features = problem.entries if self.lookup and problem.entries else problem.features
        self.depth = 1
        random = np.random.default_rng(2)
        # In the unit of the largest weight, so that the sum of products is at most the number of features.
        self.scale = 1.0 if integers else problem.weights
        self.weights = self.uniform(random, self.features, problem.weights) / self.scale
        without = self.lookup or problem.operation in {Operation.COX, Operation.POLYGENIC_SCORE}
        self.intercept: float = 0 if without else self.uniform(random, 1, problem.weights)[0]
        if integers:
            self.weights = self.weights.astype(np.int64)

    @property
    def bound(self) -> float:
        return self._largest / self.unit

    @property
    def unit(self) -> float:
        return 1.0 if self.integers else self._largest

    @property
    def _largest(self) -> float:
        if self.lookup:
            return 1.0
        return 2.0 if self.problem.operation is Operation.POLYGENIC_SCORE else self.problem.range

    def _rows(self, random: np.random.Generator, rows: int, columns: int) -> np.ndarray:
        if self.problem.operation is Operation.POLYGENIC_SCORE:
            return random.integers(0, 2, (rows, columns), endpoint=True)
        return self.values(random, (rows, columns))

    def _shifted(self, kit: Kit, total: Encrypted) -> Encrypted:
        if not self.intercept:
            return total
        own = self.intercept if self.integers else self.intercept / (self.unit * self.scale)
        if self.problem.model is not Model.ENCRYPTED:
            return kit.plus(total, own)
        return total + kit.own("intercept", np.full(kit.slots, own), self.problem.weights / (self.unit * self.scale))

    def _scores(self, slots: np.ndarray) -> np.ndarray:
        return slots if self.integers else slots * (self.unit * self.scale)

    @override
    def plainly(self, data: list[Data]) -> np.ndarray:
        weights = self.weights * self.scale if not self.integers else self.weights
        return np.asarray(sum(part["x"] @ weights[part["columns"]] for part in data) + self.intercept)


class WeightedColumns(_Weighted):
    """A linear predictor for as many rows as there are slots at once."""

    layout = "rows in slots, one ciphertext for each feature"

    def __init__(self, problem: Problem, slots: int, integers: bool) -> None:
        super().__init__(problem, slots, integers)
        self.groups = ceil_div(problem.rows, slots)
        self.terms = ceil_div(self.features, _BLOCK)

    @override
    def draw(self, random: np.random.Generator, group: int, term: int) -> Data:
        columns = np.arange(term * _BLOCK, min(self.features, (term + 1) * _BLOCK))
        rows = min(self.slots, self.problem.rows - group * self.slots)
        return {"x": self._rows(random, rows, columns.size), "columns": columns}

    @override
    def pack(self, data: Data) -> list[tuple[np.ndarray, float]]:
        return [(self.filled(column), self.bound) for column in data["x"].T]

    @override
    def part(self, kit: Kit, term: int, inputs: list[Encrypted]) -> tuple[list[Encrypted], list[Encrypted]]:
        numbers = range(term * _BLOCK, term * _BLOCK + len(inputs))
        if self.problem.model is Model.ENCRYPTED:
            bound = self.problem.weights / self.scale
            own = [kit.own(i, np.full(kit.slots, self.weights[i]), bound) for i in numbers]
            return [], [added(x * w for x, w in zip(inputs, own, strict=True))]
        return [], [kit.weighted(inputs, [(i, self.weights[i]) for i in numbers])]

    @override
    def finish(self, kit: Kit, totals: list[Encrypted]) -> list[Encrypted]:
        return [self._shifted(kit, total) for total in totals]

    @override
    def read(self, kept: list[list[np.ndarray]], finished: list[np.ndarray]) -> np.ndarray:
        return self._scores(finished[0])

    @override
    def plainly(self, data: list[Data]) -> np.ndarray:
        found = np.full(self.slots, self.intercept, dtype=np.int64 if self.integers else np.float64)
        scores = super().plainly(data)
        found[: scores.size] = scores
        return found


class WeightedRows(_Weighted):
    """A linear predictor, or a table asked for an entry, where there are few rows: features lie in the slots."""

    layout = "features in slots, as many rows in a ciphertext as fit; slots added up by rotations"

    def __init__(self, problem: Problem, slots: int, integers: bool) -> None:
        super().__init__(problem, slots, integers)
        self.width = min(power_of_two(self.features), self.row)
        self.together = slots // self.width
        self.groups = ceil_div(problem.rows, self.together)
        self.terms = ceil_div(self.features, self.width)

    @override
    def draw(self, random: np.random.Generator, group: int, term: int) -> Data:
        columns = np.arange(term * self.width, min(self.features, (term + 1) * self.width))
        rows = min(self.together, self.problem.rows - group * self.together)
        if not self.lookup:
            return {"x": self._rows(random, rows, columns.size), "columns": columns}
        asked = np.random.default_rng(group).integers(0, self.features, rows)
        return {"x": (columns[None, :] == asked[:, None]).astype(np.int64), "columns": columns}

    @override
    def pack(self, data: Data) -> list[tuple[np.ndarray, float]]:
        rows, columns = data["x"].shape
        laid = np.zeros((rows, self.width), dtype=data["x"].dtype)
        laid[:, :columns] = data["x"]
        return [(self.filled(laid), self.bound)]

    @override
    def part(self, kit: Kit, term: int, inputs: list[Encrypted]) -> tuple[list[Encrypted], list[Encrypted]]:
        own = np.zeros(self.width, dtype=self.weights.dtype)
        mine = self.weights[term * self.width : (term + 1) * self.width]
        own[: mine.size] = mine
        laid = np.tile(own, self.together)
        if self.problem.model is Model.ENCRYPTED:
            return [], [inputs[0] * kit.own(term, laid, self.problem.weights / self.scale)]
        return [], [kit.weighted(inputs, [(term, laid)])]

    @override
    def finish(self, kit: Kit, totals: list[Encrypted]) -> list[Encrypted]:
        return [self._shifted(kit, kit.total(total, self.width)) for total in totals]

    @override
    def read(self, kept: list[list[np.ndarray]], finished: list[np.ndarray]) -> np.ndarray:
        return self._scores(finished[0][:: self.width])

    @override
    def plainly(self, data: list[Data]) -> np.ndarray:
        found = np.full(self.together, self.intercept, dtype=np.int64 if self.integers else np.float64)
        scores = super().plainly(data)
        found[: scores.size] = scores
        return found


class Diagonals:
    """A plaintext matrix for a vector that lies in the slots with a power of two as period."""

    def __init__(self, matrix: np.ndarray, name: Hashable) -> None:
        self.name = name
        self.rows, self.columns = (power_of_two(side) for side in matrix.shape)
        self.matrix = np.zeros((self.rows, self.columns), dtype=matrix.dtype)
        self.matrix[: matrix.shape[0], : matrix.shape[1]] = matrix
        self.count = min(self.rows, self.columns)
        self.baby = power_of_two(math.isqrt(self.count - 1) + 1) if self.count > 1 else 1

    def times(self, kit: Kit, vector: Encrypted) -> Encrypted:
        """The product, with the number of rows (as a power of two) as its period."""
        turned = [vector if step == 0 else vector.rotate(step) for step in range(min(self.baby, self.count))]
        sums = []
        for giant in range(0, self.count, self.baby):
            diagonals = [self._diagonal(kit.slots, giant + step, giant) for step in range(len(turned))]
            if any(diagonal.any() for diagonal in diagonals):
                named = [((self.name, giant, step), diagonal) for step, diagonal in enumerate(diagonals)]
                part = kit.weighted(turned, named)
                sums.append(part.rotate(giant) if giant else part)
        return kit.total(added(sums), max(1, self.columns // self.rows), self.rows)

    def _diagonal(self, slots: int, number: int, turned_back: int) -> np.ndarray:
        at = np.arange(slots) - turned_back
        return self.matrix[at % self.rows, (at + number) % self.columns]


class MatrixVector(Circuit):
    """A plaintext matrix times encrypted vectors, in blocks that fit into the slots."""

    layout = "a vector repeated in the slots; the matrix by diagonals, baby and giant steps"
    depth = 1

    def __init__(self, problem: Problem, slots: int, integers: bool) -> None:
        super().__init__(problem, slots, integers)
        assert problem.outputs is not None
        self.block = min(self.row, _MOST_DIAGONALS, power_of_two(max(problem.features, problem.outputs)))
        self.bands = ceil_div(problem.outputs, self.block)
        self.groups = problem.rows * self.bands
        self.terms = ceil_div(problem.features, self.block)
        self.scale = 1.0 if integers else problem.weights
        self._blocks: dict[tuple[int, int], Diagonals] = {}
        self._group = 0

    def _matrix(self, band: int, term: int) -> np.ndarray:
        assert self.problem.outputs is not None
        rows = min(self.block, self.problem.outputs - band * self.block)
        columns = min(self.block, self.problem.features - term * self.block)
        random = np.random.default_rng([band, term])
        made = self.uniform(random, (rows, columns), self.problem.weights) / self.scale
        return made.astype(np.int64) if self.integers else made

    @override
    def draw(self, random: np.random.Generator, group: int, term: int) -> Data:
        self._group = group
        columns = min(self.block, self.problem.features - term * self.block)
        place = np.array([group % self.bands, term])
        return {"x": self.values(np.random.default_rng([group // self.bands, term]), columns), "place": place}

    @override
    def pack(self, data: Data) -> list[tuple[np.ndarray, float]]:
        period = np.zeros(power_of_two(data["x"].size), dtype=data["x"].dtype)
        period[: data["x"].size] = data["x"]
        return [(self.filled(np.tile(period, self.slots // period.size)), self.bound)]

    @override
    def part(self, kit: Kit, term: int, inputs: list[Encrypted]) -> tuple[list[Encrypted], list[Encrypted]]:
        place = (self._group % self.bands, term)
        if place not in self._blocks:
            self._blocks[place] = Diagonals(self._matrix(*place), place)
        return [], [self._blocks[place].times(kit, inputs[0])]

    @override
    def read(self, kept: list[list[np.ndarray]], finished: list[np.ndarray]) -> np.ndarray:
        assert self.problem.outputs is not None
        band = self._group % self.bands
        outputs = min(self.block, self.problem.outputs - band * self.block)
        return finished[0][:outputs] * self.unit * self.scale if not self.integers else finished[0][:outputs]

    @override
    def plainly(self, data: list[Data]) -> np.ndarray:
        total: np.ndarray | int = 0
        for part in data:
            total = total + self._matrix(*map(int, part["place"])) * self.scale @ part["x"]
        return np.asarray(total)
