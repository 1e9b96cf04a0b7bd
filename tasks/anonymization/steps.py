"""Anonymization as steps."""

from __future__ import annotations

from tasks.anonymization import anonymizer, holdout
from tasks.anonymization.account import Anonymization
from tasks.anonymization.handles import Parts, Release
from tasks.anonymization.plan import Plan, first_plan
from tasks.common.job import Job
from tasks.common.policy import Policy
from tasks.common.seeds import generator
from tasks.common.steps import step, store
from tasks.common.streaming import InFile, person_codes
from tasks.common.values import Value


@step("split")
def split(job: Job, checked: Value) -> Parts:  # noqa: ARG001 - only what was checked is split
    """Set the controls aside, by person."""
    rows = holdout.split(job.table, job.policy, generator(job.policy.seed, "split"))
    keep = store()
    return Parts(**{name: keep.put_selection(job.table, numbers) for name, numbers in rows.items()})


@step("plan")
def plan(policy: Policy) -> Plan:
    """The policy's own criteria, as the first plan."""
    return first_plan(policy)


@step("anonymize")
def anonymize(parts: Parts, policy: Policy, wanted: Plan) -> Release:
    """Make a release by a plan."""
    train = InFile(parts.train, policy)
    rows, rng = anonymizer.source(train, policy), generator(policy.seed, "anonymize")
    counted = anonymizer.count(rows, person_codes(train, policy.person))
    accounts: list[Anonymization] = []
    table = store().put_parquet(lambda path: accounts.append(anonymizer.write(rows, counted, wanted, rng, path)))
    return Release(table=table, plan=wanted, account=accounts[0])
