"""Homomorphic encryption: every part that has something to measure, a section of results.md or two each."""

from __future__ import annotations

from tests.benchmarks import (
    encryption_advisor,
    encryption_guard,
    encryption_inference,
    encryption_regridding,
    encryption_sequences,
)


def main() -> None:
    """Measure all parts."""
    for part in (
        encryption_guard, encryption_inference, encryption_regridding, encryption_advisor, encryption_sequences,
    ):  # fmt: skip
        part.main()
