"""Protocols say how many parties they are for, and how many of them may work together."""

from __future__ import annotations

import pytest

from tasks.common.errors import InputError
from tasks.mpc.protocols import PROTOCOLS, Conduct, Majority, named


@pytest.mark.parametrize(
    ("name", "parties", "corrupt"),
    [
        # Fewer than half: 1 of 3 and of 4, 2 of 5, 7 of 16. Three- and four-party protocols bear one.
        ("shamir", 3, 1), ("shamir", 4, 1), ("shamir", 5, 2), ("shamir", 16, 7),
        ("replicated-ring", 3, 1), ("sy-rep-ring", 3, 1), ("rep4-ring", 4, 1),
        # All but one.
        ("mascot", 2, 1), ("mascot", 5, 4), ("semi2k", 2, 1),
    ],
)  # fmt: skip
def test_so_many_parties_may_work_together(name, parties, corrupt):
    assert named(name).corrupt(parties) == corrupt


@pytest.mark.parametrize(
    ("name", "parties", "wanted"),
    [
        ("shamir", 2, "3 or more"),
        ("replicated-ring", 4, "3 parties"),
        ("rep4-ring", 3, "4"),
        ("mascot", 1, "2 or more"),
    ],
)
def test_a_number_of_parties_that_a_protocol_is_not_for_is_refused(name, parties, wanted):
    with pytest.raises(InputError, match=f"{name} is for {wanted}.*, not {parties}"):
        named(name).require(parties)


def test_an_unknown_protocol_is_answered_with_those_there_are():
    with pytest.raises(InputError, match=r"there is no protocol 'bgw'; there are .*shamir"):
        named("bgw")


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_a_guarantee_says_whom_it_bears_and_what_they_may_do(protocol):
    assert ("any party but yours" in protocol.guarantee) == (protocol.majority is Majority.DISHONEST)
    assert ("whatever they like" in protocol.guarantee) == (protocol.conduct is Conduct.MALICIOUS)
