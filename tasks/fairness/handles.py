"""What the steps of this room exchange: handles, never rows."""

from __future__ import annotations

from tasks.common.table import Table
from tasks.common.values import Value
from tasks.fairness.unbias import Fairness


class Unbiased(Value):
    """Released and synthetic rows with origin and weight, the synthetic ones among them alone, the account of it."""

    table: Table
    synthetic: Table
    account: Fairness

    @property
    def attacked(self) -> Table:
        """The synthetic rows that are shared, and that adversaries see."""
        return self.synthetic
