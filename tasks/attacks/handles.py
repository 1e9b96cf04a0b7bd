"""What the steps of this room exchange: handles, never rows."""

from __future__ import annotations

from tasks.common.table import Table
from tasks.common.values import Value


class People(Value):
    """Rows to attack, those that stand out apart from the others."""

    outliers: Table
    others: Table


class TargetGroups(Value):
    """People in the release, and people in a control."""

    released: People
    control: People
