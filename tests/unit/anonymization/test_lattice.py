"""Grouping, merging and the search; the oracle of the search is plain enumeration of every node."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.anonymization import classes, hierarchies
from tasks.anonymization.criteria import DistinctDiversity, KAnonymity
from tasks.anonymization.lattice import Lattice, search
from tasks.common.policy import Column

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


def brute_force(codes, secret, trees, weights, k, l, suppression):  # noqa: E741
    """The least loss over all nodes, rows taken one by one."""
    best = None
    share = np.array(weights) / sum(weights)
    for node in itertools.product(*(range(tree.levels) for tree in trees)):
        labels = [
            tuple(tree.codes[level][row[j]] for j, (tree, level) in enumerate(zip(trees, node, strict=True)))
            for row in codes
        ]
        loss, lost = 0.0, 0
        for row, label in zip(codes, labels, strict=True):
            same = [i for i, other in enumerate(labels) if other == label]
            if len(same) < k or len({secret[i] for i in same}) < l:
                lost += 1
                loss += 1
            else:
                loss += sum(
                    share[j] * tree.loss[level][row[j]] for j, (tree, level) in enumerate(zip(trees, node, strict=True))
                )
        if lost <= suppression * len(codes) and lost < len(codes):
            best = loss / len(codes) if best is None else min(best, loss / len(codes))
    return best


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 3)] * 3, st.integers(0, 2)), min_size=1, max_size=25),
    st.integers(2, 5),
    st.integers(1, 2),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.tuples(*[st.sampled_from([0.5, 1.0, 3.0])] * 3),
)
def test_the_optimum_is_that_of_enumeration(rows, k, l, suppression, weights):  # noqa: E741
    codes, secret = np.array([row[:3] for row in rows], dtype=np.int32), np.array([row[3] for row in rows])
    tuples, _ = classes.group(codes, [4, 4, 4], np.ones(len(rows)), {"secret": secret})
    criteria = [KAnonymity(k), DistinctDiversity("secret", l)]
    found = search(Lattice(tuples, trees(), weights, criteria, suppression))
    expected = brute_force(codes, secret, trees(), weights, k, l, suppression)
    if expected is None:
        assert found is None
    else:
        assert found.optimal
        assert found.loss == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3, st.integers(0, 2)), min_size=1, max_size=40), st.data())
def test_rolling_up_equals_grouping_afresh(rows, data):
    codes, secret = np.array([row[:3] for row in rows], dtype=np.int32), np.array([row[3] for row in rows])
    tuples, _ = classes.group(codes, [4, 4, 4], np.ones(len(rows)), {"secret": secret})
    lattice = Lattice(tuples, trees(), [1, 1, 1], [KAnonymity(2)], 0.0)
    top = data.draw(st.tuples(*[st.integers(0, level) for level in lattice.top]))
    below = tuple(data.draw(st.integers(0, level)) for level in top)
    direct, _ = lattice.classes(top)
    rolled, _ = lattice.classes(top, lattice.classes(below)[0])
    for one, other in ((direct.rows, rolled.rows), (direct.people, rolled.people)):
        assert sorted(one) == pytest.approx(sorted(other))
    assert sorted(direct.distinct_secrets("secret")) == sorted(rolled.distinct_secrets("secret"))


def test_beyond_its_budget_the_search_reports_a_gap_that_is_true():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 4, size=(300, 3)).astype(np.int32)
    tuples, _ = classes.group(codes, [4, 4, 4], np.ones(300), {})
    lattice = Lattice(tuples, trees(), [1, 1, 1], [KAnonymity(30)], 0.0)
    exact, hurried = search(lattice), search(lattice, budget=3)
    assert exact.optimal
    assert not hurried.optimal
    assert hurried.bound <= exact.loss <= hurried.loss


def test_a_floor_is_kept():
    codes = np.zeros((10, 3), dtype=np.int32)
    tuples, _ = classes.group(codes, [4, 4, 4], np.ones(10), {})
    assert search(Lattice(tuples, trees(), [1, 1, 1], [KAnonymity(2)], 0.0)).levels == (0, 0, 0)
    assert search(Lattice(tuples, trees(), [1, 1, 1], [KAnonymity(2)], 0.0, floor=[1, 0, 2])).levels == (1, 0, 2)


def test_a_person_with_many_rows_counts_once():
    # Ten rows, nine of one person: two people, so 2-anonymous and not 3-anonymous.
    people = classes.person_weights(np.array([7] * 9 + [8]), 10)
    codes = np.zeros((10, 1), dtype=np.int32)
    tuples, _ = classes.group(codes, [1], people, {})
    assert tuples.people.tolist() == pytest.approx([2.0])
    assert not KAnonymity(2).violated(tuples).any()
    assert KAnonymity(3).violated(tuples).all()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=60))
def test_a_class_never_counts_more_people_than_it_has(rows):
    people, group = (np.array(column) for column in zip(*rows, strict=True))
    weights = classes.person_weights(people, len(rows))
    for number in set(group.tolist()):
        inside = group == number
        assert weights[inside].sum() <= len(set(people[inside].tolist())) + 1e-9


def test_keys_stay_distinct_where_64_bits_do_not_suffice():
    rng = np.random.default_rng(2)
    columns = [rng.integers(0, 2**20, 500) for _ in range(8)]  # 160 bits
    columns = [np.concatenate([c, c[:100]]) for c in columns]
    keys = classes.pack(columns, [2**20] * 8)
    assert len(np.unique(keys)) == len(np.unique(np.stack(columns, axis=1), axis=0)) == 500


def test_parts_of_a_table_count_to_the_whole():
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 3, size=(1000, 2)).astype(np.int32)
    whole, _ = classes.group(codes, [3, 3], np.ones(1000), {})
    parts = [classes.group(part, [3, 3], np.ones(len(part)), {})[0] for part in np.array_split(codes, 7)]
    counts: dict[tuple, int] = {}
    for part in parts:
        for key, rows in zip(map(tuple, part.codes), part.rows, strict=True):
            counts[key] = counts.get(key, 0) + rows
    assert counts == dict(zip(map(tuple, whole.codes), whole.rows, strict=True))
