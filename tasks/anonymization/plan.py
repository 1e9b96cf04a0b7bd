"""What the anonymizer is asked to do: the policy's criteria, and whatever adjustments tightened since."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tasks.common.criteria_forms import Criteria
from tasks.common.policy import Policy
from tasks.common.values import Value


class Plan(Value):
    """Parameters of one anonymization.

    floor: lowest permitted level by quasi-identifier. rounding: released multiples by numeric column.
    dropped: columns that the policy would release and that are left out after all.
    """

    criteria: Criteria
    floor: dict[str, int] = Field(default_factory=dict)
    rounding: dict[str, float] = Field(default_factory=dict)
    dropped: tuple[str, ...] = ()

    def with_criteria(self, **tightened: Any) -> Plan:
        """The same with some criteria replaced."""
        return self.model_copy(update={"criteria": self.criteria.model_copy(update=tightened)})


def first_plan(policy: Policy) -> Plan:
    """The policy's own criteria, before any adjustment."""
    rounding = {name: column.round for name, column in policy.columns.items() if column.round is not None}
    return Plan(criteria=policy.criteria, rounding=rounding)
