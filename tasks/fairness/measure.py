"""How differently a model treats groups of people.

Demographic parity compares how often each group is flagged, equalized odds how often rightly and how often wrongly,
equal opportunity only how often rightly (Hardt et al. 2016, NeurIPS), predictive parity how often a flag is right,
calibration whether predicted probabilities are true. Where base rates differ these cannot all be equal at once
(Chouldechova 2017, Big Data 5(2)), so all of them are told.

Labels are what was recorded. Where that is itself biased, everything that compares with it misleads, and only the rates
of flags can be trusted; except that hits stay right where cases were missed at random within a group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.common.values import Value
from tasks.fairness import rates, scores
from tasks.fairness.groups import LEAST_PEOPLE, Groups, about
from tasks.fairness.rates import ALARMS, HITS, OUTCOME, PREDICTIVE, SELECTION, Difference
from tasks.utility.downstream import Estimate


@dataclass(frozen=True)
class Tested:
    """People whom a model was tested on: what was recorded, its score, its flag; bool, float64, bool (n,)."""

    labels: np.ndarray
    scores: np.ndarray
    flagged: np.ndarray


class GroupRates(Value):
    """One group among the tested people, with 95 % intervals; None where too few people are behind a number.

    people, positives: about how many, and with the outcome. observed: share with the outcome. selected: share flagged.
    true_positive, false_positive: shares flagged of those with and without the outcome. predictive: share with the
    outcome of those flagged. calibration: share with the outcome less mean predicted probability. slope: of the
    outcome's log odds on the predicted ones, 1 if right. auc: how well people within the group are ranked.
    """

    group: str
    people: int
    positives: int | None
    observed: Estimate | None
    selected: Estimate
    true_positive: Estimate | None
    false_positive: Estimate | None
    predictive: Estimate | None
    calibration: Estimate | None
    slope: Estimate | None
    auc: Estimate | None


class Bias(Value):
    """How differently the groups by one column, or by several together, are treated.

    Differences are None where fewer than two groups have enough people. left_out: groups of too few people.
    """

    column: str
    groups: tuple[GroupRates, ...]
    left_out: tuple[str, ...]
    parity_difference: Difference
    odds_difference: Difference | None
    opportunity_difference: Difference | None
    predictive_difference: Difference | None
    calibration_difference: Difference | None


def flag(chosen: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """The people with the highest scores `chosen`, as large a share as asked; ties are broken by lot. bool (n,)."""
    flagged = np.zeros(len(chosen), dtype=bool)
    order = np.lexsort((rng.random(len(chosen)), -chosen))
    flagged[order[: round(share * len(chosen))]] = True
    return flagged


def bias(tested: Tested, groups: Groups, rng: np.random.Generator, *, k: int) -> Bias:
    """Measure a model by groups; nothing is told of outcomes that fewer than k people of a group have, or have not."""
    cells = rates.count(tested.labels, tested.flagged, groups.place, len(groups.names))
    told = np.minimum(cells[:, :2].sum(axis=1), cells[:, 2:].sum(axis=1)) >= k
    outcomes = cells[told]
    return Bias(
        column=groups.column,
        groups=tuple(
            _rates(tested, groups, number, cells[number], told=bool(told[number]))
            for number in range(len(groups.names))
        ),
        left_out=groups.left_out,
        parity_difference=_parity(cells, rng),
        odds_difference=rates.difference(outcomes, (HITS, ALARMS), rng),
        opportunity_difference=rates.difference(outcomes, (HITS,), rng),
        predictive_difference=rates.difference(outcomes, (PREDICTIVE,), rng),
        calibration_difference=_calibration(tested, groups, np.flatnonzero(told).tolist(), rng),
    )


def _parity(cells: np.ndarray, rng: np.random.Generator) -> Difference:
    found = rates.difference(cells, (SELECTION,), rng)
    assert found is not None, "asked only with two groups that are large enough"
    return found


def _calibration(tested: Tested, groups: Groups, told: list[int], rng: np.random.Generator) -> Difference | None:
    if len(told) < 2:
        return None
    return scores.gap_difference(tested.labels, tested.scores, groups.place, told, rng)


def _rates(tested: Tested, groups: Groups, number: int, cells: np.ndarray, *, told: bool) -> GroupRates:
    inside = groups.place == number
    labels, chosen = tested.labels[inside], tested.scores[inside]
    ranked = told and min(labels.sum(), (~labels).sum()) >= LEAST_PEOPLE
    selected = rates.of_group(cells, SELECTION)
    assert selected is not None, "groups have at least that many people"
    return GroupRates(
        group=groups.names[number],
        people=about(len(labels)),
        positives=about(int(labels.sum())) if told else None,
        observed=rates.of_group(cells, OUTCOME) if told else None,
        selected=selected,
        true_positive=rates.of_group(cells, HITS) if told else None,
        false_positive=rates.of_group(cells, ALARMS) if told else None,
        predictive=rates.of_group(cells, PREDICTIVE) if told else None,
        calibration=scores.gap(labels, chosen) if told else None,
        slope=scores.slope(labels, chosen) if ranked else None,
        auc=scores.auc(labels, chosen) if ranked else None,
    )
