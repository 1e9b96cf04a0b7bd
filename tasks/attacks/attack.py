"""Running an adversary against a release, on people in it and on people it never saw."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
from pydantic import Field

from tasks.attacks import (
    disclosure,
    inference,
    linkability,
    membership,
    predicates,
    reconstruction,
    reidentification,
    singling_out,
    sizing,
)
from tasks.attacks.adversary import Adversary, Goal, Method
from tasks.attacks.risk import Stratum, TooFewTrials, Trials
from tasks.attacks.shadow import MakeRelease
from tasks.attacks.targets import Targets
from tasks.common.policy import Policy
from tasks.common.values import Value


class Evidence(Value):
    """What one adversary achieved, on released people and on the control.

    baseline: success on released people of a naive guess that does not look for the row that fits, in [0, 1].
    extras: further figures that an attack of this kind is reported by, by name. needed: trials a side at which a
    release that deserves it is certified, by a pilot; None where the number was given.
    """

    adversary: Adversary
    attack: Trials
    control: Trials
    baseline: float
    needed: int | None = None
    extras: dict[str, float] = Field(default_factory=dict)


def run(
    adversary: Adversary,
    release: pa.Table,
    released_people: Targets,
    control: Targets | None,
    policy: Policy,
    rounding: dict[str, float],
    rng: np.random.Generator,
    make_release: MakeRelease | None = None,
    aim: sizing.Aim | None = None,
) -> Evidence:
    """Attack the people in the release and those in the control in the same way.

    Without a control the naive guess stands in for it. What anyone could learn about the population then counts as
    risk, so the risk comes out too high, never too low.

    make_release: the way in which the release was made, for shadow models. aim: what is to be certified; of the people
    given as many are attacked as that takes (those attacks of which one person is like another). Everybody without it.

    Raises:
        TableError: the release has labels that the policy does not know.
        TooFewTrials: a membership attack without a control.
    """
    sides = (released_people, control)
    if aim is None or adversary.goal not in _SIZED or adversary.method in BY_CLAIMS:
        if aim is not None and adversary.goal is Goal.MEMBERSHIP:
            sides = (released_people.some(_MEMBERS, rng), control.some(_MEMBERS, rng) if control else None)
        return _attack(adversary, release, *sides, policy, rounding, rng, make_release)
    pilot = _pilot(adversary, release, (control or released_people).some(sizing.PILOT, rng), policy, rounding, rng)
    # An adversary who attacks some of the people needs as many more to choose from.
    share = linkability.CONFIDENT_SHARE if adversary.method is Method.CONFIDENT else 1.0
    needed = sizing.needed(pilot, aim)
    wanted = max(math.ceil(needed / share), sizing.PILOT, _FREE_PAIRS // max(release.num_rows, 1))
    enough = [side.some(wanted, rng) if side else None for side in sides]
    evidence = _attack(adversary, release, enough[0] or released_people, enough[1], policy, rounding, rng, None)
    return evidence.model_copy(update={"needed": needed})


_SIZED = {Goal.SINGLING_OUT, Goal.LINKABILITY, Goal.INFERENCE}
_FREE_PAIRS = 100_000_000  # of a target and a row: more targets than needed, where they cost a fraction of a second
_MEMBERS = 5_000  # a side; five of them are the rate of 0.001 at which membership is reported
BY_CLAIMS = {Method.UNIVARIATE, Method.MULTIVARIATE}


def _pilot(
    adversary: Adversary,
    release: pa.Table,
    people: Targets,
    policy: Policy,
    rounding: dict[str, float],
    rng: np.random.Generator,
) -> Trials:
    """The attack on a few people of one group."""
    if adversary.method is Method.CONFIDENT:
        chosen, found = linkability.confident(adversary, release, people, policy, rounding)
        strata = people.outlier[chosen].astype(np.int64)
    else:
        found = succeed(adversary, release, people.rows, None, policy, rounding, rng)
        strata = _strata(adversary, (people, people))[0]
    return _tally([found, found], [strata, strata])[0]


def _attack(
    adversary: Adversary,
    release: pa.Table,
    released_people: Targets,
    control: Targets | None,
    policy: Policy,
    rounding: dict[str, float],
    rng: np.random.Generator,
    make_release: MakeRelease | None,
) -> Evidence:
    if adversary.method in BY_CLAIMS:
        return _claims(adversary, release, released_people, control, policy, rounding, rng)
    if adversary.method is Method.CONFIDENT:
        return _confident(adversary, release, released_people, control, policy, rounding)
    if adversary.goal is Goal.MEMBERSHIP:
        return _membership(adversary, release, released_people, control, policy, rounding, rng, make_release)
    if adversary.goal is Goal.RECONSTRUCTION:
        return _reconstruction(adversary, release, released_people, policy)
    sides = (released_people, control or released_people)
    strata = _strata(adversary, sides)
    register = control.rows if control else None
    guesses = _naive(adversary, release, released_people.rows, policy, rounding, rng)
    found = succeed(adversary, release, released_people.rows, register, policy, rounding, rng)
    untouched = succeed(adversary, release, control.rows, register, policy, rounding, rng) if control else guesses
    attack_trials, control_trials = _tally([found, untouched], strata)
    baseline, _ = _tally([guesses, untouched], strata)
    extras = reidentification.extras(found, policy.threshold) if adversary.goal is Goal.REIDENTIFICATION else {}
    return Evidence(
        adversary=adversary, attack=attack_trials, control=control_trials, baseline=baseline.rate, extras=extras
    )


def _claims(
    adversary: Adversary,
    release: pa.Table,
    released_people: Targets,
    control: Targets | None,
    policy: Policy,
    rounding: dict[str, float],
    rng: np.random.Generator,
) -> Evidence:
    """Trials are claims, judged on all rows of both groups."""
    original = released_people.everyone if released_people.everyone is not None else released_people.rows
    untouched = (control.everyone if control.everyone is not None else control.rows) if control else None
    made = predicates.attack(
        adversary, release, original, untouched, policy, rounding, policy.attacks.trials or predicates.CLAIMS, rng
    )
    alike = [np.zeros(len(made.original), dtype=np.int64)] * 2
    attack, other = _tally([made.original, made.naive if made.control is None else made.control], alike)
    return Evidence(adversary=adversary, attack=attack, control=other, baseline=float(made.naive.mean()))


def _confident(
    adversary: Adversary,
    release: pa.Table,
    released_people: Targets,
    control: Targets | None,
    policy: Policy,
    rounding: dict[str, float],
) -> Evidence:
    """Trials are the people whom the adversary is surest of, by the same rule in both groups."""
    chosen, found = linkability.confident(adversary, release, released_people, policy, rounding)
    strata = [released_people.outlier[chosen].astype(np.int64)]
    guesses = np.full(len(found), 1 / release.num_rows)
    untouched = guesses
    if control:
        others, untouched = linkability.confident(adversary, release, control, policy, rounding)
        strata.append(control.outlier[others].astype(np.int64))
    attack, other = _tally([found, untouched], [strata[0], strata[-1]])
    return Evidence(adversary=adversary, attack=attack, control=other, baseline=1 / release.num_rows)


def _reconstruction(adversary: Adversary, release: pa.Table, released_people: Targets, policy: Policy) -> Evidence:
    """Refined guesses against those by the label alone, on the same people."""
    guesses = reconstruction.guess(adversary, release, released_people.rows, policy)
    strata = _strata(adversary, (released_people, released_people))
    refined, plain = _tally([guesses.refined, guesses.plain], strata)
    extras = {"pinned": float(guesses.pinned.mean())}
    return Evidence(adversary=adversary, attack=refined, control=plain, baseline=plain.rate, extras=extras)


def _membership(
    adversary: Adversary,
    release: pa.Table,
    released_people: Targets,
    control: Targets | None,
    policy: Policy,
    rounding: dict[str, float],
    rng: np.random.Generator,
    make_release: MakeRelease | None,
) -> Evidence:
    """Decisions at the rate at which membership attacks are judged; the extras have the rates that are reported."""
    if control is None or min(len(control.outlier), len(released_people.outlier)) < membership.FEWEST_PEOPLE:
        raise TooFewTrials(
            f"{adversary.name} needs at least {membership.FEWEST_PEOPLE} people in the release and as many in a control"
        )
    scores = membership.scores(adversary, release, released_people, control, policy, rounding, make_release, rng)
    rate = max(membership.DECISION_RATE, membership.finest_rate(control))
    found = membership.decide(scores, released_people, control, rate)
    strata = _strata(adversary, (released_people, control))
    attack_trials, control_trials = _tally([found.members, found.control], strata)
    extras = membership.reported(scores, released_people, control, policy.attacks.confidence)
    return Evidence(adversary=adversary, attack=attack_trials, control=control_trials, baseline=rate, extras=extras)


def succeed(
    adversary: Adversary,
    release: pa.Table,
    people: pa.Table,
    register: pa.Table | None,
    policy: Policy,
    rounding: dict[str, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Success with each person, float64 (people,), for adversaries who go for one after the other.

    register: people of the control, whom a journalist has in the register too.
    """
    match adversary.goal:
        case Goal.SINGLING_OUT:
            return singling_out.succeed(adversary, release, people, policy, rounding, rng)
        case Goal.LINKABILITY:
            return linkability.succeed(adversary, release, people, policy, rounding)
        case Goal.INFERENCE:
            return inference.succeed(adversary, release, people, policy, rounding)
        case Goal.REIDENTIFICATION:
            return reidentification.succeed(adversary, release, people, register, policy, rounding)
        case Goal.DISCLOSURE:
            return disclosure.succeed(adversary, release, people, policy, rounding)
        case Goal.MEMBERSHIP | Goal.RECONSTRUCTION:
            raise AssertionError("these do not attack one side after the other")


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
        case Goal.LINKABILITY | Goal.REIDENTIFICATION:
            return linkability.naive(release, people)
        case Goal.INFERENCE | Goal.DISCLOSURE:
            return inference.naive(adversary, release, people, policy)
        case Goal.MEMBERSHIP | Goal.RECONSTRUCTION:
            raise AssertionError("these do not attack one side after the other")


def _strata(adversary: Adversary, sides: tuple[Targets, Targets]) -> list[np.ndarray]:
    """Outliers and others apart, and for secrets each of their values too; int64 (people,) for each side.

    The marketer counts all people alike.
    """
    if adversary.method is Method.MARKETER:
        return [np.zeros(len(side.outlier), dtype=np.int64) for side in sides]
    outlier = [side.outlier.astype(np.int64) for side in sides]
    if adversary.goal not in {Goal.INFERENCE, Goal.DISCLOSURE}:
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
