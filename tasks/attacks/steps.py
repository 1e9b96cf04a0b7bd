"""Attacks, the score and adjustments as steps."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tasks.anonymization import holdout
from tasks.anonymization.handles import Release
from tasks.anonymization.ladder import Step
from tasks.attacks import adjust as adjusting
from tasks.attacks import attack as attacking
from tasks.attacks import targets
from tasks.attacks.adversary import Adversary, declare
from tasks.attacks.attack import Evidence
from tasks.attacks.handles import People, TargetGroups
from tasks.attacks.score import Scorecard, score
from tasks.attacks.targets import Targets
from tasks.common import reading
from tasks.common.policy import Policy
from tasks.common.seeds import generator
from tasks.common.steps import step, store
from tasks.common.table import Table


@step("choose targets")
def choose_targets(train: Table, control: Table, policy: Policy) -> TargetGroups:
    """Choose whom to attack on both sides."""
    groups = [(reading.read(part, policy), holdout.persons(part, policy)) for part in (train, control)]
    chosen = targets.choose(groups, policy.attacks.trials, policy, generator(policy.seed, "targets"))
    keep = store()
    people = []
    for part, choice in zip((train, control), chosen, strict=True):
        rows = part.row_numbers()[choice.positions]
        people.append(
            People(
                outliers=keep.put_selection(part, rows[choice.outlier]),
                others=keep.put_selection(part, rows[~choice.outlier]),
            )
        )
    return TargetGroups(released=people[0], control=people[1])


@step("declare adversaries")
def adversaries(release: Table, policy: Policy) -> list[Adversary]:
    """The adversaries that the policy asks for against this release."""
    return declare(policy, list(release.columns))


@step("attack")
def attack(
    adversary: Adversary, release: Table, groups: TargetGroups, policy: Policy, rounding: dict[str, float]
) -> Evidence:
    """Run one declared adversary against a release."""
    return attacking.run(
        adversary,
        release.read(),
        _read(groups.released, policy),
        _read(groups.control, policy),
        policy,
        rounding,
        generator(policy.seed, "attack", adversary.name),
    )


@step("score")
def judge(evidence: list[Evidence], threshold: float, confidence: float) -> Scorecard:
    """Sum the evidence up, and compare its worst bound with a threshold."""
    return score(evidence, threshold, confidence)


@step("adjust")
def adjust(train: Table, groups: TargetGroups, release: Release, card: Scorecard, policy: Policy) -> Step | None:
    """The next rung: the adjustment that answers the worst attack best, or None where none helps."""
    return adjusting.next_step(
        reading.read(train, policy),
        holdout.persons(train, policy),
        _read(groups.released, policy),
        _read(groups.control, policy),
        policy,
        release.plan,
        card,
        release.account.utility_loss,
        policy.seed,
    )


def _read(people: People, policy: Policy) -> Targets:
    rows = [reading.read(part, policy) for part in (people.outliers, people.others)]
    outlier = np.repeat([True, False], [part.num_rows for part in rows])
    return Targets(pa.concat_tables(rows), outlier)
