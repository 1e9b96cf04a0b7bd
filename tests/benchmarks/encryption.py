"""Homomorphic encryption: every part that has something to measure, one section of results.md each."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

# Modules of this folder, `encryption_…`, each with a `main`.
PARTS = ("guard", "inference", "regridding", "advisor")


def main() -> None:
    """Measure all parts that are there."""
    for name in (f"tests.benchmarks.encryption_{part}" for part in PARTS):
        if find_spec(name):
            import_module(name).main()
