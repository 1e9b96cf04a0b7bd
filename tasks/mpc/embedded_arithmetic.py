"""Rescaling and signs of shared numbers at a cost that training and inference can bear.

Raw, MPyC rescales products and compares by random bits that are shared one by one, each with a root modulo a prime.

Rescaling: a random number is made of parts that every set of parties but a minority knows (pseudorandom secret
sharing; Cramer, Damgård, Ishai, TCC 2005). Their low bits add up without a wrap, so that the number's low end is known
in shares as well, and what is opened tells where to cut (Catrina, Saxena, FC 2010, protocol 3.1). The price is that
results are off by up to half as many steps as there are parts, instead of by one.

Signs, among three parties: a number is opened under such a mask, so that it is a sum of three, of which each party
lacks one. Such numbers are added bit by bit, 64 at a time (Araki et al., CCS 2016; Mohassel, Rindal, CCS 2018). Each
conjunction is one message to the next party, masked by what two parties know each.
"""

from __future__ import annotations

import hashlib
import math
from asyncio import Future
from typing import Any

import mpyc.runtime
import numpy as np
from mpyc import asyncoro, thresha

# More parts than this cost more than random bits, and results would be off by more.
_MOST_PARTS = 16
_WORD = 64
_MOST_FRACTION = 40

# A number of which a party holds the two of three parts that the next and the one after it lack.
Held = np.ndarray


class Arithmetic(mpyc.runtime.Runtime):
    """MPyC's runtime for numpy's operations, with faster ones of its own."""

    def np_trunc(self, a: Any, f: int | None = None, l: int | None = None) -> Any:  # noqa: E741 - MPyC's names
        """a / 2**f, off by at most half as many steps as there are parts, and one."""
        if isinstance(a, self.SecureObject) and self._parts <= _MOST_PARTS:
            return self._rescaled(a, f or type(a).frac_length, l or type(a).sectype.bit_length)
        return super().np_trunc(a, f, l)

    def fine(self, most: float, sums: float) -> Any:
        """A type of shared numbers of which `below_zero` takes those up to a magnitude, with 40 bits behind the point
        where these fit. sums: what sums of products may reach before they are rescaled."""
        fraction = min(_MOST_FRACTION, _WORD - 2 - math.ceil(math.log2(most + 1)))
        return self.SecFxp(fraction + math.ceil(math.log2(max(most, sums) + 1)) + 3, fraction)

    def below_zero(self, a: Any, most: float) -> Any:
        """1 where a number is below 0 and 0 elsewhere. most: all are nearer to 0 than this, and by a step."""
        bits = max(2, math.ceil(math.log2(most)) + type(a).frac_length + 1)
        assert bits <= _WORD, "numbers of a type by `fine`"
        return self._sign(a, bits) if len(self.parties) == 3 else self.np_sgn(a, l=bits, LT=True)

    @property
    def _parts(self) -> int:
        return math.comb(len(self.parties), self.threshold)

    @asyncoro.mpc_coro
    async def _rescaled(self, a, f, length):  # type: ignore[no-untyped-def]  # MPyC would take types for its own
        await self.returnType((type(a), a.shape))
        field, count, hidden = type(a).sectype.field, a.size, self.options.sec_param
        low = thresha.np_pseudorandom_share(
            field, len(self.parties), self.pid, self.prfs(1 << f), self._prss_uci(), count
        ).value
        high = self._np_randoms(field, count, 1 << (hidden + length)).value
        values = (await self.gather(a)).value.reshape(count)
        opened = await self.output(field.array(values + low + (1 << (length + f - 1)) + (high << f)))
        cut = field.array(values + low - (opened.value & ((1 << f) - 1))) >> f
        return field.array(cut.value - (self._parts - 1) // 2).reshape(a.shape)

    @asyncoro.mpc_coro
    async def _sign(self, a, bits):  # type: ignore[no-untyped-def]
        await self.returnType((type(a), True, a.shape))
        field, count = type(a).sectype.field, a.size
        uci, prfs = self._prss_uci(), self.prfs(1 << (bits + self.options.sec_param))
        parts = {_lacking(members): prf(uci, (count,)) for members, prf in prfs.items()}
        mask = sum(parts[_lacking(members)] * thresha._f_S_i(field, 3, self.pid, members) for members in prfs)
        values = (await self.gather(a)).value.reshape(count)
        opened = (await self.output(field.array(values + mask + (1 << bits)))).value
        # The number is what was opened without its parts, modulo 2**bits.
        less = {party: -part for party, part in parts.items()}
        if 0 in less:
            less[0] = less[0] + opened
        bit = await self._top_bit({party: _words(part, bits) for party, part in less.items()}, bits)
        return (await self._as_numbers(field, bit)).reshape(a.shape) << type(a).frac_length

    async def _top_bit(self, parts: dict[int, np.ndarray], bits: int) -> Held:
        """The highest bit of the sum of three numbers, of which this party has two."""
        nothing = np.zeros_like(next(iter(parts.values())))

        def held(*wanted: int) -> Held:
            others = ((self.pid + 1) % 3, (self.pid + 2) % 3)
            return np.stack([parts[party] if party in wanted else nothing for party in others])

        carries = (await self._both(held(0, 2), held(1, 2))) ^ held(2)
        one, other = held(0, 1, 2), carries << np.uint64(1)
        passes = differs = one ^ other
        makes, width = await self._both(one, other), 1
        while width < bits - 1:  # Kogge, Stone 1973
            shift = np.uint64(width)
            both = await self._both(
                np.concatenate([passes, passes], axis=1), np.concatenate([makes << shift, passes << shift], axis=1)
            )
            makes, passes = makes ^ both[:, : nothing.size], both[:, nothing.size :]
            width *= 2
        return (differs >> np.uint64(bits - 1) ^ makes >> np.uint64(bits - 2)) & np.uint64(1)

    async def _both(self, one: Held, other: Held) -> Held:
        """The conjunction of two held words."""
        uci = self._prss_uci()
        own = (one[0] & other[0]) ^ (one[0] & other[1]) ^ (one[1] & other[0])
        for key in self._prss_keys.values():
            own ^= np.frombuffer(hashlib.shake_128(key + uci).digest(own.nbytes), np.uint64)
        received = await self._passed_on(own.tobytes())
        return np.stack([np.frombuffer(received, np.uint64), own])

    @asyncoro.mpc_coro
    async def _passed_on(self, message):  # type: ignore[no-untyped-def]
        """What the party before this one sends, while this one sends to the next."""
        await self.returnType(Future)
        self._send_message((self.pid + 1) % 3, message)
        (received,) = await self.gather([self._receive_message((self.pid - 1) % 3)])
        return received

    async def _as_numbers(self, field: Any, bit: Held) -> Any:
        """Shares of a held bit: first of each part, which its two holders know, then of their parity."""
        parts = []
        for party in range(3):
            known = bit[(party - self.pid - 1) % 3].astype(object) if party != self.pid else 0 * bit[0].astype(object)
            members = tuple(each for each in range(3) if each != party)
            factor = thresha._f_S_i(field, 3, self.pid, members) if party != self.pid else 0
            parts.append(field.array(known * factor))
        found = parts[0]
        for part in parts[1:]:
            product = await self._reshare(found * part)
            found = found + part - (product + product)
        return found


def _lacking(members: tuple[int, ...]) -> int:
    """Of three parties, the one that is not among two."""
    return 3 - sum(members)


def _words(numbers: np.ndarray, bits: int) -> np.ndarray:
    """Integers modulo 2**bits in machine words."""
    return (numbers & ((1 << bits) - 1)).astype(np.uint64)
