"""What a run is about: a policy and the table it is for."""

from __future__ import annotations

from tasks.common.policy import Policy
from tasks.common.table import Table
from tasks.common.values import Value


class Job(Value):
    """A policy and the table it is for."""

    policy: Policy
    table: Table
