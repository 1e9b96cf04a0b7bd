"""The gate finds few people copied, and lets those pass who copy nobody: twenty draws of CHOP's people.

A leak of 5 % of the people raises the success with a person picked at random by 0.05, less than a threshold of 0.09.
Whoever chooses whom to attack does better: of the tenth that the confident linker attacks, half are in the release.
"""

import numpy as np
import pyarrow as pa
import pytest

from tasks.anonymization import holdout
from tasks.attacks.assess import assess
from tasks.attacks.score import Gate
from tasks.common import reading
from tasks.common.attack_forms import Membership
from tasks.common.policy import Inference
from tasks.common.table import open_table
from tests.conftest import CHOP_TABLE

SEEDS = 20


@pytest.fixture(scope="module")
def people(chop):
    """One row for each person of CHOP, and a policy with every default adversary but the two slowest."""
    faster = {"inference": Inference(by=("neighbour",)), "membership": Membership(by=("distance",))}
    attacks = chop.attacks.model_copy(update=faster)
    policy = chop.model_copy(update={"attacks": attacks})
    table = open_table(CHOP_TABLE)
    rows = reading.included_rows(table, policy)
    persons = holdout.persons(table, policy)[rows]
    _, first = np.unique(persons, return_index=True)
    return policy, reading.read(table, policy).take(pa.array(rows[np.sort(first)]))


def gate(people, seed, leaked):
    """A release of people outside, a share of the training people among them word for word."""
    policy, rows = people
    parts = np.array_split(np.random.default_rng(seed).permutation(rows.num_rows), 3)
    train, control, outside = (rows.take(pa.array(part)) for part in parts)
    count = round(leaked * train.num_rows)
    release = pa.concat_tables([outside.slice(count), train.slice(0, count)])
    card = assess((train, None), (control, None), release, policy.model_copy(update={"seed": seed}))
    assert card.threshold == 0.09
    return card.gate


@pytest.mark.long
def test_five_percent_leaked_fail_and_an_honest_release_does_not(people):
    leaked = [gate(people, seed, 0.05) for seed in range(SEEDS)]
    honest = [gate(people, seed, 0.0) for seed in range(SEEDS)]
    assert leaked == [Gate.FAILS] * SEEDS
    assert Gate.FAILS not in honest
