"""CKKS: approximate numbers with a stated error (Cheon, Kim, Kim, Song, ASIACRYPT 2017; RNS variant, SAC 2018).

Scales stay what they are: a plaintext factor is encoded at the scale of the prime that its product drops, so that
nothing is off by the little that primes differ from powers of two, which other front ends round away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tasks.common.errors import WouldBeWrong
from tasks.encryption.ciphertext import Encoded, Encrypted, checked, natively, require_owner, stated, within
from tasks.encryption.session import Session

# Relative difference of two scales that floating point alone explains, and that errors have room for.
_SAME_SCALE = 1e-14


class Approximate(Encrypted):
    """Numbers in CKKS. The absolute error of every decrypted slot is at most `error`."""

    __slots__ = ()

    def __add__(self, other: Encrypted | Encoded | ArrayLike) -> Approximate:
        return self._sum(other, self.session.native.add, self.session.native.add_plain)

    def __sub__(self, other: Encrypted | Encoded | ArrayLike) -> Approximate:
        return self._sum(other, self.session.native.sub, self.session.native.sub_plain)

    def __neg__(self) -> Approximate:
        return self.with_native(natively(self.session.native.negate, self.native, True), self.bound, self.error)

    def __mul__(self, other: Encrypted | Encoded | ArrayLike) -> Approximate:
        if isinstance(other, Encrypted):
            return self._product(other)
        return self.times(other if isinstance(other, Encoded) else self.encode_for(other)).rescaled()

    def rotate(self, steps: int) -> Approximate:
        """Slot i gets what was in slot i + steps, around all slots; shape becomes that of all slots."""
        self.require_rotation(steps)
        session = self.session
        error = self.error + session.noise.switch(self.scale, self.level)
        require_fit(session, self.level, self.scale, self.bound, error)
        native = natively(session.native.rotate, self.native, steps, True)
        return self.like(native, bound=self.bound, error=error, shape=(session.slots,))

    def over(self, number: float) -> Approximate:
        """The numbers divided by another, for nothing: the same ciphertext at so many times the scale."""
        native = self.native.copy()
        native.set_scale(self.scale * number)
        return self.like(native, bound=self.bound / number, error=self.error / number, scale=self.scale * number)

    def encode_for(self, values: ArrayLike) -> Encoded:
        """A factor for ciphertexts of this level, encoded at the scale of the prime that `rescaled` drops."""
        return encode(self.session, values, self.level, self.next_prime)

    @property
    def next_prime(self) -> float:
        """The prime that rescaling drops next.

        Raises:
            WouldBeWrong: there is none left.
        """
        if self.level >= self.session.noise.last:
            raise WouldBeWrong(
                f"no level is left for another product; these keys allow {self.session.noise.last} one after another"
            )
        return float(self.session.noise.dropped[self.level])

    def times(self, factor: Encoded) -> Approximate:
        """The product with a plaintext, not yet rescaled, so that sums of products are rescaled once."""
        self.require_same(factor)
        if factor.level != self.level:
            raise WouldBeWrong(f"the factor was encoded for level {factor.level}, the ciphertext is at {self.level}")
        if factor.bound == 0:
            raise WouldBeWrong("a product with zeros is not encrypted any more; leave it out")
        bound, scale = self.bound * factor.bound, self.scale * factor.scale
        error = self.error * (factor.bound + factor.error) + self.bound * factor.error
        require_fit(self.session, self.level, scale, bound, error)
        native = natively(self.session.native.multiply_plain, self.native, factor.native, True)
        return self.like(native, bound=bound, error=error, scale=scale)

    def rescaled(self) -> Approximate:
        """Divided by the next prime, in place: the scale falls, one level is used up. Returns itself."""
        session, level = self.session, self.level + 1
        scale = self.scale / self.next_prime
        error = self.error + session.noise.rescaling(scale)
        require_fit(session, level, scale, self.bound, error)
        natively(session.native.rescale_to_next, self.native)
        self.scale, self.error, self.level = scale, error, level
        return self

    def at(self, level: int, scale: float) -> Approximate:
        """The same numbers at a deeper level and a given scale, by a product with one where the scales differ.

        Raises:
            WouldBeWrong: the level is not deeper, or the scale cannot be reached.
        """
        if level < self.level or level > self.session.noise.last:
            raise WouldBeWrong(f"a ciphertext of level {self.level} cannot be brought to level {level}")
        if _same(self.scale, scale):
            return self._lowered(level)._with_scale(scale)
        if level == self.level:
            raise WouldBeWrong(f"scales {self.scale:g} and {scale:g} differ, and no level is left to even them out")
        made = self._lowered(level - 1)
        factor = scale * made.next_prime / made.scale
        if factor < 2:
            raise WouldBeWrong(f"scale {self.scale:g} cannot be brought to {scale:g}")
        return made.times(encode(self.session, 1.0, made.level, factor)).rescaled()._with_scale(scale)

    def _lowered(self, level: int) -> Approximate:
        require_fit(self.session, level, self.scale, self.bound, self.error)
        native = self.native.copy()
        for _ in range(level - self.level):
            natively(self.session.native.mod_switch_to_next_ctxt, native)
        return self.like(native, bound=self.bound, error=self.error, level=level)

    def _with_scale(self, scale: float) -> Approximate:
        """Of this scale, in place, where the last bit may differ, by which SEAL tells scales apart."""
        self.native.set_scale(scale)
        self.scale = scale
        return self

    def _sum(self, other: Any, operation: Callable[..., Any], plainly: Callable[..., Any]) -> Approximate:
        """What takes longest here is looking things up; a sum itself takes a tenth of a millisecond."""
        session, a, b = self.session, self, other
        if not isinstance(b, Encrypted):
            operation = plainly
            if not isinstance(b, Encoded):
                b = encode(session, b, self.level, self.scale)
        if b.session is not session or b.shape != self.shape:
            self.require_same(b)
        if b.level != self.level or b.scale != self.scale:
            a, b = _aligned(self, b)
        bound, error = a.bound + b.bound, a.error + b.error
        if not a.scale * (bound + 2 * error) < session.noise.half[a.level]:
            require_fit(session, a.level, a.scale, bound, error)
        return a.with_native(natively(operation, a.native, b.native, True), bound, error)

    def _product(self, other: Encrypted) -> Approximate:
        self.require_same(other)
        self.require_products()
        a, b = (self, other) if self.level == other.level else _levelled(self, other)
        session = self.session
        bound, scale = a.bound * b.bound, a.scale * b.scale
        error = a.bound * b.error + b.bound * a.error + a.error * b.error + session.noise.switch(scale, a.level)
        a.next_prime  # noqa: B018 - refuses before anything is computed
        require_fit(session, a.level, scale, bound, error)
        native = natively(session.native.multiply, a.native, b.native, True)
        natively(session.native.relinearize, native)
        return a.like(native, bound=bound, error=error, scale=scale).rescaled()

    def _fits(self, other: Encrypted) -> bool:
        return self.level == other.level and (self.scale == other.scale or _same(self.scale, other.scale))


def encode(session: Session, values: ArrayLike, level: int, scale: float) -> Encoded:
    """A plaintext at a level and scale; a single number fills every slot.

    Raises:
        WouldBeWrong: values are not finite, too many, or too large for the modulus.
    """
    array, bound = checked(values, session, exact=False)
    if array.ndim == 0:
        slots, error = np.full(session.slots, array), session.noise.constant(scale, bound)
    else:
        slots = array.reshape(-1)
        error = session.noise.encoding(scale, bound, slots)
    if not (scale < session.noise.modulus[level] and scale * (bound + 2 * error) < session.noise.half[level]):
        require_fit(session, level, scale, bound, error)
    native = natively(session.encoder(level).encodeFrac, slots, None, scale)
    return Encoded(session, native, level=level, scale=scale, bound=bound, error=error, shape=array.shape)


def encrypt(session: Session, values: ArrayLike, layout: str = "values", bound: float | None = None) -> Approximate:
    """Numbers as a fresh ciphertext. bound: of what may be in it, where that shall tell less than the values do.

    Raises:
        WouldBeWrong: values are not finite, beyond the bound, too many, or too large for the modulus.
    """
    array, largest = checked(values, session, exact=False)
    most, scale = stated(largest, bound), session.scale
    error = session.noise.encryption(scale, most)
    require_fit(session, 0, scale, most, error)
    slots = np.full(session.slots, array) if array.ndim == 0 else array.reshape(-1)
    native = natively(session.native.encryptFrac, slots, None, scale)
    shape = array.shape or (session.slots,)
    return Approximate(session, native, level=0, scale=scale, bound=most, error=error, shape=shape, layout=layout)


def decrypt(ciphertext: Approximate) -> np.ndarray:
    """The numbers, float64 in the ciphertext's shape, each within `ciphertext.error` of what it stands for.

    Their last digits are noise that depends on keys and data, and no further noise is added to hide it: whoever hands
    them on rounds them to `error` first (Li, Micciancio, EUROCRYPT 2021).

    Raises:
        KeyRefused: this session has no secret key.
        WouldBeWrong: a number is beyond the bound that the ciphertext claims, so something went wrong on the way.
    """
    session = ciphertext.session
    require_owner(session)
    slots = within(natively(session.native.decryptFrac, ciphertext.native), ciphertext.bound + ciphertext.error)
    return slots[: math.prod(ciphertext.shape)].reshape(ciphertext.shape)


def dot(ciphertexts: Iterable[Approximate], factors: Iterable[Encoded]) -> Approximate:
    """The sum of products with plaintexts, rescaled once. Both are of one level and scale.

    Raises:
        WouldBeWrong: there is nothing to sum, or as for products and sums.
    """
    pairs = list(zip(ciphertexts, factors, strict=True))
    if not pairs:
        raise WouldBeWrong("a sum of no products has no ciphertext")
    total = pairs[0][0].times(pairs[0][1])
    add, native = total.session.native.add, total.native
    bound, error = total.bound, total.error
    for ciphertext, factor in pairs[1:]:
        product = ciphertext.times(factor)
        if not total._fits(product):
            raise WouldBeWrong("the products have different levels or scales")
        total.require_same(product)
        bound, error = bound + product.bound, error + product.error
        require_fit(total.session, total.level, total.scale, bound, error)
        natively(add, native, product.native)
    return total.like(native, bound=bound, error=error).rescaled()


def inner(left: Iterable[Approximate], right: Iterable[Approximate]) -> Approximate:
    """The sum of products of ciphertexts, relinearized once and not yet rescaled. All products are of one scale.

    Raises:
        WouldBeWrong: there is nothing to sum, or as for products and sums.
        KeyRefused: there is no key for products.
    """
    pairs = list(zip(left, right, strict=True))
    if not pairs:
        raise WouldBeWrong("a sum of no products has no ciphertext")
    first, second = pairs[0]
    session, level, scale = first.session, first.level, first.scale * second.scale
    first.require_products()
    bound, error, native = 0.0, session.noise.switch(scale, level), None
    for a, b in pairs:
        a.require_same(b)
        first.require_same(a)
        if a.level != level or b.level != level or not _same(a.scale * b.scale, scale):
            raise WouldBeWrong("the products have different levels or scales")
        bound += a.bound * b.bound
        error += a.bound * b.error + b.bound * a.error + a.error * b.error
        require_fit(session, level, scale, bound, error)
        product = natively(session.native.multiply, a.native, b.native, True)
        if native is None:
            native = product
        else:
            product.set_scale(native.scale)  # what floating point made a last bit different
            natively(session.native.add, native, product)
    natively(session.native.relinearize, native)
    return first.like(native, bound=bound, error=error, scale=scale)


def blend(ciphertexts: Sequence[Approximate], weights: np.ndarray, scale: float) -> Approximate:
    """In every slot a sum of the ciphertexts' numbers, each with its own weight, not yet rescaled.

    Bound and error grow by the largest sum of absolute weights in a slot: not at all by weights of interpolation, which
    sum to one. `dot`, which knows of each factor only how large it gets anywhere, adds up the worst of all.

    Args:
        ciphertexts: of one level and scale, with all slots in use.
        weights: a row of slots for each ciphertext; rows of zeros are left out.
        scale: that the weights are encoded with.

    Raises:
        WouldBeWrong: weights are not finite or not one row each, all are zero, or as for products and sums.
    """
    used, most = _weighed(ciphertexts, weights)
    first, slots = ciphertexts[used[0]], np.ascontiguousarray(weights, dtype=np.float64)
    session, level = first.session, first.level
    for place in used:
        first.require_same(ciphertexts[place])
        if not first._fits(ciphertexts[place]):
            raise WouldBeWrong("ciphertexts of different levels or scales cannot be summed")
    bound, worst = max(ciphertexts[i].bound for i in used), max(ciphertexts[i].error for i in used)
    rounding = sum(session.noise.encoding(scale, float(np.abs(slots[i]).max()), slots[i]) for i in used)
    error = worst * (most + rounding) + bound * rounding
    require_fit(session, level, first.scale * scale, bound * most, error)
    encode_slots, native = session.encoder(level).encodeFrac, session.native
    total = None
    for place in used:
        factor = natively(encode_slots, slots[place], None, scale)
        product = _product_unless_zero(native, ciphertexts[place].native, factor)
        if product is not None:
            total = product if total is None else natively(native.add, total, product)
    if total is None:
        raise WouldBeWrong("all weights round to zero at this scale, so their sum is not encrypted any more")
    return first.like(total, bound=bound * most, error=error, scale=first.scale * scale)


def _weighed(ciphertexts: Sequence[Approximate], weights: np.ndarray) -> tuple[list[int], float]:
    """Which ciphertexts have a weight at all, and the largest sum of absolute weights in a slot."""
    if not ciphertexts or weights.shape != (len(ciphertexts), ciphertexts[0].session.slots):
        raise WouldBeWrong(f"{len(ciphertexts)} ciphertexts need a row of weights each, over all slots")
    most = float(np.abs(weights).sum(0).max())
    if not math.isfinite(most):
        raise WouldBeWrong("weights are missing or infinite")
    if most == 0:
        raise WouldBeWrong("a product with zeros is not encrypted any more; leave it out")
    return np.flatnonzero(weights.any(1)).tolist(), most


def _product_unless_zero(native: Any, ciphertext: Any, factor: Any) -> Any | None:
    """None where a factor's few small numbers were rounded to zero, which its error accounts for."""
    try:
        return native.multiply_plain(ciphertext, factor, True)
    except RuntimeError as error:
        if "transparent" in str(error):
            return None
        raise WouldBeWrong(f"SEAL refuses: {error}") from None


def require_fit(session: Session, level: int, scale: float, bound: float, error: float) -> None:
    """Refuse what would wrap around the modulus of a level.

    Coefficients of a real vector are at most its largest slot; the error counts twice, for its imaginary part. SEAL
    rescales to scales beyond the modulus, and decrypts nothing of such a scale, however small the numbers are.
    """
    if not scale < session.noise.modulus[level]:
        raise WouldBeWrong(f"scale 2^{math.log2(scale):.0f} is beyond what level {level} has room for")
    if not scale * (bound + 2 * error) < session.noise.half[level]:
        room = session.noise.half[level] / scale
        raise WouldBeWrong(
            f"values of up to {bound:g} (error {error:.1g}) at level {level} and scale 2^{math.log2(scale):.0f} would "
            f"wrap around; there is room for {room:.3g}"
        )


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= _SAME_SCALE * b


def _levelled(a: Approximate, b: Encrypted) -> tuple[Approximate, Approximate]:
    level = max(a.level, b.level)
    return a.at(level, a.scale), b.at(level, b.scale)  # type: ignore[attr-defined]


def _aligned(a: Approximate, b: Any) -> tuple[Approximate, Approximate]:
    """Both at one level and scale: the shallower one comes to the deeper; both go one down if only scales differ."""
    if isinstance(b, Encoded):
        raise WouldBeWrong("this plaintext was encoded for another level or scale")
    if a.level > b.level or (a.level == b.level and _same(b.scale, a.scale)):
        return a, b.at(a.level, a.scale)
    if b.level > a.level:
        return a.at(b.level, b.scale), b
    level = a.level + 1
    if level > a.session.noise.last:
        raise WouldBeWrong(f"scales {a.scale:g} and {b.scale:g} differ, and no level is left to even them out")
    return a.at(level, a.session.scale), b.at(level, a.session.scale)
