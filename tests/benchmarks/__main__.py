"""`make bench`: run every benchmark, or those named on the command line, and write results.md."""

from __future__ import annotations

import argparse

from tests.benchmarks import anonymization, attacks, encryption, main_job, synthesis, training, twenty

BENCHMARKS = {
    "attacks": attacks.main,
    "main-job": main_job.main,
    "anonymization": anonymization.main,
    "twenty-columns": twenty.main,
    "training": training.main,
    "synthesis": synthesis.main,
    "encryption": encryption.main,
}


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(BENCHMARKS)}; none: all")
    names = parser.parse_args().names
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    for name in names or BENCHMARKS:
        BENCHMARKS[name]()


if __name__ == "__main__":
    main()
