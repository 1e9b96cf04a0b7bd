"""Ten thousand random sequences of operations: how many were refused, and how far off the others were.

No decrypted number may be further off than its ciphertext stated, and no process may end; see
tests/unit/encryption/test_sequences.py, which does fewer of the same.
"""

from __future__ import annotations

import json
import subprocess
import sys

from tests.benchmarks import results

COUNT, SEED = 10_000, 1
PACKAGES = ("Pyfhel", "numpy")


def main() -> None:
    """Run them in a process of their own, and record."""
    command = [sys.executable, "-m", "tests.unit.encryption.sequences", str(SEED), str(COUNT)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    tally = found["tally"]
    text = (
        f"{COUNT:,} sequences: {tally['complete']:,} ran to their end, {tally['refused']:,} were refused on the way. "
        f"{tally['checked']:,} decrypted results were compared, of which {len(found['wrong'])} were wrong. Stated over "
        "true error (CKKS) or noise (BFV):"
    )
    rows = [
        (scheme, f"{ratio['checks']:,}", f"{ratio['least']:.2g}", f"{ratio['median']:.2g}")
        for scheme, ratio in found["ratios"].items()
    ]
    table = results.table(("scheme", "compared", "least", "median"), rows)
    results.record("Encryption: random sequences", f"{text}\n\n{table}", PACKAGES)


if __name__ == "__main__":
    main()
