"""Numbers and categories become places of a network and come back; modes are those of the package's transformer."""

import numpy as np
import pandas as pd
import pytest
from ctgan.data_transformer import DataTransformer

from tasks.synthesis import encoding
from tasks.synthesis.coded import Coded
from tasks.synthesis.encoding import Encoding, find_modes


def rows(count=1_500, seed=1):
    rng = np.random.default_rng(seed)
    two = np.where(rng.random(count) < 0.4, rng.normal(2, 0.1, count), rng.normal(9, 1, count))
    return Coded(
        rng.integers(0, [3, 2], (count, 2)).astype(np.int32),
        np.array([3, 2]),
        np.stack([two, np.full(count, 7.5)], axis=1),
    )


def test_rows_come_back():
    coded = rows()
    learned = Encoding(coded)
    encoded = learned.encode(coded, np.random.default_rng(2))
    back = learned.decode(encoded)
    assert np.array_equal(back.codes, coded.codes)
    # Values farther than four standard deviations from their mode are cut off; few are.
    assert np.mean(np.abs(back.numbers - coded.numbers) < 1e-3) > 0.99


def test_places_are_one_hot_and_numbers_within_one():
    coded = rows()
    learned = Encoding(coded)
    encoded = learned.encode(coded, np.random.default_rng(2))
    assert learned.width == encoded.shape[1] == learned.places[-1].start + learned.places[-1].width
    for place in learned.places:
        values = encoded[:, place.start : place.start + place.width]
        if place.number:
            assert np.abs(values).max() <= 0.99
        else:
            assert np.array_equal(values.sum(axis=1), np.ones(len(coded)))
    assert [place.category for place in learned.places] == [False] * 4 + [True] * 2


def test_modes_are_those_of_the_packages_transformer():
    values = rows().numbers[:, 0]
    transformer = DataTransformer()
    transformer.fit(pd.DataFrame({"hours": values}))
    theirs = transformer._column_transform_info_list[0].transform
    kept = theirs.valid_component_indicator
    weights, means = theirs._bgm_transformer.weights_[kept], theirs._bgm_transformer.means_.ravel()[kept]
    deviations = np.sqrt(theirs._bgm_transformer.covariances_.ravel()[kept])
    ours = find_modes(values)
    # Where they start from differs, and how they share the broad gathering; what they say of the whole does not.
    some = np.linspace(0, 13, 2_000)
    densities = [
        (w / d * np.exp(-(((some[:, None] - m) / d) ** 2) / 2)).sum(axis=1) / np.sqrt(2 * np.pi)
        for w, m, d in ((weights, means, deviations), (ours.weights, ours.means, ours.deviations))
    ]
    assert np.abs(densities[0] - densities[1]).sum() * (13 / 2_000) / 2 < 0.02  # total variation
    assert ours.posterior(np.array([2.0, 9.0])).max(axis=1) == pytest.approx(
        theirs._bgm_transformer.predict_proba(np.array([[2.0], [9.0]])).max(axis=1), abs=0.3
    )


def test_modes_are_found_once_for_the_same_values(monkeypatch):
    values = np.random.default_rng(77).normal(size=500)
    first = find_modes(values)
    monkeypatch.setattr(encoding, "_fitted", lambda _: pytest.fail("found again"))
    assert find_modes(values.copy()) is first


def test_six_thousand_values_are_enough_to_find_modes(monkeypatch):
    seen = []
    real = encoding._fitted
    monkeypatch.setattr(encoding, "_fitted", lambda values: seen.append(len(values)) or real(values))
    rng = np.random.default_rng(78)
    modes = find_modes(np.concatenate([rng.normal(0, 1, 30_000), rng.normal(50, 1, 30_000)]))
    assert seen == [6_000]
    assert modes.weights[modes.means > 25].sum() == pytest.approx(0.5, abs=0.05)
