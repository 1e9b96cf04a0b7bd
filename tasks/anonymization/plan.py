"""What the anonymizer is asked to do: the policy's criteria, and whatever adjustments tightened since."""

from __future__ import annotations

from pydantic import Field

from tasks.common.policy import Policy
from tasks.common.values import Value


class Plan(Value):
    """Parameters of one anonymization.

    floor: lowest permitted level by quasi-identifier. rounding: released multiples by numeric column.
    dropped: columns that the policy would release and that are left out after all.
    """

    k: int
    l: dict[str, int]  # noqa: E741 - the field's own name
    suppression: float
    floor: dict[str, int] = Field(default_factory=dict)
    rounding: dict[str, float] = Field(default_factory=dict)
    dropped: tuple[str, ...] = ()


def first_plan(policy: Policy) -> Plan:
    """The policy's own criteria, before any adjustment."""
    rounding = {name: column.round for name, column in policy.columns.items() if column.round is not None}
    return Plan(k=policy.criteria.k, l=policy.criteria.l, suppression=policy.criteria.suppression, rounding=rounding)
