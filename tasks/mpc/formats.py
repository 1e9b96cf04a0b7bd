"""Fixed-point numbers: integers of so many bits, of which some are behind the point.

Nothing in a computation checks for overflow: 1e6 squared in 31 bits comes out as 4096, without a word. So ranges are
checked before, of inputs and of what a program says that its intermediate results may reach.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from tasks.common.errors import InputError, ParametersError
from tasks.common.values import Value


class FixedPoint(Value):
    """bits: in all, with the sign. fraction: of them behind the point. Numbers are multiples of 2**-fraction."""

    bits: Annotated[int, Field(ge=8, le=64)] = 48
    fraction: Annotated[int, Field(ge=4, le=40)] = 20

    @model_validator(mode="after")
    def _possible(self) -> FixedPoint:
        if self.fraction > self.bits - 3:
            raise ParametersError(f"{self.bits} bits with {self.fraction} behind the point hold no numbers above 2")
        return self

    @property
    def most(self) -> float:
        """The largest magnitude."""
        return 2.0 ** (self.bits - 1 - self.fraction) - 2.0**-self.fraction

    @property
    def step(self) -> float:
        """Between two numbers."""
        return 2.0**-self.fraction

    def require(self, largest: float, what: str) -> None:
        """Refuse what would not fit.

        Raises:
            ParametersError: it is beyond the largest magnitude.
        """
        if not largest <= self.most:
            raise ParametersError(
                f"{what} may reach {largest:.3g}, and numbers of {self.bits} bits with {self.fraction} behind the "
                f"point hold {self.most:.3g}; scale the data, or take a format with more bits"
            )


def for_range(largest: float, error: float) -> FixedPoint:
    """The shortest format for numbers up to a magnitude with steps of at most twice an error.

    Raises:
        ParametersError: there is none of 64 bits.
    """
    fraction = max(4, math.ceil(-math.log2(error)) - 1)
    bits = fraction + max(2, math.ceil(math.log2(largest + 1))) + 1
    if bits > 64 or fraction > 40:
        raise ParametersError(f"numbers up to {largest:.3g} with an error of {error:.1g} need more than 64 bits")
    return FixedPoint(bits=max(8, bits), fraction=fraction)


class Shape(Value):
    """What an array has to be. whole: integers. low, high: of every number."""

    shape: tuple[int, ...]
    low: float
    high: float
    whole: bool = False

    @property
    def size(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)

    @property
    def largest(self) -> float:
        """Their largest magnitude."""
        return max(abs(self.low), abs(self.high))

    def checked(self, values: object, name: str, owner: str) -> np.ndarray:
        """An input as float64 or int64 in row-major order. The message of a refusal counts values and shows none.

        Raises:
            InputError: it has another shape, is not numeric, or has values that are missing, fractions where integers
                are wanted, or out of range.
        """
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise InputError(f"{owner}: {name} has to be numbers, not {array.dtype}")
        if array.shape != self.shape:
            raise InputError(f"{owner}: {name} has shape {array.shape}, and the program wants {self.shape}")
        if array.dtype.kind == "f":
            if bad := int((~np.isfinite(array)).sum()):
                raise InputError(f"{owner}: {bad:,} of {array.size:,} numbers of {name} are missing or infinite")
            if self.whole and (bad := int((array != np.rint(array)).sum())):
                raise InputError(f"{owner}: {bad:,} of {array.size:,} numbers of {name} are fractions, not integers")
        if bad := int(((array < self.low) | (array > self.high)).sum()):
            raise InputError(
                f"{owner}: {bad:,} of {array.size:,} numbers of {name} are outside {self.low:g} to {self.high:g}"
            )
        return np.ascontiguousarray(array, dtype=np.int64 if self.whole else np.float64)
