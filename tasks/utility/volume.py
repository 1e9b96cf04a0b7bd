"""How many rows are enough, by the learning curve of the downstream model.

The error of a learner falls with the number of rows like a power law (Hestness et al. 2017, arXiv 1712.00409; for
health data Figueroa et al. 2012, BMC Med. Inform. Decis. Mak. 12:8). Fitted to the AUC at growing shares of the release
it tells how much more rows would still gain, and from how many rows on that is less than the policy cares for.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy.optimize import nnls

from tasks.common.policy import Policy
from tasks.common.seeds import derive, generator
from tasks.common.utility_forms import Downstream
from tasks.common.values import Value
from tasks.utility import downstream as model

SHARES = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
_REPEATS = 3
_EXPONENTS = np.linspace(0.1, 2.0, 39)


class Point(Value):
    """The downstream AUC at a number of rows, mean over draws of rows."""

    rows: int
    auc: float


class VolumeNeed(Value):
    """The learning curve auc(n) = ceiling - scale * n ** -exponent, and what follows.

    enough: rows at which more of them would gain less than `tolerance`; add: how many to add, within the policy's
    limit. capped: whether that limit cut the number.
    """

    points: tuple[Point, ...]
    ceiling: float
    scale: float
    exponent: float
    tolerance: float
    rows: int
    enough: int
    add: int
    capped: bool

    def auc_at(self, rows: int) -> float:
        """The curve's AUC at a number of rows."""
        return self.ceiling - self.scale * rows**-self.exponent


def need(release: pa.Table, test: pa.Table, policy: Policy, seed: int) -> VolumeNeed:
    """Measure the learning curve of the policy's downstream model and read the needed volume from it.

    release: anonymized rows; test: real people it never saw, in the release's vocabulary.

    Raises:
        TableError: the target has only one value in the release or the test rows.
    """
    assert policy.downstream is not None, "volume is measured by the downstream model"
    points = tuple(_point(release, test, policy, policy.downstream, share, seed) for share in SHARES)
    ceiling, scale, exponent = fit_power_law([p.rows for p in points], [p.auc for p in points])
    enough = _rows_for(scale, exponent, policy.volume.tolerance)
    most = int(release.num_rows * policy.volume.max_factor)
    wanted = min(enough, most)
    return VolumeNeed(
        points=points,
        ceiling=ceiling,
        scale=scale,
        exponent=exponent,
        tolerance=policy.volume.tolerance,
        rows=release.num_rows,
        enough=enough,
        add=max(wanted - release.num_rows, 0),
        capped=enough > most,
    )


def fit_power_law(rows: list[int], aucs: list[float]) -> tuple[float, float, float]:
    """Least squares of auc = ceiling - scale * rows ** -exponent with scale >= 0 and the exponent in [0.1, 2].

    Points weigh by their rows, since small samples scatter more. Returns (ceiling, scale, exponent).
    """
    n, y = np.array(rows, dtype=float), np.array(aucs)
    weight = np.sqrt(n / n.max())
    best = (np.inf, 0.0, 0.0, 1.0)
    for exponent in _EXPONENTS:
        design = np.stack([np.ones_like(n), -(n**-exponent) * n.min() ** exponent], axis=1)
        (ceiling, scaled), residual = nnls(design * weight[:, None], y * weight)
        if residual < best[0] - 1e-12:
            best = (residual, ceiling, scaled * n.min() ** exponent, exponent)
    return float(best[1]), float(best[2]), float(best[3])


def _point(release: pa.Table, test: pa.Table, policy: Policy, task: Downstream, share: float, seed: int) -> Point:
    rows = round(share * release.num_rows)
    words = model.vocabulary(release, _left(policy, release), policy)
    found = []
    for repeat in range(_REPEATS if share < 1 else 1):
        rng = generator(seed, "volume", str(share), str(repeat))
        drawn = _draw(model.positives(release, task), rows, rng)
        fitted = model.fit(release.take(pa.array(drawn)), words, task, derive(seed, "volume", str(repeat)))
        found.append(model.auc(fitted, test, task, rng).value)
    return Point(rows=rows, auc=float(np.mean(found)))


def _draw(labels: np.ndarray, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Random rows with the same share of positives as all, at least one of each."""
    yes, no = rng.permutation(np.flatnonzero(labels)), rng.permutation(np.flatnonzero(~labels))
    positive = min(max(round(rows * len(yes) / len(labels)), 1), rows - 1)
    return np.sort(np.concatenate([yes[:positive], no[: rows - positive]]))


def _left(policy: Policy, release: pa.Table) -> list[str]:
    return [name for name in policy.features if name in release.column_names]


def _rows_for(scale: float, exponent: float, tolerance: float) -> int:
    """From how many rows on the curve is within `tolerance` of its ceiling."""
    return int(np.ceil((scale / tolerance) ** (1 / exponent))) if scale > 0 else 0
