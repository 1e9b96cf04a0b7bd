"""What the steps of this room exchange: handles, never rows."""

from __future__ import annotations

from typing import Protocol

from tasks.common.table import Table
from tasks.common.values import Value


class Shared(Protocol):
    """Anything with rows that are to be shared, and so to be attacked: a release, synthetic rows."""

    @property
    def attacked(self) -> Table:
        """The rows."""
        ...


class People(Value):
    """Rows to attack, those that stand out apart from the others; and all rows of the group that they are from."""

    outliers: Table
    others: Table
    everyone: Table | None = None


class TargetGroups(Value):
    """People in the release, and people in a control."""

    released: People
    control: People
