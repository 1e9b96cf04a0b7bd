"""What all recodings of cells have in common: any criteria hold, also those on the table as a whole or a population."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pycanon import anonymity

from tasks.anonymization import microaggregation, mondrian, recoding
from tasks.anonymization.classes import Tuples
from tasks.anonymization.closeness import EqualDistance, TCloseness
from tasks.anonymization.criteria import KAnonymity
from tasks.anonymization.diversity import EntropyDiversity
from tasks.anonymization.histograms import Histogram
from tasks.anonymization.population import KMap, with_population
from tasks.anonymization.reidentification_risk import Average, AverageRisk
from tasks.common.errors import ThresholdNotReached
from tests.unit.anonymization.local_tables import POLICY, counted, released, table_of, tables


def strict(tuples, over, criteria):
    return mondrian.recode(tuples, over, criteria)


def relaxed(tuples, over, criteria):
    return mondrian.recode(tuples, over, criteria, relaxed=True)


def averaged(tuples, over, criteria):
    return microaggregation.recode(tuples, over, criteria).recoded


every_method = pytest.mark.parametrize("method", [strict, relaxed, averaged])


@every_method
@settings(max_examples=25, deadline=None)
@given(rows=tables, t=st.sampled_from([0.1, 0.3, 0.5]))
def test_secrets_are_t_close_by_another_implementation(method, rows, t):
    table = table_of(rows)
    tuples, over, _, of_row = counted(table)
    people = tuples.secrets["result"].total(len({row[4] for row in rows}))
    criteria = [KAnonymity(2), TCloseness("result", t, EqualDistance(people / people.sum()))]
    frame, kept = released(method(tuples, over, criteria), of_row, table)
    assert len(kept) == len(rows)
    assert anonymity.t_closeness(frame, POLICY.quasi, ["result"]) <= t + 1e-6


@every_method
@settings(max_examples=25, deadline=None)
@given(rows=tables, l=st.sampled_from([1.5, 2.5]))
def test_secrets_are_entropy_diverse_by_another_implementation(method, rows, l):  # noqa: E741
    table = table_of(rows)
    tuples, over, _, of_row = counted(table)
    criteria = [KAnonymity(2), EntropyDiversity("result", l)]
    try:
        recoded = method(tuples, over, criteria)
    except ThresholdNotReached:
        shares = np.unique([row[4] for row in rows], return_counts=True)[1] / len(rows)
        assert np.exp(-(shares @ np.log(shares))) < l
        return
    frame, _ = released(recoded, of_row, table)
    for _, inside in frame.groupby(POLICY.quasi)["result"]:
        shares = inside.value_counts(normalize=True)
        assert np.exp(-(shares @ np.log(shares))) >= l - 1e-6


@every_method
@settings(max_examples=25, deadline=None)
@given(rows=tables, most=st.sampled_from([0.1, 0.2, 0.3]))
def test_an_average_risk_is_met_by_larger_classes_without_leaving_rows_out(method, rows, most):
    # Every class of one table: classes / people is the chance that a random match is right.
    assume(most * len(rows) >= 1)
    table = table_of(rows)
    tuples, over, _, of_row = counted(table)
    recoded = method(tuples, over, [KAnonymity(2), AverageRisk(Average.PROSECUTOR, most)])
    frame, kept = released(recoded, of_row, table)
    assert len(kept) == len(rows)
    assert frame.groupby(POLICY.quasi).ngroups / len(frame) <= most + 1e-9


@settings(max_examples=30, deadline=None)
@given(rows=tables, others=tables, k=st.integers(3, 8))
def test_a_population_hides_people_in_its_regions(rows, others, k):
    both = table_of([*rows, *others])
    everyone, over, trees, of_person = counted(both)
    mine = np.bincount(of_person[: len(rows)], minlength=len(everyone))
    sizes = [len(tree.leaves) for tree in trees.values()]
    chosen = np.flatnonzero(mine)
    inside = replace(
        recoding.with_secrets(recoding.subset(everyone, chosen), []),
        rows=mine[chosen],
        people=mine[chosen].astype(float),
    )
    tuples = with_population(inside, everyone.codes, everyone.people, sizes)
    recoded = mondrian.recode(tuples, over, [KMap(k)])
    assert recoded.rows.sum() == len(rows)
    assert recoded.classes.population.min() >= k
    assert (recoded.classes.rows > 0).all()


def test_parts_of_a_tuple_have_their_share_of_people_and_secrets():
    tuples = Tuples(
        np.zeros((1, 1), dtype=np.int32),
        np.array([10]),
        np.array([10.0]),
        {"s": Histogram(np.array([0, 1]), np.array([3], dtype=np.int32), np.array([10.0]))},
    )
    parts = recoding.fragments(tuples, np.array([0, 0]), np.array([4, 6]))
    assert parts.people.tolist() == [4, 6]
    assert parts.secrets["s"].starts.tolist() == [0, 1, 2]
    assert parts.secrets["s"].codes.tolist() == [3, 3]
    assert parts.secrets["s"].counts.tolist() == [4, 6]
