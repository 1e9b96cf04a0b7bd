"""Shadow models: what does a release look like with a person, and what without?

The adversary knows how the release was made. It makes more releases in the same way, each of a random half of the
people in question, so that everyone is in half of them, and looks at each release through a few figures about the
person: how close the nearest row is, and how many rows fit what is known, in all columns, in the quasi-identifiers, and
in random sets of columns. These targeted counting queries are the summary features of Houssiau et al. 2022 (TAPAS,
section 4.2); comparing a generator's output with and without a person is the game of Stadler et al. 2022 (USENIX
Security, section 3). A person's score is the log likelihood ratio of the figures in the release under attack (Carlini
et al. 2022, IEEE S&P, section V, online attack with one variance for all people, as they advise for few shadows; the
figures are several, so it is a covariance): Fisher's linear discriminant with the person's own two means.

What is learned is about the way in which releases are made, so `make_release` has to be that very way, not a quicker
one. With n shadows it is run n times, on half as many rows as there are people to attack: 64 shadows of a release by
generalization take minutes, 64 trainings of a CTGAN take hours. Likelihoods of fewer than 16 shadows are mostly noise.
The noise makes the attack weaker, never the false positive rate wrong.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from tasks.anonymization.anonymizer import anonymize
from tasks.anonymization.plan import Plan
from tasks.attacks import neighbours, space
from tasks.common.errors import Inconclusive, ThresholdNotReached
from tasks.common.policy import Policy

MakeRelease = Callable[[pa.Table, np.random.Generator], pa.Table]

_QUERIES = 6
_FEWEST_SHADOWS = 4
_SHRINKAGE = 0.1


def by_anonymizer(policy: Policy, plan: Plan) -> MakeRelease:
    """Releases as the anonymizer makes them under this plan, each row a person."""

    def make(table: pa.Table, rng: np.random.Generator) -> pa.Table:
        return anonymize(table, None, policy, plan, rng).table

    return make


def scores(
    release: pa.Table,
    sides: tuple[pa.Table, pa.Table],
    policy: Policy,
    rounding: dict[str, float],
    make_release: MakeRelease,
    shadows: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Score of each person of the two sides, float64 (people,) each: the higher, the likelier the person is in it.

    sides: typed rows of people in the release and of the control.

    Raises:
        Inconclusive: from half of the people hardly any release can be made.
    """
    everyone = pa.concat_tables(sides)
    names = [name for name in policy.released if name in release.column_names]
    queries = _queries(names, policy, rng)

    def look(at: pa.Table) -> np.ndarray:
        return figures(space.build(everyone, at, names, policy, rounding), queries)

    seen, inside = _shadows(everyone, look, make_release, shadows, rng)
    score = likelihood_ratio(look(release), seen, inside)
    return score[: sides[0].num_rows], score[sides[0].num_rows :]


def figures(place: space.Space, queries: list[tuple[str, ...]]) -> np.ndarray:
    """What a release shows of each person, float64 (people, 1 + queries): -distance, and log counts of fitting rows."""
    columns = [-neighbours.nearest_distances(place, 1)]
    for query in queries:
        known = np.broadcast_to(place.mask(query), (place.targets, len(place.names))).copy()
        columns.append(np.log1p(neighbours.fitting_rows(place, known)))
    return np.stack(columns, axis=1)


def likelihood_ratio(observed: np.ndarray, seen: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Log likelihood ratio of in against out under normal figures of one covariance, float64 (people,).

    observed: float64 (people, f), of the release under attack. seen: float64 (shadows, people, f). inside: bool
    (shadows, people), who was in which shadow.
    """
    share = inside[:, :, None]
    means_in = (seen * share).sum(axis=0) / share.sum(axis=0)
    means_out = (seen * ~share).sum(axis=0) / (~share).sum(axis=0)
    residuals = (seen - np.where(share, means_in, means_out)).reshape(-1, seen.shape[2])
    covariance = residuals.T @ residuals / len(residuals)
    # Towards the diagonal, and off zero where a figure never varies.
    diagonal = np.diag(np.diag(covariance) + 1e-9)
    weights = np.linalg.solve((1 - _SHRINKAGE) * covariance + _SHRINKAGE * diagonal + 1e-12, (means_in - means_out).T).T
    return np.einsum("pf,pf->p", weights, observed - (means_in + means_out) / 2)


def _queries(names: list[str], policy: Policy, rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Sets of columns to count fitting rows by: all, the quasi-identifiers, and random ones."""
    found = [tuple(names), tuple(name for name in policy.quasi if name in names)]
    for _ in range(_QUERIES - len(found)):
        size = rng.integers(1, len(names) + 1)
        found.append(tuple(rng.permutation(names)[:size].tolist()))
    return [query for query in dict.fromkeys(found) if query]


def _shadows(
    everyone: pa.Table,
    look: Callable[[pa.Table], np.ndarray],
    make_release: MakeRelease,
    shadows: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Figures (shadows, people, f) and who was inside (shadows, people), in pairs of a half and the other half."""
    seen, inside = [], []
    for _ in range(shadows // 2):
        half = np.zeros(everyone.num_rows, dtype=bool)
        half[rng.permutation(everyone.num_rows)[: everyone.num_rows // 2]] = True
        try:
            pair = [look(make_release(everyone.filter(pa.array(who)), rng)) for who in (half, ~half)]
        except ThresholdNotReached:
            continue
        seen += pair
        inside += [half, ~half]
    if len(seen) < _FEWEST_SHADOWS:
        raise Inconclusive(
            f"of {shadows} shadow releases only {len(seen)} met the criteria, each made of {everyone.num_rows // 2} "
            "people; give the policy more `attacks.trials`, or set `attacks.membership.shadow` to 0"
        )
    return np.stack(seen), np.stack(inside)
