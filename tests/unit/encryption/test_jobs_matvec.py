"""The product of a matrix with encrypted vectors is that of numpy, within the stated error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.common.errors import CiphertextError, InputError, KeyRefused, ParametersError
from tasks.encryption import keys
from tasks.encryption.jobs.matvec import MatrixVector, _diagonals, _plan
from tasks.encryption.jobs.numbers import Numbers
from tests.unit.encryption.job_runs import PASSPHRASE, answer, roles, sent


def job_of(rows: int, columns: int, *, vectors: int = 1, seed: int = 0) -> MatrixVector:
    matrix = np.random.default_rng(seed).normal(size=(rows, columns))
    return MatrixVector(matrix=Numbers.of(matrix), vectors=vectors, bound=2.0)


@pytest.mark.parametrize(
    ("rows", "columns", "vectors"),
    [
        (1, 1, 1),
        (3, 5, 2),
        (7, 64, 1),
        (100, 9, 1),
        (40, 40, 1),
        (4, 5, 18),
        (5000, 6, 1),
        (6, 9000, 2),
        (1, 300, 1),
        (300, 1, 1),
    ],
)
def test_products_of_any_shape_are_those_of_numpy(tmp_path, rows: int, columns: int, vectors: int) -> None:
    job = job_of(rows, columns, vectors=vectors, seed=rows)
    by = roles(job, tmp_path / "keys")
    data = np.random.default_rng(columns).uniform(-2, 2, (vectors, columns))
    answers = answer(job, by, data)
    got = job.decrypt(by.owner, answers)["product"]
    wanted = np.array([[math.fsum(row * vector) for row in job.matrix.array] for vector in data])
    assert np.abs(got - wanted).max() <= job.stated_error(answers) < 0.01 * np.sqrt(columns)
    assert np.abs(got - job.plainly(data)["product"]).max() <= job.stated_error(answers)


def test_a_square_of_all_slots_needs_about_two_square_roots_of_rotations() -> None:
    assert len(job_of(256, 256).needs().rotations) == 15 + 15
    # 8 diagonals: 3 baby steps of 4, 1 giant step; 5 folds of 8 to 256 columns
    assert len(job_of(8, 256).needs().rotations) <= 3 + 1 + 5


def test_a_banded_matrix_needs_keys_for_its_bands_only(tmp_path) -> None:
    matrix = np.diag(np.arange(1.0, 201)) + np.diag(np.ones(199), k=1)
    job = MatrixVector(matrix=Numbers.of(matrix), bound=1.0)
    assert job.needs().rotations == (1,)
    by = roles(job, tmp_path / "keys")
    data = np.random.default_rng(0).uniform(-1, 1, (1, 200))
    answers = answer(job, by, data)
    assert np.abs(job.decrypt(by.owner, answers)["product"] - data @ matrix.T).max() <= job.stated_error(answers)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**20))
def test_diagonals_hold_every_entry_once(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.integers(0, 2, (rows, columns)) * rng.uniform(1, 2, (rows, columns))
    matrix[0, 0] = 1.0
    numbers = Numbers.of(matrix)
    plan, slots = _plan(numbers), 4096
    found = np.zeros((plan.rows, plan.columns))
    for giant, babies in plan.steps.items():
        for block, baby, diagonal in _diagonals(numbers, 0, giant, babies):
            assert block == 0
            forward = np.roll(diagonal, -giant)[: max(plan.rows, plan.columns)]
            for slot in np.flatnonzero(forward):
                found[slot % plan.rows, (slot + giant + baby) % plan.columns] += forward[slot]
    assert np.array_equal(found[:rows, :columns], matrix)
    assert slots % plan.columns == 0


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (np.zeros((1, 6)), "1 by 5"),
        (np.zeros(5), "1 by 5"),
        (np.full((1, 5), math.nan), "missing or infinite"),
        (np.full((1, 5), 2.1), "beyond"),
        (np.full((1, 5), 1j), "numbers"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(tmp_path, data: np.ndarray, why: str) -> None:
    job = job_of(3, 5)
    with pytest.raises(InputError, match=why):
        job.encrypt(roles(job, tmp_path / "keys").owner, data)


@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), np.ones(3), np.array([[1.0, math.nan]])])
def test_matrices_without_a_product_are_refused(matrix: np.ndarray) -> None:
    with pytest.raises(ParametersError):
        MatrixVector(matrix=Numbers.of(matrix), bound=1.0)


def test_products_too_large_for_the_scale_are_refused_before_keys_are_made() -> None:
    with pytest.raises(ParametersError, match="narrow"):
        MatrixVector(matrix=Numbers.of(np.full((64, 64), 1e9)), bound=1.0).needs()


def test_arrays_that_are_not_what_they_say_are_refused() -> None:
    with pytest.raises(InputError):
        Numbers(shape=(2,), content="AAAA")
    with pytest.raises(InputError):
        Numbers(shape=(2,), content="*")


def test_missing_messages_foreign_ones_and_keys_without_rotations_are_refused(tmp_path) -> None:
    job = job_of(6, 9000, vectors=2)
    by = roles(job, tmp_path / "keys")
    messages = sent(by.evaluator, job.encrypt(by.owner, np.ones((2, 9000))))
    first, second, *_ = sorted(messages)
    few = {name: each for name, each in messages.items() if name != first}
    with pytest.raises(InputError, match="missing"):
        job.evaluate(by.evaluator, few)
    with pytest.raises(CiphertextError, match="not the message"):
        job.evaluate(by.evaluator, messages | {first: messages[second]})
    with pytest.raises(CiphertextError, match="not the message"):
        job_of(6, 9000, vectors=2, seed=3).model_copy(update={"bound": 2.0}).evaluate(by.evaluator, messages)
    one = {name: each for name, each in messages.items() if name.startswith("vector000000")}
    with pytest.raises(InputError, match="missing"):
        job.decrypt(by.owner, sent(by.owner, job.evaluate(by.evaluator, one)))
    needs = job.needs()
    keys.make(tmp_path / "few", needs.parameters, PASSPHRASE, rotations=needs.rotations[1:])
    with pytest.raises(KeyRefused, match="lack rotations"):
        job.evaluate(keys.open_evaluator(tmp_path / "few" / "evaluator"), {})


@pytest.mark.long
def test_a_thousand_by_a_thousand(tmp_path) -> None:
    job = job_of(1000, 1000)
    by = roles(job, tmp_path / "keys")
    data = np.random.default_rng(0).uniform(-2, 2, (1, 1000))
    answers = answer(job, by, data)
    got = job.decrypt(by.owner, answers)["product"]
    assert np.abs(got - data @ job.matrix.array.T).max() <= job.stated_error(answers) < 0.01
