"""Learning a release by the engine that is asked for, with or without a privacy budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from tasks.anonymization.account import Anonymization
from tasks.common.policy import Policy
from tasks.common.privacy_forms import PrivateEngine
from tasks.common.synthesis_forms import AnyEngine
from tasks.synthesis.budget import Ledger
from tasks.synthesis.coded import Given
from tasks.synthesis.columns import Columns
from tasks.synthesis.drawing import Source
from tasks.synthesis.networks import Progress
from tasks.synthesis.private import Private


@dataclass(frozen=True)
class PrivateGenerator:
    """What was learned under a budget, as something that rows are drawn from."""

    fitted: Private
    columns: Columns
    epochs: int | None = None

    @property
    def ledger(self) -> Ledger:
        """What learning spent."""
        return self.fitted.ledger

    def draw(self, rows: int, seed: int, given: Given | None = None) -> pa.Table:  # noqa: ARG002
        """So many rows. Takes no conditions."""
        return self.fitted.sample(rows, seed)


class Learned(Source, Protocol):
    """A source of rows that may have been trained for some epochs."""

    @property
    def epochs(self) -> int | None: ...


def learn(
    release: pa.Table,
    policy: Policy,
    engine: AnyEngine,
    seed: int,
    progress: Progress = lambda _done, _of: None,
    account: Anonymization | None = None,
) -> Learned:
    """Learn the rows of a release.

    account: of how it was generalized, by which more of its labels are public.

    Raises:
        TableError: too few rows to learn from, or they break a constraint. RunFailed: training diverged.
        BudgetExhausted, PolicyError, MissingPart: see tasks.synthesis.private.fit.
    """
    if isinstance(engine, PrivateEngine):
        from tasks.synthesis import private, public

        known = public.declared(policy, account)
        if account is None:  # labels of an unknown level are found, for a part of the budget
            known = known.model_copy(
                update={"columns": {n: d for n, d in known.columns.items() if policy.columns[n].hierarchy is None}}
            )
        fitted = private.fit(release, policy.synthesis, seed, lambda stage: progress(stage, 0), public=known)
        return PrivateGenerator(fitted, Columns(release.schema, {}, {}, ()))
    from tasks.synthesis import engines, worth

    return engines.fit(release, policy.synthesis, engine, seed, worth.by_downstream(release, policy), progress)
