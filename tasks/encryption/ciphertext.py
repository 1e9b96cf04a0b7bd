"""What every guarded ciphertext and plaintext is: native data with all that has to be known to use it rightly.

The native libraries compute on whatever they are given and decrypt it to whatever comes out. Here each operation first
asks what it would do to range, scale, level and noise, and refuses with a reason instead.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from tasks.common.compiling import compiled
from tasks.common.errors import CiphertextError, KeyRefused, WouldBeWrong
from tasks.encryption.noise import embedding_norm
from tasks.encryption.session import Role, Session

T = TypeVar("T")
_new = object.__new__
_highest, _lowest = np.maximum.reduce, np.minimum.reduce
_MOST = 2**63 - 1
_DOUBLE, _INTEGER = np.dtype(np.float64), np.dtype(np.int64)


class Encoded:
    """A plaintext that ciphertexts are multiplied with or that is added to them; made by `ciphertext.encode_for`.

    bound: of the absolute values. error: of a slot, by rounding (CKKS).
    """

    def __init__(
        self, session: Session, native: Any, *, level: int, scale: float, bound: float, error: float,
        shape: tuple[int, ...],
    ) -> None:  # fmt: skip
        self.session, self.native, self.level, self.scale = session, native, level, scale
        self.bound, self.error, self.shape = bound, error, shape

    @cached_property
    def growth(self) -> float:
        """What a product with it multiplies noise with (BFV, BGV): how large its polynomial is in the embedding.

        SEAL takes a single coefficient in BFV modulo the plain modulus and not around zero, so that -1 is large.
        """
        parameters = self.session.parameters
        stored = np.frombuffer(self.native.to_bytes(), np.uint8)[-8 * parameters.degree :].view(np.int64)
        if not self.session.levelled and np.count_nonzero(stored) == 1:
            return float(stored.max())
        around = stored - (stored > self.session.most) * parameters.plain_modulus
        return embedding_norm(around.astype(np.float64))


class Encrypted(ABC):
    """Encrypted numbers, and what is known of them without a key.

    level: primes dropped so far. scale: what numbers are multiplied with (CKKS), or the correction factor (BGV). bound:
    of the absolute values. error: how far a slot may be off (CKKS), or the noise as a share of the modulus (BFV, BGV).
    shape: of the numbers, in row-major order in the first slots; the other slots hold zeros or, after a rotation, shape
    is that of all slots. layout: what the slots mean, for people and for jobs, which refuse another one.
    """

    __slots__ = ("bound", "error", "layout", "level", "native", "scale", "session", "shape")

    def __init__(
        self, session: Session, native: Any, *, level: int, scale: float, bound: float, error: float,
        shape: tuple[int, ...], layout: str,
    ) -> None:  # fmt: skip
        self.session, self.native, self.level, self.scale = session, native, level, scale
        self.bound, self.error, self.shape, self.layout = bound, error, shape, layout

    def __repr__(self) -> str:
        return (
            f"<encrypted {self.layout} {self.shape} of {self.session.fingerprint[:8]}, level {self.level}, "
            f"at most {self.bound:g}>"
        )

    def __reduce__(self) -> tuple[Callable[[bytes], Encrypted], tuple[bytes]]:
        from tasks.encryption import envelope

        return envelope.open_here, (envelope.pack(self),)

    # What schemes bring.

    @abstractmethod
    def __add__(self, other: Any) -> Encrypted: ...

    @abstractmethod
    def __sub__(self, other: Any) -> Encrypted: ...

    @abstractmethod
    def __mul__(self, other: Any) -> Encrypted: ...

    @abstractmethod
    def __neg__(self) -> Encrypted: ...

    @abstractmethod
    def rotate(self, steps: int) -> Encrypted: ...

    @abstractmethod
    def encode_for(self, values: ArrayLike) -> Encoded:
        """A plaintext that this ciphertext, and those of its level and scale, can be multiplied with."""

    # What they share.

    def like(
        self, native: Any, *, bound: float, error: float, level: int | None = None, scale: float | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> Any:  # fmt: skip
        """One of the same session, level, scale, shape and layout but for what is named."""
        made = self.with_native(native, bound, error)
        if level is not None:
            made.level = level
        if scale is not None:
            made.scale = scale
        if shape is not None:
            made.shape = shape
        return made

    def with_native(self, native: Any, bound: float, error: float) -> Any:
        """`like` without changes, as quick as it can be: a sum of ciphertexts takes a tenth of a millisecond."""
        made = _new(self.__class__)
        made.session, made.native, made.level, made.scale = self.session, native, self.level, self.scale
        made.bound, made.error, made.shape, made.layout = bound, error, self.shape, self.layout
        return made

    def require_same(self, other: Encrypted | Encoded) -> None:
        """Refuse what belongs to other keys, or has another shape."""
        if other.session is self.session and other.shape == self.shape:
            return
        if other.session is not self.session:
            raise CiphertextError(
                f"a ciphertext of the keys {self.session.fingerprint} cannot meet one of {other.session.fingerprint}"
                if other.session.fingerprint != self.session.fingerprint
                else "two ciphertexts of the same keys were opened in two sessions; open them in one"
            )
        if other.shape:
            raise WouldBeWrong(f"shapes {self.shape} and {other.shape} do not fit each other")

    def require_rotation(self, steps: int) -> None:
        """Refuse a rotation that there is no key for."""
        if steps not in self.session.rotations:
            have = ", ".join(map(str, sorted(self.session.rotations))) or "none"
            raise KeyRefused(f"there is no key to rotate by {steps}; the job has keys for {have}")

    def require_products(self) -> None:
        """Refuse a product of ciphertexts without the key that it needs."""
        if not self.session.products:
            raise KeyRefused("products of ciphertexts need a relinearization key, which this job was not given")


def checked(values: ArrayLike, session: Session, *, exact: bool) -> tuple[np.ndarray, float]:
    """Finite values that fit into the slots, as contiguous float64 or int64, and the largest magnitude.

    Pyfhel takes the memory of a strided array for its values, so that contiguity is not only a matter of speed.

    Raises:
        WouldBeWrong: there are none or too many, one is not finite, or is no integer where integers are encrypted.
    """
    if (usual := _usual(values, session.slots, exact)) is not None:
        return usual
    array = np.asarray(values)
    if not 0 < array.size <= session.slots:
        raise WouldBeWrong(f"{array.size:,} values do not fit into {session.slots:,} slots")
    kind = array.dtype.kind
    if kind not in "biuf":
        raise WouldBeWrong(f"only real numbers can be encrypted, not {array.dtype}")
    highest, lowest = _highest(array, axis=None), _lowest(array, axis=None)
    if kind == "f" and not (math.isfinite(highest) and math.isfinite(lowest)):
        raise WouldBeWrong(f"{int((~np.isfinite(array)).sum()):,} of {array.size:,} values are missing or infinite")
    if not exact:
        return np.asarray(array, np.float64, order="C"), max(float(highest), -float(lowest))
    largest = max(int(highest), -int(lowest))
    if kind == "f" and (largest >= 2**53 or not np.array_equal(array, np.rint(array))):
        raise WouldBeWrong("integers are encrypted exactly; these are fractions: scale and round them, or use CKKS")
    if largest >= 2**63:
        raise WouldBeWrong("integers of 64 bits and more cannot be encrypted")
    return np.asarray(array, np.int64, order="C"), largest


def _usual(values: Any, slots: int, exact: bool) -> tuple[np.ndarray, float] | None:
    """What `checked` says of an array as it nearly always comes; None if there is more to look at.

    Each step counts here, since encoding leaves nothing of this in the processor's caches.
    """
    if type(values) is not np.ndarray or values.ndim != 1 or not 0 < values.size <= slots:
        return None
    if values.dtype is not (_INTEGER if exact else _DOUBLE) or not values.flags.c_contiguous:
        return None
    largest = _largest_integer(values) if exact else _largest_number(values)
    return (values, largest) if 0 <= largest < math.inf else None


@compiled
def _largest_number(values: np.ndarray) -> float:
    """The largest magnitude; NaN if one is missing or infinite."""
    largest, finite = 0.0, 0.0
    for value in values:
        largest = max(largest, abs(value))
        finite += value * 0.0
    return largest + finite


@compiled
def _largest_integer(values: np.ndarray) -> int:
    """The largest magnitude; -1 if that has no place in 64 bits."""
    low, high = values[0], values[0]
    for value in values:
        low, high = min(low, value), max(high, value)
    return max(high, -low) if low >= -_MOST else -1


def stated(largest: float, bound: float | None) -> float:
    """The bound that a ciphertext carries: the stated one, or the largest magnitude where none is.

    Raises:
        WouldBeWrong: a value is beyond the stated bound, or that is no number.
    """
    if bound is None:
        return largest
    if not largest <= bound < math.inf:
        raise WouldBeWrong(f"values of up to {largest:g} are beyond the stated bound of {bound:g}")
    return bound


def natively(operation: Callable[..., T], *given: Any) -> T:
    """What the native library makes of it; its refusals become ours.

    Raises:
        WouldBeWrong: it refuses, for example since the result would not be encrypted any more.
    """
    try:
        return operation(*given)
    except (RuntimeError, ValueError, ArithmeticError, IndexError) as error:
        if "transparent" in str(error):
            raise WouldBeWrong(
                "the result would be zeros that are not encrypted any more, as of a - a; leave the operation out"
            ) from None
        raise WouldBeWrong(f"SEAL refuses: {error}") from None


def within(decrypted: np.ndarray, most: float) -> np.ndarray:
    """What was decrypted, if all of it lies in ±most.

    Raises:
        WouldBeWrong: a number is beyond, so something went wrong on the way.
    """
    if not (_highest(decrypted) <= most and _lowest(decrypted) >= -most):
        raise WouldBeWrong("a decrypted number is beyond the bound that its ciphertext claims; it was not made rightly")
    return decrypted


def require_owner(session: Session) -> None:
    """Refuse to decrypt without a secret key; natively that would end the process."""
    if session.role is not Role.OWNER:
        raise KeyRefused(f"the {session.role} has no secret key; only the owner can decrypt")
