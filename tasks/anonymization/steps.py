"""Anonymization as steps."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from distributed import get_worker, wait, worker_client

from tasks.anonymization import anonymizer, counted_files, counting, holdout
from tasks.anonymization.account import Anonymization
from tasks.anonymization.counting import Asked, Counted
from tasks.anonymization.handles import Parts, Release
from tasks.anonymization.plan import Plan, first_plan
from tasks.common import settings
from tasks.common.job import Job
from tasks.common.policy import Policy
from tasks.common.seeds import generator
from tasks.common.steps import silent, step, store
from tasks.common.streaming import InFile, Rows, person_codes
from tasks.common.values import Value

# Below so many rows a part is counted faster than it is handed over.
_ROWS_APART = 2_000_000
_KEPT_SECONDS = 24 * 3600


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
    _forget_what_was_left(settings.load().scratch)
    train = InFile(parts.train, policy)
    rows, rng = anonymizer.source(train, policy), generator(policy.seed, "anonymize")
    pieces = parts.train.rows // _ROWS_APART
    each = count_by_workers if _is_on_a_worker() else None
    counted = anonymizer.count(rows, person_codes(train, policy.person), parts=pieces, each=each)
    accounts: list[Anonymization] = []
    table = store().put_parquet(lambda path: accounts.append(anonymizer.write(rows, counted, wanted, rng, path)))
    return Release(table=table, plan=wanted, account=accounts[0])


def count_by_workers(parts: Sequence[Rows], asked: Asked) -> list[Counted]:
    """Have the workers of the cluster that this runs on count parts of a table.

    What they found are values of patients. It stays on the disk that all of them share, in a folder that only the owner
    may open and that is gone afterwards; workers tell each other where it lies and nothing else.
    """
    scratch = settings.load().scratch
    private = tempfile.TemporaryDirectory(dir=scratch, prefix="counting-", ignore_cleanup_errors=True)
    with private as folder, worker_client() as client:
        paths = [Path(folder) / str(number) for number in range(len(parts))]
        futures = client.map(silent("count", _count_into), paths, parts, [asked] * len(parts), pure=False)
        try:
            client.gather(futures)
        finally:
            # Where one fails, the others still write, and the folder is about to go.
            wait(futures)  # type: ignore[no-untyped-call]
        return [counted_files.load(path) for path in paths]


def _is_on_a_worker() -> bool:
    try:
        get_worker()
    except ValueError:
        return False
    return True


def _count_into(path: Path, rows: Rows, asked: Asked) -> None:
    counted_files.save(counting.count(rows, asked), path)


def _forget_what_was_left(scratch: Path) -> None:
    """Remove what runs that were killed while they counted left behind; others may be counting now."""
    for folder in scratch.glob("counting-*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > _KEPT_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
