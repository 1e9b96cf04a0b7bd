"""Attacks, the score and adjustments as steps."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa

from tasks.anonymization import holdout
from tasks.anonymization.handles import Parts, Release
from tasks.anonymization.ladder import Step
from tasks.attacks import adjust as adjusting
from tasks.attacks import attack as attacking
from tasks.attacks import shadow, sizing, targets
from tasks.attacks.adversary import Adversary, declare
from tasks.attacks.attack import Evidence
from tasks.attacks.handles import People, Shared, TargetGroups
from tasks.attacks.score import Scorecard, score
from tasks.attacks.targets import Targets
from tasks.common import reading
from tasks.common.policy import Policy
from tasks.common.seeds import generator
from tasks.common.steps import step, store


@step("choose targets")
def choose_targets(parts: Parts, control: Literal["working", "sealed"], policy: Policy) -> TargetGroups:
    """Choose whom to attack, among the people released and in one of the controls."""
    sides = (parts.train, getattr(parts, control))
    groups = [(reading.read(part, policy), holdout.persons(part, policy)) for part in sides]
    chosen = targets.choose(groups, policy.attacks.trials, policy, generator(policy.seed, "targets"))
    keep = store()
    people = []
    for part, choice in zip(sides, chosen, strict=True):
        rows = part.row_numbers()[choice.positions]
        people.append(
            People(
                outliers=keep.put_selection(part, rows[choice.outlier]),
                others=keep.put_selection(part, rows[~choice.outlier]),
                everyone=part,
            )
        )
    return TargetGroups(released=people[0], control=people[1])


@step("declare adversaries")
def adversaries(rows: Shared, policy: Policy) -> list[Adversary]:
    """The adversaries that the policy asks for against these rows."""
    return declare(policy, list(rows.attacked.columns), imitable=isinstance(rows, Release))


@step("attack")
def attack(adversary: Adversary, rows: Shared, release: Release, groups: TargetGroups, policy: Policy) -> Evidence:
    """Run one declared adversary against rows that are the release, or were made from it."""
    by_claims, imitable = adversary.method in attacking.BY_CLAIMS, isinstance(rows, Release)
    attacks = len(declare(policy, list(rows.attacked.columns), imitable=imitable))
    return attacking.run(
        adversary,
        rows.attacked.read(),
        _read(groups.released, policy, all_rows=by_claims),
        _read(groups.control, policy, all_rows=by_claims),
        policy,
        release.plan.rounding,
        generator(policy.seed, "attack", adversary.name),
        make_release=shadow.by_anonymizer(policy, release.plan) if imitable else None,
        aim=sizing.aim(policy, attacks, while_adjusting=True),
    )


@step("score")
def judge(evidence: list[Evidence], threshold: float, confidence: float) -> Scorecard:
    """Sum the evidence up, and compare its worst bound with a threshold."""
    return score(evidence, threshold, confidence)


@step("adjust")
def adjust(parts: Parts, groups: TargetGroups, release: Release, card: Scorecard, policy: Policy) -> Step | None:
    """The next rung: the adjustment that answers the worst attack best, or None where none helps."""
    return adjusting.next_step(
        reading.read(parts.train, policy),
        holdout.persons(parts.train, policy),
        _read(groups.released, policy),
        _read(groups.control, policy),
        policy,
        release.plan,
        card,
        release.account.utility_loss,
        policy.seed,
    )


def _read(people: People, policy: Policy, *, all_rows: bool = False) -> Targets:
    rows = [reading.read(part, policy) for part in (people.outliers, people.others)]
    outlier = np.repeat([True, False], [part.num_rows for part in rows])
    everyone = reading.read(people.everyone, policy) if all_rows and people.everyone else None
    return Targets(pa.concat_tables(rows), outlier, everyone)
