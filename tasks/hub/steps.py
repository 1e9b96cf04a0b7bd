"""Writing the evidence and registering it as a step."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common import settings
from tasks.common.errors import InputError
from tasks.common.identity import identity
from tasks.common.steps import ALWAYS_RUN, step
from tasks.common.store import atomic, write_text
from tasks.common.values import content_hash
from tasks.encryption.exchange import Answer
from tasks.hub.registration import Registration

if TYPE_CHECKING:
    from tasks.hub.dossier import Dossier
    from tasks.hub.handles import Publication

# What a flow does not need is imported where it is used: MLflow takes seconds, and so does what a dossier is made of.


@step("register", cache=ALWAYS_RUN)
def register(dossier: Dossier) -> Publication:
    """Write products, evidence and report into the run's folder, and register them. Repeatable."""
    from tasks.hub import inventory, report, summary
    from tasks.hub.handles import Publication

    folder = settings.load().runs / f"{dossier.policy.name}-{content_hash(identity(dossier))[:8]}"
    for name, table in dossier.products.items():
        with atomic(folder / f"{name}.parquet") as temporary:
            shutil.copyfile(table.path, temporary)
    for name, text in inventory.evidence_files(dossier).items():
        write_text(folder / name, text)
    page = folder / "report.html"
    write_text(page, report.render(dossier))
    return Publication(
        headline=summary.headline(dossier),
        reason=summary.reason(dossier),
        score=dossier.card.score,
        gate=dossier.card.gate,
        folder=folder,
        report=page,
        registration=inventory.register(dossier, folder),
    )


@step("register", cache=ALWAYS_RUN)
def register_encrypted(folder: str, answer: Answer) -> Registration:
    """Register how the job in a folder was done, once for each answer; nothing of its result."""
    from tasks.encryption import evidence
    from tasks.hub import encrypted_jobs

    found = evidence.collect(Path(folder))
    if found.answer != answer.identity:
        raise InputError(f"the answer in {folder} was replaced while the job was registered")
    return encrypted_jobs.register(found)


@step("register", cache=ALWAYS_RUN)
def register_tree(folder: str, parts: int) -> Registration:
    """Register how the tree job in a folder was done; nothing of its result."""
    from tasks.encryption.inference import tree_job
    from tasks.hub import encrypted_jobs

    return encrypted_jobs.register(tree_job.evidence(Path(folder), parts))
