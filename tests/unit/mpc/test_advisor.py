"""The protocol that is chosen protects as the members ask, and is the cheapest that does."""

from __future__ import annotations

import itertools

import pytest

from tasks.common.errors import InputError, MissingPart
from tasks.mpc.advisor import Trust, choose, protects
from tasks.mpc.protocols import PROTOCOLS, Conduct, Majority


@pytest.mark.parametrize(
    ("trust", "wanted"),
    [
        (Trust(3), "replicated-ring"),
        (Trust(3, conduct=Conduct.MALICIOUS), "sy-rep-ring"),
        (Trust(4, conduct=Conduct.MALICIOUS), "rep4-ring"),
        (Trust(5), "semi2k"),  # the only ring of so many; Shamir's field costs more
        (Trust(2), "semi2k"),  # of two parties one is no minority
        (Trust(2, conduct=Conduct.MALICIOUS), "mascot"),
        (Trust(3, Majority.DISHONEST), "semi2k"),
        (Trust(7, Majority.DISHONEST, Conduct.MALICIOUS), "mascot"),
    ],
)
def test_the_cheapest_that_protects_is_chosen(trust, wanted):
    assert choose(trust, PROTOCOLS).protocol.name == wanted


@pytest.mark.parametrize("parties", range(2, 8))
@pytest.mark.parametrize(("majority", "conduct"), list(itertools.product(Majority, Conduct)))
def test_nothing_weaker_than_what_was_asked_is_ever_offered(parties, majority, conduct):
    trust = Trust(parties, majority, conduct)
    found = choose(trust, PROTOCOLS)
    for protocol in (found.protocol, *(each for each, _ in found.others), *found.missing):
        assert protects(protocol, trust)
        assert protocol.corrupt(parties) >= (parties - 1 if majority is Majority.DISHONEST else 1)


def test_what_is_cheaper_but_not_installed_is_named():
    found = choose(Trust(3), ["shamir"])
    assert found.protocol.name == "shamir"
    assert "replicated-ring" in [each.name for each in found.missing]
    with pytest.raises(MissingPart, match="mascot"):
        choose(Trust(2, conduct=Conduct.MALICIOUS), ["shamir", "replicated-ring"])
    with pytest.raises(InputError, match="two parties"):
        choose(Trust(1), PROTOCOLS)
