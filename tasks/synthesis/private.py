"""Differentially private synthesis: the public domain, the budget and an engine put together.

What is promised: whether one row (with `rows_per_person`, one person) was among the rows learned from or not changes
the probability of any outcome by a factor of e^epsilon at most, but for delta. Learned from a release, that is a
promise about the release's rows, on top of what the release itself is protected by; how it was generalized, and how
many synthetic rows a learning curve asks for, depend on the original rows and are no part of it. Learned from the raw
table it is a promise about the patients.

Noise comes from the system's random source and not from the run's seed: a seed is published with the evidence, and with
it anyone could subtract the noise. A second run therefore differs, and spends the budget once more, unless it reuses
what the first one stored.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from tasks.common.errors import BudgetExhausted, PolicyError
from tasks.common.privacy_forms import PrivateEngine
from tasks.common.seeds import derive, generator
from tasks.common.synthesis_forms import Synthesis
from tasks.synthesis import domain, marginals
from tasks.synthesis.accountant import Accountant
from tasks.synthesis.budget import Budget, Ledger, rho_within
from tasks.synthesis.domain import Domain
from tasks.synthesis.noise import Source
from tasks.synthesis.public import Public

Progress = Callable[[int], None]
# What finding the domain may take of the budget, where it is not public.
_DOMAIN_SHARE, _DOMAIN_RISK = 0.1, 0.1
# Less than this share of a budget is what rounding left over.
_WORTH_WHILE = 0.01


class Model(Protocol):
    """What an engine has learned."""

    @property
    def total(self) -> float:
        """Noisy number of the rows it was learned from."""

    def sample(self, rows: int, seed: int) -> dict[str, np.ndarray]:
        """Places of so many rows, by column."""


@dataclass(frozen=True)
class Private:
    """A fitted engine, and what it spent. Drawing from it costs nothing more."""

    model: Model
    domain: Domain
    schema: pa.Schema
    ledger: Ledger

    @property
    def total(self) -> int:
        """Noisy number of the rows that it learned from; the exact one is not public."""
        return max(round(self.model.total), 1)

    def sample(self, rows: int, seed: int) -> pa.Table:
        """Draw synthetic rows with the learned rows' columns and types; none for `rows` 0."""
        if rows == 0:
            return self.schema.empty_table()
        places = self.model.sample(rows, derive(seed, "places"))
        return domain.decode(places, self.domain, self.schema, generator(seed, "values"))


def fit(
    release: pa.Table,
    settings: Synthesis,
    seed: int,
    progress: Progress = lambda _stage: None,
    *,
    public: Public | None = None,
    ledger: Ledger | None = None,
    source: Source = os.urandom,
) -> Private:
    """Learn rows under the policy's privacy budget.

    seed: of what is no noise, as the first weights of a network. progress: told the number of each finished stage.
    public: what is known without looking at the rows (tasks.synthesis.public); everything else is found for a part of
    the budget. ledger: of what was learned from these rows before, which counts. source: only for tests.

    Raises:
        BudgetExhausted: there is too little left of the budget.
        PolicyError: the policy asks for no privacy, or for so much that the noise would drown any table.
        MissingPart: the engine's package is not installed.
        TableError: too few rows to learn anything from.
    """
    privacy = settings.privacy
    if privacy is None:
        raise PolicyError("there is no `privacy:` under `synthesis:`, so there is no budget to keep to")
    known = public or Public()
    started = ledger or Ledger(
        budget=Budget(epsilon=privacy.epsilon, delta=privacy.delta), rows_per_person=known.rows_per_person
    )
    _require_budget(started, known)
    accountant = Accountant(started, source)
    columns = domain.find(
        release,
        known.columns,
        accountant,
        bins=privacy.bins,
        rho=_DOMAIN_SHARE * started.rho_left(_DOMAIN_RISK * privacy.delta),
        delta=_DOMAIN_RISK * privacy.delta,
    )
    places = domain.encode(release, columns)
    sizes = {name: column.size for name, column in columns.items()}
    model = _learn(places, sizes, accountant, settings, known.target, seed, progress)
    return Private(model, columns, release.schema, accountant.ledger)


def _learn(
    places: dict[str, np.ndarray], sizes: dict[str, int], accountant: Accountant, settings: Synthesis,
    target: str | None, seed: int, progress: Progress,
) -> Model:  # fmt: skip
    assert settings.privacy is not None, "checked before"
    if settings.privacy.engine is PrivateEngine.MST:
        return marginals.mst(places, sizes, accountant, progress, target)
    if settings.privacy.engine is PrivateEngine.AIM:
        return marginals.aim(places, sizes, accountant, progress)
    from tasks.synthesis import private_gan  # torch takes seconds to import

    return private_gan.fit(places, sizes, accountant, settings, derive(seed, "network"), progress)


def _require_budget(started: Ledger, known: Public) -> None:
    if started.rows_per_person != known.rows_per_person:
        raise PolicyError(
            f"the ledger protects {started.rows_per_person} rows of a person together, and the policy "
            f"{known.rows_per_person}; what was spent under one says nothing of the other"
        )
    if started.rho_left() < _WORTH_WHILE * rho_within(started.budget.epsilon, started.budget.delta):
        raise BudgetExhausted(
            f"the privacy budget of epsilon {started.budget.epsilon:g} and delta {started.budget.delta:g} is used up "
            f"(epsilon {started.epsilon:.3g}); draw more rows from what was learned before, which costs nothing, or "
            "raise `synthesis.privacy.epsilon`"
        )
