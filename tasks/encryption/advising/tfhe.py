"""What comparisons would take under TFHE: an estimate from theory and this machine's Fourier transforms.

A programmable bootstrapping is n external products of (k+1)(l+1) transforms of N/2 complex numbers (Chillotti, Gama,
Georgieva, Izabachène, J. Cryptology 2020); n, k, l and N are those of tables of 4 bits at 128 bits of security
(Bergerat and others, J. Cryptology 2023). Encryption and decryption are inner products, which do not count beside that.
Concrete chooses parameters itself when it compiles; nothing here goes into keys.
"""

from __future__ import annotations

import time

import numpy as np
import scipy.fft

from tasks.encryption.advising.advice import Plan, Seconds, Traffic
from tasks.encryption.advising.libraries import Library
from tasks.encryption.advising.problem import Operation, Problem

_DIMENSION, _PARTS, _LEVELS = 800, 2, 1  # n, k + 1, l at 128 bits
_RING, _BLOCK = 2048, 4  # N for tables of so many bits
_KEY_SWITCH_LEVELS = 4
_BATCH = 1000


def estimated(problem: Problem) -> Plan:
    """Time, memory and traffic of a comparison or tree for all rows."""
    lookups, one = problem.rows * _lookups(problem), _one()
    inputs = comparisons(problem)
    ciphertext = 8 * (_RING * (_PARTS - 1) + 1)
    blocks = -(-problem.bits // _BLOCK)
    keys = 8 * _DIMENSION * _PARTS**2 * _LEVELS * _RING + 8 * _RING * _KEY_SWITCH_LEVELS * (_DIMENSION + 1)
    return Plan(
        scheme="tfhe", library=Library.CONCRETE, parameters=None, circuit="", depth=0, rotations=(), products=False,
        layout=f"one number in {blocks} ciphertexts of {_BLOCK} bits; a table lookup for each comparison of two blocks",
        error=0.0,
        seconds=Seconds(keys=2 * one, encrypt=0.0, evaluate=lookups * one, decrypt=0.0),
        memory=keys + inputs * blocks * ciphertext,
        traffic=Traffic(keys=keys, sent=inputs * blocks * ciphertext, returned=problem.rows * ciphertext),
    )  # fmt: skip


def comparisons(problem: Problem) -> int:
    """How many values are compared."""
    return problem.rows * (problem.features if problem.operation is Operation.COMPARISON else problem.nodes or 1)


def _lookups(problem: Problem) -> int:
    """Of one row: a lookup for each block of a value, one to join two; in a tree, one more to choose a branch."""
    each = 2 * -(-problem.bits // _BLOCK) - 1
    return problem.features * each if problem.operation is Operation.COMPARISON else (problem.nodes or 1) * (each + 1)


def _one() -> float:
    """Seconds of a lookup here: its transforms, which are most of it."""
    values = np.ones((_BATCH, _RING // 2), dtype=np.complex128)
    scipy.fft.fft(values)
    start = time.process_time()
    scipy.fft.fft(values)
    return (time.process_time() - start) / _BATCH * _DIMENSION * _PARTS * (_LEVELS + 1)
