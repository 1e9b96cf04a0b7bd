"""A circuit carried out: rehearsed for the advisor, or with real keys for the dry run and the benchmark.

Both go through the same steps in the same order, so that what was predicted and what is measured are the same thing.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

import numpy as np
from typing_extensions import override

from tasks.common.seeds import generator
from tasks.encryption import approximate, envelope, exact
from tasks.encryption.advising.circuit import Circuit, Data, Kit
from tasks.encryption.advising.rehearsal import Counts, Numbers, rehearsing
from tasks.encryption.ciphertext import Encrypted
from tasks.encryption.session import Session

Effort = TypeVar("Effort", float, Counts)


class Stage(StrEnum):
    """What is done by whom. The first three are done for each term, the last two for each group."""

    ENCRYPT = "encrypt"  # owner
    PART = "part"  # evaluator
    DECRYPT_KEPT = "decrypt kept"  # owner
    ADD = "add"  # evaluator, between terms
    MODEL = "model"  # whose model it is, once: encrypts it
    CARRY = "carry"  # what lies between: envelopes
    FINISH = "finish"  # evaluator
    DECRYPT = "decrypt"  # owner


@dataclass
class Trial(Generic[Effort]):
    """What came of it.

    errors: the largest absolute error of each group. bound, stated: of what is decrypted, largest bound on values and
    on errors that the guard states, in the ciphertexts' own unit. efforts: of the first group, which also encodes the
    model, and of the others together. sent, kept, returned: bytes of ciphertexts of one term, and of one group.
    """

    groups: int
    terms: int
    errors: list[float] = field(default_factory=list)
    bound: float = 0.0
    stated: float = 0.0
    first: dict[Stage, Effort] = field(default_factory=dict)
    others: dict[Stage, Effort] = field(default_factory=dict)
    sent: int = 0
    kept: int = 0
    returned: int = 0

    @property
    def error(self) -> float:
        """The typical largest error: root of the mean square over groups."""
        return float(np.sqrt(np.mean(np.square(self.errors))))

    def scaled(self, stage: Stage, seconds: Callable[[Any], float], groups: int, terms: int) -> float:
        """What a stage takes for so many groups and terms, from those that were done."""
        if stage in {Stage.ENCRYPT, Stage.PART, Stage.DECRYPT_KEPT}:
            times = terms / self.terms
        else:
            times = (terms - 1) / max(1, self.terms - 1) if stage is Stage.ADD else 1.0
        once = seconds(self.first[stage]) if stage in self.first else 0.0
        again = seconds(self.others[stage]) / (self.groups - 1) if stage in self.others else 0.0
        return times * (once + again * (groups - 1))


class Site(ABC, Generic[Effort]):
    """Where circuits are carried out: two sessions, what lies between them, and what it takes."""

    def __init__(self, owner: Session, evaluator: Session) -> None:
        self.owner, self.evaluator = owner, evaluator
        self._stages: list[tuple[dict[Stage, Effort], Stage]] = []

    @abstractmethod
    def deliver(self, to: Session, ciphertexts: list[Encrypted]) -> tuple[list[Encrypted], int]:
        """The same ciphertexts in the other session, and their bytes."""

    @abstractmethod
    def taken(self) -> Effort:
        """What was done since this was last asked."""

    def more(self, totals: list[Encrypted], done: int, left_out: int) -> list[Encrypted]:
        """Totals of so many terms as if further ones of zeros had been added; only a rehearsal can do that."""
        assert done and left_out == 0, "only a rehearsal can leave terms out and put their noise in"
        return totals

    @contextlib.contextmanager
    def effort(self, into: dict[Stage, Effort], stage: Stage) -> Iterator[None]:
        """Add what the block takes to a stage, but for what a block inside it adds to another."""
        self._note()
        self._stages.append((into, stage))
        try:
            yield
        finally:
            self._note()
            self._stages.pop()

    def encrypted(self, values: np.ndarray, bound: float) -> Encrypted:
        """By the owner."""
        if self.owner.approximate:
            return approximate.encrypt(self.owner, values, "slots", bound)
        return exact.encrypt(self.owner, values, "slots", bound)

    def decrypted(self, ciphertext: Encrypted) -> np.ndarray:
        """By the owner."""
        return approximate.decrypt(ciphertext) if self.owner.approximate else exact.decrypt(ciphertext)  # type: ignore[arg-type]

    def _note(self) -> None:
        done = self.taken()
        if self._stages:
            into, stage = self._stages[-1]
            into[stage] = into[stage] + done if stage in into else done


class Rehearsed(Site[Counts]):
    """Without keys: one session of stand-ins, and operations that are counted."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, session)
        self._data = len(session.parameters.moduli_bits) - 1

    @override
    def deliver(self, to: Session, ciphertexts: list[Encrypted]) -> tuple[list[Encrypted], int]:
        degree = self.owner.parameters.degree
        return ciphertexts, sum(16 * degree * (self._data - c.level) for c in ciphertexts)

    @override
    def taken(self) -> Counts:
        counts: Counts = rehearsing(self.owner).taken()
        return counts

    @override
    def more(self, totals: list[Encrypted], done: int, left_out: int) -> list[Encrypted]:
        random, share = np.random.default_rng(left_out), left_out / done
        made = []
        for total in totals if left_out else []:
            noise = total.native.noise * random.choice([-1.0, 1.0], self.owner.slots) * share**0.5
            native = Numbers(total.native.values, total.native.noise + noise, total.level, total.native.scale)
            made.append(total.like(native, bound=total.bound * (1 + share), error=total.error * (1 + share)))
        return made or totals


class Real(Site[float]):
    """With keys: an owner's and an evaluator's session that share envelopes, and processor time in seconds."""

    _last = 0.0

    @override
    def deliver(self, to: Session, ciphertexts: list[Encrypted]) -> tuple[list[Encrypted], int]:
        packed = [envelope.pack(ciphertext) for ciphertext in ciphertexts]
        return [envelope.unpack(to, content) for content in packed], sum(map(len, packed))

    @override
    def taken(self) -> float:
        now = time.process_time()
        done, self._last = now - self._last, now
        return done


def run(
    circuit: Circuit, site: Site[Effort], *, groups: int, terms: int, seed: int = 0, whole: bool = False, spare: int = 0
) -> Trial[Effort]:  # fmt: skip
    """Carry a circuit out on random data and compare with the plain result.

    groups, terms: how many of the circuit's are done. whole: whether the noise of the terms that are left out is put
    in, which only a rehearsal can. spare: further products that what comes out shall have room for.

    Raises:
        WouldBeWrong: the guard refuses.
    """
    trial: Trial[Effort] = Trial(groups, terms)
    random = generator(seed, "trial", type(circuit).__name__)
    kit = Kit(site.evaluator, lambda values, bound: _of_model(site, trial, values, bound))
    for group in range(groups):
        made = _one_group(circuit, site, kit, trial, random, group, circuit.terms - terms if whole else 0)
    for _ in range(spare):
        made = made.like(made.native, bound=1, error=made.error)
        made = made * made
    return trial


def _one_group(
    circuit: Circuit, site: Site[Effort], kit: Kit, trial: Trial[Effort], random: np.random.Generator, group: int,
    left_out: int,
) -> Encrypted:  # fmt: skip
    effort = trial.others if group else trial.first
    kept: list[list[np.ndarray]] = []
    totals: list[Encrypted] = []
    data: list[Data] = []
    own: list[Encrypted] = []
    for term in range(trial.terms):
        data.append(circuit.draw(random, group, term))
        packed = circuit.pack(data[-1])
        with site.effort(effort, Stage.ENCRYPT):
            inputs = [site.encrypted(values, bound) for values, bound in packed]
        inputs, trial.sent = site.deliver(site.evaluator, inputs)
        with site.effort(effort, Stage.PART):
            own, parts = circuit.part(kit, term, inputs)
        with site.effort(effort, Stage.ADD):
            totals = [a + b for a, b in zip(totals, parts, strict=True)] if term else parts
        slots, trial.kept = _opened(site, trial, own, effort, Stage.DECRYPT_KEPT)
        kept.append(slots)
    totals = site.more(totals, trial.terms, left_out)
    with site.effort(effort, Stage.FINISH):
        finished: list[Encrypted] = circuit.finish(kit, totals)
    slots, trial.returned = _opened(site, trial, finished, effort, Stage.DECRYPT)
    got, want = circuit.read(kept, slots), circuit.plainly(data)
    assert got.shape == want.shape, f"{type(circuit).__name__} reads {got.shape}, the plain result is {want.shape}"
    trial.errors.append(float(np.abs(got - want).max()))
    return [*own, *finished][-1]


def _of_model(site: Site[Effort], trial: Trial[Effort], values: np.ndarray, bound: float) -> Encrypted:
    with site.effort(trial.first, Stage.MODEL):
        made = site.encrypted(values, bound)
    with site.effort(trial.first, Stage.CARRY):
        return site.deliver(site.evaluator, [made])[0][0]


def _opened(
    site: Site[Effort], trial: Trial[Effort], ciphertexts: list[Encrypted], effort: dict[Stage, Effort], stage: Stage
) -> tuple[list[np.ndarray], int]:
    delivered, size = site.deliver(site.owner, ciphertexts)
    for ciphertext in delivered:
        trial.bound, trial.stated = max(trial.bound, ciphertext.bound), max(trial.stated, ciphertext.error)
    with site.effort(effort, stage):
        return [site.decrypted(ciphertext) for ciphertext in delivered], size
