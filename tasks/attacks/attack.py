"""Running an adversary against a release, on people in it and on people it never saw."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tasks.attacks import inference, linkability, singling_out
from tasks.attacks.adversary import Adversary, Goal
from tasks.attacks.risk import Stratum, Trials
from tasks.attacks.targets import Targets
from tasks.common.policy import Policy
from tasks.common.values import Value


class Evidence(Value):
    """What one adversary achieved, on released people and on the control.

    baseline: success on released people of a naive guess that does not look for the row that fits, in [0, 1].
    """

    adversary: Adversary
    attack: Trials
    control: Trials
    baseline: float


def run(
    adversary: Adversary,
    release: pa.Table,
    released_people: Targets,
    control: Targets | None,
    policy: Policy,
    rounding: dict[str, float],
    rng: np.random.Generator,
) -> Evidence:
    """Attack the people in the release and those in the control in the same way.

    Without a control the naive guess stands in for it. What anyone could learn about the population then counts as
    risk, so the risk comes out too high, never too low.

    Raises:
        TableError: the release has labels that the policy does not know.
    """
    sides = (released_people, control or released_people)
    strata = _strata(adversary, sides)
    guesses = _naive(adversary, release, released_people.rows, policy, rounding, rng)
    found = _succeed(adversary, release, released_people.rows, policy, rounding, rng)
    untouched = _succeed(adversary, release, control.rows, policy, rounding, rng) if control else guesses
    attack_trials, control_trials = _tally([found, untouched], strata)
    baseline, _ = _tally([guesses, untouched], strata)
    return Evidence(adversary=adversary, attack=attack_trials, control=control_trials, baseline=baseline.rate)


def _succeed(
    adversary: Adversary,
    release: pa.Table,
    people: pa.Table,
    policy: Policy,
    rounding: dict[str, float],
    rng: np.random.Generator,
) -> np.ndarray:
    match adversary.goal:
        case Goal.SINGLING_OUT:
            return singling_out.succeed(adversary, release, people, policy, rounding, rng)
        case Goal.LINKABILITY:
            return linkability.succeed(adversary, release, people, policy, rounding)
        case Goal.INFERENCE:
            return inference.succeed(adversary, release, people, policy, rounding)


def _naive(
    adversary: Adversary,
    release: pa.Table,
    people: pa.Table,
    policy: Policy,
    rounding: dict[str, float],
    rng: np.random.Generator,
) -> np.ndarray:
    match adversary.goal:
        case Goal.SINGLING_OUT:
            return singling_out.naive(adversary, release, people, policy, rounding, rng)
        case Goal.LINKABILITY:
            return linkability.naive(release, people)
        case Goal.INFERENCE:
            return inference.naive(adversary, release, people, policy)


def _strata(adversary: Adversary, sides: tuple[Targets, Targets]) -> list[np.ndarray]:
    """Outliers and others apart, and for inference each value of the secret too; int64 (people,) for each side."""
    outlier = [side.outlier.astype(np.int64) for side in sides]
    if adversary.goal is not Goal.INFERENCE:
        return outlier
    values = inference.value_strata(adversary, [side.rows for side in sides])
    return [2 * value + apart for value, apart in zip(values, outlier, strict=True)]


def _tally(successes: list[np.ndarray], strata: list[np.ndarray]) -> tuple[Trials, Trials]:
    """Successes as trials by stratum. Strata weigh equally; one that a side lacks is left out on both."""
    common = sorted(set(strata[0].tolist()) & set(strata[1].tolist()))
    sides = []
    for found, stratum in zip(successes, strata, strict=True):
        cells = [found[stratum == number] for number in common]
        sides.append(
            Trials(
                strata=tuple(
                    Stratum(
                        name=str(number),
                        weight=1 / len(common),
                        trials=len(cell),
                        successes=float(cell.sum()),
                        squares=float((cell**2).sum()),
                    )
                    for number, cell in zip(common, cells, strict=True)
                )
            )
        )
    return sides[0], sides[1]
