"""How differently the downstream model treats groups of people.

Demographic parity compares how often each group is predicted positive, equalized odds how often rightly and how often
wrongly (Hardt et al. 2016, NeurIPS). Both are the largest difference between any two groups, by fairlearn. The model
flags as many people as were positive in its training rows, since at a rare outcome a threshold of 1/2 flags nobody.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate

from tasks.common.errors import TableError
from tasks.common.policy import Downstream
from tasks.common.values import Value
from tasks.utility import downstream as model
from tasks.utility.downstream import Estimate, Model

# Rates of groups with fewer people (positives, for the hit rate) are too uncertain to compare.
LEAST_GROUP = 30
_BOOTSTRAPS = 200
_MISSING = "(missing)"


class GroupRates(Value):
    """Rates of one group among the tested people, in [0, 1]; None where the group has too few people for it."""

    group: str
    people: int
    selected: float
    true_positive: float | None
    false_positive: float | None


class Bias(Value):
    """Differences between the groups of one protected column, in [0, 1], with 95 % bootstrap intervals."""

    column: str
    groups: tuple[GroupRates, ...]
    parity_difference: Estimate
    odds_difference: Estimate


def bias(fitted: Model, test: pa.Table, column: str, task: Downstream, rng: np.random.Generator) -> Bias:
    """Measure a fitted model on real people, grouped by a protected column.

    Groups of fewer than 30 people are left out.

    Raises:
        TableError: fewer than two groups are large enough.
    """
    labels = model.positives(test, task)
    flagged = _flag(fitted, test, rng)
    groups = np.array(pc.fill_null(test[column].cast(pa.string()), _MISSING).to_pylist(), dtype=object)
    kept = _large_groups(groups, column)
    labels, flagged, groups = labels[kept], flagged[kept], groups[kept]
    rates = _rates(labels, flagged, groups)
    draws = [_differences(*_resample(labels, flagged, groups, rng)) for _ in range(_BOOTSTRAPS)]
    parity, odds = _differences(labels, flagged, groups)
    return Bias(
        column=column,
        groups=rates,
        parity_difference=_estimate(parity, [d[0] for d in draws]),
        odds_difference=_estimate(odds, [d[1] for d in draws]),
    )


def _flag(fitted: Model, test: pa.Table, rng: np.random.Generator) -> np.ndarray:
    """The people with the highest scores, as large a share as was positive in training; ties are broken by lot."""
    scores = fitted.scores(test)
    flagged = np.zeros(len(scores), dtype=bool)
    order = np.lexsort((rng.random(len(scores)), -scores))
    flagged[order[: round(fitted.prevalence * len(scores))]] = True
    return flagged


def _large_groups(groups: np.ndarray, column: str) -> np.ndarray:
    names, counts = np.unique(groups, return_counts=True)
    large = names[counts >= LEAST_GROUP]
    if len(large) < 2:
        raise TableError(
            f"bias by `{column}` needs two groups of at least {LEAST_GROUP} people among those held out, "
            f"but {'only one is' if len(large) else 'none is'} that large"
        )
    return np.isin(groups, large)


def _frame(labels: np.ndarray, flagged: np.ndarray, groups: np.ndarray) -> MetricFrame:
    metrics = {"selected": selection_rate, "hits": true_positive_rate, "alarms": false_positive_rate}
    return MetricFrame(metrics=metrics, y_true=labels, y_pred=flagged, sensitive_features=groups)


def _rates(labels: np.ndarray, flagged: np.ndarray, groups: np.ndarray) -> tuple[GroupRates, ...]:
    table = _frame(labels, flagged, groups).by_group
    found = []
    for name in sorted(table.index):
        positive = int(labels[groups == name].sum())
        people = int((groups == name).sum())
        found.append(
            GroupRates(
                group=str(name),
                people=people,
                selected=float(table.loc[name, "selected"]),
                true_positive=float(table.loc[name, "hits"]) if positive >= LEAST_GROUP else None,
                false_positive=float(table.loc[name, "alarms"]) if people - positive >= LEAST_GROUP else None,
            )
        )
    return tuple(found)


def _differences(labels: np.ndarray, flagged: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Largest difference of selection rates, and of hit or false alarm rates, between groups large enough for them."""
    names, places = np.unique(groups, return_inverse=True)
    people = np.bincount(places, minlength=len(names))
    positive = np.bincount(places, weights=labels, minlength=len(names))
    selected = np.bincount(places, weights=flagged, minlength=len(names)) / people
    hits = np.bincount(places, weights=flagged & labels, minlength=len(names))
    alarms = np.bincount(places, weights=flagged & ~labels, minlength=len(names))
    return float(np.ptp(selected)), max(_spread(hits, positive), _spread(alarms, people - positive))


def _spread(count: np.ndarray, of: np.ndarray) -> float:
    enough = of >= LEAST_GROUP
    return float(np.ptp(count[enough] / of[enough])) if enough.sum() > 1 else 0.0


def _resample(
    labels: np.ndarray, flagged: np.ndarray, groups: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One bootstrap draw within each group and label, so that every rate stays defined."""
    _, cells = np.unique(np.stack([groups.astype(str), labels.astype(str)]), axis=1, return_inverse=True)
    rows = np.concatenate([rng.choice(cell, len(cell)) for cell in _members(cells.reshape(-1))])
    return labels[rows], flagged[rows], groups[rows]


def _members(cells: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(cells == cell) for cell in np.unique(cells)]


def _estimate(value: float, draws: list[float]) -> Estimate:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value=value, low=float(min(low, value)), high=float(max(high, value)))
