"""The contract of an engine: compile a program for a protocol, then run it on inputs that each party keeps to itself.

`compile` may be repeated and gives the same; what it made can be run any number of times, also at once. `run` starts
one process for each party on this machine, gives each its own input and nothing else, and ends them all, whatever
happens, before it returns. Parties on several machines run `mp_spdz.party` each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tasks.common.errors import SecuredError
from tasks.common.values import Value
from tasks.mpc.program import Outputs, Program
from tasks.mpc.protocols import Protocol


class PartyFailed(SecuredError):
    """A party of a secure computation did not do its part."""

    exit_code = 25


class Compiled(Value):
    """A program made ready. digest: of the program, the protocol and the engine's version.

    folder: where it lies, and schedule: its name there; domain_bits: of the ring, or of integers in the field. seconds:
    that compiling took.
    """

    program: str
    protocol: Protocol
    parties: int
    digest: str
    folder: Path
    schedule: str = ""
    domain_bits: int = 0
    seconds: float = 0.0


class Cost(Value):
    """What a run cost. seconds: wall clock from the first party's start to the last one's end; online: of computing.

    rounds: of messages. sent: bytes by party.
    """

    seconds: float
    online: float
    rounds: int | None
    sent: tuple[int, ...]


class Result:
    """What all parties learned, and at what cost. What each party wrote is compared; they all have to agree."""

    def __init__(self, outputs: Outputs, cost: Cost) -> None:
        self.outputs, self.cost = outputs, cost


class Engine(ABC):
    """name: as people call it. It is only made where it is installed."""

    name: str

    @abstractmethod
    def protocols(self) -> dict[str, Protocol]:
        """What this installation has, by name."""

    @abstractmethod
    def compile(self, program: Program, protocol: Protocol) -> Compiled:
        """Make a program ready.

        Raises:
            InputError: the protocol is not for so many parties.
            ParametersError: the format does not hold what the program may reach, or the protocol's domain does not.
            MissingPart: the installation lacks the protocol.
            RunFailed: the compiler refuses the program.
        """

    @abstractmethod
    def run(
        self, program: Program, compiled: Compiled, inputs: Mapping[int, Mapping[str, Any]], deadline: float
    ) -> Result:
        """Compute. inputs: arrays by name, by party. deadline: in seconds, after which every party is ended.

        Raises:
            InputError: inputs are not what the program reads; nothing was started.
            PartyFailed: a party failed, or the deadline passed; the message names it and says why.
        """


def agreed(program: Program, written: list[np.ndarray]) -> Outputs:
    """The outputs that every party wrote, as arrays by name.

    written: of each party, all numbers of all outputs one after the other.

    Raises:
        PartyFailed: a party wrote another number of numbers, or others than party 0.
    """
    shapes = program.outputs()
    wanted = sum(shape.size for shape in shapes.values())
    for party, numbers in enumerate(written):
        if len(numbers) != wanted:
            raise PartyFailed(f"party {party} wrote {len(numbers):,} numbers where {program.name} has {wanted:,}")
        if not np.array_equal(numbers, written[0]):
            raise PartyFailed(f"parties 0 and {party} came to different results; one of them did not do its part")
    found, start = {}, 0
    for name, shape in shapes.items():
        values = written[0][start : start + shape.size].reshape(shape.shape)
        found[name] = values.astype(np.int64) if shape.whole else values
        start += shape.size
    return found
