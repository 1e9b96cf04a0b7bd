"""What the steps of this room exchange: handles, never rows."""

from __future__ import annotations

import pyarrow as pa

from tasks.anonymization import anonymizer
from tasks.anonymization.account import Anonymization
from tasks.anonymization.plan import Plan
from tasks.common import reading
from tasks.common.policy import Policy
from tasks.common.table import Table
from tasks.common.values import Value


class Parts(Value):
    """The people to release, and the two controls."""

    train: Table
    working: Table
    sealed: Table


class Release(Value):
    """An anonymized table, the plan it was made by and the account of it."""

    table: Table
    plan: Plan
    account: Anonymization

    @property
    def attacked(self) -> Table:
        """The rows that are shared, and that adversaries see."""
        return self.table

    def in_vocabulary(self, people: Table, policy: Policy) -> pa.Table:
        """Other people's rows, generalized like the release; never to be stored, since nothing suppresses rare ones."""
        return anonymizer.recode(reading.read(people, policy), policy, self.plan, self.account.levels)
