"""Statistics over encrypted rows equal those that Python's integers give."""

from __future__ import annotations

import math
import statistics
from decimal import Decimal

import numpy as np
import pytest

from tasks.common.errors import CiphertextError, InputError, KeyRefused, ParametersError, WouldBeWrong
from tasks.encryption import exact, keys
from tasks.encryption.jobs import kinds
from tasks.encryption.jobs.statistics import Column, Statistics
from tests.unit.encryption.job_runs import PASSPHRASE, Roles, answer, evaluated, result, roles, sent

AGE = Column(name="age", lowest=0, highest=120, edges=(0, 18, 65, 120))
TEMPERATURE = Column(name="temperature", lowest=34, highest=43, decimals=1)
BALANCE = Column(name="balance", lowest=-500, highest=700, decimals=2, edges=(-500, 0, 700))


def two_hospitals(scheme: str = "bfv") -> Statistics:
    return Statistics(
        columns=(AGE, TEMPERATURE, BALANCE), rows=3000, contributors=("north", "south"), scheme=scheme
    )  # fmt: skip


def people(seed: int, rows: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.column_stack([
        rng.integers(0, 121, rows), rng.integers(340, 431, rows) / 10, rng.integers(-50_000, 70_001, rows) / 100,
    ])  # fmt: skip


@pytest.fixture(scope="module", params=["bfv", "bgv"])
def hospitals(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Statistics, Roles]:
    job = two_hospitals(request.param)
    return job, roles(job, tmp_path_factory.mktemp("keys") / request.param)


@pytest.mark.parametrize("seed", range(3))
def test_statistics_of_two_hospitals_equal_those_of_python_integers(hospitals, seed: int) -> None:
    job, by = hospitals
    data = {"north": people(seed, 2999 - seed), "south": people(100 + seed, 7 + seed)}
    # Each hospital has the public key alone.
    messages = {}
    for name, rows in data.items():
        messages |= job.contribute(by.auditor, name, rows)
    got = job.decrypt(by.owner, sent(by.owner, evaluated(job, by.evaluator, sent(by.evaluator, messages))))
    together = np.concatenate(list(data.values()))
    assert got["count"] == len(together)
    for k, column in enumerate((AGE, TEMPERATURE, BALANCE)):
        exactly = [Decimal(repr(float(value))) for value in together[:, k]]
        assert got["units"][k] == int(sum(exactly) * 10**column.decimals)
        assert got["sum"][k] == float(sum(exactly))
        assert got["mean"][k] == float(statistics.mean(exactly))
        assert got["variance"][k] == pytest.approx(float(statistics.variance(exactly)), rel=1e-14)
    assert got["histogram age"].tolist() == np.histogram(together[:, 0], AGE.edges)[0].tolist()
    assert got["histogram balance"].tolist() == np.histogram(together[:, 2], BALANCE.edges)[0].tolist()
    plainly = job.plainly(data)
    assert all(np.array_equal(plainly[name], got[name]) for name in got)


def test_the_largest_values_of_all_rows_do_not_wrap_around(tmp_path) -> None:
    job = Statistics(columns=(Column(name="x", lowest=-(2**20), highest=2**20),), rows=2000)
    by = roles(job, tmp_path / "keys")
    got = result(job, by, np.full((2000, 1), 2.0**20))
    assert got["units"][0] == 2000 * 2**20
    assert got["variance"][0] == 0


def test_the_answer_holds_totals_in_every_slot_and_no_partial_sum(hospitals) -> None:
    job, by = hospitals
    made = answer(job, by, {"north": people(5, 2500), "south": people(6, 2500)})
    assert list(made) == ["totals"]
    slots = exact.decrypt(made["totals"])
    # 1 + 3 columns * 2 + 3 + 2 bins = 12 entries; no other numbers but zeros, which fill the record up
    assert len(set(slots.tolist()) - {0}) <= 12
    assert 5000 in slots


def test_a_single_row_has_no_variance(tmp_path) -> None:
    job = Statistics(columns=(AGE,), rows=1)
    got = result(job, roles(job, tmp_path / "keys"), np.array([[41]]))
    assert got["count"] == 1
    assert got["mean"][0] == 41
    assert math.isnan(got["variance"][0])


def test_all_contributors_send_equally_many_ciphertexts_however_many_rows_they_have(hospitals) -> None:
    job, by = hospitals
    assert len(job.contribute(by.auditor, "north", people(0, 1))) == len(
        job.contribute(by.auditor, "south", people(0, 3000))
    )


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (np.array([[math.nan, 37, 0]]), "missing or infinite"),
        (np.array([[math.inf, 37, 0]]), "missing or infinite"),
        (np.array([[121, 37, 0]]), "outside"),
        (np.array([[40, 37.05, 0]]), "decimals"),
        (np.array([[40, 37]]), "table of 3 columns"),
        (np.array([40, 37, 0]), "table of 3 columns"),
        (np.zeros((0, 3)), "0 rows"),
        (np.tile([[40.0, 37, 0]], (3001, 1)), "3,001 rows"),
        (np.array([["40", "37", "0"]]), "numbers"),
    ],
)
def test_rows_that_do_not_fit_the_description_are_refused(hospitals, rows: np.ndarray, why: str) -> None:
    job, by = hospitals
    with pytest.raises(InputError, match=why):
        job.contribute(by.auditor, "north", rows)


def test_an_unknown_contributor_or_one_too_few_is_refused(hospitals) -> None:
    job, by = hospitals
    with pytest.raises(InputError, match="none of the 2"):
        job.contribute(by.auditor, "west", people(0, 5))
    with pytest.raises(InputError, match="2 contributors"):
        job.encrypt(by.owner, {"north": people(0, 5)})
    with pytest.raises(InputError, match="name the array"):
        job.encrypt(by.owner, people(0, 5))


def test_missing_messages_and_messages_counted_twice_are_refused(hospitals) -> None:
    job, by = hospitals
    messages = sent(by.evaluator, job.encrypt(by.owner, {"north": people(0, 50), "south": people(1, 60)}))
    names = sorted(messages)
    part = job.evaluate(by.evaluator, {name: messages[name] for name in names[:-1]})
    last = job.evaluate(by.evaluator, {names[-1]: messages[names[-1]]})
    with pytest.raises(InputError, match="not the whole"):
        job.combine(by.evaluator, [part])
    with pytest.raises(InputError, match="not the whole"):
        job.combine(by.evaluator, [part, part])
    with pytest.raises(InputError, match="not the whole"):
        job.combine(by.evaluator, [part, last, last])
    with pytest.raises(InputError, match="missing"):
        job.decrypt(by.owner, sent(by.owner, part))
    with pytest.raises(CiphertextError, match="not the message"):
        job.decrypt(by.owner, {"totals": sent(by.owner, part)["sum"]})
    with pytest.raises(InputError, match="no message"):
        job.evaluate(by.evaluator, {})
    with pytest.raises(InputError, match="none of this job"):
        job.evaluate(by.evaluator, {"north.999999": messages[names[0]]})


def test_messages_of_another_job_or_under_another_name_are_refused(hospitals) -> None:
    job, by = hospitals
    messages = sent(by.evaluator, job.encrypt(by.owner, {"north": people(0, 50), "south": people(1, 60)}))
    other = job.model_copy(
        update={"columns": (AGE, TEMPERATURE, BALANCE.model_copy(update={"edges": (-500.0, 1.0, 700.0)}))}
    )
    with pytest.raises(CiphertextError, match="not the message"):
        other.evaluate(by.evaluator, messages)
    one, another, *_ = sorted(messages)
    with pytest.raises(CiphertextError, match="not the message"):
        job.evaluate(by.evaluator, messages | {one: messages[another]})


def test_keys_of_another_job_and_keys_without_rotations_are_refused(hospitals, tmp_path) -> None:
    job, _ = hospitals
    needs = job.needs()
    other = Statistics(columns=(Column(name="x", lowest=0, highest=10_000),), rows=10)
    with pytest.raises(ParametersError, match="other parameters"):
        job.contribute(roles(other, tmp_path / "other").auditor, "north", people(0, 5))
    keys.make(tmp_path / "few", needs.parameters, PASSPHRASE, rotations=needs.rotations[:-1])
    with pytest.raises(KeyRefused, match="lack rotations"):
        job.evaluate(keys.open_evaluator(tmp_path / "few" / "evaluator"), {})


def test_the_evaluator_and_a_contributor_cannot_decrypt(hospitals) -> None:
    job, by = hospitals
    made = answer(job, by, {"north": people(5, 20), "south": people(6, 30)})
    for session in (by.evaluator, by.auditor):
        with pytest.raises(KeyRefused):
            job.decrypt(session, sent(session, made))


def test_an_answer_whose_slots_differ_is_no_total(hospitals) -> None:
    job, by = hospitals
    made = answer(job, by, {"north": people(5, 20), "south": people(6, 30)})["totals"]
    spoilt = made + np.arange(made.session.slots) % 7
    with pytest.raises(WouldBeWrong, match="differ"):
        job.decrypt(by.owner, {"totals": spoilt})


@pytest.mark.parametrize(
    "column",
    [
        {"name": "x", "lowest": 3, "highest": 3},
        {"name": "x", "lowest": 0, "highest": 9, "edges": (0,)},
        {"name": "x", "lowest": 0, "highest": 9, "edges": (0, 5, 5, 9)},
        {"name": "x", "lowest": 0, "highest": math.inf},
    ],
)
def test_impossible_columns_are_refused(column: dict[str, object]) -> None:
    with pytest.raises(ParametersError):
        Column(**column)


def test_squares_that_no_modulus_holds_are_refused_before_keys_are_made() -> None:
    job = Statistics(columns=(Column(name="x", lowest=0, highest=1e6, decimals=6),), rows=1000)
    with pytest.raises(ParametersError, match="too large"):
        job.needs()


@pytest.mark.parametrize(
    "description",
    ["", "[]", "{", '{"kind": "nothing"}', '{"kind": ["statistics"]}', '{"kind": "statistics", "rows": 3}'],
)
def test_descriptions_of_no_job_are_refused(description: str) -> None:
    with pytest.raises(InputError):
        kinds.read(description)
