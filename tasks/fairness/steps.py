"""Unbiasing as a step."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from tasks.anonymization.steps import Release
from tasks.common.policy import Policy
from tasks.common.steps import step, store
from tasks.common.table import Table
from tasks.common.values import Value
from tasks.fairness.unbias import ORIGIN, WEIGHT, Fairness
from tasks.synthesis.steps import Synthetic
from tasks.utility.steps import in_vocabulary


class Unbiased(Value):
    """Released and synthetic rows with origin and weight, the synthetic ones among them alone, the account of it."""

    table: Table
    synthetic: Table
    account: Fairness


@step("unbias")
def unbias(release: Release, synthetic: Synthetic | None, control: Table, policy: Policy) -> Unbiased:
    """Measure the bias of the downstream model, mitigate it, measure again. Without synthetic rows only weights help."""
    from tasks.fairness import unbias as unbiasing

    rows = release.table.read()
    nothing = rows.schema.empty_table()
    made = unbiasing.unbias(
        rows,
        synthetic.rows.read() if synthetic else nothing,
        synthetic.pool.read() if synthetic else nothing,
        in_vocabulary(release, control, policy),
        policy,
        policy.seed,
    )
    keep = store()
    return Unbiased(
        table=keep.put_table(made.table), synthetic=keep.put_table(_synthetic_rows(made.table)), account=made.account
    )


def _synthetic_rows(table: pa.Table) -> pa.Table:
    return table.filter(pc.equal(table[ORIGIN], "synthetic")).drop_columns([ORIGIN, WEIGHT])
