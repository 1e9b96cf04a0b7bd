"""Before and after: bias of a model trained on the rows as they are, and on the rows as they are made fair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tasks.common.policy import Policy
from tasks.common.seeds import derive, generator
from tasks.common.values import Value
from tasks.fairness import measure, mitigate
from tasks.fairness.measure import Bias
from tasks.utility import downstream as model
from tasks.utility.downstream import Estimate

ORIGIN, WEIGHT = "origin", "weight"
_MOST_ADDED = 0.5  # rows that balancing may add, as a share of those there are


class Fairness(Value):
    """Bias by protected column before and after, and what mitigation cost.

    added: synthetic rows drawn for balance. auc_*: of the downstream model on real people.
    """

    before: tuple[Bias, ...]
    after: tuple[Bias, ...]
    added: int
    auc_before: Estimate
    auc_after: Estimate
    tolerance: float

    @property
    def within_tolerance(self) -> bool:
        """Whether demographic parity holds within the tolerance after mitigation, by its estimate."""
        return all(bias.parity_difference.value <= self.tolerance for bias in self.after)


@dataclass(frozen=True)
class Unbiased:
    """The rows with their origin (`anonymized` or `synthetic`) and weight, and the account of it."""

    table: pa.Table
    account: Fairness


def unbias(
    release: pa.Table, synthetic: pa.Table, pool: pa.Table, test: pa.Table, policy: Policy, seed: int
) -> Unbiased:
    """Balance released and synthetic rows for the policy's protected columns.

    pool: further synthetic rows to draw from; test: real people, in the release's vocabulary.

    Raises:
        TableError: a protected column has fewer than two groups large enough to compare, or the target is constant.
    """
    assert policy.fairness is not None, "asked only where the policy protects a column"
    assert policy.downstream is not None, "a policy with fairness has a downstream model"
    protected = [name for name in policy.fairness.protected if name in release.column_names]
    task = policy.downstream
    rows = pa.concat_tables([release, synthetic])
    chosen = mitigate.balancing_rows(
        rows, pool, protected, task, int(_MOST_ADDED * rows.num_rows), generator(seed, "balance")
    )
    fair_rows = pa.concat_tables([rows, pool.take(pa.array(chosen))])
    fair_weights = mitigate.weights(fair_rows, protected, task)
    before, auc_before = _measure(rows, None, release, test, policy, protected, seed)
    after, auc_after = _measure(fair_rows, fair_weights, release, test, policy, protected, seed)
    account = Fairness(
        before=before,
        after=after,
        added=len(chosen),
        auc_before=auc_before,
        auc_after=auc_after,
        tolerance=policy.fairness.tolerance,
    )
    origin = ["anonymized"] * release.num_rows + ["synthetic"] * (fair_rows.num_rows - release.num_rows)
    table = fair_rows.append_column(ORIGIN, pa.array(origin))
    return Unbiased(table.append_column(WEIGHT, pa.array(np.round(fair_weights, 6))), account)


def _measure(
    rows: pa.Table,
    weights: np.ndarray | None,
    release: pa.Table,
    test: pa.Table,
    policy: Policy,
    protected: list[str],
    seed: int,
) -> tuple[tuple[Bias, ...], Estimate]:
    assert policy.downstream is not None, "a policy with fairness has a downstream model"
    features = [name for name in policy.features if name in release.column_names]
    words = model.vocabulary(release, features, policy)
    fitted = model.fit(rows, words, policy.downstream, derive(seed, "fairness"), weights)
    found = tuple(
        measure.bias(fitted, test, name, policy.downstream, generator(seed, "bias", name)) for name in protected
    )
    return found, model.auc(fitted, test, policy.downstream, generator(seed, "bias", "auc"))
