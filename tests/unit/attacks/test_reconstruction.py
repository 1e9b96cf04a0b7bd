"""Reconstruction of locally recoded tables, worked out by hand after the rules of Chhillar et al. 2025."""

from collections import Counter
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.attacks import attack, reconstruction, refining
from tasks.attacks.adversary import Adversary, Goal, Method, declare
from tasks.attacks.targets import Targets
from tests.conftest import make_policy

COLUMNS = {
    "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10, 20], "min": 0, "max": 20}},
    "sex": {"role": "quasi", "hierarchy": "all-or-nothing"},
}
POLICY = make_policy(COLUMNS)


def adversary(method):
    return Adversary(name="r", goal=Goal.RECONSTRUCTION, knows=("age", "sex"), method=Method(method))


def table(rows):
    age, sex = zip(*rows, strict=True)
    return pa.table({"age": list(age), "sex": list(sex)})


def people(rows):
    age, sex = zip(*rows, strict=True)
    return pa.table({"age": pa.array(age, pa.float64()), "sex": list(sex)})


# Women of 5, 5 and 12 and a man of 5, to be 2-anonymous. The two women of 5 are a class as soon as ages are in tens.
# What is left, a man and a woman on either side of ten, is a class only of all ages and both sexes.
RECODED = [("[0, 10)", "f"), ("[0, 10)", "f"), ("[0, 20)", "*"), ("[0, 20)", "*")]
EVERYONE = [(5, "f"), (5, "f"), (5, "m"), (12, "f")]


def guesses(method, targets, rows, policy=POLICY):
    return reconstruction.guess(adversary(method), table(rows), people(targets), policy)


def test_overlap_tells_that_the_woman_is_over_ten():
    found = guesses("greedy", EVERYONE, RECODED)
    # The women of 5 are in class one, whose labels leave nothing open.
    assert found.plain[:2].tolist() == found.refined[:2].tolist() == [1, 1]
    # The others are in class two, whose labels leave two ages and two sexes open: 1/2 by the labels alone.
    assert found.plain[2:] == pytest.approx(1 / 2)
    # Her age: a woman under ten would be in class one, so she is over ten. Her sex: over ten there may be both.
    assert found.refined[3] == pytest.approx((1 + 1 / 2) / 2)
    # His sex: a person of class two under ten is no woman. His age: a man may be on either side of ten.
    assert found.refined[2] == pytest.approx((1 / 2 + 1) / 2)
    assert found.pinned.tolist() == [0, 0, 1 / 2, 1 / 2]


def test_a_partition_tells_nothing_by_overlap():
    found = guesses("partition", EVERYONE, RECODED)
    assert found.refined == pytest.approx(found.plain)
    assert not found.pinned.any()


TREE = {
    "place": {
        "role": "quasi",
        "hierarchy": {"groups": [{"big": list("abcdefghi"), "small": ["z"]}]},
    },
    "sex": {"role": "quasi", "hierarchy": "all-or-nothing"},
}


@pytest.mark.parametrize("method", ["partition", "greedy"])
def test_two_rows_under_two_children_are_one_under_each(method):
    # Nine places on one side and one on the other: of two rows one is in z, so z is the best guess for either, and
    # right for one of them. The label alone gives a tenth to each place.
    policy = make_policy(TREE)
    release = pa.table({"place": ["*", "*"], "sex": ["f", "f"]})
    targets = pa.table({"place": ["z", "a"], "sex": ["f", "f"]})
    found = reconstruction.guess(adversary(method), release, targets, policy)
    assert found.refined == pytest.approx([(1 + 1) / 2, (0 + 1) / 2])
    assert found.plain == pytest.approx([(1 / 10 + 1) / 2] * 2)


def test_the_few_left_over_say_nothing_about_k():
    # A class of five and two men left over. Were k two, one of them would be in B, which has one place and A two.
    policy = make_policy(
        {
            "place": {"role": "quasi", "hierarchy": {"groups": [{"A": ["a", "b"], "B": ["c"]}]}},
            "sex": {"role": "quasi", "hierarchy": "all-or-nothing"},
        }
    )
    release = pa.table({"place": ["A"] * 5 + ["*"] * 2, "sex": ["f"] * 5 + ["*"] * 2})
    targets = pa.table({"place": ["a", "c"], "sex": ["m", "m"]})
    found = reconstruction.guess(adversary("greedy"), release, targets, policy)
    # Each may be at any of three places. Women of A are taken, so whoever is left at a is a man; at c may be either.
    assert found.refined == pytest.approx([(1 / 3 + 1) / 2, (1 / 3 + 1 / 2) / 2])


def test_of_equal_losses_the_class_of_fewer_levels_was_made_first():
    # Both columns have three cells, and so the same shares; but one has a level between that merges nothing.
    policy = make_policy(
        {
            "place": {"role": "quasi", "hierarchy": {"groups": [{"A": ["a"], "B": ["b"], "C": ["c"]}]}},
            "ward": {"role": "quasi", "hierarchy": "all-or-nothing"},
        }
    )
    both = pa.table({"place": ["*", "*", "a", "a"], "ward": ["x", "x", "*", "*"]})
    targets = pa.table({"place": ["a", "b", "a", "a"], "ward": ["x", "x", "y", "z"]})
    found = reconstruction.guess(adversary("greedy"), both, targets, policy)
    # Classes (*, x) and (a, *) lose the same, at levels (2, 0) and (0, 1). The second was made first and took a in x.
    assert found.refined[1] == pytest.approx((1 / 2 + 1) / 2)
    # Whoever is at a in x is in the second, of whose three wards none is ruled out.
    assert found.refined[2] == pytest.approx((1 + 1 / 3) / 2)


def test_where_a_level_is_not_known_nothing_is_ordered_by_it():
    # c is a group of its own: a place or a group of places, which nobody can tell. Both classes lose the same.
    policy = make_policy(
        {
            "place": {"role": "quasi", "hierarchy": {"groups": [{"A": ["a", "b"], "c": ["c"]}]}},
            "ward": {"role": "quasi", "hierarchy": {"groups": [{"X": ["x", "y"], "Z": ["z"]}]}},
        }
    )
    release = pa.table({"place": ["c", "c", "a", "a"], "ward": ["X", "X", "X", "X"]})
    boxes = np.array([[0, 0], [1, 0]])
    people = pa.table({"place": ["c", "a"], "ward": ["x", "y"]})
    axes = [reconstruction._axis(name, policy.columns[name], people[name], release[name]) for name in ("place", "ward")]
    levels = dict(zip(["c", "a"], axes[0].level.tolist(), strict=True))
    assert levels == {"c": -1, "a": 0}
    axes[0].share[:] = 1 / 3
    assert len(set(reconstruction._ranks(axes, boxes, 4).tolist())) == 1


def full_domain(rng):
    age, sex = rng.integers(20, size=200), rng.choice(["f", "m"], 200)
    rows = list(zip(age.tolist(), sex.tolist(), strict=True))
    return rows, [(f"[{a // 10 * 10}, {a // 10 * 10 + 10})", "*") for a, _ in rows]


@pytest.mark.parametrize("method", ["partition", "greedy"])
def test_full_domain_recoding_gives_nothing_beyond_its_labels(method):
    rng = np.random.default_rng(1)
    everyone, rows = full_domain(rng)
    found = guesses(method, everyone, rows)
    assert found.refined == pytest.approx(found.plain)
    side = Targets(people(everyone), np.zeros(200, dtype=bool))
    evidence = attack.run(adversary(method), table(rows), side, None, POLICY, {}, rng)
    assert evidence.attack.rate == pytest.approx(evidence.control.rate)
    assert evidence.extras == {"pinned": 0.0}


def conditioned(share, rows, allowed):
    """Expected share of rows by part over all assignments that are allowed: brute force."""
    total, expected = 0.0, np.zeros(len(share))
    for parts in product(range(len(share)), repeat=rows):
        counts = Counter(parts)
        if allowed(counts):
            weight = np.prod([share[p] for p in parts])
            total += weight
            for part, count in counts.items():
                expected[part] += weight * count / rows
    return expected / total


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=4), st.integers(2, 6), st.integers(1, 5))
def test_the_recursions_are_the_sums_over_all_assignments(sizes, rows, most):
    share = np.array(sizes) / sum(sizes)
    assert refining._not_all_in_one(share, rows) == pytest.approx(
        conditioned(share, rows, lambda counts: max(counts.values()) < rows)
    )
    if most * len(sizes) >= rows:
        assert refining._rows_by_part(share, rows, most) == pytest.approx(
            conditioned(share, rows, lambda counts: max(counts.values()) <= most)
        )
    else:
        assert refining._rows_by_part(share, rows, most) == pytest.approx(share)


WIDE = make_policy(
    {
        "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10, 20, 40], "min": 0, "max": 80}},
        "sex": {"role": "quasi", "hierarchy": "all-or-nothing"},
    }
)


def greedily_recoded(everyone, k):
    """Local recoding as ARX does it: generalizations from the least loss upwards, and classes of k leave the table.

    By (width of age, sex kept): shares of the domain 1/8, 1/4, 1/2 and 1, and 1/2 or 1; n is large, so products count.
    """
    states = sorted(product([10, 20, 40, 80], [True, False]), key=lambda s: s[0] * (1 if s[1] else 2))
    left, recoded = list(everyone), []
    for width, kept in states:
        spell = {
            person: (
                "*" if width == 80 else f"[{person[0] // width * width}, {person[0] // width * width + width})",
                person[1] if kept else "*",
            )
            for person in left
        }
        count = Counter(spell[person] for person in left)
        recoded += [(person, spell[person]) for person in left if count[spell[person]] >= k]
        left = [person for person in left if count[spell[person]] < k]
    return recoded


def test_refining_is_right_more_often_than_labels_on_greedily_recoded_tables():
    gains = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        ages = np.minimum(rng.exponential(20, size=40), 79).astype(int)
        everyone = list(zip(ages.tolist(), rng.choice(["f", "m"], 40, p=[0.7, 0.3]).tolist(), strict=True))
        recoded = greedily_recoded(everyone, 5)
        found = guesses("greedy", [person for person, _ in recoded], [label for _, label in recoded], WIDE)
        gains.append(float((found.refined - found.plain).mean()))
    assert np.mean(gains) > 3 * np.std(gains) / np.sqrt(len(gains))


def test_intervals_made_for_a_class_have_a_value_at_either_end():
    # Of two rows in [3, 18] one is under ten and one over: the label alone leaves two cells to either.
    policy = make_policy(
        {
            "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [5, 20], "min": 0, "max": 20}},
            "sex": {"role": "quasi", "hierarchy": "all-or-nothing"},
        }
    )
    everyone = [(3, "f"), (6, "f"), (8, "f"), (18, "f")]
    found = reconstruction.guess(adversary("partition"), table([("[3, 18]", "f")] * 2), people(everyone), policy)
    # Cells 0-5, 5-10 and 15-20 occur: a half for the last, a quarter for each of the others, of which it is guessed.
    assert found.plain == pytest.approx([(1 / 3 + 1) / 2] * 4)
    assert found.refined == pytest.approx([1 / 2, 1 / 2, 1 / 2, 1])


def test_groups_and_missing_values_are_read_like_intervals():
    policy = make_policy(
        {
            "city": {"role": "quasi", "hierarchy": {"groups": [{"north": ["a", "b"], "south": ["c"]}]}},
            "sex": {"role": "quasi", "hierarchy": "all-or-nothing"},
        }
    )
    release = pa.table({"city": ["north", "a", None, "*"], "sex": ["f", "*", None, "f"]})
    targets = pa.table({"city": ["a", None, "c"], "sex": ["f", None, "f"]})
    for method in ("greedy", "partition"):
        found = reconstruction.guess(adversary(method), release, targets, policy)
        assert ((found.refined >= 0) & (found.refined <= 1)).all()
        assert (found.plain[[0, 1, 2]] > 0).all()


def test_it_is_declared_for_tables_that_were_recoded_so():
    assert not [a for a in declare(POLICY, ["age", "sex"]) if a.goal is Goal.RECONSTRUCTION]
    wanted = make_policy(COLUMNS, attacks={"reconstruction": ["greedy"]})
    assert "reconstruction-greedy" in [a.name for a in declare(wanted, ["age", "sex"])]
    by_mondrian = make_policy(COLUMNS, recoding="mondrian")
    assert "reconstruction-partition" in [a.name for a in declare(by_mondrian, ["age", "sex"])]
