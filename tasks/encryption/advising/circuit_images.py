"""The circuit of a regular grid that becomes finer: linear interpolation at a whole number of places between voxels."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.ndimage import map_coordinates
from typing_extensions import override

from tasks.common.errors import ParametersError
from tasks.encryption.advising.circuit import Circuit, Data, Kit, ceil_div
from tasks.encryption.advising.problem import Problem
from tasks.encryption.ciphertext import Encrypted

_TOGETHER = 64  # ciphertexts of results that are made of slices which share their neighbours


class Zoom(Circuit):
    """Linear interpolation of an image or volume at multiples of 1/factor, one phase of the finer grid a ciphertext.

    Neighbours in a slice are rotations, those in the next slice its ciphertext; a slice that is larger than the slots
    is cut into bands of rows that overlap by one. Results are for places between voxels, not beyond the last one.
    """

    layout = "one slice, or a band of its rows, in a ciphertext; each phase of the finer grid is one"
    depth = 1

    def __init__(self, problem: Problem, slots: int, integers: bool) -> None:
        super().__init__(problem, slots, integers)
        assert problem.shape is not None and problem.factor is not None
        self.flat = len(problem.shape) == 2
        depth, rows, self.width = (1, *problem.shape) if self.flat else problem.shape
        if 2 * self.width > self.row:
            raise ParametersError(f"a row of {self.width:,} voxels does not fit twice into {self.row:,} slots")
        self.height = min(rows, self.row // self.width)
        self.bands = max(1, ceil_div(rows - 1, self.height - 1))
        fractions = np.arange(problem.factor) / problem.factor
        self.phases = list(itertools.product([0.0] if self.flat else fractions, fractions, fractions))
        self.slab = min(max(1, depth - 1), max(1, _TOGETHER // len(self.phases)))
        self.groups = self.bands * ceil_div(max(1, depth - 1), self.slab)

    @override
    def draw(self, random: np.random.Generator, group: int, term: int) -> Data:
        return {"x": self.values(random, (self.slab + (not self.flat), self.height, self.width))}

    @override
    def pack(self, data: Data) -> list[tuple[np.ndarray, float]]:
        return [(self.filled(slice_), self.bound) for slice_ in data["x"]]

    @override
    def part(self, kit: Kit, term: int, inputs: list[Encrypted]) -> tuple[list[Encrypted], list[Encrypted]]:
        steps = (0, 1, self.width, self.width + 1)
        turned = [[x if not step else x.rotate(step) for step in steps] for x in inputs]
        made = []
        for z in range(self.slab):
            for phase in self.phases:
                corners = _corners(phase)
                voxels = [turned[z + dz][2 * dy + dx] for dz, dy, dx, _ in corners]
                made.append(kit.weighted(voxels, [(w, w) for *_, w in corners]))
        return made, []

    @override
    def read(self, kept: list[list[np.ndarray]], finished: list[np.ndarray]) -> np.ndarray:
        grids = np.array([slots[: self.height * self.width].reshape(self.height, self.width) for slots in kept[0]])
        return grids[:, :-1, :-1] * self.unit

    @override
    def plainly(self, data: list[Data]) -> np.ndarray:
        places = np.mgrid[: self.slab, : self.height - 1, : self.width - 1].astype(float)
        phases = [
            map_coordinates(data[0]["x"], places + np.array(p)[:, None, None, None], order=1) for p in self.phases
        ]
        return np.stack(phases, axis=1).reshape(-1, self.height - 1, self.width - 1)


def _corners(phase: tuple[float, float, float]) -> list[tuple[int, int, int, float]]:
    """The voxels around a place with their weights, without those of weight zero."""
    found = []
    for z, y, x in itertools.product((0, 1), repeat=3):
        weight = float(np.prod([f if far else 1 - f for f, far in zip(phase, (z, y, x), strict=True)]))
        if weight > 0:
            found.append((z, y, x, weight))
    return found
