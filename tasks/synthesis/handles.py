"""What the steps of this room exchange: handles, never rows."""

from __future__ import annotations

from tasks.common.table import Table
from tasks.common.values import Value


class Synthetic(Value):
    """Rows to add to a release, and more of the same kind to choose from when groups have to be balanced."""

    rows: Table
    pool: Table
    epochs: int

    @property
    def attacked(self) -> Table:
        """The rows that are shared, and that adversaries see."""
        return self.rows
