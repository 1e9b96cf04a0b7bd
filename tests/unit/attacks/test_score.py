"""The score means something: calibrated on real people, from a plain copy to people it never saw."""

import numpy as np
import pyarrow as pa
import pytest

from tasks.anonymization import holdout
from tasks.attacks.adversary import Adversary, Goal
from tasks.attacks.assess import assess
from tasks.attacks.attack import Evidence
from tasks.attacks.risk import Stratum, Trials
from tasks.attacks.score import Gate, score
from tasks.common import reading
from tasks.common.policy import Column, Inference
from tasks.common.table import open_table
from tests.conftest import CHOP_TABLE


def evidence(name, attack, control, count):
    def trials(rate):
        hits = rate * count
        return Trials(strata=(Stratum(name="all", weight=1, trials=count, successes=hits, squares=hits),))

    adversary = Adversary(name=name, goal=Goal.LINKABILITY, knows=("a",), linked=("b",))
    return Evidence(adversary=adversary, attack=trials(attack), control=trials(control), baseline=0.0)


def test_the_worst_attack_sets_the_score():
    card = score([evidence("mild", 0.1, 0.1, 5000), evidence("bad", 0.6, 0.2, 5000)], 0.09, 0.95)
    assert card.worst == "bad"
    assert card.score == pytest.approx(100 * (1 - card.worst_finding.high))
    assert card.worst_finding.risk == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("attack", "control", "count", "gate"),
    [
        (0.50, 0.10, 5000, Gate.FAILS),  # risk 0.44, surely above
        (0.10, 0.10, 5000, Gate.PASSES),  # no risk, many trials
        (0.10, 0.10, 100, Gate.INCONCLUSIVE),  # no risk seen, but too few trials to tell
        (0.18, 0.10, 1000, Gate.INCONCLUSIVE),  # risk 0.089, on the edge
    ],
)
def test_too_few_attacks_are_inconclusive_and_never_safe(attack, control, count, gate):
    assert score([evidence("a", attack, control, count)], 0.09, 0.95).gate is gate


def test_bounds_hold_together_over_all_attacks():
    alone = score([evidence("a", 0.1, 0.1, 2000)], 0.09, 0.95).attacks[0].high
    among = score([evidence(name, 0.1, 0.1, 2000) for name in "abcde"], 0.09, 0.95).attacks[0].high
    assert among > alone


class Groups:
    """CHOP's people in three groups of equal size, every column of theirs released as it is."""

    def __init__(self, chop):
        columns = dict(chop.columns)
        columns |= {name: Column(role="other", kind="numeric") for name in ("rec_ver_tat", "col_rec_tat")}
        columns["ct_result"] = Column(role="sensitive", kind="numeric")
        # gender has many people on both sides, so its bounds are narrow enough to see a leak of 1 %.
        attacks = chop.attacks.model_copy(update={"inference": Inference(secrets=("gender",))})
        self.policy = chop.model_copy(update={"columns": columns, "attacks": attacks})
        table = open_table(CHOP_TABLE)
        rows = reading.included_rows(table, self.policy)
        self.frame = reading.read(table, self.policy).take(pa.array(rows))
        self.persons = holdout.persons(table, self.policy)[rows]
        people, place = np.unique(self.persons, return_inverse=True)
        third = np.random.default_rng(0).permutation(len(people))[place] * 3 // len(people)
        self.released, self.control, self.outside = (np.flatnonzero(third == n) for n in range(3))

    def rows(self, positions):
        return self.frame.take(pa.array(positions))

    def card(self, release):
        people = [(self.rows(group), self.persons[group]) for group in (self.released, self.control)]
        return assess(people[0], people[1], release, self.policy)

    def leaked(self, share):
        """People outside, with a share of released people put among them word for word."""
        count = int(share * len(self.outside))
        leak = np.random.default_rng(1).permutation(self.released)[:count]
        return self.card(self.rows(np.concatenate([self.outside[: len(self.outside) - count], leak])))


@pytest.fixture(scope="module")
def groups(chop):
    return Groups(chop)


def test_a_plain_copy_scores_about_zero(groups):
    card = groups.card(groups.rows(groups.released))
    assert card.score < 1
    assert card.gate is Gate.FAILS


def test_people_it_never_saw_score_about_a_hundred(groups):
    card = groups.card(groups.rows(groups.outside))
    # 4,000 people a side: the bounds of twelve attacks together are up to 0.08 wide.
    assert card.score > 91
    assert card.gate is Gate.PASSES


def test_leaks_are_ordered_and_measured_right(groups):
    cards = [groups.leaked(share) for share in (0.01, 0.05, 0.20)]
    assert cards[0].score > cards[1].score > cards[2].score
    for card, share in zip(cards, (0.01, 0.05, 0.20), strict=True):
        single = next(f for f in card.attacks if f.name == "singling-out-all")
        # A leaked row is found by nearly everyone it belongs to, so the risk is the share of people leaked.
        assert single.low <= share <= single.high


def test_a_leak_of_a_fifth_fails_the_gate(groups):
    assert groups.leaked(0.20).gate is Gate.FAILS


def test_direct_identifiers_in_a_release_do_not_go_unseen(chop):
    table = open_table(CHOP_TABLE)
    rows = reading.read_release(table, chop)
    people = (reading.read(table, chop, rows.column_names), holdout.persons(table, chop))
    assert assess(people, None, rows, chop).score < 1
