"""Arrays in descriptions: exact, compact and comparable, where lists of decimals would be none of it."""

from __future__ import annotations

import base64
import binascii
import functools
import math

import numpy as np
from numpy.typing import ArrayLike
from pydantic import model_validator

from tasks.common.errors import InputError, ParametersError
from tasks.common.values import Value

_FLOATS = np.dtype("<f8")


class Numbers(Value):
    """An array of finite numbers. content: little-endian float64 in row-major order, as base64."""

    shape: tuple[int, ...]
    content: str

    @model_validator(mode="after")
    def _whole(self) -> Numbers:
        try:
            content = base64.b64decode(self.content, validate=True)
        except binascii.Error:
            raise InputError("an array in the description is no base64") from None
        if min(self.shape, default=1) < 1 or len(content) != _FLOATS.itemsize * math.prod(self.shape):
            raise InputError(f"an array in the description has not as many numbers as its shape {self.shape} says")
        if not np.all(np.isfinite(np.frombuffer(content, _FLOATS))):
            raise ParametersError("an array in the description has numbers that are missing or infinite")
        return self

    @classmethod
    def of(cls, values: ArrayLike) -> Numbers:
        """The numbers of an array."""
        array = np.ascontiguousarray(values, dtype=_FLOATS)
        return cls(shape=array.shape, content=base64.b64encode(array.tobytes()).decode())

    @property
    def array(self) -> np.ndarray:
        """The array, which cannot be written to."""
        return _decoded(self)


@functools.lru_cache(maxsize=16)
def _decoded(numbers: Numbers) -> np.ndarray:
    return np.frombuffer(base64.b64decode(numbers.content), _FLOATS).reshape(numbers.shape)
