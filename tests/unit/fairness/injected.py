"""Tables with a bias that is known because it was put in."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy.stats import norm

from tasks.fairness.groups import Groups
from tasks.fairness.measure import Tested


def scored(seed: int, people: int, *, outcome: list[float], shift: list[float], cut: float) -> tuple[Tested, Groups]:
    """Groups of equal size; a score is normal around 1 for those with the outcome, around 0 for others, both moved by
    the group's shift, and whoever is above the cut is flagged."""
    rng = np.random.default_rng(seed)
    place = rng.integers(0, len(outcome), people)
    labels = rng.random(people) < np.array(outcome)[place]
    score = rng.normal(0, 1, people) + labels + np.array(shift)[place]
    groups = Groups("group", tuple("abcdefghij"[: len(outcome)]), place, ())
    return Tested(labels, 1 / (1 + np.exp(-score)), score > cut), groups


def rates(*, outcome: list[float], shift: list[float], cut: float) -> dict[str, np.ndarray]:
    """What `scored` injects, by group: P(flag | outcome) = 1 - Phi(cut - 1 - shift) and so on."""
    hits, alarms = 1 - norm.cdf(cut - 1 - np.array(shift)), 1 - norm.cdf(cut - np.array(shift))
    base = np.array(outcome)
    selected = base * hits + (1 - base) * alarms
    return {"selected": selected, "hits": hits, "alarms": alarms, "predictive": base * hits / selected}


def underdiagnosed(count: int, seed: int, *, missed: float = 0.7) -> pa.Table:
    """Both groups are equally often sick and show the same sign, but in group y this share was never written down."""
    rng = np.random.default_rng(seed)
    group = rng.choice(["x", "y"], count)
    sick = rng.random(count) < 0.4
    sign = np.round(rng.normal(0, 1, count) + sick, 2)
    recorded = sick & ((group == "x") | (rng.random(count) >= missed))
    return pa.table({"group": group, "sign": sign, "result": np.where(recorded, "sick", "well")})
