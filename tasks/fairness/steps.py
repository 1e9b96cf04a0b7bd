"""Unbiasing as a step."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from tasks.anonymization import holdout
from tasks.anonymization.handles import Parts, Release
from tasks.common.policy import Policy
from tasks.common.steps import step, store
from tasks.fairness.handles import Unbiased
from tasks.fairness.unbias import ORIGIN, WEIGHT
from tasks.synthesis.handles import Synthetic


@step("unbias")
def unbias(release: Release, synthetic: Synthetic | None, parts: Parts, policy: Policy) -> Unbiased:
    """Measure the bias of the downstream model, mitigate it, measure again; without synthetic rows none are drawn."""
    from tasks.fairness import heldout
    from tasks.fairness import unbias as unbiasing

    rows = release.table.read()
    nothing = rows.schema.empty_table()
    made = unbiasing.unbias(
        rows,
        synthetic.rows.read() if synthetic else nothing,
        synthetic.pool.read() if synthetic else nothing,
        heldout.one_row_each(
            release.in_vocabulary(parts.working, policy), holdout.persons(parts.working, policy), policy.seed
        ),
        policy,
        k=release.account.k,
        seed=policy.seed,
    )
    keep = store()
    return Unbiased(
        table=keep.put_table(made.table),
        synthetic=keep.put_table(_synthetic_rows(made.table)),
        account=made.account,
    )


def _synthetic_rows(table: pa.Table) -> pa.Table:
    return table.filter(pc.equal(table[ORIGIN], "synthetic")).drop_columns([ORIGIN, WEIGHT])
