"""Chi-square of variants in the clear: against scipy on pooled people, tables by hand, and what is not shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mpc_programs.association import Association
from tasks.common.errors import InputError, MissingPart, ParametersError
from tasks.mpc.mp_spdz import MpSpdz
from tasks.mpc.protocols import named
from tests.shared_data import shared_data
from tests.unit.mpc.cohorts import ODD_TABLES, of_association, of_tables, patients


def _plain(program, given):
    return program.plainly(program.checked(given))


def _tables(genotypes, is_case, by):
    """Of each variant, cases and controls by columns that occur; -1 is a missing genotype."""
    for each in genotypes:
        counts = np.array([np.bincount(each[(is_case == case) & (each >= 0)], minlength=3) for case in (True, False)])
        table = counts if by == "genotypes" else np.stack([counts @ [2, 1, 0], counts @ [0, 1, 2]], axis=1)
        yield table[:, table.sum(axis=0) > 0]


def _by_scipy(genotypes, is_case, by):
    return [stats.chi2_contingency(table, correction=False) for table in _tables(genotypes, is_case, by)]


def _assert_as_by_scipy(program, found, genotypes, is_case, within=1e-9):
    wanted = _by_scipy(genotypes, is_case, program.by)
    np.testing.assert_allclose(found["statistic"], [each.statistic for each in wanted], rtol=0, atol=within)
    assert found["freedom"].tolist() == [each.dof for each in wanted]


@pytest.mark.parametrize("by", ["genotypes", "alleles"])
@pytest.mark.parametrize("linked", [False, True])
def test_with_a_minimum_of_one_it_is_scipys_on_pooled_people(by, linked):
    pooled = patients(150, variants=12)
    program, own = of_association(pooled, by=by, minimum=1, linked_people=150 * linked)
    found = _plain(program, own)
    _assert_as_by_scipy(program, found, pooled.genotypes, pooled.is_event)
    wanted = [each.pvalue for each in _by_scipy(pooled.genotypes, pooled.is_event, by)]
    np.testing.assert_allclose(program.p_values(found), wanted, rtol=1e-9)


@pytest.mark.parametrize("by", ["genotypes", "alleles"])
def test_missing_genotypes_are_left_out_of_their_variant_alone(by):
    pooled = patients(150, variants=12)
    missing = np.random.default_rng(0).random(pooled.genotypes.shape) < 0.1
    pooled = pooled._replace(genotypes=np.where(missing, -1, pooled.genotypes))
    program, own = of_association(pooled, by=by, minimum=1)
    _assert_as_by_scipy(program, _plain(program, own), pooled.genotypes, pooled.is_event)


def test_a_table_by_hand():
    # Of 20 cases 10 and of 20 controls 5 in the first column, 10 and 15 in the second; expected are 7.5 and 12.5 of
    # each: 2 * 2.5^2 / 7.5 + 2 * 2.5^2 / 12.5 = 5/3 + 1.
    program, own = of_tables([[10, 10], [5, 15]], by="alleles")
    found = _plain(program, own)
    np.testing.assert_allclose(found["statistic"], [8 / 3], rtol=1e-12)
    assert found["freedom"].tolist() == [1]


def test_a_variant_with_a_small_column_or_row_is_not_shown_but_one_with_an_empty_column_is():
    program, own = of_tables(*ODD_TABLES, minimum=5)
    found = _plain(program, own)
    assert found["freedom"].tolist() == [0, 0, 2, 1, 0, 0, 0]
    assert (found["statistic"] > 0).tolist() == [False, False, True, True, False, False, False]
    assert np.isnan(program.p_values(found)).tolist() == [True, True, False, False, True, True, True]


def test_what_is_no_table_is_refused():
    program, own = of_tables([[9, 8, 4], [9, 9, 970]])
    with pytest.raises(InputError, match="party 1: 1 variants have more people than 1,000, the most"):
        program.checked(own)
    linked = Association(parties=3, variants=1, most_people=4, linked_people=2, minimum=1)
    with pytest.raises(InputError, match="1 of 2 numbers of copies are outside 0 to 2"):
        linked.checked_of(0, {"copies": np.array([[2, -1]])})
    with pytest.raises(InputError, match="party 2 brings is_case, which association does not read"):
        linked.checked_of(2, {"is_case": np.ones(2)})
    with pytest.raises(ParametersError, match="5 linked people are more than 4, the most"):
        Association(parties=3, variants=1, most_people=4, linked_people=5)
    with pytest.raises(ParametersError, match="tables of 9 are smaller than the minimum, 10, or too large"):
        Association(parties=3, variants=1, most_people=3, minimum=10)


@pytest.mark.parametrize("by", ["genotypes", "alleles"])
def test_snps_of_asthma_over_countries_are_as_by_scipy_on_all(by):
    program, own, genotypes, is_case = _asthma(by, hospitals=8)
    found = _plain(program, own)
    np.testing.assert_allclose(found["statistic"], _shown_by_scipy(program, genotypes, is_case), rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["genotypes", "alleles"])
def test_snps_of_asthma_are_as_by_scipy_without_anybody_seeing_them_all(by, tmp_path):
    try:
        engine = MpSpdz(tmp_path)
        engine.installed.require(named("replicated-ring"))
    except MissingPart as missing:
        pytest.skip(str(missing))
    program, own, genotypes, is_case = _asthma(by, hospitals=3)
    found = engine.run(program, engine.compile(program, named("replicated-ring")), own, 120.0).outputs
    wanted = _shown_by_scipy(program, genotypes, is_case)
    np.testing.assert_allclose(found["statistic"], wanted, rtol=0, atol=program.error())
    assert program.error() < 1e-3 < wanted.max()


def _asthma(by, *, hospitals):
    """51 SNPs of 1,475 people or so, whose countries are put together to so many hospitals."""
    rows = pd.read_csv(shared_data("asthma_snp.csv"))
    rows = rows[~rows["country"].isin(["Belgium", "Estonia"])]
    genotypes, is_case = _copies(rows.iloc[:, 6:]), rows["casecontrol"].to_numpy(dtype=bool)
    hospital = rows["country"].astype("category").cat.codes.to_numpy() % hospitals
    assert len(rows) > 1000
    assert (genotypes == -1).any()
    assert set(hospital) == set(range(hospitals))
    program = Association(parties=hospitals, variants=len(genotypes), most_people=len(rows), minimum=5, by=by)
    own = {at: program.counted(genotypes[:, hospital == at], is_case[hospital == at]) for at in range(hospitals)}
    return program, own, genotypes, is_case


def _shown_by_scipy(program, genotypes, is_case):
    """The statistic, and 0 where a row or column is small."""
    tables = list(_tables(genotypes, is_case, program.by))
    shown = [min(table.sum(axis=0).min(), table.sum(axis=1).min()) >= program.minimum for table in tables]
    assert sum(shown) > 40
    return np.where(shown, [stats.chi2_contingency(table, correction=False).statistic for table in tables], 0)


def _copies(texts: pd.DataFrame) -> np.ndarray:
    """Of each SNP's second allele by alphabet, -1 where missing: (snps, people)."""
    found = []
    for column in texts.columns:
        alleles = sorted(set("".join(texts[column].dropna().unique())))
        found.append(texts[column].map(lambda text, last=alleles[-1]: text.count(last), na_action="ignore"))
    return np.stack([each.fillna(-1).to_numpy(dtype=np.int64) for each in found])
