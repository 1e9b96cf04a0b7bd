"""Image-guided surgery: a hospital encrypts a volume, and a cluster that cannot see it deforms it as ultrasound tells.

Hospital and cluster share one folder and nothing else. The hospital is a process of its own beside the flow; what the
flow itself knows are paths.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run

from flows import runtime
from tasks.common import errors, processes
from tasks.common.errors import RunFailed, SecuredError
from tasks.imaging import hospital, report
from tasks.imaging import steps as imaging
from tasks.imaging.record import Planned, Record


def named_after_folder() -> str:
    """What a run is called in Prefect's pages: `neurosurgery` and the operation's folder."""
    return f"{flow_run.flow_name} {Path(flow_run.parameters['planned']).parent.parent.name}"


@flow(name="neurosurgery", flow_run_name=named_after_folder, task_runner=runtime.task_runner())  # type: ignore[arg-type]
def neurosurgery(planned: str) -> str:
    """Guide an operation: the hospital sends fields and decrypts, the cluster deforms, fuses and compares.

    Args:
        planned: Path of what the hospital is asked to do (JSON), in its private folder.

    Returns the path of the record, in the hospital's private folder.

    Raises:
        SecuredError: what the hospital says, or the cluster.
    """
    plan = Planned.model_validate(json.loads(Path(planned).read_text()))
    with at_work(Path(planned), plan) as process:
        imaging.guide.submit(plan.shared).result()
        if process.wait():
            raise refusal(plan)
    record = plan.private / hospital.RECORD
    tell(Record.model_validate(json.loads(record.read_text())), plan)
    return str(record)


def tell(record: Record, plan: Planned) -> None:
    """Show in Prefect's pages how it went, and where the hospital finds what only it may see."""
    create_markdown_artifact(
        f"**{report.headline(record)}**; {record.voxels_per_core_second:,.0f} voxels a second on each core. The report "
        f"shows the patient and stays with the hospital: `{plan.private / hospital.REPORT}`",
        key="operation", description="How the operation went",
    )  # fmt: skip


@contextlib.contextmanager
def at_work(planned: Path, plan: Planned) -> Iterator[Popen[bytes]]:
    """The hospital's process; it ends with the block."""
    with (plan.private / "hospital.log").open("wb") as log:
        process = processes.start([sys.executable, "-m", "tasks.imaging.hospital", str(planned)], os.environ, log)
        try:
            yield process
        finally:
            processes.end(process)


def refusal(plan: Planned) -> SecuredError:
    """Why the hospital ended early, as it said itself."""
    said = plan.private / hospital.FAILED
    if not said.is_file():
        return RunFailed(f"the hospital's process ended; its log is {plan.private / 'hospital.log'}")
    found = json.loads(said.read_text())
    kind = getattr(errors, found["kind"], SecuredError)
    return kind(found["message"])
