"""Assessing a release as a whole: choose whom to attack, run every declared adversary, sum up."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from tasks.attacks import attack, sizing, targets
from tasks.attacks.adversary import Adversary, Goal, declare
from tasks.attacks.attack import Evidence
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
    cores: int = 1,
) -> Scorecard:
    """Attack a release with every adversary of its policy.

    original, control: typed rows of people in the release and of people it never saw, with person codes (None where
    each row is a person). progress is told the name of each attack before it runs. cores: threads that share the
    attacks; the result does not depend on it.

    Raises:
        TableError: the release has labels that the policy does not know.
    """
    groups = [original] if control is None else [original, control]
    chosen = targets.choose(groups, policy.attacks.trials, policy, generator(policy.seed, "targets"), cores)
    people = [choice.of(rows) for choice, (rows, _) in zip(chosen, groups, strict=True)]
    rounding = {name: column.round for name, column in policy.columns.items() if column.round is not None}
    adversaries = declare(policy, release.column_names, controlled=control is not None)
    aim = sizing.aim(policy, len(adversaries))
    untouched = people[1] if control is not None else None

    def run(adversary: Adversary) -> Evidence:
        progress(adversary.name)
        rng = generator(policy.seed, "attack", adversary.name)
        return attack.run(adversary, release, people[0], untouched, policy, rounding, rng, aim=aim)

    # Those that look at everyone and at everyone's neighbours take longest: they go first, so that no core waits long.
    slowest_first = sorted(adversaries, key=lambda adversary: adversary.goal is not Goal.MEMBERSHIP)
    with ThreadPoolExecutor(cores) as pool:
        found = dict(zip((a.name for a in slowest_first), pool.map(run, slowest_first), strict=True))
    evidence = [found[adversary.name] for adversary in adversaries]
    return score(evidence, policy.threshold, policy.attacks.confidence)
