"""Sums that are worked out otherwise, or where parties do not do their part; a party's process imports this."""

from __future__ import annotations

import asyncio
import functools
import operator
import time
from pathlib import Path
from typing import Any

import numpy as np

from mpc_programs.secure_sum import SecureSum
from tasks.common.errors import InputError

HALFWAY = "halfway"


class Pausing(SecureSum):
    """Parties of `slow` take so many seconds halfway, when all inputs are shared. busy: they do nothing else then."""

    slow: tuple[int, ...]
    pause_seconds: float
    busy: bool = False

    async def jointly(self, mpc: Any, own: dict[str, np.ndarray]) -> dict[str, Any]:
        made = await super().jointly(mpc, own)
        total = await mpc.output(made["total"])
        Path(HALFWAY).touch()  # in the party's folder
        if mpc.pid in self.slow:
            time.sleep(self.pause_seconds) if self.busy else await asyncio.sleep(self.pause_seconds)
        await mpc.output(made["total"])
        return {"total": total}


class Leaking(Pausing):
    """A party's input is opened to everybody."""

    leaked: int

    async def jointly(self, mpc: Any, own: dict[str, np.ndarray]) -> dict[str, Any]:
        opened = await mpc.output(mpc.shared(own["vector"])[self.leaked])
        return {**await super().jointly(mpc, own), "opened": opened}


class Dividing(SecureSum):
    """The weighted mean by a division of shared numbers."""

    async def jointly(self, mpc: Any, own: dict[str, np.ndarray]) -> dict[str, Any]:
        vectors, weights = mpc.shared(own["vector"]), mpc.shared(own["weight"])
        total = functools.reduce(operator.add, (each * by for each, by in zip(vectors, weights, strict=True)))
        weight = functools.reduce(operator.add, weights)
        return {"mean": total / weight, "weight": weight}


class Negative(SecureSum):
    """1 where a sum is below 0, and 0 elsewhere. below: what magnitudes of sums are."""

    below: float

    async def jointly(self, mpc: Any, own: dict[str, np.ndarray]) -> dict[str, Any]:
        return {"total": mpc.below_zero((await super().jointly(mpc, own))["total"], self.below)}


class Squares(SecureSum):
    """A sum times itself."""

    async def jointly(self, mpc: Any, own: dict[str, np.ndarray]) -> dict[str, Any]:
        total = (await super().jointly(mpc, own))["total"]
        return {"total": total * total}


class Failing(SecureSum):
    """A party's own code fails, with its input in the message, before it shares or while numbers are shared."""

    broken: int
    within: bool = False

    async def jointly(self, mpc: Any, own: dict[str, np.ndarray]) -> dict[str, Any]:
        if mpc.pid == self.broken and not self.within:
            raise ValueError(f"cannot take {own['vector'][0]!r}")
        made = await super().jointly(mpc, own)
        if mpc.pid == self.broken:
            await mpc.output(_failing(mpc, made["total"]))
        return made


class Leaving(SecureSum):
    """A party closes its connections, and says a while later why."""

    leaver: int

    async def jointly(self, mpc: Any, own: dict[str, np.ndarray]) -> dict[str, Any]:
        if mpc.pid == self.leaver:
            for peer in mpc.parties:
                if peer.pid != mpc.pid:
                    peer.protocol.transport.abort()
            await asyncio.sleep(0)
            time.sleep(0.5)
            raise InputError("the disk with the column is gone")
        return await super().jointly(mpc, own)


class Lying(SecureSum):
    """A party writes other numbers than the rest."""

    liar: int

    async def jointly(self, mpc: Any, own: dict[str, np.ndarray]) -> dict[str, Any]:
        total = await mpc.output((await super().jointly(mpc, own))["total"])
        return {"total": total + (mpc.pid == self.liar)}


def _failing(mpc: Any, shared: Any) -> Any:
    """A computation on shared numbers that fails inside MPyC, where nobody awaits it."""

    @mpc.coroutine
    async def broken(values):  # MPyC would take an annotation for its own
        await mpc.returnType((type(values), values.integral, values.shape))
        await mpc.gather(values)
        raise ArithmeticError("this names a value: 42.4242")

    return broken(shared)
