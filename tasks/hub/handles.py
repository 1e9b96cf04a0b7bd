"""What the step of the data flow in this room returns."""

from __future__ import annotations

from pathlib import Path

from tasks.attacks.score import Gate
from tasks.common.values import Value
from tasks.hub.registration import Registration


class Publication(Value):
    """What came out, where a run's files lie, and where the knowledge base has them."""

    headline: str
    reason: str
    score: float
    gate: Gate
    folder: Path
    report: Path
    registration: Registration
