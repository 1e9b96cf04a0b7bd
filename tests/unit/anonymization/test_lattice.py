"""Grouping, merging and the search; the oracle of the search is plain enumeration of every node."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.anonymization import candidates, classes, hierarchies, histograms, rollup
from tasks.anonymization.criteria import DistinctDiversity, KAnonymity
from tasks.anonymization.lattice import Lattice
from tasks.anonymization.losses import Loss
from tasks.anonymization.search import Budget, search
from tasks.common.policy import Column
from tests.unit.anonymization.grouped import group

LEAVES = ["a", "b", "c", "d"]
TREE = Column.model_validate({"role": "quasi", "hierarchy": {"groups": [{"ab": ["a", "b"], "cd": ["c", "d"]}]}})
FLAT = Column.model_validate({"role": "quasi", "hierarchy": "all-or-nothing"})
NUMBERS = Column.model_validate(
    {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [2], "min": 0, "max": 4}}
)


def trees():
    return [
        hierarchies.build("x", TREE, LEAVES),
        hierarchies.build("y", FLAT, LEAVES),
        hierarchies.build("z", NUMBERS, [0.0, 1.0, 2.0, 3.0]),
    ]


def brute_force(codes, secret, trees, weights, k, l, suppression, measure=Loss.NCP):  # noqa: E741
    """The least loss over all nodes, rows taken one by one."""
    return min(
        (
            loss
            for node in itertools.product(*(range(tree.levels) for tree in trees))
            if (loss := loss_of(node, codes, secret, trees, weights, k, l, suppression, measure)) is not None
        ),
        default=None,
    )


def loss_of(node, codes, secret, trees, weights, k, l, suppression, measure):  # noqa: E741
    labels = [
        tuple(tree.codes[level][row[j]] for j, (tree, level) in enumerate(zip(trees, node, strict=True)))
        for row in codes
    ]
    alike = [[i for i, other in enumerate(labels) if other == label] for label in labels]
    kept = [len(same) >= k and len({secret[i] for i in same}) >= l for same in alike]
    rows, lost = len(codes), len(codes) - sum(kept)
    if lost > suppression * rows + 1e-9 or lost == rows:
        return None
    if measure is Loss.DISCERNIBILITY:
        return (sum(len(same) for same, stays in zip(alike, kept, strict=True) if stays) + lost * rows) / rows**2
    if measure is Loss.CLASS_SIZE:
        return 1 / (len({label for label, stays in zip(labels, kept, strict=True) if stays}) + (lost > 0))
    cell = cell_entropy if measure is Loss.ENTROPY else cell_ncp
    total, product = 0.0, 1.0
    for j, (tree, level) in enumerate(zip(trees, node, strict=True)):
        top = tree.levels - 1
        levels = [level if stays else top for stays in kept]
        full = sum(cell(tree, top, codes[:, j], row[j]) for row in codes)
        spent = sum(cell(tree, at, codes[:, j], row[j]) for at, row in zip(levels, codes, strict=True))
        if full:
            total += weights[j] / sum(weights) * spent / (full if measure is Loss.ENTROPY else rows)
        product *= (1 + spent / rows) ** (weights[j] / sum(weights))
    return product - 1 if measure is Loss.GEOMETRIC else total


def cell_ncp(tree, level, _column, leaf):
    return tree.loss[level][leaf]


def cell_entropy(tree, level, column, leaf):
    under = sum(tree.codes[level][other] == tree.codes[level][leaf] for other in column)
    return -math.log2(sum(other == leaf for other in column) / under)


@pytest.mark.parametrize(
    ("most_nodes", "kept"),
    [(candidates.MOST_NODES, 2_000_000), (candidates.MOST_NODES, 20), (0, 2_000_000)],
    ids=["listed", "listed, with few classes kept", "in boxes"],
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(*[st.integers(0, 3)] * 3, st.integers(0, 2)), min_size=1, max_size=25),
    st.integers(2, 5),
    st.integers(1, 2),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.tuples(*[st.sampled_from([0.0, 0.5, 1.0, 3.0])] * 3).filter(any),
    st.sampled_from(Loss),
)
def test_the_optimum_is_that_of_enumeration(monkeypatch, most_nodes, kept, rows, k, l, suppression, weights, measure):  # noqa: E741
    monkeypatch.setattr(candidates, "MOST_NODES", most_nodes)
    monkeypatch.setattr(rollup, "_KEPT_TUPLES", kept)
    codes, secret = np.array([row[:3] for row in rows], dtype=np.int32), np.array([row[3] for row in rows])
    tuples, _ = group(codes, [4, 4, 4], np.ones(len(rows)), {"secret": secret})
    criteria = [KAnonymity(k), DistinctDiversity("secret", l)]
    found = search(Lattice(tuples, trees(), weights, criteria, suppression, measure=measure))
    expected = brute_force(codes, secret, trees(), weights, k, l, suppression, measure)
    if expected is None:
        assert found is None
    else:
        assert found.loss == pytest.approx(expected)
        assert found.optimal
        assert found.bound <= expected + 1e-9


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=25),
    st.integers(2, 5),
    st.tuples(*[st.sampled_from([0.0, 0.5, 3.0])] * 3).filter(any),
    st.sampled_from([measure for measure in Loss if measure.of_cells]),
    st.data(),
)
def test_what_is_suppressed_above_bounds_every_loss_below(rows, k, weights, measure, data):
    tuples, _ = group(np.array(rows, dtype=np.int32), [4, 4, 4], np.ones(len(rows)), {})
    lattice = Lattice(tuples, trees(), weights, [KAnonymity(k)], 1.0, measure=measure)
    node = data.draw(st.tuples(*[st.integers(0, top) for top in lattice.top]))
    terms = lattice.terms_below(node, lattice.visit(node).unavoidable)
    for below in itertools.product(*(range(level + 1) for level in node)):
        visit = lattice.visit(below)
        loss = lattice.loss(below, visit.classes, visit.violating)
        assert sum(levels[level] for levels, level in zip(terms, below, strict=True)) <= loss + 1e-9


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=60),
    st.lists(st.integers(0, 3), min_size=10, max_size=10),
)
def test_both_ways_of_merging_histograms_give_the_same(entries, into):
    codes, values = np.array(entries, dtype=np.int32).T
    tuples, _ = group(codes[:, None], [10], np.ones(len(entries)), {"s": values})
    secrets = tuples.secrets["s"]
    of_tuple = np.array(into, dtype=np.int32)[: len(tuples)]
    parts = secrets.starts, secrets.codes, secrets.counts, of_tuple, 4, 5
    by_table, by_class = histograms._merge_in_table(*parts), histograms._merge_histogram(*parts)
    for one, other in zip(by_table, by_class, strict=True):
        assert np.array_equal(one, other)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3, st.integers(0, 2)), min_size=1, max_size=40), st.data())
def test_rolling_up_equals_grouping_afresh(rows, data):
    codes, secret = np.array([row[:3] for row in rows], dtype=np.int32), np.array([row[3] for row in rows])
    tuples, _ = group(codes, [4, 4, 4], np.ones(len(rows)), {"secret": secret})
    lattice = Lattice(tuples, trees(), [1, 1, 1], [KAnonymity(2)], 0.0)
    top = data.draw(st.tuples(*[st.integers(0, level) for level in lattice.top]))
    below = tuple(data.draw(st.integers(0, level)) for level in top)
    direct, _ = lattice.classes(top)
    rolled, _ = lattice.classes(top, lattice.classes(below)[0])
    for one, other in ((direct.rows, rolled.rows), (direct.people, rolled.people)):
        assert sorted(one) == pytest.approx(sorted(other))
    assert sorted(direct.distinct_secrets("secret")) == sorted(rolled.distinct_secrets("secret"))


def test_visited_classes_are_numbered_as_those_merged_from_the_tuples():
    codes = np.random.default_rng(6).integers(0, 4, size=(300, 3)).astype(np.int32)
    tuples, _ = group(codes, [4, 4, 4], np.ones(300), {})
    lattice = Lattice(tuples, trees(), [1, 1, 1], [KAnonymity(2)], 0.0)
    for node in [(0, 0, 0), (0, 1, 0), (1, 1, 0), (1, 1, 1), (2, 1, 1)]:  # each rolled up from the one before
        direct, of_tuple = lattice.classes(node)
        visited = lattice.visit(node).classes
        assert visited.rows.tolist() == direct.rows.tolist()
        assert np.bincount(of_tuple, weights=tuples.people).tolist() == pytest.approx(visited.people.tolist())


def test_beyond_its_budget_the_search_reports_a_gap_that_is_true():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 4, size=(300, 3)).astype(np.int32)
    tuples, _ = group(codes, [4, 4, 4], np.ones(300), {})
    lattice = Lattice(tuples, trees(), [1, 1, 1], [KAnonymity(30)], 0.0)
    exact, hurried = search(lattice), search(lattice, Budget(nodes=3))
    assert exact.optimal
    assert not hurried.optimal
    assert hurried.bound <= exact.loss <= hurried.loss


def test_a_floor_is_kept():
    codes = np.zeros((10, 3), dtype=np.int32)
    tuples, _ = group(codes, [4, 4, 4], np.ones(10), {})
    assert search(Lattice(tuples, trees(), [1, 1, 1], [KAnonymity(2)], 0.0)).levels == (0, 0, 0)
    assert search(Lattice(tuples, trees(), [1, 1, 1], [KAnonymity(2)], 0.0, floor=[1, 0, 2])).levels == (1, 0, 2)


def test_keys_stay_distinct_where_64_bits_do_not_suffice():
    rng = np.random.default_rng(2)
    columns = [rng.integers(0, 2**20, 500) for _ in range(8)]  # 160 bits
    columns = [np.concatenate([c, c[:100]]) for c in columns]
    keys = classes.pack(columns, [2**20] * 8)
    assert len(np.unique(keys)) == len(np.unique(np.stack(columns, axis=1), axis=0)) == 500


def test_parts_of_a_table_count_to_the_whole():
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 3, size=(1000, 2)).astype(np.int32)
    whole, _ = group(codes, [3, 3], np.ones(1000), {})
    parts = [group(part, [3, 3], np.ones(len(part)), {})[0] for part in np.array_split(codes, 7)]
    counts: dict[tuple, int] = {}
    for part in parts:
        for key, rows in zip(map(tuple, part.codes), part.rows, strict=True):
            counts[key] = counts.get(key, 0) + rows
    assert counts == dict(zip(map(tuple, whole.codes), whole.rows, strict=True))
