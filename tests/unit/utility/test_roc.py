"""Areas by ranks are those of scikit-learn, and draws can be paired."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tasks.utility import roc


def scored(count, seed, decimals):
    """Labels and scores that know something of them; few decimals make ties."""
    rng = np.random.default_rng(seed)
    labels = rng.random(count) < 0.3
    return labels, np.round(rng.normal(size=count) + labels, decimals)


@pytest.mark.parametrize("decimals", [6, 0])
def test_the_area_is_that_of_scikit_learn_with_ties_and_without(decimals):
    labels, scores = scored(500, 1, decimals)
    assert roc.area(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("decimals", [6, 0])
def test_each_draw_has_the_area_that_scikit_learn_gives_its_rows(decimals):
    labels, scores = scored(200, 2, decimals)
    found = roc.areas(labels, scores, np.random.default_rng(5))
    rng, yes, no = np.random.default_rng(5), np.flatnonzero(labels), np.flatnonzero(~labels)
    for area in found:
        rows = np.concatenate([rng.choice(yes, len(yes)), rng.choice(no, len(no))])
        assert area == pytest.approx(roc_auc_score(labels[rows], scores[rows]), abs=1e-12)


def test_the_same_state_of_a_generator_draws_the_same_rows():
    # Turned round, scores order every pair the other way, so the areas of one draw sum to 1 if its rows are the same.
    labels, scores = scored(300, 3, 6)
    one, other = (roc.areas(labels, sign * scores, np.random.default_rng(7)) for sign in (1, -1))
    assert one + other == pytest.approx(np.ones(roc.BOOTSTRAPS))
