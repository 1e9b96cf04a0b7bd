"""What comparisons take under TFHE: an estimate from theory and this machine's Fourier transforms, and a dry run.

A programmable bootstrapping is n external products of (k+1)(l+1) transforms of N/2 complex numbers (Chillotti, Gama,
Georgieva, Izabachène, J. Cryptology 2020); n, k, l and N are those of tables of 4 bits at 128 bits of security
(Bergerat and others, J. Cryptology 2023). Encryption and decryption are inner products, which do not count beside that.
Concrete chooses parameters itself when it compiles; nothing here goes into keys. A tree is carried out where Concrete
has its environment, by the job for trees (`inference.tree`).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import scipy.fft

from tasks.common.errors import MissingPart, ParametersError
from tasks.encryption.advising.advice import DryRun, Plan, Seconds, Traffic
from tasks.encryption.advising.libraries import Library
from tasks.encryption.advising.problem import Operation, Problem

_DIMENSION, _PARTS, _LEVELS = 800, 2, 1  # n, k + 1, l at 128 bits
_RING, _BLOCK = 2048, 4  # N for tables of so many bits
_KEY_SWITCH_LEVELS = 4
_BATCH = 1000
_ROWS = 3  # that a dry run does


def estimated(problem: Problem, rows: int | None = None) -> Plan:
    """Time, memory and traffic of a comparison or tree, for all rows or for so many."""
    rows, one = rows or problem.rows, _one()
    lookups, inputs = (_of_tree if problem.operation is Operation.TREE else _of_comparisons)(problem)
    ciphertext = 8 * (_RING * (_PARTS - 1) + 1)
    keys = 8 * _DIMENSION * _PARTS**2 * _LEVELS * _RING + 8 * _RING * _KEY_SWITCH_LEVELS * (_DIMENSION + 1)
    return Plan(
        scheme="tfhe", library=Library.CONCRETE, parameters=None, circuit="", depth=0, rotations=(), products=False,
        layout=f"{inputs} ciphertexts of {_BLOCK} bits and {lookups} table lookups for a row",
        error=0.0,
        seconds=Seconds(keys=2 * one, encrypt=0.0, evaluate=rows * lookups * one, decrypt=0.0),
        memory=keys + inputs * ciphertext,
        traffic=Traffic(keys=keys, sent=rows * inputs * ciphertext, returned=rows * ciphertext),
    )  # fmt: skip


def comparisons(problem: Problem) -> int:
    """How many values are compared."""
    return problem.rows * (problem.features if problem.operation is Operation.COMPARISON else problem.nodes or 1)


def tree_dry_run(problem: Problem, plan: Plan) -> tuple[DryRun, Plan] | None:
    """A random tree of the problem's size on a few rows, by Concrete, and the plan with what that took and weighed.

    None where Concrete has no environment. Seconds are wall clock, since its work is done by other processes.

    Raises:
        ParametersError: the tree is too large for the job for trees, or a class comes out wrong.
    """
    from tasks.encryption.inference import tfhe
    from tasks.encryption.inference.tree import tree_plan

    try:
        tfhe.python()
    except MissingPart:
        return None
    model, rows = _random_tree(problem)
    tree = tree_plan(model)
    clock = [time.perf_counter()]
    with tfhe.TreeOwner(tree) as owner, tfhe.TreeEvaluator(tree, owner.evaluation_keys) as evaluator:
        clock.append(time.perf_counter())
        questions = owner.encrypt(rows)
        clock.append(time.perf_counter())
        answers = evaluator.evaluate(questions)
        clock.append(time.perf_counter())
        wrong = int((owner.decrypt(answers) != tree.decisions(tree.ranks(rows))).sum())
        clock.append(time.perf_counter())
        weights = [len(owner.evaluation_keys), sum(map(len, questions)), sum(map(len, answers))]
    if wrong:
        raise ParametersError(f"the recommendation does not hold: {wrong} of {len(rows)} classes are wrong")
    making, *each = np.diff(clock)
    measured = Seconds(keys=making, encrypt=each[0], evaluate=each[1], decrypt=each[2])
    times = problem.rows / len(rows)
    seconds = Seconds(keys=making, encrypt=each[0] * times, evaluate=each[1] * times, decrypt=each[2] * times)
    traffic = Traffic(keys=weights[0], sent=int(weights[1] * times), returned=int(weights[2] * times))
    run = DryRun(
        groups=(len(rows), problem.rows), terms=(1, 1), error=0.0, expected=0.0, whole=0.0, seconds=measured,
        predicted=estimated(problem, len(rows)).seconds,
    )  # fmt: skip
    return run, plan.model_copy(update={"seconds": seconds, "traffic": traffic})


def _random_tree(problem: Problem) -> tuple[Any, np.ndarray]:
    """A tree with as many comparisons as the problem has, and rows to try it on."""
    from sklearn.tree import DecisionTreeClassifier

    random = np.random.default_rng(5)
    nodes = problem.nodes or 1
    data = random.uniform(-problem.range, problem.range, (40 * (nodes + 1), problem.features))
    labels = random.integers(0, 2, len(data))
    model = DecisionTreeClassifier(max_leaf_nodes=nodes + 1, max_depth=15, random_state=0).fit(data, labels)
    return model, data[: min(problem.rows, _ROWS)]


def _of_tree(problem: Problem) -> tuple[int, int]:
    """Lookups and ciphertexts of a row: one for each comparison, and for each leaf of the second of two classes."""
    nodes = problem.nodes or 1
    return nodes + (nodes + 1) // 2, min(problem.features, nodes)


def _of_comparisons(problem: Problem) -> tuple[int, int]:
    """The same: one for each block of a value, and one to join two blocks."""
    blocks = -(-problem.bits // _BLOCK)
    return problem.features * (2 * blocks - 1), problem.features * blocks


def _one() -> float:
    """Seconds of a lookup here: its transforms, which are most of it."""
    values = np.ones((_BATCH, _RING // 2), dtype=np.complex128)
    scipy.fft.fft(values)
    start = time.process_time()
    scipy.fft.fft(values)
    return (time.process_time() - start) / _BATCH * _DIMENSION * _PARTS * (_LEVELS + 1)
