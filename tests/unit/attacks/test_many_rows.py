"""Searches among so many rows that boxes are split and left out, against measuring every row with numpy."""

import numpy as np
import pyarrow as pa
import pytest

from tasks.attacks import neighbours, space
from tests.conftest import make_policy

GROUPS = {"north": ["a", "b", "c"], "south": ["d", "e"], "west": ["f"]}
POLICY = make_policy(
    {
        "city": {"role": "quasi", "hierarchy": {"groups": [GROUPS]}},
        "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10], "min": 0, "max": 100}},
        "code": {"role": "other"},
        "dose": {"role": "other", "kind": "numeric"},
    }
)
NAMES = ["city", "age", "code", "dose"]
LEAVES = [leaf for group in GROUPS.values() for leaf in group]
BELOW = {leaf: {leaf} for leaf in LEAVES} | {k: set(v) for k, v in GROUPS.items()} | {"*": set(LEAVES)}


def draw(rng, count, labels):
    """Facts, or labels of every level in one column, as local recoding makes them."""
    ages = rng.uniform(0, 100, count).round(1)
    widths = rng.integers(1, 60, count)
    # A fact, an interval of its own for each row, or anything.
    kind = rng.integers(0, 10, count)
    spans = [
        "*" if k == 0 else f"[{max(a - w / 2, 0):.2f}, {min(a + w / 2 + 1, 100):.2f})" if k < 7 else f"{a}"
        for a, w, k in zip(ages, widths, kind, strict=True)
    ]
    dose = np.where(rng.random(count) < 0.1, np.nan, rng.exponential(1.0, count).round(2))
    return {
        "city": rng.choice(list(BELOW) if labels else LEAVES, count).tolist(),
        "age": spans if labels else ages.tolist(),
        "code": rng.choice([f"k{n}" for n in range(90)], count, p=np.arange(1, 91) / 4095).tolist(),
        "dose": [None if np.isnan(d) else d for d in dose],
    }


def edges(label):
    if label == "*":
        return 0.0, 100.0
    if not label.startswith("["):
        return float(label), float(label)
    low, high = label[1:-1].split(", ")
    return float(low), float(high)


@pytest.fixture(scope="module")
def measured():
    """The space, and every distance by column, float64 (targets, rows, 4), from the definitions."""
    rng = np.random.default_rng(5)
    people, rows = draw(rng, 40, labels=False), draw(rng, 4000, labels=True)
    people["age"][0], people["age"][1] = 0.0, 100.0  # so that ages range from 0 to 100
    place = space.build(pa.table(people), pa.table(rows), NAMES, POLICY, {})
    away = np.zeros((40, 4000, 4))
    for r in range(4000):
        below = BELOW[rows["city"][r]]
        away[:, r, 0] = [1 - 1 / len(below) if fact in below else 1 for fact in people["city"]]
    low, high = np.array([edges(label) for label in rows["age"]]).T
    fact = np.array(people["age"])[:, None]
    inside = (low < fact) & (fact < high)
    width = np.where(high > low, high - low, 1)
    spread = ((fact - low) ** 2 + (high - fact) ** 2) / (2 * width)
    away[:, :, 1] = np.where(inside, spread, np.abs(fact - (low + high) / 2)) / 100
    away[:, :, 2] = np.array(people["code"])[:, None] != np.array(rows["code"])
    doses = [np.array([np.nan if d is None else d for d in table["dose"]]) for table in (people, rows)]
    scale = np.nanmax(np.concatenate(doses)) - np.nanmin(np.concatenate(doses))
    gap = np.abs(doses[0][:, None] - doses[1]) / scale
    both = np.isnan(doses[0])[:, None] & np.isnan(doses[1])
    away[:, :, 3] = np.where(both, 0, np.where(np.isnan(gap), 1, gap))
    return place, away


@pytest.mark.parametrize("order", [1, 5, 40])
def test_the_nearest_of_thousands_are_those_of_measuring_all(measured, order):
    place, away = measured
    total = np.sort(away.sum(axis=2), axis=1)[:, order - 1]
    assert neighbours.nearest_distances(place, order) == pytest.approx(total, abs=1e-6)
    assert (
        neighbours.nearest_distances(place, order, cores=2).tolist()
        == neighbours.nearest_distances(place, order).tolist()
    )
    # At the distance itself equality would hang on the last bit.
    assert (
        neighbours.has_neighbours(place, order, float(np.median(total)) + 1e-5).tolist()
        == (total <= np.median(total) + 1e-5).tolist()
    )


def test_links_among_thousands_are_those_of_measuring_all(measured):
    place, away = measured
    left, right = place.mask(["city", "age"]), place.mask(["code", "dose"])
    near = [side.sum(axis=2) for side in (away[:, :, :2], away[:, :, 2:])]
    ties = [side <= side.min(axis=1, keepdims=True) + 1e-6 for side in near]
    pairs = ties[0].sum(axis=1) * ties[1].sum(axis=1)
    joined, distance, picks = neighbours.link(place, left, right)
    assert joined == pytest.approx((ties[0] & ties[1]).sum(axis=1) / pairs)
    assert distance == pytest.approx(near[0].min(axis=1) + near[1].min(axis=1), abs=1e-6)
    assert picks.tolist() == pairs.tolist()


def test_fits_among_thousands_are_those_of_looking_at_all(measured):
    place, away = measured
    known = np.broadcast_to(place.mask(["city", "code"]), (40, 4)).copy()
    fits = (away[:, :, 0] < 1) & (away[:, :, 2] == 0)
    assert neighbours.fitting_rows(place, known).tolist() == fits.sum(axis=1).tolist()
    assert (np.minimum(neighbours.fitting_rows(place, known, enough=2), 2) == np.minimum(fits.sum(axis=1), 2)).all()


def test_a_million_distinct_values_and_their_prefixes_take_little_memory():
    import tracemalloc

    policy = make_policy({"zip": {"role": "quasi", "hierarchy": {"prefix": [4]}}, "id": {"role": "other"}})
    codes = [f"{n:07d}" for n in range(1_000_000)]
    facts = pa.table({"zip": codes[::50], "id": codes[::50]})
    release = pa.table({"zip": [code[:4] + "*" for code in codes], "id": codes})
    tracemalloc.start()
    place = space.build(facts, release, ["zip", "id"], policy, {})
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A table of facts by labels would take 20,000 x 1,000,000 bytes and more.
    assert most < 1.5e9
    known = np.broadcast_to(place.mask(["zip"]), (20_000, 2)).copy()
    assert neighbours.fitting_rows(place, known).tolist() == [1000] * 20_000


def test_sixty_columns_are_searched_like_few():
    rng = np.random.default_rng(1)
    names = [f"q{n}" for n in range(60)]
    policy = make_policy({name: {"role": "quasi", "hierarchy": "all-or-nothing"} for name in names})
    rows = {name: rng.choice(list("abcd"), 3000).tolist() for name in names}
    place = space.build(pa.table(rows).slice(0, 50), pa.table(rows), names, policy, {})
    assert neighbours.nearest_distances(place, 1).tolist() == [0.0] * 50
    codes = np.array([rows[name] for name in names])
    away = np.sort((codes[:, :50, None] != codes[:, None, :]).sum(axis=0), axis=1)
    assert neighbours.nearest_distances(place, 2).tolist() == away[:, 1].tolist()
