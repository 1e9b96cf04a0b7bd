"""Assessing a release as a whole: choose whom to attack, run every declared adversary, sum up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from tasks.attacks import attack, targets
from tasks.attacks.adversary import declare
from tasks.attacks.score import Scorecard, score
from tasks.common.policy import Policy
from tasks.common.seeds import generator

People = tuple[pa.Table, np.ndarray | None]


def assess(
    original: People,
    control: People | None,
    release: pa.Table,
    policy: Policy,
    progress: Callable[[str], None] = lambda _name: None,
) -> Scorecard:
    """Attack a release with every adversary of its policy.

    original, control: typed rows of people in the release and of people it never saw, with person codes (None where
    each row is a person). progress is told the name of each attack before it runs.

    Raises:
        TableError: the release has labels that the policy does not know.
    """
    groups = [original] if control is None else [original, control]
    chosen = targets.choose(groups, policy.attacks.trials, policy, generator(policy.seed, "targets"))
    people = [choice.of(rows) for choice, (rows, _) in zip(chosen, groups, strict=True)]
    rounding = {name: column.round for name, column in policy.columns.items() if column.round is not None}
    evidence = []
    for adversary in declare(policy, release.column_names, controlled=control is not None):
        progress(adversary.name)
        rng = generator(policy.seed, "attack", adversary.name)
        untouched = people[1] if control is not None else None
        evidence.append(attack.run(adversary, release, people[0], untouched, policy, rounding, rng))
    return score(evidence, policy.threshold, policy.attacks.confidence)
