"""Choosing the next adjustment by trying each against the attack that set the score."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tasks.anonymization import anonymizer, ladder
from tasks.anonymization.ladder import Step, Trial
from tasks.anonymization.plan import Plan
from tasks.attacks import attack, shadow
from tasks.attacks.adversary import declare
from tasks.attacks.score import Scorecard, score
from tasks.attacks.targets import Targets
from tasks.common.errors import ThresholdNotReached
from tasks.common.policy import Policy
from tasks.common.seeds import generator
from tasks.common.streaming import InMemory


def next_step(
    train: pa.Table,
    persons: np.ndarray | None,
    released_people: Targets,
    control: Targets,
    policy: Policy,
    plan: Plan,
    card: Scorecard,
    loss: float,
    seed: int,
) -> Step | None:
    """The adjustment that answers the worst attack best, or None where no rung is left that helps.

    loss: utility loss of the release that the scorecard is about.
    """
    name = card.worst
    adversary = next(a for a in declare(policy, _released(policy, plan), imitable=True) if a.name == name)
    rows = anonymizer.source(InMemory(train), policy)
    counted = anonymizer.count(rows, persons)

    def measure(candidate: Plan) -> Trial | None:
        released = _released(policy, candidate)
        same = next((a for a in declare(policy, released, imitable=True) if a.name == name), None)
        if same is None:
            return None
        try:
            made = anonymizer.from_counted(rows, counted, candidate, generator(seed, "try", "anonymize"))
        except ThresholdNotReached:
            return None
        rng = generator(seed, "try", name)
        imitate = shadow.by_anonymizer(policy, candidate)
        evidence = attack.run(same, made.table, released_people, control, policy, candidate.rounding, rng, imitate)
        # As many attacks as the score card has share the confidence.
        each = 1 - (1 - card.confidence) / len(card.attacks)
        return Trial(score([evidence], card.threshold, each).worst_finding.high, made.account.utility_loss)

    diversify = adversary.secret in policy.sensitive
    candidates = ladder.rungs(policy, plan, train, secret=adversary.secret, diversify=diversify)
    now = Trial(card.worst_finding.high, loss)
    step = ladder.best(candidates, now, card.threshold, measure)
    return step.model_copy(update={"attack": name}) if step else None


def _released(policy: Policy, plan: Plan) -> list[str]:
    return [name for name in policy.released if name not in plan.dropped]
