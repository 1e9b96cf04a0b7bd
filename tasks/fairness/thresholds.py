"""A threshold of the model for each group, where it is the recorded outcome that is biased.

Learning from biased records gives biased scores, and no choice of rows repairs a record. What can be chosen is where
each group's scores count as a flag: so that every group is flagged equally often, or its recorded cases found equally
often (Hardt et al. 2016, NeurIPS; that the latter undoes cases missed at random is Blum and Stangl 2020, FORC), or with
equal errors of both kinds, which takes a mix of thresholds.

Thresholds are chosen on released rows alone, by scores of models that did not learn from the row they score, so they
tell nothing beyond the release, and what they do is measured on people whom they were not chosen on. Whoever uses them
looks at a person's group to decide, which law forbids in places; and they fit this model, for others `share` tells how
many of each group to flag.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from tasks.common.fairness_forms import Equalized
from tasks.common.values import Value
from tasks.fairness.groups import LEAST_PEOPLE


class Cut(Value):
    """A score from which on people are flagged, and the chance that this cut is the one that applies."""

    threshold: float
    chance: float


class Rule(Value):
    """Who of a group is flagged: with the chances of all cuts at or below a person's score, and `always`, added up.

    share: how many of the group that flags, of the released rows.
    """

    share: float
    cuts: tuple[Cut, ...]
    always: float = 0.0

    def chances(self, scores: np.ndarray) -> np.ndarray:
        """Chance of each score to be flagged, float64 (n,) in [0, 1]."""
        reached = [cut.chance * (scores >= cut.threshold) for cut in self.cuts]
        return (
            np.clip(self.always + np.sum(reached, axis=0), 0.0, 1.0) if reached else np.full(len(scores), self.always)
        )


class Thresholds(Value):
    """Rules by group, and the one for people of groups that had too few rows for a rule of their own."""

    equalized: Equalized
    columns: tuple[str, ...]
    groups: dict[str, Rule]
    others: Rule

    def flag(self, scores: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Who is flagged, bool (n,), from scores and the names of people's groups; the chances are drawn by lot."""
        chance = self.others.chances(scores)
        for name, rule in self.groups.items():
            inside = groups == name
            chance[inside] = rule.chances(scores[inside])
        return rng.random(len(scores)) < chance


def choose(
    labels: np.ndarray, scores: np.ndarray, groups: np.ndarray, *, columns: list[str], share: float, equal: Equalized
) -> Thresholds:
    """Rules that make `equal` what it says, where everybody together would be flagged as often as `share`.

    labels bool, scores float64, groups object (rows,): of released rows, by models that did not learn from them.
    """
    others = _rule(scores, scores, share)
    if equal == "equalized_odds":
        found, others = _equal_odds(labels, scores, groups, share)
    elif equal == "true_positive_rate_parity":
        hits = float(others.chances(scores[labels]).mean())
        found = {
            name: _rule(scores[groups == name], scores[(groups == name) & labels], hits)
            for name in _large(groups[labels])
        }
    else:
        found = {name: _rule(scores[groups == name], scores[groups == name], share) for name in _large(groups)}
    return Thresholds(equalized=equal, columns=tuple(columns), groups=found, others=others)


def _large(groups: np.ndarray) -> list[str]:
    names, counts = np.unique(groups, return_counts=True)
    return [str(name) for name in names[counts >= LEAST_PEOPLE]]


def _rule(everyone: np.ndarray, scores: np.ndarray, share: float) -> Rule:
    """Cuts that flag this share of `scores` exactly: all above a score, and of those at it as many as are missing."""
    values, counts = np.unique(scores, return_counts=True)
    at_least = counts[::-1].cumsum()[::-1]
    wanted = share * len(scores)
    place = max(int(np.searchsorted(-at_least, -wanted, side="right")) - 1, 0)
    missing = (wanted - (at_least[place] - counts[place])) / counts[place]
    cuts = [Cut(threshold=float(values[place]), chance=float(missing))]
    if place + 1 < len(values):
        cuts.append(Cut(threshold=float(values[place + 1]), chance=float(1 - missing)))
    return _told(tuple(cuts), everyone)


@dataclass(frozen=True)
class _Hull:
    """The upper convex hull of a ROC curve: what mixing two thresholds can reach, from left to right."""

    false_positive: np.ndarray
    true_positive: np.ndarray
    thresholds: np.ndarray

    def at(self, false_positive: float) -> float:
        """The hit rate at a rate of false alarms."""
        return float(np.interp(false_positive, self.false_positive, self.true_positive))


def _hull(labels: np.ndarray, scores: np.ndarray) -> _Hull:
    values, place = np.unique(-scores, return_inverse=True)
    hits = np.bincount(place, weights=labels, minlength=len(values)).cumsum() / labels.sum()
    alarms = np.bincount(place, weights=~labels, minlength=len(values)).cumsum() / (~labels).sum()
    points = [(0.0, 0.0, np.inf)]
    for x, y, threshold in zip(alarms, hits, -values, strict=True):
        while len(points) > 1 and _below(points[-2], points[-1], (x, y)):
            points.pop()
        points.append((float(x), float(y), float(threshold)))
    if points[1][0] == 0:  # straight up: less than the first threshold finds is never wanted
        points.pop(0)
    return _Hull(*(np.array(column) for column in zip(*points, strict=True)))


def _below(left: tuple[float, ...], middle: tuple[float, ...], right: tuple[float, ...]) -> bool:
    """Whether the middle point lies on or under the line from left to right."""
    rise, run = right[1] - left[1], right[0] - left[0]
    return bool((middle[1] - left[1]) * run <= rise * (middle[0] - left[0]))


def _equal_odds(
    labels: np.ndarray, scores: np.ndarray, groups: np.ndarray, share: float
) -> tuple[dict[str, Rule], Rule]:
    """Rules with the same two error rates in all groups: on the lowest of their ROC hulls, where `share` is flagged.

    Groups whose hull is above are brought down to it by lot (Hardt et al. 2016, section 3.2). Thresholds are mixed as
    fairlearn's ThresholdOptimizer mixes them; it cannot keep the number of flags, at a rare outcome it multiplies them.
    """
    names = [name for name in _large(groups[labels]) if name in _large(groups[~labels])]
    hulls = {name: _hull(labels[groups == name], scores[groups == name]) for name in names}
    everyone = _hull(labels, scores)
    base = float(labels.mean())

    def lowest(alarms: float) -> float:
        return min(hull.at(alarms) for hull in (*hulls.values(), everyone))

    def beyond(alarms: float) -> float:
        return base * lowest(alarms) + (1 - base) * alarms - share

    alarms = float(brentq(beyond, 0.0, 1.0)) if beyond(0.0) < 0 else 0.0
    point = alarms, lowest(alarms)
    found = {name: _mixed(hull, *point, scores[groups == name]) for name, hull in hulls.items()}
    return found, _mixed(everyone, *point, scores)


def _mixed(hull: _Hull, alarms: float, hits: float, scores: np.ndarray) -> Rule:
    """The rule that reaches a point on or under the hull: two thresholds on the hull, and by lot down to the point."""
    reached = hull.at(alarms)
    lot = (reached - hits) / (reached - alarms) if reached > alarms else 0.0
    right = min(int(np.searchsorted(hull.false_positive, alarms, side="right")), len(hull.thresholds) - 1)
    left = max(right - 1, 0)
    width = hull.false_positive[right] - hull.false_positive[left]
    part = (alarms - hull.false_positive[left]) / width if width > 0 else 1.0
    both = ((left, 1 - part), (right, part)) if left != right else ((right, 1.0),)
    cuts = tuple(
        Cut(threshold=float(hull.thresholds[place]), chance=float((1 - lot) * chance))
        for place, chance in both
        if np.isfinite(hull.thresholds[place]) and chance > 0
    )
    return _told(cuts, scores, always=float(lot * alarms))


def _told(cuts: tuple[Cut, ...], scores: np.ndarray, always: float = 0.0) -> Rule:
    rule = Rule(share=0.0, cuts=cuts, always=always)
    return rule.model_copy(update={"share": float(rule.chances(scores).mean())})
