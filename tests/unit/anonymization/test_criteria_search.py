"""Searches under every criterion, alone and combined; the oracle takes rows one by one and every node in turn."""

import itertools
import math
from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.anonymization import candidates, criteria
from tasks.anonymization.criteria import KAnonymity, Secret
from tasks.anonymization.lattice import Lattice
from tasks.anonymization.population import with_population
from tasks.anonymization.search import search
from tasks.anonymization.uniqueness import PopulationUniqueness
from tasks.common.criteria_forms import Criteria, UniquenessModel
from tasks.common.policy import Kind
from tests.unit.anonymization.grouped import group
from tests.unit.anonymization.test_lattice import trees

SECRETS = ["q", "r", "s", "t"]
GROUPS = {"groups": [{"qr": ["q", "r"], "st": ["s", "t"]}]}
PEOPLE = {"path": "people.csv"}


def entropy(counts):
    total = sum(counts)
    return -sum(n / total * math.log(n / total) for n in counts)


def recursive(counts, c, l):  # noqa: E741
    down = sorted(counts, reverse=True)
    return down[0] < c * sum(down[l - 1 :]) - 1e-9


def shares(secrets, values=SECRETS):
    count = Counter(secrets)
    return [count[value] / len(secrets) for value in values]


def equal(p, q):
    return sum(abs(a - b) for a, b in zip(p, q, strict=True)) / 2


def ordered(p, q):
    present = [i for i, share in enumerate(p) if share > 0]
    running = itertools.accumulate(p[i] - q[i] for i in present)
    return sum(abs(gap) for gap in running) / (len(present) - 1) if len(present) > 1 else 0.0


def hierarchical(p, q):
    """By Li et al.: cost of a node = height / whole height * the smaller of its children's surplus and deficit."""
    gaps = [a - b for a, b in zip(p, q, strict=True)]
    low = [gaps[:2], gaps[2:]]
    cost = sum(0.5 * min(sum(x for x in g if x > 0), -sum(x for x in g if x < 0)) for g in low)
    high = [sum(g) for g in low]
    return cost + min(sum(x for x in high if x > 0), -sum(x for x in high if x < 0))


class Class(NamedTuple):
    """Secrets of a class, people of the population in it, secrets of the whole table."""

    secrets: list
    living: int
    table: list


# What a policy asks for, and whether a class has it.
BY_CLASS = {
    "k": ({"k": 3}, lambda c: len(c.secrets) >= 3),
    "l": ({"l": {"x": 2}}, lambda c: len(set(c.secrets)) >= 2),
    "entropy": (
        {"entropy_l": {"x": 1.7}},
        lambda c: entropy(Counter(c.secrets).values()) >= math.log(1.7) - 1e-9,
    ),
    "recursive": (
        {"recursive_l": {"x": {"c": 1.5, "l": 2}}},
        lambda c: recursive(Counter(c.secrets).values(), 1.5, 2),
    ),
    "equal": (
        {"t": {"x": 0.3}},
        lambda c: equal(shares(c.table), shares(c.secrets)) <= 0.3 + 1e-9,
    ),
    "ordered": (
        {"t": {"x": {"t": 0.2, "distance": "ordered", "order": SECRETS}}},
        lambda c: ordered(shares(c.table), shares(c.secrets)) <= 0.2 + 1e-9,
    ),
    "hierarchical": (
        {"t": {"x": {"t": 0.25, "distance": "hierarchical", "hierarchy": GROUPS}}},
        lambda c: hierarchical(shares(c.table), shares(c.secrets)) <= 0.25 + 1e-9,
    ),
    "delta": (
        {"delta_disclosure": {"x": 0.9}},
        lambda c: all(abs(math.log(q / p)) < 0.9 for p, q in zip(shares(c.table), shares(c.secrets), strict=True) if q),
    ),
    "basic": (
        {"beta": {"x": 1.0}},
        lambda c: all(q - p <= p + 1e-9 for p, q in zip(shares(c.table), shares(c.secrets), strict=True)),
    ),
    "enhanced": (
        {"beta": {"x": {"beta": 2.0, "enhanced": True}}},
        lambda c: all(
            q - p <= p * min(2.0, -math.log(p)) + 1e-9
            for p, q in zip(shares(c.table), shares(c.secrets), strict=True)
            if p
        ),
    ),
    "k-map": ({"k_map": {"k": 5, "population": PEOPLE}}, lambda c: c.living >= 5),
    "presence": (
        {"presence": {"population": PEOPLE, "min": 0.1, "max": 0.7}},
        lambda c: 0.1 * c.living - 1e-9 <= len(c.secrets) <= 0.7 * c.living + 1e-9,
    ),
    "prosecutor": ({"risk": {"prosecutor_max": 0.3}}, lambda c: len(c.secrets) >= 4),
    "journalist": (
        {"risk": {"journalist_max": 0.15, "population": PEOPLE}},
        lambda c: c.living >= 7,
    ),
}
# What each class adds to a risk; the risk holds where those that are kept add up to nothing positive.
BY_TABLE = {
    "average": ({"risk": {"prosecutor_average": 0.3}}, [lambda own, _: 1 - 0.3 * own]),
    "marketer": ({"risk": {"marketer": 0.2, "population": PEOPLE}}, [lambda f, living: f / living - 0.2 * f]),
    "journalist-average": (
        {"risk": {"journalist_average": 0.25, "population": PEOPLE}},
        [lambda _, living: 1 - 0.25 * living, lambda f, living: f / living - 0.25 * f],
    ),
}


def judge_rows(node, hierarchies, codes, secrets, population, names):
    """Rows kept at a node, or None where it cannot satisfy the criteria; number of classes left."""
    labels = [
        [
            tuple(int(t.codes[level][row[j]]) for j, (t, level) in enumerate(zip(hierarchies, node, strict=True)))
            for row in table
        ]
        for table in (codes, population)
    ]
    rows = {label: [i for i, own in enumerate(labels[0]) if own == label] for label in {*labels[0], *labels[1]}}
    living = {label: labels[1].count(label) + len(rows[label]) for label in rows}
    kept = {}
    for label, members in rows.items():
        held = [
            BY_CLASS[n][1](Class([secrets[i] for i in members], living[label], secrets))
            for n in names
            if n in BY_CLASS and (members or n == "presence")
        ]
        if not all(held) and not members:
            return None
        if all(held) and members:
            kept[label] = members
    added = [add for n in names if n in BY_TABLE for add in BY_TABLE[n][1]]
    again = True
    while again:
        again = False
        for add in added:
            worth = {label: add(len(members), living[label]) for label, members in kept.items()}
            first = sorted(worth, key=lambda label: (-worth[label] / len(kept[label]), label[::-1]))
            while sum(worth.values()) > 1e-9:
                again = True
                del kept[first[0]], worth[first[0]]
                first = first[1:]
    return sorted(i for members in kept.values() for i in members)


def least_loss(hierarchies, codes, secrets, population, names, suppression):
    best = None
    for node in itertools.product(*(range(tree.levels) for tree in hierarchies)):
        kept = judge_rows(node, hierarchies, codes, secrets, population, names)
        if kept is None or not kept or len(codes) - len(kept) > suppression * len(codes) + 1e-9:
            continue
        cells = [
            tree.loss[level if i in set(kept) else tree.levels - 1][codes[i][j]]
            for i in range(len(codes))
            for j, (tree, level) in enumerate(zip(hierarchies, node, strict=True))
        ]
        best = min(float(np.mean(cells)), 2.0 if best is None else best)
    return best


def built(codes, secrets, population, names):
    """Tuples and the criteria of a policy that asks for all of `names`; k-anonymity only if it is among them."""
    asked = {}
    for name in names:
        for key, value in (BY_CLASS | BY_TABLE)[name][0].items():
            asked[key] = asked[key] | value if isinstance(value, dict) and key in asked else value
    secret_codes = np.array([SECRETS.index(secret) for secret in secrets])
    tuples, _ = group(codes, [4, 4, 4], np.ones(len(codes)), {"x": secret_codes})
    everyone = np.concatenate([codes, population])
    tuples = with_population(tuples, everyone, np.ones(len(everyone)), [4, 4, 4])
    found = criteria.build(Criteria.model_validate(asked), tuples, {"x": Secret(SECRETS, Kind.CATEGORICAL)})
    return tuples, [c for c in found if not isinstance(c, KAnonymity) or c.k != 5]


ROWS = st.lists(st.tuples(*[st.integers(0, 3)] * 3, st.sampled_from(SECRETS)), min_size=1, max_size=22)
POPULATION = st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=0, max_size=30)
SUPPRESSION = st.sampled_from([0.0, 0.1, 0.3, 0.5])


def assert_optimal(rows, population, names, suppression):
    codes = np.array([row[:3] for row in rows], dtype=np.int32)
    secrets = [row[3] for row in rows]
    others = np.array(population, dtype=np.int32).reshape(-1, 3)
    tuples, wanted = built(codes, secrets, others, names)
    found = search(Lattice(tuples, trees(), [1, 1, 1], wanted, suppression))
    expected = least_loss(trees(), codes, secrets, others, names, suppression)
    if expected is None:
        assert found is None
    else:
        assert found.loss == pytest.approx(expected)
        assert found.optimal


@pytest.mark.parametrize("name", [*BY_CLASS, *BY_TABLE])
@settings(max_examples=25, deadline=None)
@given(ROWS, POPULATION, SUPPRESSION)
def test_the_optimum_under_each_criterion_is_that_of_enumeration(name, rows, population, suppression):
    assert_optimal(rows, population, [name], suppression)


@settings(max_examples=120, deadline=None)
@given(
    ROWS,
    POPULATION,
    SUPPRESSION,
    st.lists(st.sampled_from([*BY_CLASS, *BY_TABLE]), min_size=2, max_size=3, unique=True),
)
def test_the_optimum_under_combined_criteria_is_that_of_enumeration(rows, population, suppression, names):
    one_of_a_kind = [{"equal", "ordered", "hierarchical"}, {"basic", "enhanced"}]
    if all(len(kind & set(names)) < 2 for kind in one_of_a_kind):
        assert_optimal(rows, population, names, suppression)


@settings(max_examples=25, deadline=None)
@given(ROWS, st.sampled_from(UniquenessModel), st.sampled_from([0.05, 0.3]))
def test_the_optimum_under_uniqueness_is_the_least_of_all_nodes(rows, model, suppression):
    codes = np.array([row[:3] for row in rows], dtype=np.int32)
    tuples, _ = group(codes, [4, 4, 4], np.ones(len(codes)), {})
    wanted = [PopulationUniqueness(5 * len(codes), 0.1, model), KAnonymity(1)]
    lattice = Lattice(tuples, trees(), [1, 1, 1], wanted, suppression)
    nodes = itertools.product(*(range(tree.levels) for tree in trees()))
    # Each in a lattice of its own, so that all are merged from the tuples.
    visits = [Lattice(tuples, trees(), [1, 1, 1], wanted, suppression).visit(node).loss for node in nodes]
    found = search(lattice)
    assert (found and found.loss) == pytest.approx(min((loss for loss in visits if loss is not None), default=None))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, POPULATION, SUPPRESSION, st.sampled_from(["entropy", "equal", "delta", "marketer"]))
def test_it_is_also_where_the_lattice_is_a_linear_program(monkeypatch, rows, population, suppression, name):
    monkeypatch.setattr(candidates, "MOST_NODES", 0)
    assert_optimal(rows, population, [name, "k"], suppression)


@pytest.mark.parametrize("name", [*BY_CLASS, *BY_TABLE])
@settings(max_examples=25, deadline=None)
@given(ROWS, POPULATION, SUPPRESSION, st.data())
def test_below_a_hopeless_node_none_satisfies_the_criteria(name, rows, population, suppression, data):
    codes = np.array([row[:3] for row in rows], dtype=np.int32)
    tuples, wanted = built(codes, [row[3] for row in rows], np.array(population, dtype=np.int32).reshape(-1, 3), [name])
    lattice = Lattice(tuples, trees(), [1, 1, 1], wanted, suppression)
    node = data.draw(st.tuples(*[st.integers(0, level) for level in lattice.top]))
    if lattice.visit(node).hopeless:
        for below in itertools.product(*(range(level + 1) for level in node)):
            assert lattice.visit(below).loss is None


@pytest.mark.parametrize("name", [*BY_CLASS, *BY_TABLE])
@settings(max_examples=40, deadline=None)
@given(ROWS, POPULATION, st.data())
def test_merging_never_breaks_a_monotone_criterion(name, rows, population, data):
    codes = np.array([row[:3] for row in rows], dtype=np.int32)
    tuples, wanted = built(codes, [row[3] for row in rows], np.array(population, dtype=np.int32).reshape(-1, 3), [name])
    lattice = Lattice(tuples, trees(), [1, 1, 1], wanted, 0.0)
    above = data.draw(st.tuples(*[st.integers(0, level) for level in lattice.top]))
    below = data.draw(st.tuples(*[st.integers(0, level) for level in above]))
    if all(criterion.monotone for criterion in wanted) and lattice.visit(below).loss is not None:
        assert lattice.visit(above).loss is not None
