"""Activations as polynomials, with how far they are from the functions at most.

Encrypted numbers can be added and multiplied, so a function becomes a polynomial on the range that its arguments lie
in. Smooth functions are interpolated at Chebyshev points, which is within a small factor of the best polynomial; the
rectifier has a corner, where that factor matters, and gets the best one by linear programming. Either way the error is
proven: it is measured at many points, and between two of them it grows by no more than curvature allows.

Sources: Trefethen, Approximation Theory and Approximation Practice (2013), chapters 4, 8 and 16; Bernstein 1914 for
|x|, whose best error of degree n is about 0.28 / n.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.polynomial import chebyshev
from scipy.optimize import linprog
from scipy.special import expit, ndtr

from tasks.common.values import Value


class Function(StrEnum):
    """Activations that there are polynomials for."""

    RELU = "relu"
    TANH = "tanh"
    LOGISTIC = "logistic"
    SILU = "silu"
    GELU = "gelu"


@dataclass(frozen=True)
class _Facts:
    """steepest: the largest slope. curved: of the second derivative, away from a corner at 0. odd: whether the function
    is odd beside its value at 0; if not, it is even beside half of its argument."""

    value: Callable[[np.ndarray], np.ndarray]
    steepest: float
    curved: float
    odd: bool


_FACTS = {
    Function.RELU: _Facts(lambda x: np.maximum(x, 0.0), 1.0, 0.0, False),
    Function.TANH: _Facts(np.tanh, 1.0, 4 / (3 * math.sqrt(3)), True),
    Function.LOGISTIC: _Facts(expit, 0.25, 1 / (6 * math.sqrt(3)), True),
    Function.SILU: _Facts(lambda x: x * expit(x), 1.0999, 0.5, False),
    Function.GELU: _Facts(lambda x: x * ndtr(x), 1.1290, math.sqrt(2 / math.pi), False),
}
DEGREES = (3, 5, 7, 11, 15, 23, 31, 47, 63)
_POINTS = 2**18  # where errors are measured, on each side of 0
_CORNER_POINTS = 3_000


class Activation(Value):
    """The polynomial of a function on ±radius.

    coefficients: float, of Chebyshev polynomials of argument / radius. error: at most that far from the function.
    largest: of its own absolute values.
    """

    function: Function
    radius: float
    coefficients: tuple[float, ...]
    error: float
    largest: float

    @property
    def degree(self) -> int:
        """Of the polynomial."""
        return len(self.coefficients) - 1

    @property
    def steepest(self) -> float:
        """The largest slope of the function."""
        return _FACTS[self.function].steepest

    def exactly(self, arguments: np.ndarray) -> np.ndarray:
        """The function itself."""
        return exactly(self.function, arguments)

    def __call__(self, arguments: np.ndarray) -> np.ndarray:
        """The polynomial, at arguments within ±radius."""
        return chebyshev.chebval(arguments / self.radius, self.coefficients)


def exactly(function: Function, arguments: np.ndarray) -> np.ndarray:
    """The function itself."""
    return _FACTS[function].value(arguments)


@functools.lru_cache(maxsize=256)
def approximate(function: Function, radius: float, degree: int) -> Activation:
    """The polynomial of at most this degree on ±radius (even functions need one less), with its proven error."""
    facts = _FACTS[function]
    degree = degree if facts.odd else degree - degree % 2
    if function is Function.RELU:
        found = _corner(degree) * radius / 2
        found[1] = radius / 2
    else:
        found = chebyshev.chebinterpolate(lambda t: facts.value(radius * t), degree)  # type: ignore[arg-type, return-value]
        keep = np.arange(degree + 1) % 2 == (1 if facts.odd else 0)
        keep[:2] = True
        found = np.where(keep, found, 0.0)
    error, largest = _proven(facts, radius, found)
    return Activation(
        function=function, radius=radius, coefficients=tuple(float(c) for c in found), error=error, largest=largest
    )


def _corner(degree: int) -> np.ndarray:
    """Coefficients of the best polynomial for |t| on [-1, 1], by linear programming over many points."""
    t = np.cos(np.linspace(0, np.pi / 2, _CORNER_POINTS))
    basis = chebyshev.chebvander(t, degree)[:, ::2]
    one = np.ones((len(t), 1))
    above, below = np.hstack([basis, -one]), np.hstack([-basis, -one])
    terms = basis.shape[1]
    solved = linprog(
        np.append(np.zeros(terms), 1.0), A_ub=np.vstack([above, below]), b_ub=np.concatenate([t, -t]),
        bounds=[(None, None)] * terms + [(0, None)], method="highs",
    )  # fmt: skip
    coefficients = np.zeros(degree + 1)
    coefficients[::2] = solved.x[:terms]
    return coefficients


def _proven(facts: _Facts, radius: float, coefficients: np.ndarray) -> tuple[float, float]:
    """The most that the polynomial is off, and its largest absolute value, over the whole range.

    Between neighbouring points a function is off its chord by at most h² / 8 times its second derivative. That of a
    Chebyshev polynomial of degree k is at most k² (k² - 1) / 3. The corner of the rectifier is one of the points.
    """
    t = np.linspace(-1, 1, 2 * _POINTS + 1)
    k = np.arange(len(coefficients), dtype=float)
    own = float(np.abs(coefficients) @ (k**2 * (k**2 - 1) / 3)) if len(k) > 1 else 0.0
    between = (1 / _POINTS) ** 2 / 8
    values = chebyshev.chebval(t, coefficients)
    off = np.abs(values - facts.value(radius * t)).max()
    return float(off + between * (own + radius**2 * facts.curved)), float(np.abs(values).max() + between * own)
