"""Which protocol: the cheapest of those that are here and protect as the members want to be protected.

Costs are relative, of logistic training with 426 rows of 30 features and 20 steps, three parties on one machine
(seconds online beside those of the cheapest), measured for replicated-ring, shamir, sy-rep-ring and ps-rep-ring. The
others have no measurement yet and stand where their papers put them. They order protocols, no more; what a job costs is
measured when it runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tasks.common.errors import InputError, MissingPart
from tasks.mpc.protocols import PROTOCOLS, Conduct, Majority, Protocol

_COST = {
    "replicated-ring": 1.0, "rep4-ring": 2.0, "replicated-field": 20.0, "sy-rep-ring": 28.0, "semi2k": 40.0,
    "ps-rep-ring": 50.0, "malicious-rep-ring": 60.0, "shamir": 70.0, "mascot": 2000.0,
}  # fmt: skip


@dataclass(frozen=True)
class Trust:
    """What the members say of each other.

    parties: how many compute. majority: HONEST if fewer than half of them would ever work together against the others.
    conduct: SEMI_HONEST if all follow the protocol, however curious they are.
    """

    parties: int
    majority: Majority = Majority.HONEST
    conduct: Conduct = Conduct.SEMI_HONEST


@dataclass(frozen=True)
class Choice:
    """protocol: to take. why: in a sentence. others: that would do as well, cheapest first, and at what price.

    missing: cheaper ones that would do and are not installed.
    """

    protocol: Protocol
    why: str
    others: tuple[tuple[Protocol, str], ...]
    missing: tuple[Protocol, ...]


def choose(trust: Trust, here: Iterable[str]) -> Choice:
    """The cheapest protocol that is here and keeps to what the members trust.

    Raises:
        InputError: no protocol protects so few parties.
        MissingPart: none that does is installed; the message says which would.
    """
    if trust.parties < 2:
        raise InputError("a secure computation has two parties at least")
    fitting = sorted(filter(lambda p: protects(p, trust), PROTOCOLS.values()), key=lambda p: _COST[p.name])
    if not fitting:
        raise InputError(f"no protocol here is for {trust.parties} parties who trust each other so little")
    found = [protocol for protocol in fitting if protocol.name in set(here)]
    if not found:
        wanted = ", ".join(protocol.name for protocol in fitting)
        raise MissingPart(f"what the members ask for is given by {wanted}, and none of these is installed")
    first, *rest = found
    cheaper = tuple(protocol for protocol in fitting[: fitting.index(first)])
    why = f"{first.name}: {first.guarantee}; the cheapest here that does"
    others = tuple((each, f"about {_COST[each.name] / _COST[first.name]:.0f} times the cost") for each in rest)
    return Choice(first, why, others, cheaper)


def protects(protocol: Protocol, trust: Trust) -> bool:
    """Whether a protocol is for so many parties, and holds against what they do not exclude."""
    enough = protocol.fewest <= trust.parties and (protocol.most is None or trust.parties <= protocol.most)
    against_most = trust.majority is Majority.HONEST or protocol.majority is Majority.DISHONEST
    against_cheats = trust.conduct is Conduct.SEMI_HONEST or protocol.conduct is Conduct.MALICIOUS
    return enough and against_most and against_cheats
