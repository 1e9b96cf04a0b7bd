"""Circuits that are not linear: polynomials, and small networks whose activations are polynomials."""

from __future__ import annotations

import itertools
import math

import numpy as np
from typing_extensions import override

from tasks.common.errors import ParametersError
from tasks.encryption.advising.circuit import Circuit, Data, Kit, added, ceil_div, power_of_two
from tasks.encryption.advising.circuit_models import Diagonals
from tasks.encryption.advising.problem import Problem
from tasks.encryption.ciphertext import Encrypted


class Polynomial(Circuit):
    """A polynomial of every value, from powers that are products of powers half as high."""

    layout = "values in slots"

    def __init__(self, problem: Problem, slots: int, integers: bool) -> None:
        super().__init__(problem, slots, integers)
        assert problem.degree is not None
        self.degree = problem.degree
        self.depth = math.ceil(math.log2(self.degree)) + 1
        self.groups = ceil_div(problem.rows, slots)
        self.coefficients = self.uniform(np.random.default_rng(3), self.degree + 1, problem.weights)
        # Of the powers of what lies within ±1, and in the unit of the largest of them.
        scaled = self.coefficients * self.unit ** np.arange(self.degree + 1.0)
        self.scale = 1.0 if integers else float(np.abs(scaled).max())
        self.scaled = self.coefficients if integers else scaled / self.scale

    @override
    def draw(self, random: np.random.Generator, group: int, term: int) -> Data:
        return {"x": self.values(random, min(self.slots, self.problem.rows - group * self.slots))}

    @override
    def pack(self, data: Data) -> list[tuple[np.ndarray, float]]:
        return [(self.filled(data["x"]), self.bound)]

    @override
    def part(self, kit: Kit, term: int, inputs: list[Encrypted]) -> tuple[list[Encrypted], list[Encrypted]]:
        return [], [evaluated(kit, inputs[0], self.scaled, "polynomial")]

    @override
    def read(self, kept: list[list[np.ndarray]], finished: list[np.ndarray]) -> np.ndarray:
        return finished[0] * self.scale if not self.integers else finished[0]

    @override
    def plainly(self, data: list[Data]) -> np.ndarray:
        x = np.zeros(self.slots, dtype=data[0]["x"].dtype)
        x[: data[0]["x"].size] = data[0]["x"]
        return np.asarray(np.polynomial.polynomial.polyval(x, self.coefficients))


class Network(Circuit):
    """A small dense network for as many rows as there are slots at once."""

    layout = "rows in slots, one ciphertext for each feature and each unit of a layer"
    most_weights = 20_000

    def __init__(self, problem: Problem, slots: int, integers: bool) -> None:
        super().__init__(problem, slots, integers)
        assert problem.layers is not None
        self.groups = ceil_div(problem.rows, slots)
        sizes = (problem.features, *problem.layers)
        if (weights := sum(a * b for a, b in itertools.pairwise(sizes))) > self.most_weights:
            raise ParametersError(
                f"a network of {weights:,} weights is too large to be applied under encryption; ask for smaller "
                "layers, or use multi-party computation"
            )
        random = np.random.default_rng(4)
        self.matrices = [self.uniform(random, (b, a), problem.weights) for a, b in itertools.pairwise(sizes)]
        self.biases = [self.uniform(random, b, problem.weights) for b in problem.layers]
        # Of the activation: half of the value and powers that fall off; the square alone is degree 2.
        self.activation = np.array([0, 0, 1.0] if problem.activation == 2 else _falling(problem.activation))
        of_activation = 1 if problem.activation == 2 else math.ceil(math.log2(problem.activation)) + 1
        self.depth = len(sizes) - 1 + (len(sizes) - 2) * of_activation

    @override
    def draw(self, random: np.random.Generator, group: int, term: int) -> Data:
        rows = min(self.slots, self.problem.rows - group * self.slots)
        return {"x": self.values(random, (rows, self.problem.features))}

    @override
    def pack(self, data: Data) -> list[tuple[np.ndarray, float]]:
        return [(self.filled(column), self.bound) for column in data["x"].T]

    @override
    def part(self, kit: Kit, term: int, inputs: list[Encrypted]) -> tuple[list[Encrypted], list[Encrypted]]:
        units = inputs
        for number, (matrix, biases) in enumerate(zip(self.matrices, self.biases, strict=True)):
            own = matrix * (self.unit if number == 0 else 1)
            if number:
                units = [self._active(kit, unit) for unit in units]
            units = [
                kit.plus(kit.weighted(units, [((number, o, i), weight) for i, weight in enumerate(row)]), bias)
                for o, (row, bias) in enumerate(zip(own, biases, strict=True))
            ]
        return [], units

    def _active(self, kit: Kit, unit: Encrypted) -> Encrypted:
        return unit * unit if self.activation.size == 3 else evaluated(kit, unit, self.activation, "activation")

    @override
    def read(self, kept: list[list[np.ndarray]], finished: list[np.ndarray]) -> np.ndarray:
        return np.array(finished)

    @override
    def plainly(self, data: list[Data]) -> np.ndarray:
        x = np.zeros((self.problem.features, self.slots), dtype=data[0]["x"].dtype)
        x[:, : len(data[0]["x"])] = data[0]["x"].T
        return _applied(self.matrices, self.biases, self.activation, x, self.integers)


class PackedNetwork(Network):
    """The same for one row at a time: a layer is a matrix by diagonals."""

    layout = "features of one row repeated in the slots; layers by diagonals, baby and giant steps"
    most_weights = 2_000_000

    def __init__(self, problem: Problem, slots: int, integers: bool) -> None:
        super().__init__(problem, slots, integers)
        self.groups = problem.rows
        if power_of_two(max(problem.features, *problem.layers or ())) > self.row:
            raise ParametersError(f"a layer does not fit into the {self.row:,} slots of a ciphertext")
        own = [matrix * (self.unit if number == 0 else 1) for number, matrix in enumerate(self.matrices)]
        self.diagonals = [Diagonals(matrix, ("layer", number)) for number, matrix in enumerate(own)]

    @override
    def draw(self, random: np.random.Generator, group: int, term: int) -> Data:
        return {"x": self.values(random, (1, self.problem.features))}

    @override
    def pack(self, data: Data) -> list[tuple[np.ndarray, float]]:
        period = np.zeros(power_of_two(self.problem.features), dtype=data["x"].dtype)
        period[: self.problem.features] = data["x"][0]
        return [(self.filled(np.tile(period, self.slots // period.size)), self.bound)]

    @override
    def part(self, kit: Kit, term: int, inputs: list[Encrypted]) -> tuple[list[Encrypted], list[Encrypted]]:
        units = inputs[0]
        for number, (diagonals, biases) in enumerate(zip(self.diagonals, self.biases, strict=True)):
            if number:
                units = self._active(kit, units)
            laid = np.zeros(diagonals.rows, dtype=biases.dtype)
            laid[: biases.size] = biases
            units = kit.plus(diagonals.times(kit, units), np.tile(laid, self.slots // laid.size))
        return [], [units]

    @override
    def read(self, kept: list[list[np.ndarray]], finished: list[np.ndarray]) -> np.ndarray:
        return finished[0][: self.biases[-1].size]

    @override
    def plainly(self, data: list[Data]) -> np.ndarray:
        return _applied(self.matrices, self.biases, self.activation, data[0]["x"].T, self.integers)[:, 0]


def evaluated(kit: Kit, x: Encrypted, coefficients: np.ndarray, name: str) -> Encrypted:
    """A polynomial of a ciphertext, ceil(log2(degree)) + 1 levels deep."""
    degree = coefficients.size - 1
    powers: dict[int, Encrypted] = {1: x}
    for k in range(2, degree + 1):
        powers[k] = powers[(k + 1) // 2] * powers[k // 2]
    used = [k for k in range(1, degree + 1) if coefficients[k] != 0]
    parts = [kit.scaled(powers[k], (name, k), coefficients[k], kit.session.scale) for k in used]
    total = added(reversed(parts))
    return kit.plus(total, coefficients[0]) if coefficients[0] else total


def _falling(degree: int) -> list[float]:
    return [0.0, *(1 / math.factorial(k) for k in range(1, degree + 1))]


def _applied(
    matrices: list[np.ndarray], biases: list[np.ndarray], activation: np.ndarray, x: np.ndarray, integers: bool
) -> np.ndarray:
    for number, (matrix, bias) in enumerate(zip(matrices, biases, strict=True)):
        if number:
            x = x * x if integers or activation.size == 3 else np.polynomial.polynomial.polyval(x, activation)
        x = matrix @ x + bias[:, None]
    return x
