"""One random source: every stochastic step draws from a seed derived from the run's seed and the step's name.

Adding or reordering steps therefore changes no other step's numbers. Key material never comes from here.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, *names: str) -> int:
    """A 32-bit seed for the step called by `names`, from the run's `seed`."""
    digest = hashlib.sha256("/".join([str(seed), *names]).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def generator(seed: int, *names: str) -> np.random.Generator:
    """A numpy generator for the step called by `names`."""
    return np.random.default_rng(derive(seed, *names))
