"""Inference: guess a person's secret from the released rows that look most like the person.

Giomi et al. 2023, section 3.3, with one neighbour and all ties. Guessing the usual value is easy and tells nothing, so
values weigh equally: with 94 % negative tests, half of the weight is on the positive ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tasks.attacks import learning, neighbours, space
from tasks.attacks.adversary import Adversary, Method
from tasks.common import reading
from tasks.common.policy import Kind, Policy
from tasks.common.seeds import derive

# Values with fewer people than this in the smaller group are attacked together.
LEAST_PEOPLE = 50


@dataclass(frozen=True)
class Answers:
    """The secret in the release and the people's own: which labels are right for whom.

    labels int32 (rows,) of the released rows; first, last int32 (people,), share float32 (labels,) as in
    neighbours.Secrets.
    """

    labels: np.ndarray
    first: np.ndarray
    last: np.ndarray
    share: np.ndarray


def succeed(
    adversary: Adversary, release: pa.Table, people: pa.Table, policy: Policy, rounding: dict[str, float]
) -> np.ndarray:
    """Probability of guessing right, for each person, float64 (people,)."""
    place = space.build(people, release, list(adversary.knows), policy, rounding)
    answers = right_answers(adversary, release, people, policy)
    if adversary.method is Method.LEARNED:
        return _learned(adversary, place, answers, release, people, policy)
    return neighbours.guess_credit(place, place.mask(adversary.knows), secrets_by_point(place, answers))


def _learned(
    adversary: Adversary, place: space.Space, answers: Answers, release: pa.Table, people: pa.Table, policy: Policy
) -> np.ndarray:
    """Credit of the guesses of a model learned from the release, float64 (people,)."""
    seed = derive(policy.seed, "learn", adversary.name)
    if adversary.secret_kind in {Kind.NUMERIC, Kind.DATE}:
        secret = space.build(people, release, [str(adversary.secret)], policy, {})
        points = secret.points
        middles = ((points.row_low[:, 0] + points.row_high[:, 0]) / 2)[secret.of_row]
        if np.isnan(middles).all():
            return np.zeros(people.num_rows)
        away = np.abs(learning.guess_numbers(place, middles, seed) - points.target_values[:, 0])
        return (away <= adversary.tolerance * points.ranges[0] + 1e-9).mean(axis=0)
    labels, chance = learning.guess_labels(place, answers.labels, seed)
    right = (answers.first[:, None] <= labels) & (labels < answers.last[:, None])
    return (chance * right * answers.share[labels]).sum(axis=1)


def naive(adversary: Adversary, release: pa.Table, people: pa.Table, policy: Policy) -> np.ndarray:
    """Everybody is guessed to have the most frequent released value, float64 (people,)."""
    answers = right_answers(adversary, release, people, policy)
    usual = int(np.bincount(answers.labels).argmax())
    return ((answers.first <= usual) & (usual < answers.last)) * answers.share[usual].astype(float)


def value_strata(adversary: Adversary, groups: list[pa.Table]) -> list[np.ndarray]:
    """A stratum number for each person of each group, equal for equal secrets, int64 (people,).

    A number is put in its quarter of all values. Values that are rare in a group share one stratum.
    """
    secrets = [group[adversary.secret] for group in groups]
    if adversary.secret_kind in {Kind.NUMERIC, Kind.DATE}:
        strata = _quarters([reading.floats(secret) for secret in secrets])
    else:
        _, codes = space.factorize(pa.chunked_array([c for s in secrets for c in s.chunks]))
        strata = np.split(codes.astype(np.int64), np.cumsum([len(secret) for secret in secrets])[:-1])
    return _rare_together(strata)


def _quarters(values: list[np.ndarray]) -> list[np.ndarray]:
    everyone = np.concatenate(values)
    known = everyone[~np.isnan(everyone)]
    edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75])) if len(known) else np.zeros(0)
    return [np.where(np.isnan(v), -1, np.searchsorted(edges, v, side="right")) for v in values]


def _rare_together(strata: list[np.ndarray]) -> list[np.ndarray]:
    """Put values that are rare in a group into one stratum; with the rarest other one if it is rare all the same."""
    shifted = [s + 1 for s in strata]
    size = max(int(s.max(initial=0)) for s in shifted) + 1
    fewest = np.min([np.bincount(s, minlength=size) for s in shifted], axis=0)
    rare = fewest < LEAST_PEOPLE
    home = size if rare.all() or fewest[rare].sum() >= LEAST_PEOPLE else int(np.where(rare, np.inf, fewest).argmin())
    return [np.where(rare[s], home, s) for s in shifted]


def right_answers(adversary: Adversary, release: pa.Table, people: pa.Table, policy: Policy) -> Answers:
    """The secret in the release, and which of its labels are right for whom."""
    assert adversary.secret is not None, "an inference adversary has a secret"
    name = adversary.secret
    place = space.build(people, release, [name], policy, {})
    if adversary.secret_kind in {Kind.NUMERIC, Kind.DATE}:
        return _numeric_answers(place, adversary.tolerance)
    return _category_answers(place)


def _numeric_answers(place: space.Space, tolerance: float) -> Answers:
    """Right is a label whose middle is within the tolerance; labels are numbered in the order of their middles."""
    points = place.points
    middles = (points.row_low[:, 0] + points.row_high[:, 0]) / 2
    order = np.argsort(middles, kind="stable")
    ordered, rank = middles[order], np.argsort(order, kind="stable")
    reach = tolerance * points.ranges[0] + 1e-9
    known = len(ordered) - int(np.isnan(ordered).sum())
    facts = points.target_values[:, 0]
    missing = np.isnan(facts)
    first = np.where(missing, known, np.searchsorted(ordered[:known], facts - reach, side="left"))
    last = np.where(missing, len(ordered), np.searchsorted(ordered[:known], facts + reach, side="right"))
    return Answers(
        rank[place.of_row].astype(np.int32),
        first.astype(np.int32),
        last.astype(np.int32),
        np.ones(len(ordered), dtype=np.float32),
    )


def _category_answers(place: space.Space) -> Answers:
    """Right is the label that covers the fact; in a full-domain recoding there is at most one."""
    points = place.points
    # Labels in the order of the facts they cover, so that those right for a person are a run.
    first, last = points.row_first[:, 0], points.row_last[:, 0]
    order = np.lexsort((last, first))
    rank = np.argsort(order, kind="stable").astype(np.int32)
    facts = points.target_codes[:, 0]
    # At most one label covers a fact: the last that starts at or before it, if it goes that far.
    at = np.searchsorted(first[order], facts, side="right") - 1
    right = (at >= 0) & (last[order][np.maximum(at, 0)] >= facts)
    begin = np.where(right, at, -1).astype(np.int32)
    share = (1 - points.row_blur[order, 0]).astype(np.float32)
    return Answers(rank[place.of_row], begin, np.where(right, at + 1, -1).astype(np.int32), share)


def secrets_by_point(place: space.Space, answers: Answers) -> neighbours.Secrets:
    """Count each distinct row's secrets."""
    width = len(answers.share)
    pairs, counts = np.unique(place.of_row * width + answers.labels, return_counts=True)
    points = len(place.points.weights)
    return neighbours.Secrets(
        starts=np.searchsorted(pairs // width, np.arange(points + 1)).astype(np.int64),
        labels=(pairs % width).astype(np.int32),
        counts=counts.astype(np.float64),
        first=answers.first,
        last=answers.last,
        share=answers.share,
    )
