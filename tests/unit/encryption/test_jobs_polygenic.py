"""Encrypted polygenic scores equal those of Python's integers (BFV), or are as close as stated (CKKS)."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from tasks.common.errors import CiphertextError, InputError, KeyRefused, ParametersError
from tasks.encryption.jobs.polygenic import Polygenic
from tests.shared_data import shared_data
from tests.unit.encryption.job_runs import Roles, answer, evaluated, result, roles, sent

PEOPLE, VARIANTS = 5000, 12


def genotypes(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drawn = rng.binomial(2, frequencies(), size=(PEOPLE, VARIANTS)).astype(float)
    drawn[rng.random(drawn.shape) < 0.03] = np.nan
    return drawn


def frequencies() -> list[float]:
    return np.random.default_rng(99).uniform(0.05, 0.95, VARIANTS).tolist()


def weights() -> list[float]:
    drawn = np.random.default_rng(98).normal(0, 0.2, VARIANTS)
    drawn[3] = 0.0
    return drawn.tolist()


@pytest.fixture(scope="module", params=["bfv", "ckks"])
def scores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Polygenic, Roles]:
    job = Polygenic(people=PEOPLE, weights=weights(), frequencies=frequencies(), scheme=request.param)
    return job, roles(job, tmp_path_factory.mktemp("keys") / "keys")


@pytest.mark.parametrize("seed", range(2))
def test_scores_are_those_of_plain_arithmetic(scores, seed: int) -> None:
    job, by = scores
    data = genotypes(seed)
    answers = answer(job, by, data)
    got = job.decrypt(by.owner, answers)
    imputed = np.where(np.isnan(data), 2 * np.array(frequencies()), data)
    if job.scheme == "bfv":
        # Fractions of Python: weights to 2**-16, imputed genotypes to 2**-6.
        units = [Fraction(round(weight * 2**16), 2**16) for weight in weights()]
        for person in range(0, PEOPLE, 97):
            dosages = [Fraction(round(each * 64), 64) for each in imputed[person]]
            assert Fraction(got["scores"][person]) == sum(a * b for a, b in zip(units, dosages, strict=True))
        assert job.stated_error(answers) == 0
        assert np.abs(got["scores"] - imputed @ weights()).max() <= job.rounding < 0.02
    else:
        assert np.abs(got["scores"] - imputed @ weights()).max() <= job.stated_error(answers) < 1e-6
    assert np.abs(got["scores"] - job.plainly(data)["scores"]).max() <= job.stated_error(answers)


def test_variants_without_weight_are_not_sent(scores) -> None:
    job, by = scores
    messages = job.encrypt(by.owner, genotypes(0))
    assert len(messages) == (VARIANTS - 1) * math.ceil(PEOPLE / by.owner.slots)
    assert not any("variant0000003" in name for name in messages)


def test_a_variant_that_is_missing_or_counted_twice_is_refused(scores) -> None:
    job, by = scores
    messages = sent(by.evaluator, job.encrypt(by.owner, genotypes(0)))
    few = {name: each for name, each in messages.items() if "variant0000005" not in name}
    with pytest.raises(InputError, match="not the whole"):
        evaluated(job, by.evaluator, few)
    once = job.evaluate(by.evaluator, messages)
    again = {name: each for name, each in messages.items() if "variant0000005" in name}
    with pytest.raises(InputError, match="not the whole"):
        job.combine(by.evaluator, [once, job.evaluate(by.evaluator, again)])
    name, *_ = messages
    with pytest.raises(CiphertextError, match="not the message"):
        job.evaluate(by.evaluator, messages | {name: messages[max(messages)]})
    with pytest.raises(KeyRefused):
        job.decrypt(by.evaluator, job.combine(by.evaluator, [once]))


@pytest.mark.parametrize(("change", "why"), [(-1.0, "not between"), (3.0, "not between"), (math.inf, "not between")])
def test_genotypes_out_of_range_are_refused(scores, change: float, why: str) -> None:
    job, by = scores
    data = genotypes(0)
    data[7, 2] = change
    with pytest.raises(InputError, match=why):
        job.encrypt(by.owner, data)


def test_genotypes_of_another_shape_or_finer_than_stated_are_refused(scores) -> None:
    job, by = scores
    with pytest.raises(InputError, match="5,000 people by 12 variants"):
        job.encrypt(by.owner, genotypes(0)[:-1])
    if job.scheme == "bfv":
        with pytest.raises(InputError, match="multiples"):
            job.encrypt(by.owner, np.full((PEOPLE, VARIANTS), 0.001))


def test_missing_genotypes_are_refused_where_no_frequency_is_stated(scores) -> None:
    job, by = scores
    with pytest.raises(InputError, match="frequencies"):
        job.model_copy(update={"frequencies": ()}).encrypt(by.owner, genotypes(0))


@pytest.mark.parametrize(
    "fields", [{"weights": (0.0, 0.0)}, {"weights": (1e-9,)}, {"weights": (1.0, 2.0), "frequencies": (0.5,)}]
)
def test_jobs_with_nothing_to_compute_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ParametersError):
        Polygenic(people=3, **fields)


def test_weights_that_no_ring_takes_are_refused_before_keys_are_made() -> None:
    with pytest.raises(ParametersError, match="too large"):
        Polygenic(people=10, weights=(1e6,) * 1000, weight_bits=30).needs()


def test_scores_of_the_asthma_study_are_exact(tmp_path) -> None:
    table = pd.read_csv(shared_data("asthma_snp.csv"))
    alleles = table.iloc[:, 6:]
    case = table["casecontrol"].to_numpy()
    dosages = np.full(alleles.shape, np.nan)
    for k, name in enumerate(alleles):
        known = alleles[name].dropna()
        effect = min(set("".join(known)))
        dosages[known.index.to_numpy(), k] = known.str.count(effect)
    frequency = np.nanmean(dosages, axis=0) / 2
    # Log odds of cases per allele, from the mean dosages of both groups.
    among = [np.nanmean(dosages[case == group], axis=0) / 2 for group in (0, 1)]
    log_odds = np.log(among[1] / (1 - among[1])) - np.log(among[0] / (1 - among[0]))
    job = Polygenic(people=len(table), weights=log_odds.tolist(), frequencies=frequency.tolist())
    got = result(job, roles(job, tmp_path / "keys"), dosages)
    units = np.rint(log_odds * 2**16).astype(object)
    filled = np.where(np.isnan(dosages), np.rint(2 * frequency * 64), dosages * 64).astype(int).astype(object)
    assert got["units"].tolist() == (filled @ units).tolist()
    assert len(table) == 1578
    assert got["scores"][case == 1].mean() > got["scores"][case == 0].mean()


@pytest.mark.long
def test_ten_thousand_people_and_a_thousand_variants(tmp_path) -> None:
    rng = np.random.default_rng(1)
    frequency = rng.uniform(0.01, 0.99, 1000)
    data = rng.binomial(2, frequency, size=(10_000, 1000)).astype(float)
    data[rng.random(data.shape) < 0.02] = np.nan
    job = Polygenic(people=10_000, weights=rng.normal(0, 0.1, 1000).tolist(), frequencies=frequency.tolist())
    by = roles(job, tmp_path / "keys")
    answers = evaluated(job, by.evaluator, sent(by.evaluator, job.encrypt(by.owner, data)))
    units = np.rint(np.array(job.weights) * 2**16).astype(np.int64)
    filled = np.where(np.isnan(data), np.rint(2 * frequency * 64), data * 64).astype(np.int64)
    assert np.array_equal(job.decrypt(by.owner, sent(by.owner, answers))["units"], filled @ units)
