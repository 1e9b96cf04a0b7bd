"""BFV and BGV: integers, exact or refused (Fan, Vercauteren 2012/144; Brakerski, Gentry, Vaikuntanathan 2011/277).

Values are numbers modulo a prime; the guard follows how large they may be, so that nothing wraps around it. In BGV each
product drops one prime, which keeps noise small.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tasks.common.errors import WouldBeWrong
from tasks.encryption.ciphertext import Encoded, Encrypted, checked, natively, require_owner, stated, within
from tasks.encryption.noise import balance
from tasks.encryption.parameters import Scheme
from tasks.encryption.session import Session

# Noise may be a half; a bit is left for what the model does not know.
MOST_NOISE = 0.25


class Exact(Encrypted):
    """Integers in BFV or BGV; what decrypts is exact. `error` is noise as a share of the modulus."""

    __slots__ = ()

    def __add__(self, other: Encrypted | Encoded | ArrayLike) -> Exact:
        return self._sum(other, self.session.native.add, self.session.native.add_plain)

    def __sub__(self, other: Encrypted | Encoded | ArrayLike) -> Exact:
        return self._sum(other, self.session.native.sub, self.session.native.sub_plain)

    def __neg__(self) -> Exact:
        return self.with_native(natively(self.session.native.negate, self.native, True), self.bound, self.error)

    def __mul__(self, other: Encrypted | Encoded | ArrayLike) -> Exact:
        if isinstance(other, Encrypted):
            return self._product(other)
        if isinstance(other, Encoded):
            return self._times(other)
        values = np.asarray(other)
        if not self.session.levelled and values.ndim == 0 and values.dtype.kind in "if" and values < 0:
            return -self._times(encode(self.session, -values))  # a small factor, see `Encoded.growth`
        return self._times(encode(self.session, values))

    def _times(self, factor: Encoded) -> Exact:
        self.require_same(factor)
        if factor.bound == 0:
            raise WouldBeWrong("a product with zeros is not encrypted any more; leave it out")
        bound, noise = self.bound * factor.bound, self.error * factor.growth
        require_fit(self.session, bound, noise)
        native = natively(self.session.native.multiply_plain, self.native, factor.native, True)
        return self.like(native, bound=bound, error=noise)

    def rotate(self, steps: int) -> Exact:
        """Slot i of each of the two rows gets what was in slot i + steps of it; shape becomes that of all slots."""
        self.require_rotation(steps)
        return self._moved(self.session.native.rotate, self.native, steps, True)

    def flip(self) -> Exact:
        """The two rows of slots change places (BFV only); its key is that of the rotation by 0."""
        if self.session.parameters.scheme is not Scheme.BFV:
            raise WouldBeWrong("rows change places in BFV only")
        self.require_rotation(0)
        return self._moved(self.session.native.flip, self.native, True)

    def encode_for(self, values: ArrayLike) -> Encoded:
        """A plaintext for ciphertexts of any level."""
        return encode(self.session, values)

    def dropped(self) -> Exact:
        """BGV: one prime less, and with it most of the noise that is above rounding.

        Raises:
            WouldBeWrong: no prime is left.
        """
        session = self.session
        if self.level >= session.noise.last:
            raise WouldBeWrong(f"no level is left; these keys have {session.noise.last}")
        noise = session.noise.dropping(self.error, self.level)
        require_fit(session, self.bound, noise)
        native = natively(session.native.mod_switch_to_next_ctxt, self.native, True)
        plain = session.parameters.plain_modulus
        factor = int(self.scale) * pow(session.noise.dropped[self.level], -1, plain) % plain
        return self.like(native, bound=self.bound, error=noise, level=self.level + 1, scale=factor)

    def _moved(self, operation: Any, *given: Any) -> Exact:
        noise = self.error + self.session.noise.switch(self.level)
        require_fit(self.session, self.bound, noise)
        return self.like(natively(operation, *given), bound=self.bound, error=noise, shape=(self.session.slots,))

    def _sum(self, other: Any, operation: Callable[..., Any], plainly: Callable[..., Any]) -> Exact:
        session, a, b, scale = self.session, self, other, self.scale
        if not isinstance(other, Encrypted):
            b, operation = other if isinstance(other, Encoded) else encode(session, other), plainly
            self.require_same(b)
            noise = self.error + session.noise.adding_plain(self.level)
        elif other.session is session and other.level == self.level and other.scale == scale:
            if other.shape != self.shape:
                self.require_same(other)
            noise = self.error + other.error
        else:
            a, b, scale, noise = self._evened(other)
        bound = a.bound + b.bound
        if not (bound <= session.most and noise < MOST_NOISE):
            require_fit(session, bound, noise)
        made: Exact = a.with_native(natively(operation, a.native, b.native, True), bound, noise)
        made.scale = scale
        return made

    def _evened(self, other: Encrypted) -> tuple[Exact, Exact, float, float]:
        """BGV: both at one level, and what SEAL evens out correction factors with: the common one, and the noise."""
        self.require_same(other)
        a, b = _levelled(self, other)
        if a.scale == b.scale:
            return a, b, a.scale, a.error + b.error
        common, first, second = balance(int(a.scale), int(b.scale), self.session.parameters.plain_modulus)
        return a, b, common, a.error * first + b.error * second

    def _product(self, other: Encrypted) -> Exact:
        self.require_same(other)
        self.require_products()
        session, noise_of = self.session, self.session.noise
        a, b = _levelled(self, other)
        bound, scale = a.bound * b.bound, a.scale
        if session.levelled:
            noise = noise_of.levelled_product(a.error, b.error, a.level)
            scale = int(a.scale) * int(b.scale) % session.parameters.plain_modulus
        else:
            noise = noise_of.invariant_product(a.error, b.error)
        require_fit(session, bound, noise)
        native = natively(session.native.multiply, a.native, b.native, True)
        natively(session.native.relinearize, native)
        made: Exact = a.like(native, bound=bound, error=noise, scale=scale)
        return made.dropped() if session.levelled and made.level < noise_of.last else made


def encode(session: Session, values: ArrayLike) -> Encoded:
    """Integers as a plaintext; a single one fills every slot.

    Raises:
        WouldBeWrong: they are no integers, too many, or beyond half of the plain modulus.
    """
    array, bound = checked(values, session, exact=True)
    require_fit(session, bound, 0.0)
    slots = np.full(session.slots, array) if array.ndim == 0 else array.reshape(-1)
    native = natively(_encoder(session), slots)
    return Encoded(
        session, native, level=0, scale=1, bound=bound, error=0.0, shape=array.shape
    )  # fmt: skip


def encrypt(session: Session, values: ArrayLike, layout: str = "values", bound: float | None = None) -> Exact:
    """Integers as a fresh ciphertext. bound: of what may be in it, where that shall tell less than the values do.

    Raises:
        WouldBeWrong: they are no integers, beyond the bound, too many, or beyond half of the plain modulus.
    """
    array, largest = checked(values, session, exact=True)
    most, noise = int(stated(largest, bound)), session.noise.encryption()
    require_fit(session, most, noise)
    slots = np.full(session.slots, array) if array.ndim == 0 else array.reshape(-1)
    native = natively(session.native.encryptBGV if session.levelled else session.native.encryptInt, slots)
    shape = array.shape or (session.slots,)
    return Exact(session, native, level=0, scale=1, bound=most, error=noise, shape=shape, layout=layout)


def decrypt(ciphertext: Exact) -> np.ndarray:
    """The integers, int64 in the ciphertext's shape.

    Raises:
        KeyRefused: this session has no secret key.
        WouldBeWrong: noise has eaten them, or one is beyond the bound that the ciphertext claims.
    """
    session = ciphertext.session
    require_owner(session)
    if not (session.levelled or _telling(session, ciphertext.bound)) and not session.native.noise_level(
        ciphertext.native
    ):
        raise WouldBeWrong("no noise budget is left in this ciphertext; what it decrypts to would be random")
    open_ = session.native.decryptBGV if session.levelled else session.native.decryptInt
    slots = within(natively(open_, ciphertext.native), ciphertext.bound)
    return slots[: math.prod(ciphertext.shape)].reshape(ciphertext.shape)


def _telling(session: Session, bound: float) -> bool:
    """Whether the bound alone tells numbers from what noise makes of them: random ones, but for a chance of 2**-64."""
    return session.slots * math.log2((2 * session.most + 1) / (2 * bound + 1)) >= 64


def require_fit(session: Session, bound: float, noise: float) -> None:
    """Refuse what would wrap around the plain modulus, or drown in noise."""
    most = session.most
    if not bound <= most:
        raise WouldBeWrong(f"integers of up to {bound:,.0f} would wrap around; there is room for {most:,.0f}")
    if not noise < MOST_NOISE:
        raise WouldBeWrong(
            "the noise of one more operation would destroy the result; these keys are made for a shallower job"
        )


def _levelled(a: Exact, b: Any) -> tuple[Exact, Exact]:
    while a.level < b.level:
        a = a.dropped()
    while b.level < a.level:
        b = b.dropped()
    return a, b


def _encoder(session: Session) -> Any:
    return session.native.encodeBGV if session.levelled else session.native.encodeInt
