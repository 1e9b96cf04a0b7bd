"""Circuits on tables: sums and moments, vectors of several parties, a step of k-means, training.

Rows lie in the slots, one ciphertext for each column of so many rows.
"""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from tasks.common.errors import ParametersError
from tasks.encryption.advising.circuit import Circuit, Data, Kit, added, ceil_div, power_of_two
from tasks.encryption.advising.problem import Operation, Problem
from tasks.encryption.ciphertext import Encrypted

_MOST_INPUTS = 2_000  # ciphertexts that are worked on at once


class ColumnTotals(Circuit):
    """Sum, mean, variance or histogram: columns are added up, then their slots by rotations."""

    layout = "rows in slots, column by column; slots added up by rotations, so that only totals are decrypted"

    def __init__(self, problem: Problem, slots: int, integers: bool) -> None:
        super().__init__(problem, slots, integers)
        self.squares = problem.operation is Operation.VARIANCE
        self.depth = 1 if self.squares else 0
        self.groups = problem.bins or problem.features
        self.terms = ceil_div(problem.rows, slots)
        self.count = power_of_two(min(problem.rows, self.row))

    @override
    def draw(self, random: np.random.Generator, group: int, term: int) -> Data:
        rows = min(self.slots, self.problem.rows - term * self.slots)
        if self.problem.operation is Operation.HISTOGRAM:
            return {"x": (random.integers(0, self.groups, rows) == group).astype(np.int64)}
        return {"x": self.values(random, rows)}

    @override
    def pack(self, data: Data) -> list[tuple[np.ndarray, float]]:
        return [(self.filled(data["x"]), self.bound)]

    @override
    def part(self, kit: Kit, term: int, inputs: list[Encrypted]) -> tuple[list[Encrypted], list[Encrypted]]:
        return [], [*inputs, *(x * x for x in inputs)] if self.squares else inputs

    @override
    def finish(self, kit: Kit, totals: list[Encrypted]) -> list[Encrypted]:
        return [kit.total(total, self.count) for total in totals]

    @override
    def read(self, kept: list[list[np.ndarray]], finished: list[np.ndarray]) -> np.ndarray:
        # Integers lie in two rows, whose totals the owner adds.
        firsts = np.array([slots[0] + (slots[self.row] if self.integers else 0) for slots in finished])
        return self._statistic(firsts * np.array([self.unit, self.unit**2])[: firsts.size])

    @override
    def plainly(self, data: list[Data]) -> np.ndarray:
        x = np.concatenate([part["x"] for part in data])
        return self._statistic(np.array([x.sum(), (x**2).sum()])[: 2 if self.squares else 1])

    def _statistic(self, totals: np.ndarray) -> np.ndarray:
        if self.problem.operation in {Operation.SUM, Operation.HISTOGRAM}:
            return totals
        if self.integers and not self.squares:
            return totals  # the owner divides by the number of rows, which is known
        if self.integers:
            return totals
        means = totals / self.problem.rows
        return means if not self.squares else np.array([means[0], means[1] - means[0] ** 2])


class Aggregation(Circuit):
    """The sum of one vector of each party."""

    layout = "vectors in slots, one ciphertext after another; parties are added slot by slot"
    depth = 0

    def __init__(self, problem: Problem, slots: int, integers: bool) -> None:
        super().__init__(problem, slots, integers)
        self.groups, self.terms = ceil_div(problem.features, slots), problem.parties

    @override
    def draw(self, random: np.random.Generator, group: int, term: int) -> Data:
        return {"x": self.values(random, min(self.slots, self.problem.features - group * self.slots))}

    @override
    def pack(self, data: Data) -> list[tuple[np.ndarray, float]]:
        return [(self.filled(data["x"]), self.bound)]

    @override
    def part(self, kit: Kit, term: int, inputs: list[Encrypted]) -> tuple[list[Encrypted], list[Encrypted]]:
        return [], inputs

    @override
    def read(self, kept: list[list[np.ndarray]], finished: list[np.ndarray]) -> np.ndarray:
        return finished[0] * self.unit

    @override
    def plainly(self, data: list[Data]) -> np.ndarray:
        total = np.zeros(self.slots, dtype=np.int64 if self.integers else np.float64)
        for part in data:
            total[: part["x"].size] += part["x"]
        return total


class KMeansStep(Circuit):
    """One step of k-means: distances to the evaluator's centroids, and sums by the owner's encrypted assignment.

    The owner decrypts |c|² - 2x·c, finds the nearest centroid of each row itself, and sends 0 and 1 for the next sums.
    """

    layout = "rows in slots, column by column; distances go back row by row, sums by cluster as totals"
    depth = 1

    def __init__(self, problem: Problem, slots: int, integers: bool) -> None:
        super().__init__(problem, slots, integers)
        assert problem.clusters is not None
        self.clusters = problem.clusters
        if self.clusters * problem.features > _MOST_INPUTS:
            raise ParametersError(
                f"a step on {problem.features:,} features and {self.clusters:,} clusters takes too long; ask for "
                "fewer, or use multi-party computation"
            )
        self.terms = ceil_div(problem.rows, slots)
        self.count = power_of_two(min(problem.rows, self.row))
        self.centroids = self.values(np.random.default_rng(1), (self.clusters, problem.features)) / self.unit
        if integers:
            self.centroids = self.centroids.astype(np.int64)

    @override
    def draw(self, random: np.random.Generator, group: int, term: int) -> Data:
        rows = min(self.slots, self.problem.rows - term * self.slots)
        return {
            "x": self.values(random, (rows, self.problem.features)),
            "assigned": random.integers(0, self.clusters, rows),
        }

    @override
    def pack(self, data: Data) -> list[tuple[np.ndarray, float]]:
        columns = [(self.filled(column), self.bound) for column in data["x"].T]
        chosen = np.zeros((self.clusters, self.slots), dtype=np.int64 if self.integers else np.float64)
        chosen[data["assigned"], np.arange(data["assigned"].size)] = 1
        return columns + [(row, 1.0) for row in chosen]

    @override
    def part(self, kit: Kit, term: int, inputs: list[Encrypted]) -> tuple[list[Encrypted], list[Encrypted]]:
        columns, chosen = inputs[: self.problem.features], inputs[self.problem.features :]
        distances = []
        for number, centroid in enumerate(self.centroids):
            factors = [((number, f), -2 * value) for f, value in enumerate(centroid)]
            distances.append(kit.plus(kit.weighted(columns, factors), (centroid**2).sum()))
        return distances, [*chosen, *(c * x for c in chosen for x in columns)]

    @override
    def finish(self, kit: Kit, totals: list[Encrypted]) -> list[Encrypted]:
        return [kit.total(total, self.count) for total in totals]

    @override
    def read(self, kept: list[list[np.ndarray]], finished: list[np.ndarray]) -> np.ndarray:
        distances = np.concatenate([np.array(part) for part in kept], axis=1) * self.unit**2
        sums = np.array([slots[0] + (slots[self.row] if self.integers else 0) for slots in finished], dtype=float)
        sums[self.clusters :] *= self.unit
        return np.concatenate([distances.reshape(-1), sums])

    @override
    def plainly(self, data: list[Data]) -> np.ndarray:
        centroids = self.centroids * self.unit
        padded = [np.vstack([part["x"], np.zeros((self.slots - len(part["x"]), part["x"].shape[1]))]) for part in data]
        distances = np.concatenate([(centroids**2).sum(1)[:, None] - 2 * centroids @ x.T for x in padded], axis=1)
        x, assigned = np.vstack([part["x"] for part in data]), np.concatenate([part["assigned"] for part in data])
        counts = np.bincount(assigned, minlength=self.clusters)
        sums = np.array([x[assigned == cluster].sum(0) for cluster in range(self.clusters)])
        return np.concatenate([distances.reshape(-1), counts, sums.reshape(-1)])


class Training(Circuit):
    """Gradient steps of logistic regression from zero, with the link as a polynomial of degree 3.

    1/(1 + exp(-z)) is 0.5 + 0.15012z - 0.001593z³ within ±8 (Kim, Song, Wang, Xia, Jiang, JMIR Med Inform 2018;6(2)).
    The owner sends labels as multiples of y - 0.5, so that the first step takes one level, each further one four.
    Rows are divided by their range, so weights are followed as multiples of it.
    """

    layout = "rows in slots, column by column; weights in every slot"
    linear, cubic = 0.15012, -0.001593

    def __init__(self, problem: Problem, slots: int, integers: bool) -> None:
        super().__init__(problem, slots, integers)
        assert problem.iterations is not None
        self.iterations = problem.iterations
        if (inputs := ceil_div(problem.rows, slots) * (problem.features + 1)) > _MOST_INPUTS:
            raise ParametersError(
                f"training on {inputs:,} ciphertexts at once takes too long; ask for fewer rows or features, or use "
                "multi-party computation"
            )
        self.depth = 1 + 4 * (self.iterations - 1)
        self.step = problem.rate / problem.rows * self.unit**2

    @override
    def draw(self, random: np.random.Generator, group: int, term: int) -> Data:
        x = self.values(random, (self.problem.rows, self.problem.features))
        effects = random.normal(0, 1, self.problem.features)
        return {"x": x, "y": (x @ effects + random.logistic(size=len(x)) > 0).astype(float)}

    @override
    def pack(self, data: Data) -> list[tuple[np.ndarray, float]]:
        made = []
        for start in range(0, self.problem.rows, self.slots):
            x, y = data["x"][start : start + self.slots], data["y"][start : start + self.slots]
            made += [(self.filled(column), 1.0) for column in x.T]
            labels = np.zeros(self.slots)
            labels[: y.size] = (y - 0.5) * self.step
            made.append((labels, 0.5 * self.step))
        return made

    @override
    def part(self, kit: Kit, term: int, inputs: list[Encrypted]) -> tuple[list[Encrypted], list[Encrypted]]:
        width = self.problem.features + 1
        chunks = [inputs[start : start + width] for start in range(0, len(inputs), width)]
        weights: list[Encrypted] = []
        for _ in range(self.iterations):
            slopes: list[list[Encrypted]] = []
            for *columns, labels in chunks:
                missing = labels if not weights else labels + self._link(kit, columns, weights)
                slopes.append([x * missing for x in columns])
            totals = [kit.total(added(parts), self.slots) for parts in zip(*slopes, strict=True)]
            weights = totals if not weights else [w + g for w, g in zip(weights, totals, strict=True)]
        return [], weights

    def _link(self, kit: Kit, columns: list[Encrypted], weights: list[Encrypted]) -> Encrypted:
        """0.5 minus the polynomial, without its constant: what the labels are compared with."""
        z = added(x * w for x, w in zip(columns, weights, strict=True))
        square = z * z
        slope = kit.scaled(z, "cubic", -self.cubic * self.step, square.scale)
        cube = square * slope
        return kit.scaled(z, "linear", -self.linear * self.step, cube.scale) + cube

    @override
    def read(self, kept: list[list[np.ndarray]], finished: list[np.ndarray]) -> np.ndarray:
        return np.array([slots[0] for slots in finished]) / self.unit

    @override
    def plainly(self, data: list[Data]) -> np.ndarray:
        x, y = data[0]["x"], data[0]["y"]
        weights = np.zeros(x.shape[1])
        for _ in range(self.iterations):
            z = x @ weights
            weights = weights + self.problem.rate / self.problem.rows * x.T @ (
                y - 0.5 - self.linear * z - self.cubic * z**3
            )
        return weights
