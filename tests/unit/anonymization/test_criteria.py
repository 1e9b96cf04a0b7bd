"""Criteria on given classes, against pycanon, linear programs, the papers' tables and examples worked by hand.

pycanon is no oracle for recursive diversity (it sorts counts upwards) and enhanced likeness (it compares each class
with the rarest secret); those are worked by hand here, and row by row in test_criteria_search.
"""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycanon import anonymity
from scipy.optimize import linprog

from tasks.anonymization import classes, criteria
from tasks.anonymization.closeness import EqualDistance, HierarchicalDistance, OrderedDistance
from tasks.anonymization.criteria import KAnonymity, Secret
from tasks.anonymization.disclosure import BetaLikeness, DeltaDisclosure
from tasks.anonymization.diversity import DistinctDiversity, EntropyDiversity, RecursiveDiversity
from tasks.anonymization.population import DeltaPresence, KMap, enough_people, with_population
from tasks.anonymization.reidentification_risk import Average, AverageRisk
from tasks.anonymization.uniqueness import PopulationUniqueness, Sizes, dankar, pitman, snb, uniques, zayatz
from tasks.common.criteria_forms import Criteria, Estimator, UniquenessModel
from tasks.common.errors import PolicyError
from tasks.common.policy import Kind
from tests.unit.anonymization.grouped import group


def grouped(numbers, secrets, values):
    """Tuples by the number of each row's class, with secrets coded by their place in `values`."""
    codes = np.array(numbers, dtype=np.int32)[:, None]
    coded = np.array([values.index(secret) for secret in secrets])
    return group(codes, [int(codes.max()) + 1], np.ones(len(codes)), {"x": coded})[0]


def bound_to(asked, tuples, values, kind=Kind.CATEGORICAL):
    return criteria.build(Criteria.model_validate(asked), tuples, {"x": Secret(values, kind)})


ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=2, max_size=40)


@settings(max_examples=80, deadline=None)
@given(ROWS)
def test_thresholds_are_where_pycanon_sees_them(rows):
    numbers, secrets = zip(*rows, strict=True)
    values = sorted(set(secrets))
    tuples = grouped(numbers, secrets, values)
    frame = pd.DataFrame({"q": numbers, "x": secrets})
    shares = tuples.secrets["x"].total(len(values)) / len(rows)

    def holds(criterion):
        return not criterion.violated(tuples).any()

    k = anonymity.k_anonymity(frame, ["q"])
    assert holds(KAnonymity(k))
    assert not holds(KAnonymity(k + 1))
    l = anonymity.l_diversity(frame, ["q"], ["x"])  # noqa: E741
    assert holds(DistinctDiversity("x", l))
    assert not holds(DistinctDiversity("x", l + 1))
    entropy = anonymity.entropy_l_diversity(frame, ["q"], ["x"])  # rounded down
    assert entropy < 2 or holds(EntropyDiversity("x", entropy))
    assert not holds(EntropyDiversity("x", entropy + 1 + 1e-6))
    delta = anonymity.delta_disclosure(frame, ["q"], ["x"])
    assert holds(DeltaDisclosure("x", delta + 1e-6, shares))
    assert not holds(DeltaDisclosure("x", delta, shares))
    beta = anonymity.basic_beta_likeness(frame, ["q"], ["x"])
    assert holds(BetaLikeness("x", beta + 1e-6, shares, enhanced=False))
    assert beta < 1e-6 or not holds(BetaLikeness("x", beta - 1e-6, shares, enhanced=False))


@settings(max_examples=60, deadline=None)
@given(ROWS.filter(lambda rows: len({secret for _, secret in rows}) > 1))
def test_distances_are_those_of_pycanon(rows):
    numbers, secrets = zip(*rows, strict=True)
    values = sorted(set(secrets))
    tuples = grouped(numbers, secrets, values)
    shares = tuples.secrets["x"].total(len(values)) / len(rows)
    frame = pd.DataFrame({"q": numbers, "number": secrets, "text": [f"v{secret}" for secret in secrets]})
    ordered = OrderedDistance(shares, np.arange(len(values))).of(tuples.secrets["x"])
    assert ordered.max() == pytest.approx(anonymity.t_closeness(frame, ["q"], ["number"]), abs=1e-9)
    equal = EqualDistance(shares).of(tuples.secrets["x"])
    assert equal.max() == pytest.approx(anonymity.t_closeness(frame, ["q"], ["text"]), abs=1e-9)


def transported(p, q, ground):
    """Earth mover's distance as the linear program that defines it."""
    size = len(p)
    sent, received = np.kron(np.eye(size), np.ones(size)), np.kron(np.ones(size), np.eye(size))
    solution = linprog(ground.ravel(), A_eq=np.concatenate([sent, received]), b_eq=np.concatenate([p, q]))
    return solution.fun


LEVELS = np.array([[0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 1, 2], [0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0]], dtype=np.int32)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), min_size=6, max_size=40), st.permutations(range(6)))
def test_distances_are_the_cheapest_transport(rows, order):
    rows = [*rows, *((3, secret) for secret in range(6))]
    tuples = grouped(*zip(*rows, strict=True), list(range(6)))
    histogram = tuples.secrets["x"]
    p = histogram.total(6) / len(rows)
    place = np.array(order)
    grounds = {
        EqualDistance(p): 1.0 - np.eye(6),
        OrderedDistance(p, place): abs(place[:, None] - place) / 5,
        # As high as the lowest level on which two secrets have the same label.
        HierarchicalDistance(p, LEVELS): (LEVELS[:, :, None] != LEVELS[:, None, :]).sum(axis=0) / 3,
    }
    for distance, ground in grounds.items():
        for number, found in enumerate(distance.of(histogram)):
            entries = slice(histogram.starts[number], histogram.starts[number + 1])
            q = np.zeros(6)
            q[histogram.codes[entries]] = histogram.counts[entries] / histogram.counts[entries].sum()
            assert found == pytest.approx(transported(p, q, ground), abs=1e-6)


# Li, Li and Venkatasubramanian 2007: tables 3 and 5, salaries in thousands, and the hierarchy of figure 1.
SALARIES = [3, 4, 5, 6, 7, 8, 9, 10, 11]
DISEASES = {
    "groups": [
        {
            "respiratory infection": ["flu", "pneumonia", "bronchitis"],
            "vascular lung diseases": ["pulmonary edema", "pulmonary embolism"],
            "stomach diseases": ["gastric ulcer", "stomach cancer", "gastritis"],
            "colon diseases": ["colitis", "colon cancer"],
        },
        {
            "respiratory system diseases": ["respiratory infection", "vascular lung diseases"],
            "digestive system diseases": ["stomach diseases", "colon diseases"],
        },
    ]
}


def test_salaries_of_li_are_as_far_as_the_paper_says():
    # Section 5.1: {3k, 4k, 5k} is at 0.375 and {6k, 8k, 11k} at 0.167; table 5 has 0.167-closeness.
    overall = np.full(9, 1 / 9)
    distance = OrderedDistance(overall, np.arange(9))
    table = grouped([0, 0, 0, 1, 1, 1], [3, 4, 5, 6, 8, 11], SALARIES)
    assert distance.of(table.secrets["x"]) == pytest.approx([0.375, 1 / 6])
    table_5 = grouped([0, 0, 0, 1, 1, 1, 2, 2, 2], [3, 5, 9, 6, 11, 8, 4, 7, 10], SALARIES)
    asked = {"t": {"x": {"t": 0.167, "distance": "ordered"}}}
    closeness = bound_to(asked, table_5, SALARIES, Kind.NUMERIC)[-1]
    assert not closeness.violated(table_5).any()
    assert distance.of(table_5.secrets["x"]).max() == pytest.approx(0.167, abs=5e-4)


def test_diseases_of_li_are_as_far_as_their_hierarchy_says():
    # Section 5.2: flu is 1/3 from bronchitis, 2/3 from pulmonary embolism and 1 from stomach cancer.
    diseases = [name for group in DISEASES["groups"][0].values() for name in group]
    for other, expected in (("bronchitis", 1 / 3), ("pulmonary embolism", 2 / 3), ("stomach cancer", 1.0)):
        flu = grouped([0, 1], ["flu", other], diseases)
        asked = {"t": {"x": {"t": 0.5, "distance": "hierarchical", "hierarchy": DISEASES}}}
        distance = bound_to(asked, flu, diseases)[-1].distance
        # Half of the table is flu and half the other: the class of flu moves half of its mass.
        assert distance.of(flu.secrets["x"]) == pytest.approx([expected / 2] * 2)


def test_classes_of_li_by_hand():
    # Table 5. Differences from the table, in ninths: ulcer +2 gastritis -2 cancer +1, flu -1 bronchitis -2 pneumonia +2
    # move 2 within stomach, 2 within infections (1/3 each) and 1 across (1): 7/27; the others likewise 8/27 and 5/27.
    secrets = ["gastric ulcer", "stomach cancer", "pneumonia", "gastritis", "flu", "bronchitis"]
    secrets += ["gastritis", "bronchitis", "stomach cancer"]
    values = sorted(set(secrets))
    table = grouped([0, 0, 0, 1, 1, 1, 2, 2, 2], secrets, values)
    asked = {"t": {"x": {"t": 0.28, "distance": "hierarchical", "hierarchy": DISEASES}}}
    closeness = bound_to(asked, table, values)[-1]
    assert closeness.distance.of(table.secrets["x"]) == pytest.approx([7 / 27, 8 / 27, 5 / 27])
    assert closeness.violated(table).tolist() == [False, True, False]


def test_the_3_diverse_inpatients_of_machanavajjhala():
    # 2007, table 3: heart disease, viral infection, cancer with counts 1, 1, 2 in each of three classes.
    secrets = ["h", "v", "c", "c", "c", "h", "v", "v", "h", "v", "c", "c"]
    table = grouped([0] * 4 + [1] * 4 + [2] * 4, secrets, ["h", "v", "c"])
    assert not DistinctDiversity("x", 3).violated(table).any()
    assert DistinctDiversity("x", 4).violated(table).all()
    # Entropy ln 4 - ln(2) / 2, of 2^1.5 equally frequent secrets.
    assert not EntropyDiversity("x", 2**1.5).violated(table).any()
    assert EntropyDiversity("x", 2.83).violated(table).all()
    # r1 = 2 < c (r2 + r3) = 2c needs c > 1; with l = 3, c > 2.
    assert RecursiveDiversity("x", 1.0, 2).violated(table).all()
    assert not RecursiveDiversity("x", 1.01, 2).violated(table).any()
    assert RecursiveDiversity("x", 2.0, 3).violated(table).all()
    assert not RecursiveDiversity("x", 2.01, 3).violated(table).any()


def test_enhanced_likeness_bounds_frequent_secrets():
    # Shares 0.8 and 0.2. Basic with beta 1 allows 1.6 of the first; enhanced 0.8 (1 + 0.223) = 0.979, so not all.
    table = grouped([0] * 4 + [1] * 6, ["a"] * 4 + ["a"] * 4 + ["b"] * 2, ["a", "b"])
    overall = np.array([0.8, 0.2])
    assert not BetaLikeness("x", 1.0, overall, enhanced=False).violated(table).any()
    assert BetaLikeness("x", 1.0, overall, enhanced=True).violated(table).tolist() == [True, False]


def with_people(rows, population):
    """Tuples of one column with `rows[i]` rows and `population[i]` people in the population."""
    codes = np.repeat(np.arange(len(rows)), rows).astype(np.int32)[:, None]
    tuples, _ = group(codes, [len(rows)], np.ones(len(codes)), {})
    everyone = np.arange(len(rows), dtype=np.int32)[:, None]
    return with_population(tuples, everyone, np.array(population, dtype=float), [len(rows)])


def test_presence_and_maps_count_the_population():
    # Shares 1/4, 3/6 and 0/5 of the population are in the table.
    tuples = with_people([1, 3, 0], [4, 6, 5])
    assert tuples.rows.tolist() == [1, 3, 0]
    assert tuples.population.tolist() == [4, 6, 5]
    assert DeltaPresence(0.0, 0.5).violated(tuples).tolist() == [False, False, False]
    assert DeltaPresence(0.0, 0.4).violated(tuples).tolist() == [False, True, False]
    assert DeltaPresence(0.3, 0.5).violated(tuples).tolist() == [True, False, True]
    assert KMap(5).violated(tuples).tolist() == [True, False, False]


def test_an_absent_class_cannot_be_suppressed():
    tuples = with_people([5, 0], [10, 5])
    judgement = criteria.judge(criteria.split([DeltaPresence(0.1, 1.0)]), tuples, 5, lambda: np.arange(2))
    assert judgement.hopeless
    assert not judgement.satisfied


def test_average_risks_by_hand():
    # Classes of 1, 2 and 7 people, of 10, 4 and 70 in the population: J/n = 0.3, J/sum(F) = 3/84 and
    # sum(f/F)/n = (0.1 + 0.5 + 0.1) / 10 = 0.07.
    tuples = with_people([1, 2, 7], [10, 4, 70])
    none = np.zeros(3, dtype=bool)
    for average, risk in ((Average.PROSECUTOR, 0.3), (Average.POPULATION, 3 / 84), (Average.MARKETER, 0.07)):
        assert not AverageRisk(average, risk + 1e-6).suppressed(tuples, none, lambda: np.arange(3)).any()
        assert AverageRisk(average, risk - 1e-6).suppressed(tuples, none, lambda: np.arange(3)).any()
    # The smallest goes first: then 2/9 = 0.22. The marketer's class of most risk is the second: then 0.2/8 = 0.025.
    prosecutor = AverageRisk(Average.PROSECUTOR, 0.25).suppressed(tuples, none, lambda: np.arange(3))
    marketer = AverageRisk(Average.MARKETER, 0.03).suppressed(tuples, none, lambda: np.arange(3))
    assert prosecutor.tolist() == [True, False, False]
    assert marketer.tolist() == [False, True, False]


def test_how_many_sampled_people_conclude_a_map():
    # k = 10 people sampled at 0.1: Poisson of mean 1 has 0.9810 up to 3 and 0.9963 up to 4.
    assert enough_people(10, 0.1, 0.05, Estimator.POISSON) == 4
    assert enough_people(10, 0.1, 0.01, Estimator.POISSON) == 5
    # Truncated at zero, (0.9810 - 0.3679) / 0.6321 = 0.9699 up to 3 and 0.9942 up to 4.
    assert enough_people(10, 0.1, 0.05, Estimator.ZERO_TRUNCATED_POISSON) == 4
    assert enough_people(10, 0.1, 0.02, Estimator.ZERO_TRUNCATED_POISSON) == 5
    # Nothing is asked for that counting all people would not need.
    assert enough_people(3, 1.0, 0.001, Estimator.POISSON) == 3


def seated(alpha, theta, people, rng):
    """Class sizes of a population that Pitman's process seats: alone with probability (theta + alpha u) / (theta +
    n).
    """
    tables = []
    for person in range(people):
        if rng.random() * (theta + person) < theta + alpha * len(tables):
            tables.append(1)
        else:
            weights = np.array(tables) - alpha
            tables[int(np.searchsorted(np.cumsum(weights), rng.random() * weights.sum()))] += 1
    return tables


@pytest.mark.parametrize("fraction", [0.1, 0.3])
def test_pitmans_estimate_finds_the_uniques_of_pitmans_process(fraction):
    rng = np.random.default_rng(4)
    population = seated(0.5, 30.0, 6000, rng)
    estimates = []
    for _ in range(20):
        drawn = rng.multivariate_hypergeometric(population, int(6000 * fraction))
        estimates.append(pitman(Sizes(*np.unique(drawn[drawn > 0], return_counts=True)), 6000))
    assert np.mean(estimates) == pytest.approx(population.count(1), rel=0.15)


def test_the_negative_binomial_finds_its_own_uniques():
    # 40,000 classes of 1 + NB(2, 0.4) people, of which 0.4^2 are of one; half of the people are drawn.
    rng = np.random.default_rng(5)
    classes_of = 1 + rng.negative_binomial(2, 0.4, 40_000)
    drawn = rng.binomial(classes_of, 0.5)
    sizes, counts = np.unique(drawn[drawn > 0], return_counts=True)
    population = int(classes_of.sum())
    estimate = snb(Sizes(sizes, counts), population)
    assert estimate == pytest.approx((classes_of == 1).sum(), rel=0.05)


def test_all_are_unique_where_the_sample_is_the_population():
    sample = Sizes(np.array([1, 2, 5]), np.array([7, 3, 1]))
    for estimator in (zayatz, snb, dankar):
        assert estimator(sample, sample.people) == pytest.approx(7)


def test_without_unique_people_in_the_sample_none_are_estimated():
    sample = Sizes(np.array([2, 3]), np.array([4, 5]))
    assert [uniques(sample, 1000, model) for model in UniquenessModel] == [0.0] * 4


def test_uniqueness_is_met_by_suppressing_uniques():
    tuples = with_people([1] * 30 + [9] * 20, [1] * 50)
    wanted = PopulationUniqueness(1000, 0.002, UniquenessModel.ZAYATZ)
    left_out = wanted.suppressed(tuples, np.zeros(50, dtype=bool), lambda: np.arange(50))
    assert set(np.flatnonzero(left_out)) < set(range(30))
    assert not wanted.suppressed(tuples, left_out, lambda: np.arange(50))[30:].any()


def test_a_missing_number_is_last_and_dates_are_in_order():
    days = [dt.date(2020, 3, 1), None, dt.date(2019, 1, 1)]
    table = grouped([0, 1, 2], days, days)
    distance = bound_to({"t": {"x": {"t": 0.1, "distance": "ordered"}}}, table, days, Kind.DATE)[-1].distance
    assert distance.place.tolist() == [1, 2, 0]


def test_an_order_has_to_know_every_value():
    table = grouped([0, 1], ["low", "high"], ["low", "high"])
    with pytest.raises(PolicyError, match="1 distinct values"):
        bound_to({"t": {"x": {"t": 0.1, "distance": "ordered", "order": ["low"]}}}, table, ["low", "high"])


def test_what_protects_a_dropped_column_is_left_out():
    table = grouped([0, 1], ["a", "b"], ["a", "b"])
    asked = Criteria.model_validate({"l": {"x": 2}, "t": {"x": 0.2}, "beta": {"x": 1}})
    assert [c.describe() for c in criteria.build(asked, table, {}, dropped=["x"])] == ["5-anonymity"]


def test_every_key_of_a_policy_becomes_a_criterion():
    tuples = with_people([3, 4], [30, 40])
    secrets = classes.Histogram(np.array([0, 2, 4]), np.array([0, 1, 0, 1], dtype=np.int32), np.array([1.0, 2, 2, 2]))
    tuples = classes.Tuples(tuples.codes, tuples.rows, tuples.people, {"x": secrets}, tuples.population)
    people = {"population": "people.csv"}
    asked = {
        "l": {"x": 2},
        "entropy_l": {"x": 1.8},
        "recursive_l": {"x": {"c": 3, "l": 2}},
        "t": {"x": 0.2},
        "delta_disclosure": {"x": 1.0},
        "beta": {"x": {"beta": 1.0, "enhanced": True}},
        "presence": people | {"max": 0.5},
        "k_map": {"k": 5, "people": 100},
        "uniqueness": {"people": 250, "most": 0.01},
        "risk": people | dict.fromkeys(["prosecutor_max", "journalist_average", "marketer", "journalist_max"], 0.2),
    }
    found = bound_to(asked, tuples, ["a", "b"])
    assert [criterion.describe() for criterion in found] == [
        "5-anonymity",
        "5-anonymity",
        "5-map",
        "5-map, estimated as 3-anonymity (zero-truncated-poisson)",
        "(0, 0.5)-presence",
        "distinct 2-diversity of x",
        "entropy 1.8-diversity of x",
        "recursive (3, 2)-diversity of x",
        "enhanced 1-likeness of x",
        "1-disclosure privacy of x",
        "0.2-closeness of x (equal distance)",
        "average population risk of at most 0.2",
        "average marketer risk of at most 0.2",
        "average marketer risk of at most 0.2",
        "at most 0.01 unique in a population of 250 (dankar)",
    ]


def test_a_population_smaller_than_the_table_is_refused():
    table = grouped([0, 1, 1], ["a", "b", "b"], ["a", "b"])
    for asked in ({"k_map": {"k": 2, "people": 2}}, {"uniqueness": {"people": 2, "most": 0.1}}):
        with pytest.raises(PolicyError, match="smaller than the table"):
            bound_to(asked, table, ["a", "b"])
