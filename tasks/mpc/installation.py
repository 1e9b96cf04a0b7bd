"""Where MP-SPDZ is installed, and what of it is there. The project neither ships nor builds it.

Users install a release (github.com/data61/MP-SPDZ) and set MP_SPDZ_HOME to its folder, unless it is in one of the usual
places. Each protocol is a program of its own there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.common.errors import MissingPart
from tasks.mpc.protocols import PROTOCOLS, Domain, Protocol

_PLACES = ("~/mp-spdz", "~/MP-SPDZ", "/opt/mp-spdz", "/opt/MP-SPDZ", "/usr/local/mp-spdz")
# Our name, and what the compiler calls it; the program is NAME-party.x.
_COMPILER_NAMES = {
    "replicated-ring": "ring", "replicated-field": "rep-field", "malicious-rep-ring": "mal-rep-ring",
}  # fmt: skip


@dataclass(frozen=True)
class Installation:
    """home: the folder with compile.py and the protocols' programs."""

    home: Path

    @property
    def compiler(self) -> Path:
        """The compiler, a Python program."""
        return self.home / "compile.py"

    def protocols(self) -> dict[str, Protocol]:
        """Those whose program is there, by name."""
        return {name: protocol for name, protocol in PROTOCOLS.items() if self.machine(protocol).is_file()}

    def machine(self, protocol: Protocol) -> Path:
        """A protocol's program."""
        return self.home / f"{protocol.name}-party.x"

    def require(self, protocol: Protocol) -> Path:
        """A protocol's program, which is there.

        Raises:
            MissingPart: it is not.
        """
        found = self.machine(protocol)
        if not found.is_file():
            have = ", ".join(self.protocols()) or "none"
            raise MissingPart(f"the MP-SPDZ in {self.home} has no {found.name}; it has {have}")
        return found

    def version(self, protocol: Protocol) -> str:
        """What changes when the compiler or the protocol's program does."""
        files = (self.compiler, self.home / "Compiler" / "types.py", self.machine(protocol))
        return ";".join(f"{path.name}:{stat.st_size}:{stat.st_mtime_ns}" for path in files if (stat := path.stat()))


def compiler_name(protocol: Protocol) -> str:
    """What the compiler's option -E calls a protocol."""
    return _COMPILER_NAMES.get(protocol.name, protocol.name)


def is_ring(protocol: Protocol) -> bool:
    """Whether programs are compiled for a ring."""
    return protocol.domain is Domain.RING


def find(environment: Mapping[str, str] = os.environ) -> Installation:
    """The installation that MP_SPDZ_HOME names, or else the first in a usual place.

    Raises:
        MissingPart: there is none.
    """
    named = environment.get("MP_SPDZ_HOME")
    for place in (named,) if named else _PLACES:
        home = Path(place).expanduser()
        if (home / "compile.py").is_file():
            return Installation(home.resolve())
    where = f"{named} has no compile.py" if named else f"there is none in {', '.join(_PLACES)}"
    raise MissingPart(
        f"MP-SPDZ is not installed: {where}; unpack a release of github.com/data61/MP-SPDZ and set MP_SPDZ_HOME to its "
        "folder, or take the embedded engine"
    )
