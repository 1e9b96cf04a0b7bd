"""One step of k-means on encrypted points: distances to centroids, and the sums of those assigned to each.

CKKS does not compare. So the evaluator returns squared distances, |x|² - 2·x·c + |c|²; the owner decrypts them, takes
the nearest centroid (`nearest`), and sends assignments back encrypted, as a vector of zeros and ones for each cluster;
the evaluator sums the points of each cluster and counts them (Lloyd, IEEE Transactions on Information Theory 1982).
Points lie in slots, one column a ciphertext; both jobs take the same ciphertexts of them.

Who learns what. The evaluator: how many points, columns and clusters, their bound; the centroids only if they are in
the description. The owner, who has the points: distances and sums; each sum fills all slots, in place of partial ones.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from tasks.common.errors import InputError, ParametersError, WouldBeWrong
from tasks.common.values import Value, content_hash
from tasks.encryption import approximate
from tasks.encryption.approximate import Approximate, inner
from tasks.encryption.ciphertext import Encrypted
from tasks.encryption.job import Job, Messages, Needs
from tasks.encryption.jobs import fitting
from tasks.encryption.jobs.messages import (
    labelled,
    partial,
    require_keys,
    require_known,
    summed,
    take,
    taken,
)  # fmt: skip
from tasks.encryption.jobs.polygenic import Finite
from tasks.encryption.jobs.pooled import Contributions
from tasks.encryption.jobs.slots import doublings, folded
from tasks.encryption.noise import ApproximateNoise
from tasks.encryption.parameters import Parameters
from tasks.encryption.session import Session

# Products of ciphertexts, one deep, and rotations of what they sum to: 4,096 slots.
_DEGREE = 8192
_SLOTS = _DEGREE // 2
# Blocks of points that one worker gets.
_PART = 8
# Counts are whole numbers, and are rounded to them.
_MOST_COUNT_ERROR = 0.25


class Points(Value):
    """Points that are to be clustered, rows by columns. bound: of their absolute coordinates, and of centroids'."""

    rows: Annotated[int, Field(ge=1)]
    columns: Annotated[int, Field(ge=1)]
    bound: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    @property
    def tag(self) -> str:
        """By which their ciphertexts say that they are these points, for whatever job."""
        return f"points {content_hash(self)[:16]}"

    @property
    def blocks(self) -> int:
        """Ciphertexts of a column."""
        return math.ceil(self.rows / _SLOTS)

    @property
    def parameters(self) -> Parameters:
        """Those of both jobs, so that one set of keys does."""
        return _parameters(self)

    def names(self, blocks: range | list[int] | None = None) -> list[str]:
        """Of the ciphertexts of some blocks, or of all."""
        chosen = range(self.blocks) if blocks is None else blocks
        return [_name(column, block) for column in range(self.columns) for block in chosen]

    def encrypt(self, owner: Session, points: np.ndarray) -> dict[str, Encrypted]:
        """The ciphertexts of points by name."""
        points = self.checked(points, self.rows, "points")
        made: dict[str, Encrypted] = {}
        for column in range(self.columns):
            for block in range(self.blocks):
                made[_name(column, block)] = labelled(
                    self,
                    _name(column, block),
                    approximate.encrypt(owner, _slots(points[:, column], block), bound=self.bound),
                )
        return made

    def checked(self, values: Any, rows: int, what: str) -> np.ndarray:
        """Points or centroids that fit.

        Raises:
            InputError: they have another shape, or are missing, infinite or beyond the bound.
        """
        array = np.asarray(values)
        if array.shape != (rows, self.columns) or array.dtype.kind not in "biuf":
            raise InputError(f"the {what} have to be numbers, {rows:,} by {self.columns:,}")
        if missing := int((~np.isfinite(array)).sum()):
            raise InputError(f"{missing:,} coordinates of the {what} are missing or infinite")
        if beyond := int((np.abs(array) > self.bound).sum()):
            raise InputError(f"{beyond:,} coordinates of the {what} are beyond ±{self.bound:g}")
        return array.astype(np.float64)


class KMeansDistances(Job):
    """Squared distances of points to centroids, in plaintext here or, where there are none, encrypted by the owner.

    Data are the points; where centroids are encrypted, {"points": ..., "centroids": (clusters, columns)}, or these rows
    below those of the points in one array. The result, by the name of distances, is float64 (rows, clusters).
    """

    kind: Literal["kmeans-distances"] = "kmeans-distances"
    points: Points
    clusters: Annotated[int, Field(ge=1)]
    centroids: tuple[tuple[Finite, ...], ...] = ()

    @model_validator(mode="after")
    def _possible(self) -> KMeansDistances:
        if self.centroids:
            self.points.checked(self.centroids, self.clusters, "centroids")
        return self

    def needs(self) -> Needs:
        return Needs(parameters=self.points.parameters, products=True)

    def encrypt(self, owner: Session, data: Contributions) -> dict[str, Encrypted]:
        require_keys(self, owner)
        points, centroids = self._given(data)
        made = self.points.encrypt(owner, points)
        return made if self.centroids else made | self.encrypt_centroids(owner, centroids)

    def encrypt_centroids(self, owner: Session, centroids: np.ndarray) -> dict[str, Encrypted]:
        """-2·c by column, and |c|², each in all slots."""
        require_keys(self, owner)
        centroids = self.points.checked(centroids, self.clusters, "centroids")
        bound, made = self.points.bound, {}
        for cluster, centroid in enumerate(centroids):
            for column, value in enumerate(centroid):
                made[_centroid(cluster, column)] = approximate.encrypt(
                    owner, np.full(owner.slots, -2 * value), bound=2 * bound
                )
            made[_norm(cluster)] = approximate.encrypt(
                owner, np.full(owner.slots, centroid @ centroid), bound=self.points.columns * bound**2
            )
        return {name: labelled(self, name, each) for name, each in made.items()}

    def evaluate(self, evaluator: Session, messages: Messages) -> dict[str, Encrypted]:
        require_keys(self, evaluator)
        require_known(messages, [*self.points.names(), *self._centroid_names()])
        made: dict[str, Encrypted] = {}
        for block in range(self.points.blocks):
            if not any(name in messages for name in self.points.names([block])):
                continue
            columns = taken(self.points, messages, self.points.names([block]))
            squares = inner(columns, columns)
            for cluster in range(self.clusters):
                name = _distances(cluster, block)
                if self.centroids:
                    found = self._from_plain(squares, columns, cluster)
                else:
                    found = self._from_encrypted(squares, columns, cluster, messages)
                made[name] = labelled(self, name, found)
        return made

    def decrypt(self, owner: Session, messages: Messages) -> dict[str, Any]:
        require_keys(self, owner)
        blocks = range(self.points.blocks)
        found = [
            np.concatenate([
                approximate.decrypt(each)
                for each in taken(self, messages, [_distances(cluster, block) for block in blocks])
            ])[: self.points.rows]
            for cluster in range(self.clusters)
        ]  # fmt: skip
        return {"distances": np.stack(found, axis=1)}

    def plainly(self, data: Contributions) -> dict[str, Any]:
        points, centroids = self._given(data)
        return {"distances": np.stack([((points - centroid) ** 2).sum(axis=1) for centroid in centroids], axis=1)}

    def parts(self, names: list[str]) -> list[list[str]]:
        everyone = [name for name in names if not name.startswith("column")]
        return [[*group, *everyone] for group in _by_block(names)]

    def _given(self, data: Contributions) -> tuple[np.ndarray, np.ndarray]:
        points: Any
        centroids: Any
        points, centroids = data, self.centroids
        if not centroids and isinstance(data, np.ndarray):
            points, centroids = data[: self.points.rows], data[self.points.rows :]
        elif not centroids:
            points, centroids = _named(data, "points", "centroids")
        return (
            self.points.checked(points, self.points.rows, "points"),
            self.points.checked(centroids, self.clusters, "centroids"),
        )

    def _centroid_names(self) -> list[str]:
        if self.centroids:
            return []
        clusters, columns = range(self.clusters), range(self.points.columns)
        return [*(_centroid(a, b) for a in clusters for b in columns), *(_norm(a) for a in clusters)]

    def _from_plain(self, squares: Approximate, columns: list[Approximate], cluster: int) -> Approximate:
        centroid = np.array(self.centroids[cluster])
        total = squares.like(squares.native.copy(), bound=squares.bound, error=squares.error)
        for column, value in zip(columns, centroid.tolist(), strict=True):
            if value:
                total = total + column.times(approximate.encode(column.session, -2 * value, column.level, column.scale))
        total = total.rescaled()
        return total + float(centroid @ centroid) if centroid.any() else total

    def _from_encrypted(
        self, squares: Approximate, columns: list[Approximate], cluster: int, messages: Messages
    ) -> Any:
        names = [_centroid(cluster, column) for column in range(self.points.columns)]
        total = squares + inner(columns, taken(self, messages, names))
        return total.rescaled() + take(self, messages, _norm(cluster))


class KMeansUpdate(Job):
    """Sums and counts of the points of each cluster, by assignments that are encrypted.

    Data are {"points": (rows, columns), "assignments": whole numbers (rows,)}, or one array with these as its last
    column. Results by name: sums, float64 (clusters, columns); counts, int64 (clusters,); centroids, float64 (clusters,
    columns), nan where no point is assigned.
    """

    kind: Literal["kmeans-update"] = "kmeans-update"
    points: Points
    clusters: Annotated[int, Field(ge=1)]

    def needs(self) -> Needs:
        return Needs(parameters=self.points.parameters, rotations=doublings(1, _SLOTS), products=True)

    def encrypt(self, owner: Session, data: Contributions) -> dict[str, Encrypted]:
        require_keys(self, owner)
        points, assignments = self._given(data)
        return self.points.encrypt(owner, points) | self.encrypt_assignments(owner, assignments)

    def encrypt_assignments(self, owner: Session, assignments: np.ndarray) -> dict[str, Encrypted]:
        """One vector of zeros and ones for each cluster."""
        require_keys(self, owner)
        assignments = self._checked(assignments)
        made: dict[str, Encrypted] = {}
        for cluster in range(self.clusters):
            for block in range(self.points.blocks):
                chosen = _slots((assignments == cluster).astype(np.float64), block)
                name = _assigned(cluster, block)
                made[name] = labelled(self, name, approximate.encrypt(owner, chosen, bound=1.0))
        return made

    def evaluate(self, evaluator: Session, messages: Messages) -> dict[str, Encrypted]:
        require_keys(self, evaluator)
        names = require_known(messages, self._all_names())
        blocks = sorted({int(name.rsplit("k", 1)[1]) for name in names})
        columns = [
            taken(self.points, messages, [_name(column, block) for block in blocks])
            for column in range(self.points.columns)
        ]
        made: dict[str, Encrypted] = {}
        for cluster in range(self.clusters):
            assigned_names = [_assigned(cluster, block) for block in blocks]
            assigned = taken(self, messages, assigned_names)
            for column, pieces in enumerate(columns):
                made[_sum(cluster, column)] = partial(
                    self, _sum(cluster, column), assigned_names, inner(pieces, assigned)
                )
            count = functools.reduce(lambda a, b: a + b, assigned)
            made[_count(cluster)] = partial(self, _count(cluster), assigned_names, count)
        return made

    def combine(self, evaluator: Session, made: list[dict[str, Encrypted]]) -> dict[str, Encrypted]:
        require_keys(self, evaluator)
        steps, combined = doublings(1, _SLOTS), {}
        for cluster in range(self.clusters):
            names = [_assigned(cluster, block) for block in range(self.points.blocks)]
            for name in [*(_sum(cluster, column) for column in range(self.points.columns)), _count(cluster)]:
                total = folded(summed(self, name, made, names), steps)
                combined[name] = labelled(self, name, total if name == _count(cluster) else total.rescaled())
        return combined

    def decrypt(self, owner: Session, messages: Messages) -> dict[str, Any]:
        require_keys(self, owner)
        sums = np.array([
            [self._total(messages, _sum(cluster, column)) for column in range(self.points.columns)]
            for cluster in range(self.clusters)
        ])  # fmt: skip
        counts = np.array([self._total(messages, _count(cluster)) for cluster in range(self.clusters)])
        return _results(sums, np.rint(counts).astype(np.int64))

    def plainly(self, data: Contributions) -> dict[str, Any]:
        points, assignments = self._given(data)
        chosen = (assignments == np.arange(self.clusters)[:, None]).astype(np.float64)
        return _results(chosen @ points, chosen.sum(axis=1).astype(np.int64))

    def parts(self, names: list[str]) -> list[list[str]]:
        return _by_block(names)

    def _total(self, messages: Messages, name: str) -> float:
        ciphertext = take(self, messages, name)
        slots = approximate.decrypt(ciphertext)
        if np.ptp(slots) > 2 * ciphertext.error:
            raise WouldBeWrong("the slots of an answer differ, so that it is no total; it was not made rightly")
        return float(slots.mean())

    def _given(self, data: Contributions) -> tuple[np.ndarray, np.ndarray]:
        if isinstance(data, np.ndarray) and data.ndim == 2 and data.shape[1] == self.points.columns + 1:
            points, assignments = data[:, :-1], data[:, -1]
        else:
            points, assignments = _named(data, "points", "assignments")
        return self.points.checked(points, self.points.rows, "points"), self._checked(assignments)

    def _checked(self, assignments: np.ndarray) -> np.ndarray:
        assignments = np.asarray(assignments)
        if assignments.shape != (self.points.rows,) or assignments.dtype.kind not in "iuf":
            raise InputError(f"assignments are {self.points.rows:,} whole numbers, one for each point")
        if strange := int((~np.isin(assignments, np.arange(self.clusters))).sum()):
            raise InputError(f"{strange:,} assignments are not the number of a cluster, 0 to {self.clusters - 1}")
        return assignments.astype(np.int64)

    def _all_names(self) -> list[str]:
        blocks = range(self.points.blocks)
        return [*self.points.names(), *(_assigned(k, block) for k in range(self.clusters) for block in blocks)]


def _named(data: Contributions, *names: str) -> list[np.ndarray]:
    if not isinstance(data, Mapping) or set(data) != set(names):
        raise InputError(f"this job takes {' and '.join(names)}, by these names or in one array")
    return [data[name] for name in names]


def nearest(distances: np.ndarray) -> np.ndarray:
    """The cluster of each point, int64 (rows,). Points as close to two as the error of distances may go to either."""
    return distances.argmin(axis=1)


def _results(sums: np.ndarray, counts: np.ndarray) -> dict[str, Any]:
    with np.errstate(invalid="ignore", divide="ignore"):
        centroids = np.where(counts[:, None] > 0, sums / counts[:, None], math.nan)
    return {"sums": sums, "counts": counts, "centroids": centroids}


@functools.lru_cache(maxsize=16)
def _parameters(points: Points) -> Parameters:
    distance = 4 * points.columns * points.bound**2
    most = max(distance, points.blocks * _SLOTS * max(points.bound, 1))
    scale_bits = fitting.widest_scale(most)
    made = fitting.approximate(levels=1, scale_bits=scale_bits, bound=most, least_degree=_DEGREE)
    noise, scale = ApproximateNoise(made), 2.0**scale_bits
    error = noise.encryption(scale, 1.0) * points.blocks
    for _ in doublings(1, _SLOTS):
        error = 2 * error + noise.switch(scale, 0)
    if error >= _MOST_COUNT_ERROR:
        raise ParametersError(f"counts of {points.rows:,} points would not be exact; scale them down, or take a sample")
    return made


def _slots(values: np.ndarray, block: int) -> np.ndarray:
    made, chosen = np.zeros(_SLOTS), values[block * _SLOTS : (block + 1) * _SLOTS]
    made[: len(chosen)] = chosen
    return made


def _by_block(names: list[str]) -> list[list[str]]:
    blocked = [name for name in names if ".block" in name]
    blocks = sorted({name.rsplit("k", 1)[1] for name in blocked})
    groups = [set(blocks[start : start + _PART]) for start in range(0, len(blocks), _PART)]
    return [[name for name in blocked if name.rsplit("k", 1)[1] in group] for group in groups]


def _name(column: int, block: int) -> str:
    return f"column{column:04d}.block{block:06d}"


def _assigned(cluster: int, block: int) -> str:
    return f"assigned{cluster:04d}.block{block:06d}"


def _centroid(cluster: int, column: int) -> str:
    return f"centroid{cluster:04d}.column{column:04d}"


def _norm(cluster: int) -> str:
    return f"centroid{cluster:04d}.norm"


def _distances(cluster: int, block: int) -> str:
    return f"distances{cluster:04d}.block{block:06d}"


def _sum(cluster: int, column: int) -> str:
    return f"sum{cluster:04d}.column{column:04d}"


def _count(cluster: int) -> str:
    return f"count{cluster:04d}"
