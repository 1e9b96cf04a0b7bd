"""The mean of encrypted updates is that of the updates in the clear."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from tasks.common.errors import CiphertextError, InputError, KeyRefused, ParametersError
from tasks.encryption.jobs.aggregation import Aggregation
from tests.unit.encryption.job_runs import Roles, evaluated, roles, sent

LENGTH = 5000


def updates(job: Aggregation, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        member: np.append(job.clipped(rng.normal(0, 1, LENGTH)), rng.integers(1, job.most_weight + 1))
        for member in job.contributors
    }


@pytest.fixture(scope="module", params=["ckks", "bfv"])
def members(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Aggregation, Roles]:
    job = Aggregation(
        contributors=("a", "b", "c", "d"), length=LENGTH, bound=2.0, most_weight=30_000, scheme=request.param
    )
    return job, roles(job, tmp_path_factory.mktemp("keys") / "keys")


def contributed(job: Aggregation, by: Roles, data: dict[str, np.ndarray]) -> dict[str, object]:
    """Each member has the public key alone."""
    messages: dict[str, object] = {}
    for member, update in data.items():
        messages |= job.contribute(by.auditor, member, update)
    return sent(by.evaluator, messages)


@pytest.mark.parametrize("seed", range(3))
def test_the_mean_is_that_of_the_updates_in_the_clear(members, seed: int) -> None:
    job, by = members
    data = updates(job, seed)
    answers = sent(by.owner, evaluated(job, by.evaluator, contributed(job, by, data)))
    got = job.decrypt(by.owner, answers)
    values, weight = np.array([each[:-1] for each in data.values()]), np.array([each[-1] for each in data.values()])
    assert got["weight"] == weight.sum()
    if job.scheme == "bfv":
        for k in range(0, LENGTH, 101):
            exactly = sum(
                Fraction(round(float(value) * 2**20), 2**20) * int(each)
                for value, each in zip(values[:, k], weight, strict=True)
            )
            assert got["mean"][k] == float(exactly / int(weight.sum()))
        assert job.stated_error(answers) == 0
        assert np.abs(got["mean"] - np.average(values, axis=0, weights=weight)).max() <= 2.0**-21 + 1e-12
    else:
        assert (
            np.abs(got["mean"] - np.average(values, axis=0, weights=weight)).max() <= job.stated_error(answers) < 1e-4
        )
    assert np.abs(got["mean"] - job.plainly(data)["mean"]).max() <= job.stated_error(answers)


def test_the_stated_error_holds_where_all_members_weigh_least_and_updates_are_largest(members) -> None:
    job, by = members
    data = {
        member: np.append(np.full(LENGTH, sign * 2.0), 1)
        for member, sign in zip(job.contributors, (1, 1, -1, 1), strict=True)
    }
    answers = sent(by.owner, evaluated(job, by.evaluator, contributed(job, by, data)))
    got = job.decrypt(by.owner, answers)
    assert got["weight"] == 4
    assert np.abs(got["mean"] - 1.0).max() <= job.stated_error(answers)


@pytest.mark.parametrize(
    ("place", "value", "why"),
    [
        (0, math.nan, "missing or infinite"),
        (5, -math.inf, "missing or infinite"),
        (3, 2.0001, "clip"),
        (-1, 0, "weight"),
        (-1, 1.5, "weight"),
        (-1, 30_001, "weight"),
    ],
)
def test_updates_that_do_not_keep_to_the_bounds_are_refused(members, place: int, value: float, why: str) -> None:
    job, by = members
    update = np.append(np.zeros(LENGTH), 1.0)
    update[place] = value
    with pytest.raises(InputError, match=why):
        job.contribute(by.auditor, "a", update)


def test_another_length_or_another_member_is_refused(members) -> None:
    job, by = members
    with pytest.raises(InputError, match="5,000 numbers"):
        job.contribute(by.auditor, "a", np.zeros(LENGTH))
    with pytest.raises(InputError, match="none of the 4"):
        job.contribute(by.auditor, "e", np.append(np.zeros(LENGTH), 1.0))


def test_a_member_that_is_missing_or_counts_twice_is_refused(members) -> None:
    job, by = members
    messages = contributed(job, by, updates(job, 0))
    few = {name: each for name, each in messages.items() if not name.startswith("c.")}
    with pytest.raises(InputError, match="not the whole"):
        evaluated(job, by.evaluator, few)
    twice = dict(messages)
    for name in [name for name in messages if name.startswith("c.")]:
        twice[name] = messages[name.replace("c.", "d.")]
    with pytest.raises(CiphertextError, match="not the message"):
        evaluated(job, by.evaluator, twice)
    with pytest.raises(InputError, match="not the whole"):
        job.combine(by.evaluator, [job.evaluate(by.evaluator, messages), job.evaluate(by.evaluator, few)])
    with pytest.raises(InputError, match="4 contributors"):
        job.encrypt(by.owner, {"a": np.zeros(LENGTH + 1)})


def test_the_evaluator_cannot_decrypt(members) -> None:
    job, by = members
    with pytest.raises(KeyRefused):
        job.decrypt(by.evaluator, evaluated(job, by.evaluator, contributed(job, by, updates(job, 0))))


@pytest.mark.parametrize(
    "fields", [{"contributors": ("a", "a")}, {"bound": 1e9}, {"bound": 1e9, "scheme": "bfv", "most_weight": 1000}]
)
def test_impossible_jobs_are_refused_before_keys_are_made(fields: dict[str, object]) -> None:
    with pytest.raises(ParametersError):
        Aggregation(**{"contributors": ("a", "b"), "length": 3, "bound": 1.0} | fields).needs()
