"""Anonymization as steps."""

from __future__ import annotations

from tasks.anonymization import anonymizer, holdout
from tasks.anonymization.handles import Parts, Release
from tasks.anonymization.plan import Plan, first_plan
from tasks.common import reading
from tasks.common.policy import Policy
from tasks.common.seeds import generator
from tasks.common.steps import step, store
from tasks.common.table import Table


@step("split")
def split(table: Table, policy: Policy) -> Parts:
    """Set the controls aside, by person."""
    rows = holdout.split(table, policy, generator(policy.seed, "split"))
    keep = store()
    return Parts(**{name: keep.put_selection(table, numbers) for name, numbers in rows.items()})


@step("plan")
def plan(policy: Policy) -> Plan:
    """The policy's own criteria, as the first plan."""
    return first_plan(policy)


@step("anonymize")
def anonymize(table: Table, policy: Policy, wanted: Plan) -> Release:
    """Make a release by a plan."""
    rng = generator(policy.seed, "anonymize")
    made = anonymizer.anonymize(reading.read(table, policy), holdout.persons(table, policy), policy, wanted, rng)
    return Release(table=store().put_table(made.table), plan=wanted, account=made.account)
