"""Protocols by what they guarantee. An engine says which of them its installation has.

A protocol protects inputs as long as no more parties work together against the others than it tolerates. Semi-honest
ones trust every party to follow the protocol; malicious ones notice if one does not, and stop.

Sources: Araki et al., CCS 2016 (replicated secret sharing); Chida et al., CRYPTO 2018, and Dalskov, Escudero, Keller,
USENIX Security 2021 (malicious, and four parties); Cramer, Damgård, Maurer, EUROCRYPT 2000 (Shamir); Cramer et al.,
CRYPTO 2018, and Keller, Orsini, Scholl, CCS 2016 (dishonest majorities).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from tasks.common.errors import InputError
from tasks.common.values import Value


class Majority(StrEnum):
    """How many parties may work together against the others."""

    HONEST = "honest"  # fewer than half
    DISHONEST = "dishonest"  # all but one


class Conduct(StrEnum):
    """What is trusted of parties who would like to know more."""

    SEMI_HONEST = "semi-honest"  # they follow the protocol
    MALICIOUS = "malicious"  # they may do anything; others notice and stop


class Domain(StrEnum):
    """What shared numbers are."""

    RING = "ring"  # modulo a power of two
    FIELD = "field"  # modulo a prime


class Protocol(Value):
    """parties: the fewest and the most; None for any number. corrupt: how many of the fewest may work together."""

    name: str
    fewest: int
    most: int | None
    majority: Majority
    conduct: Conduct
    domain: Domain

    def corrupt(self, parties: int) -> int:
        """How many of so many parties may work together without learning anything.

        Raises:
            InputError: the protocol is not for so many.
        """
        self.require(parties)
        if self.majority is Majority.DISHONEST:
            return parties - 1
        return 1 if self.most == self.fewest else (parties - 1) // 2

    def require(self, parties: int) -> None:
        """Refuse a number of parties that the protocol is not for.

        Raises:
            InputError: it is not.
        """
        if parties < self.fewest or (self.most is not None and parties > self.most):
            wanted = f"{self.fewest}" if self.most == self.fewest else f"{self.fewest} or more"
            raise InputError(f"{self.name} is for {wanted} parties, not {parties}")

    @property
    def guarantee(self) -> str:
        """In words, for people who decide whether to take part."""
        alone = "any party but yours" if self.majority is Majority.DISHONEST else "a minority of parties"
        trust = "follow the protocol" if self.conduct is Conduct.SEMI_HONEST else "do whatever they like"
        return f"inputs stay secret even if {alone} pool what they see and {trust}"


def _three(name: str, conduct: Conduct, domain: Domain) -> Protocol:
    return Protocol(name=name, fewest=3, most=3, majority=Majority.HONEST, conduct=conduct, domain=domain)


PROTOCOLS: Final[dict[str, Protocol]] = {
    protocol.name: protocol
    for protocol in (
        _three("replicated-ring", Conduct.SEMI_HONEST, Domain.RING),
        _three("replicated-field", Conduct.SEMI_HONEST, Domain.FIELD),
        Protocol(
            name="shamir", fewest=3, most=None, majority=Majority.HONEST, conduct=Conduct.SEMI_HONEST,
            domain=Domain.FIELD,
        ),
        _three("sy-rep-ring", Conduct.MALICIOUS, Domain.RING),
        _three("ps-rep-ring", Conduct.MALICIOUS, Domain.RING),
        _three("malicious-rep-ring", Conduct.MALICIOUS, Domain.RING),
        Protocol(
            name="rep4-ring", fewest=4, most=4, majority=Majority.HONEST, conduct=Conduct.MALICIOUS, domain=Domain.RING
        ),
        Protocol(
            name="semi2k", fewest=2, most=None, majority=Majority.DISHONEST, conduct=Conduct.SEMI_HONEST,
            domain=Domain.RING,
        ),
        Protocol(
            name="mascot", fewest=2, most=None, majority=Majority.DISHONEST, conduct=Conduct.MALICIOUS,
            domain=Domain.FIELD,
        ),
    )
}  # fmt: skip


def named(name: str) -> Protocol:
    """The protocol of a name.

    Raises:
        InputError: there is none.
    """
    if name not in PROTOCOLS:
        raise InputError(f"there is no protocol {name!r}; there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
