"""What a secure computation is: sizes and ranges, known to everybody, and what it would give in the clear.

A program stands in `mpc_programs/` three times: as NAME.mpc for MP-SPDZ, and in NAME.py as a description with its
plaintext reference and its counterpart for the embedded engine. All three take the same inputs by party and give the
same outputs by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from tasks.common.errors import InputError
from tasks.common.values import Value, content_hash
from tasks.mpc.formats import FixedPoint, Shape

# Arrays by name, of each party by number.
Given = Mapping[int, Mapping[str, np.ndarray]]
Outputs = dict[str, np.ndarray]

SOURCES = Path(__file__).resolve().parents[2] / "mpc_programs"


class Program(Value, ABC):
    """One computation. Fields are what is public: how many parties, sizes, ranges, options.

    leakage: what outputs tell besides themselves, in words. Every party learns all outputs.
    """

    parties: Annotated[int, Field(ge=2, le=16)]
    format: FixedPoint = FixedPoint()

    @property
    @abstractmethod
    def name(self) -> str:
        """Of its files in `mpc_programs/`."""

    @abstractmethod
    def inputs(self, party: int) -> dict[str, Shape]:
        """What a party brings, in the order in which it is read."""

    @abstractmethod
    def outputs(self) -> dict[str, Shape]:
        """What all parties learn, in the order in which it is written."""

    @abstractmethod
    def error(self) -> float:
        """How far a number of the outputs may be from `plainly`; 0 for integers."""

    @abstractmethod
    def largest(self) -> float:
        """What intermediate results may reach, which the format has to hold."""

    @abstractmethod
    def plainly(self, given: Given) -> Outputs:
        """The same in the clear."""

    @abstractmethod
    async def jointly(self, mpc: Any, own: dict[str, np.ndarray]) -> dict[str, Any]:
        """The same as one party of the embedded engine, which has its own inputs. Returns outputs by name.

        mpc: MPyC's runtime for numpy's operations on shared arrays, with `mpc.shared(array)` to share everybody's array
        of one shape. What a party can work out from its own inputs alone it does before it shares. Outputs are shared
        arrays, which then are opened, or numpy's where they follow from what was opened as an output.
        """

    @abstractmethod
    def settings(self) -> dict[str, int]:
        """What NAME.mpc is compiled with, besides the number of parties and the format."""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits: of the program's fields and source, and what that is compiled with."""
        source = self.source.read_text(encoding="utf-8")
        return content_hash([self.name, self.model_dump(mode="json"), self.settings(), source])[:16]

    @property
    def source(self) -> Path:
        """NAME.mpc."""
        return SOURCES / f"{self.name}.mpc"

    def checked(self, given: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, np.ndarray]]:
        """All inputs as the program wants them, before any party starts.

        Raises:
            InputError: a party is missing, or brings something else than the program reads.
            ParametersError: the format does not hold what the program may reach.
        """
        self.format.require(self.largest(), f"{self.name}: a result on the way")
        if set(given) != set(range(self.parties)):
            raise InputError(f"{self.name} is for parties 0 to {self.parties - 1}; inputs are of {sorted(given)}")
        return {party: self.checked_of(party, given[party]) for party in range(self.parties)}

    def checked_of(self, party: int, given: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """One party's inputs; each party checks its own.

        Raises:
            InputError: as in `checked`.
        """
        wanted = self.inputs(party)
        if surplus := sorted(set(given) - set(wanted)):
            raise InputError(f"party {party} brings {', '.join(surplus)}, which {self.name} does not read")
        if missing := sorted(set(wanted) - set(given)):
            raise InputError(f"party {party} has to bring {', '.join(missing)}")
        return {name: shape.checked(given[name], name, f"party {party}") for name, shape in wanted.items()}
