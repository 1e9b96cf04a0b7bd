"""The report of an operation: one HTML file for the hospital, with pictures of the patient in it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from tasks.common.errors import WouldBeWrong
from tasks.common.style_sheet import style_sheet
from tasks.encryption.regridding import plan
from tasks.encryption.regridding.plan import Plan
from tasks.imaging import pictures
from tasks.imaging.record import Outcome, Record, Seen

# What the report plans for: a volume of a whole head at 1 mm, each second.
_TARGET, _HERTZ = (256, 256, 192), 1.0


def write(record: Record, volumes: Mapping[str, np.ndarray], path: Path) -> None:
    """Render; volumes in [0, 1] by the names that the hospital keeps them under."""
    environment = Environment(loader=PackageLoader("tasks.imaging", "."), autoescape=True, undefined=StrictUndefined)
    answered = record.answered
    path.write_text(
        environment.get_template("report.html.j2").render(
            css=style_sheet(), r=record, answered=answered, headline=headline(record),
            tone="good" if not record.missed else "bad",
            counts={outcome: sum(each.outcome is outcome for each in record.seen) for outcome in Outcome},
            medians=medians(answered), times=pictures.times(record.seen, record.deadline),
            shown=_shown(volumes) if volumes else (), plan=planned(record), use=use(record),
            target=_TARGET, hertz=_HERTZ, worst=worst(answered),
            most_memory=max((each.memory for each in answered), default=0),
        ),
        encoding="utf-8",
    )  # fmt: skip


def headline(record: Record) -> str:
    """The verdict in a sentence."""
    count = sum(each.outcome is Outcome.IN_TIME for each in record.seen)
    return f"{count} of {len(record.seen)} pictures within {record.deadline:g} s of their field"


def medians(answered: tuple[Seen, ...]) -> dict[str, float]:
    """Medians over the fields that came to a picture, by name."""
    names = ("seconds", "cluster_seconds", "cpu_seconds", "decrypt_seconds", "answer_bytes")
    return {name: statistics.median(getattr(each, name) for each in answered) for name in names} if answered else {}


def worst(answered: tuple[Seen, ...]) -> dict[str, float]:
    """The largest errors over all pictures, as shares of the range."""
    found: dict[str, float] = {}
    for kind in ("encryption", "whole"):
        errors = [getattr(each, kind) for each in answered if getattr(each, kind) is not None]
        found |= {f"{kind}.{n}": max((getattr(e, n) for e in errors), default=0.0) for n in ("rms", "p99", "largest")}
    differences = [abs(each.correlation - each.correlation_plainly) for each in answered
                   if each.correlation is not None and each.correlation_plainly is not None]  # fmt: skip
    return found | {"correlation": max(differences, default=0.0)}


def planned(record: Record) -> Plan | None:
    """The plan for a larger volume; None where nothing was answered."""
    middle = medians(record.answered)
    if not middle:
        return None
    bound = record.bound_mm / min(record.spacing)
    try:
        return plan.plan(_TARGET, _HERTZ, bound, record.voxels_per_core_second, use=1.0)
    except WouldBeWrong:
        return None


def use(record: Record) -> float:
    """The share of their time that workers computed while a field was in work."""
    middle = medians(record.answered)
    return min(1.0, middle["cpu_seconds"] / (middle["cluster_seconds"] * record.workers)) if middle else 0.0


def _shown(volumes: Mapping[str, np.ndarray]) -> tuple[tuple[str, object], ...]:
    largest = max(float(volumes["error"][volumes["inside"] > 0].max()), 1e-6)
    error = np.where(volumes["inside"] > 0, volumes["error"], 0)
    return (
        ("before the operation", pictures.slices(volumes["before"], 1.0, "before the operation")),
        ("updated, decrypted", pictures.slices(volumes["after"], 1.0, "the updated volume")),
        ("ultrasound (simulated)", pictures.slices(volumes["ultrasound"], 1.0, "ultrasound")),
        ("updated, with ultrasound", pictures.slices(volumes["fused"], 1.0, "the fused volume")),
        (f"error, white is {100 * largest:.1f} %", pictures.slices(error, largest, "the error", heat=True)),
    )
