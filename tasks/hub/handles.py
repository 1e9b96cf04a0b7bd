"""What the step of this room returns."""

from __future__ import annotations

from pathlib import Path

from tasks.attacks.score import Gate
from tasks.common.values import Value


class Registration(Value):
    """Where a run is found in the knowledge base. page: of MLflow's web pages, None where no server shows them."""

    run_id: str
    experiment_id: str
    tracking_uri: str
    page: str | None


class Publication(Value):
    """What came out, where a run's files lie, and where the knowledge base has them."""

    headline: str
    reason: str
    score: float
    gate: Gate
    folder: Path
    report: Path
    registration: Registration
