"""Rows drawn until there are as many as were asked for, and each of them is as it has to be.

An engine is asked for what it can be conditioned on; what else is wanted is met by drawing more and keeping what fits.
A row that repeats a rare row of those learned from is not kept either: more people than one have to look like it. What
was achieved is counted on the rows kept, and a wish that hardly any row fulfils ends with an error, not with a loop
that never does.

Leaving out copies is a courtesy, not a guarantee: who knows all rows but one could conclude from what never appears
(Ganev and De Cristofaro 2023, arXiv 2312.05114). Differential privacy is; see tasks.synthesis.budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Protocol

import numpy as np
import pyarrow as pa

from tasks.common.errors import ConditionsNotReached
from tasks.common.policy import Policy
from tasks.common.reading import floats
from tasks.common.seeds import derive
from tasks.common.synthesis_forms import Condition, Constraints, Shares
from tasks.synthesis import conditions
from tasks.synthesis.budget import Ledger
from tasks.synthesis.coded import Given
from tasks.synthesis.columns import Columns
from tasks.synthesis.conditions import Stratum
from tasks.synthesis.copies import RareRows
from tasks.synthesis.handles import Account

_FEWEST, _MOST_AT_ONCE = 500, 100_000
# Drawing ends with an error after so many rows without one that fits, or so many in all for each row that is wanted.
_PATIENCE, _MOST_FOR_EACH = 200_000, 2_000


class Source(Protocol):
    """What rows are drawn from: a fitted engine."""

    @property
    def columns(self) -> Columns: ...

    @property
    def ledger(self) -> Ledger | None:
        """What learning spent of a privacy budget, if there was one."""

    def draw(self, rows: int, seed: int, given: Given | None = None) -> pa.Table:
        """So many rows, of what is given if the engine takes that."""


def draw(
    generator: Source, rows: int, seed: int, policy: Policy, release: pa.Table, *, conditioned: bool = True
) -> tuple[pa.Table, Account]:
    """Synthetic rows that fulfil the policy's conditions (unless not `conditioned`) and constraints.

    release: the rows learned from, of which rare ones are not to be repeated.

    Raises:
        ConditionsNotReached: no row to learn from fulfils a condition, or hardly any drawn row is as it has to be.
    """
    wanted = policy.synthesis.conditions if conditioned else {}
    # What was learned under a privacy budget must not be compared with the rows again: that would spend more of it.
    private = generator.ledger is not None
    rare = None if private else RareRows(release, policy.criteria.k, policy.synthesis.constraints.unique)
    parts, drawn, copies = [generator.columns.schema.empty_table()], 0, 0
    for number, stratum in enumerate(conditions.strata(wanted, rows)):
        if not private:
            conditions.require_possible(release, stratum.wishes, policy)
        found, made, repeated = _fill(generator, stratum, derive(seed, str(number)), policy, rare)
        parts.append(found)
        drawn, copies = drawn + made, copies + repeated
    table = generator.columns.with_keys(pa.concat_tables(parts))
    if len(parts) > 2:  # strata would stand one after the other
        table = table.take(pa.array(np.random.default_rng(derive(seed, "order")).permutation(table.num_rows)))
    achieved = _achieved(table, policy, wanted)
    account = Account(rows=table.num_rows, drawn=drawn, copies=copies, achieved=achieved, ledger=generator.ledger)
    return table, account


def kept_order(table: pa.Table, constraints: Constraints) -> np.ndarray:
    """Which rows keep the order of columns that the constraints ask for, bool (rows,)."""
    found = np.ones(table.num_rows, dtype=bool)
    for group in constraints.order:
        for first, second in pairwise(group):
            found &= ~(floats(table[first]) > floats(table[second]))
    return found


def _fill(
    generator: Source, stratum: Stratum, seed: int, policy: Policy, rare: RareRows | None
) -> tuple[pa.Table, int, int]:
    """The rows of a stratum, how many were drawn for it, and how many of those repeated a rare row."""
    asked = conditions.given(generator.columns, stratum.wishes, policy)
    parts: list[pa.Table] = []
    have = drawn = copies = 0
    while have < stratum.rows:
        missing = stratum.rows - have
        count = int(missing * drawn / have * 1.1) if have else missing
        made = generator.draw(min(max(count, _FEWEST), _MOST_AT_ONCE), derive(seed, str(drawn)), asked)
        fits = conditions.fulfilled(made, stratum.wishes, policy)
        fits &= kept_order(made, policy.synthesis.constraints)
        copied = fits & rare.repeated_by(made) if rare else np.zeros_like(fits)
        kept = np.flatnonzero(fits & ~copied)[:missing]
        parts.append(made.take(pa.array(kept)))
        have, drawn, copies = have + len(kept), drawn + made.num_rows, copies + int(copied.sum())
        most = _PATIENCE + _MOST_FOR_EACH * (stratum.rows if have else 0)
        if have < stratum.rows and drawn > most:
            raise _unreachable(stratum, have, drawn, copies)
    return pa.concat_tables(parts), drawn, copies


def _unreachable(stratum: Stratum, have: int, drawn: int, copies: int) -> ConditionsNotReached:
    wishes = " and ".join(f"`{name}` {conditions.said(wish)}" for name, wish in stratum.wishes.items())
    again = f"; {copies:,} others repeated a rare row of those learned from" if copies else ""
    fit = f"have {wishes}" if wishes else "are as the constraints want them"
    return ConditionsNotReached(
        f"of {drawn:,} rows drawn only {have:,} {fit}, and {stratum.rows:,} are wanted{again}. "
        "Ask for fewer rows, or for less at once"
    )


def _achieved(table: pa.Table, policy: Policy, wanted: Mapping[str, Condition]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name, condition in wanted.items():
        if isinstance(condition, Shares):
            of_value = conditions.words(table[name]).to_numpy()
            found[name] = {value: float(np.mean(of_value == value)) for value in condition.shares}
            continue
        [stratum] = conditions.strata({name: condition}, 1)
        right = conditions.fulfilled(table, stratum.wishes, policy)
        found[name] = {conditions.said(stratum.wishes[name]): float(right.mean()) if len(right) else 0.0}
    return found
