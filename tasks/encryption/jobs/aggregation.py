"""The weighted mean of model updates, of which nobody sees one: members encrypt, the evaluator adds, one decrypts.

Each member multiplies its update with its weight, such as its number of rows, and encrypts that and the weight under
the recipient's public key (federated averaging, McMahan et al., AISTATS 2017; under additive encryption Phong et al.,
IEEE TIFS 2018). The sum of the updates by the sum of the weights is the mean. Sums need no depth, so that the smallest
rings do.

CKKS: as many bits of precision as a ring of degree 4,096 has room for beside the members' sum. BFV: updates are rounded
to multiples of 2**-bits by the member, and the mean of these is exact.

Who learns what. The evaluator: how many members and numbers, the bounds. The recipient: the mean and the sum of the
weights; if it is a member itself, also what these are without its own share, so two members at least have to be others.
Members: nothing. Each has to keep to its bounds by itself; a ciphertext of a malicious one is not found out.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from tasks.common.errors import InputError, ParametersError
from tasks.encryption import approximate, exact
from tasks.encryption.ciphertext import Encrypted
from tasks.encryption.job import Messages, Needs
from tasks.encryption.jobs import fitting
from tasks.encryption.jobs.messages import (
    labelled,
    partial,
    require_keys,
    require_known,
    summed,
    take,
    taken,
)  # fmt: skip
from tasks.encryption.jobs.pooled import Contributions, Name, Pooled
from tasks.encryption.parameters import Parameters, Scheme
from tasks.encryption.session import Session

# The prime of the data in a ring of degree 4,096 that leaves room for the one that switches keys.
_PRIME_BITS = 54
# Bits of it that sums may take, so that 30 are left for the scale.
_MOST_ROOM = 24


class Aggregation(Pooled):
    """Weighted mean of the members' updates.

    length: numbers in an update. bound: of their absolute values; members clip to it, see `clipped`. most_weight: of a
    member, who weighs 1 at least. bits: BFV rounds numbers to multiples of 2**-bits.

    Data are arrays (length + 1,) by member, the weight last, or one of (members, length + 1). Results by name: mean,
    float64 (length,), and weight, int, the sum of all; in BFV also units, int64 (length,), the exact sums of weight
    times number in units of 2**-bits.
    """

    kind: Literal["aggregation"] = "aggregation"
    contributors: Annotated[tuple[Name, ...], Field(min_length=2)]
    length: Annotated[int, Field(ge=1)]
    bound: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    most_weight: Annotated[int, Field(ge=1, le=2**30)] = 1
    scheme: Literal[Scheme.CKKS, Scheme.BFV] = Scheme.CKKS
    bits: Annotated[int, Field(ge=0, le=40)] = 20

    def needs(self) -> Needs:
        return Needs(parameters=self._parameters)

    def contributed(self, session: Session, contributor: str, data: np.ndarray) -> dict[str, Encrypted]:
        require_keys(self, session)
        entries, made = self._entries(data), {}
        scheme: Any = exact if self._exact else approximate
        slots = session.slots
        for block in range(self._blocks):
            values = np.zeros(slots, dtype=entries.dtype)
            chosen = entries[block * slots : (block + 1) * slots]
            values[: len(chosen)] = chosen
            name = _name(contributor, block)
            made[name] = labelled(self, name, scheme.encrypt(session, values, bound=self._most_entry))
        return made

    def evaluate(self, evaluator: Session, messages: Messages) -> dict[str, Encrypted]:
        require_keys(self, evaluator)
        names = require_known(
            messages, [_name(name, block) for name in self.contributors for block in range(self._blocks)]
        )
        made: dict[str, Encrypted] = {}
        for block in sorted({_block(name) for name in names}):
            there = [name for name in names if _block(name) == block]
            total = take(self, messages, there[0])
            for name in there[1:]:
                total = total + take(self, messages, name)
            made[_sum(block)] = partial(self, _sum(block), there, total)
        return made

    def combine(self, evaluator: Session, made: list[dict[str, Encrypted]]) -> dict[str, Encrypted]:
        require_keys(self, evaluator)
        combined: dict[str, Encrypted] = {}
        for block in range(self._blocks):
            total = summed(self, _sum(block), made, [_name(name, block) for name in self.contributors])
            combined[_sum(block)] = labelled(self, _sum(block), total)
        return combined

    def decrypt(self, owner: Session, messages: Messages) -> dict[str, Any]:
        require_keys(self, owner)
        answers = taken(self, messages, [_sum(block) for block in range(self._blocks)])
        scheme: Any = exact if self._exact else approximate
        return self._results(np.concatenate([scheme.decrypt(each) for each in answers])[: self.length + 1])

    def plainly(self, data: Contributions) -> dict[str, Any]:
        entries = [self._entries(update) for update in self.by_contributor(data).values()]
        return self._results(np.sum(entries, axis=0))

    def parts(self, names: list[str]) -> list[list[str]]:
        blocks = sorted({_block(name) for name in names})
        together = max(1, 64 // len(self.contributors))
        groups = [set(blocks[start : start + together]) for start in range(0, len(blocks), together)]
        return [[name for name in names if _block(name) in group] for group in groups]

    def stated_error(self, messages: Messages) -> float:
        """Of the mean, however little the members weigh: each of them weighs 1 at least."""
        return super().stated_error(messages) * self.most_weight / len(self.contributors)

    def clipped(self, update: np.ndarray) -> np.ndarray:
        """An update with its numbers cut off at the bound."""
        return np.clip(update, -self.bound, self.bound)

    @property
    def _exact(self) -> bool:
        return self.scheme is Scheme.BFV

    @property
    def _most_entry(self) -> float:
        """Of a number times its weight, and of a weight, as they are encrypted."""
        if self._exact:
            return self.most_weight * max(1, math.ceil(self.bound * 2**self.bits))
        return max(1.0, self.bound)

    @property
    def _parameters(self) -> Parameters:
        return _parameters(len(self.contributors), self._most_entry, self.scheme)

    @property
    def _blocks(self) -> int:
        return math.ceil((self.length + 1) / self._parameters.slots)

    def by_contributor(self, data: Contributions) -> dict[str, np.ndarray]:
        """As for all pooled jobs; one array may also have a row for each of them."""
        if isinstance(data, np.ndarray) and data.shape == (len(self.contributors), self.length + 1):
            data = dict(zip(self.contributors, data, strict=True))
        return super().by_contributor(data)

    def _entries(self, update: np.ndarray) -> np.ndarray:
        """Numbers times weight, and the weight, as they are encrypted."""
        update = np.asarray(update, dtype=np.float64)
        if update.shape != (self.length + 1,):
            raise InputError(f"an update has {self.length:,} numbers and its weight, not the shape {update.shape}")
        if missing := int((~np.isfinite(update)).sum()):
            raise InputError(f"{missing:,} numbers of the update are missing or infinite")
        values, weight = update[:-1], float(update[-1])
        if not 1 <= weight <= self.most_weight or weight != int(weight):
            raise InputError(f"a member's weight is a whole number of 1 to {self.most_weight:,}")
        if beyond := int((np.abs(values) > self.bound).sum()):
            raise InputError(f"{beyond:,} numbers of the update are beyond ±{self.bound:g}; clip them")
        if self._exact:
            rounded = np.rint(values * 2.0**self.bits).astype(np.int64)
            return np.append(rounded, 1) * int(weight)
        return np.append(values, 1.0) * (weight / self.most_weight)

    def _results(self, sums: np.ndarray) -> dict[str, Any]:
        if self._exact:
            weight = int(sums[-1])
            mean = np.array([float(Fraction(int(each), weight << self.bits)) for each in sums[:-1]])
            return {"mean": mean, "weight": weight, "units": sums[:-1]}
        # Weights are whole, and the error is far below a half.
        weight = round(float(sums[-1]) * self.most_weight)
        return {"mean": sums[:-1] * (self.most_weight / max(1, weight)), "weight": weight}


@functools.lru_cache(maxsize=16)
def _parameters(members: int, most_entry: float, scheme: Scheme) -> Parameters:
    if scheme is Scheme.BFV:
        return fitting.exact(scheme, lambda _: int(members * most_entry), lambda noise: noise.encryption() * members)
    room = math.ceil(math.log2(4 * members * most_entry))
    if room > _MOST_ROOM:
        raise ParametersError(
            f"{members:,} updates of up to {most_entry:g} leave too little precision; clip or scale them to less"
        )
    return fitting.approximate(levels=0, scale_bits=_PRIME_BITS - room, bound=members * most_entry)


def _name(member: str, block: int) -> str:
    return f"{member}.{block:06d}"


def _block(name: str) -> int:
    return int(name.rsplit(".", 1)[1])


def _sum(block: int) -> str:
    return f"sum{block:06d}"
