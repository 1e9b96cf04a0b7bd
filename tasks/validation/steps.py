"""Validation as a step."""

from __future__ import annotations

from tasks.common import policy_file
from tasks.common.errors import InputError
from tasks.common.job import Job
from tasks.common.steps import ALWAYS_RUN, step
from tasks.common.table import open_table
from tasks.validation.expectations import Validation
from tasks.validation.flow_limits import require_flow_policy


@step("prepare", cache=ALWAYS_RUN)
def prepare(policy: str, table: str, seed: int | None) -> Job:
    """Read the policy and find its table; `table` and `seed` replace what the policy says."""
    read = policy_file.read(policy)
    require_flow_policy(read)
    place = table or read.table
    if place is None:
        raise InputError(f"{policy} names no table; add `table:` to it, or name one on the command line")
    changed = read if seed is None else read.model_copy(update={"seed": seed})
    return Job(policy=changed, table=open_table(place))


@step("validate")
def validate(job: Job) -> Validation:
    """Check the table against its policy and stop the run if anything is wrong."""
    from tasks.validation import expectations  # Great Expectations takes seconds to import

    found = expectations.validate(job.table, job.policy)
    found.require()
    return found
