"""Odds ratios and their intervals are those of textbooks; what has no estimate is left out with a word."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.optimize import minimize

from tasks.utility import effects, logistic
from tasks.utility.clinical import agreeing, mean_overlap
from tasks.utility.downstream import Estimate
from tasks.utility.effects import Effect
from tasks.utility.terms import Side


def exposed(a, b, c, d):
    """A 2x2 table as rows: exposed sick a and well b, others sick c and well d."""
    exposure = ["yes"] * (a + b) + ["no"] * (c + d)
    return Side(pa.table({"exposure": exposure}), np.array([1] * a + [0] * b + [1] * c + [0] * d, dtype=bool))


def interval(low, high):
    return Estimate(value=np.exp((low + high) / 2), low=np.exp(low), high=np.exp(high))


def effect(real, synthetic):
    return Effect(column="x", level="b", reference="a", real=interval(*real), synthetic=interval(*synthetic))


def test_a_2x2_table_has_woolfs_standard_error():
    # Woolf 1955: log odds ratio log(ad / bc), standard error sqrt(1/a + 1/b + 1/c + 1/d).
    a, b, c, d = 20, 80, 10, 190
    coefficients, errors = logistic.fit(
        np.array([1] * (a + b) + [0] * (c + d), dtype=float)[:, None], exposed(a, b, c, d).outcome
    )
    assert coefficients[1] == pytest.approx(np.log(a * d / (b * c)), abs=1e-6)
    assert errors[1] == pytest.approx(np.sqrt(1 / a + 1 / b + 1 / c + 1 / d), abs=1e-6)


def test_odds_ratios_of_both_tables_are_those_of_their_2x2_tables():
    found, left_out = effects.odds_ratios(exposed(20, 80, 10, 190), exposed(30, 70, 25, 175), ["exposure"])
    (ratio,) = found
    assert (ratio.level, ratio.reference) == ("yes", "no")  # of the real rows 200 are `no`
    error = np.sqrt(1 / 20 + 1 / 80 + 1 / 10 + 1 / 190)
    assert ratio.real.value == pytest.approx(20 * 190 / (80 * 10), rel=1e-5)
    assert ratio.real.low == pytest.approx(4.75 * np.exp(-1.959964 * error), rel=1e-4)
    assert ratio.synthetic.value == pytest.approx(30 * 175 / (70 * 25), rel=1e-5)
    assert left_out == ()


def test_several_columns_have_the_estimate_that_another_maximizer_finds():
    rng = np.random.default_rng(1)
    design = np.column_stack([rng.normal(size=800), rng.random(800) < 0.3, rng.normal(size=800)]).astype(float)
    outcome = rng.random(800) < 1 / (1 + np.exp(1 - design @ [0.8, -1.0, 0.0]))

    def loss(beta):
        score = beta[0] + design @ beta[1:]
        return np.logaddexp(0, score).sum() - score[outcome].sum()

    best = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-6})
    # The second derivative of the loss by differences is the observed information, which is Fisher's here.
    step = 1e-3
    curvature = np.array(
        [
            [
                (loss(best.x + i + j) - loss(best.x + i - j) - loss(best.x - i + j) + loss(best.x - i - j))
                / (4 * step**2)
                for j in step * np.eye(4)
            ]
            for i in step * np.eye(4)
        ]
    )
    coefficients, errors = logistic.fit(design, outcome)
    assert coefficients == pytest.approx(best.x, abs=1e-4)
    assert errors == pytest.approx(np.sqrt(np.diag(np.linalg.inv(curvature))), rel=1e-3)


@pytest.mark.parametrize(
    ("real", "synthetic", "overlap"),
    [
        ((0, 2), (0, 2), 1.0),
        ((0, 2), (1, 3), 0.5),  # 1 of 2 on both sides
        ((0, 1), (0, 4), 0.625),  # all of one, a quarter of the other
        ((0, 1), (2, 3), 0.0),
    ],
)
def test_overlap_is_the_mean_share_of_both_intervals(real, synthetic, overlap):
    assert effect(real, synthetic).overlap == pytest.approx(overlap)


@pytest.mark.parametrize(
    ("real", "synthetic", "same"),
    [
        ((0.1, 1.0), (0.5, 2.0), True),  # both clearly above 1
        ((0.1, 1.0), (-2.0, -0.5), False),  # both clear, in opposite directions
        ((0.1, 1.0), (-0.5, 2.0), False),  # clear, then not
        ((-0.3, 0.4), (-0.4, 0.3), True),  # neither is clear, so the direction says nothing
    ],
)
def test_a_conclusion_is_what_is_clear_and_its_direction(real, synthetic, same):
    assert effect(real, synthetic).agrees is same


def test_means_over_effects():
    found = (effect((0, 2), (0, 2)), effect((0.1, 1), (2, 3)), effect((0.1, 1.1), (-1.9, -0.9)))
    assert mean_overlap(found) == pytest.approx(1 / 3)
    assert agreeing(found) == pytest.approx(2 / 3)
    assert mean_overlap(()) == agreeing(()) == 0


def people(count, seed, **more):
    rng = np.random.default_rng(seed)
    ward = rng.choice(["a", "b"], count, p=[0.7, 0.3])
    outcome = rng.random(count) < np.where(ward == "a", 0.3, 0.6)
    return Side(pa.table({"ward": ward} | {name: make(rng, outcome) for name, make in more.items()}), outcome)


def both(**more):
    return people(600, 1, **more), people(600, 2, **more)


def finite(found):
    return all(np.isfinite([e.real.low, e.real.high, e.synthetic.low, e.synthetic.high]).all() for e in found)


def separating(rng, sick):
    return sick + rng.random(len(sick)) / 2


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda _, sick: np.where(sick, "x", "y"), "fewer than two values"),  # says the outcome itself
        (lambda _, sick: np.where(np.arange(len(sick)) < 20, "rare", "usual"), "1 value with fewer than 30 rows"),
        (lambda _, sick: np.full(len(sick), "same"), "fewer than two values"),
        (lambda _, sick: np.full(len(sick), 7.0), "constant"),
        (separating, "separates the outcomes"),
        (lambda _, sick: pa.nulls(len(sick), pa.string()), "fewer than two values"),
        (lambda _, sick: pa.nulls(len(sick), pa.float64()), "known in fewer than 30 rows"),
        (lambda _, sick: [f"id{n}" for n in range(len(sick))], "600 values with fewer than 30 rows"),
    ],
)
def test_what_has_no_estimate_is_left_out_with_a_word(make, word):
    real, synthetic = both(more=make)
    found, left_out = effects.odds_ratios(real, synthetic, ["ward", "more"])
    assert [e.column for e in found] == ["ward"]
    assert finite(found)
    assert any(word in said for said in left_out), left_out


def test_a_column_that_follows_from_another_is_left_out():
    real, synthetic = (
        Side(side.rows.append_column("again", pa.compute.utf8_upper(side.rows["ward"])), side.outcome)
        for side in both()
    )
    found, left_out = effects.odds_ratios(real, synthetic, ["ward", "again"])
    assert [e.column for e in found] == ["ward"]
    assert left_out == ("again: follows from other columns",)


def test_a_label_with_one_outcome_leaves_the_others_alone():
    # All 40 of ward c are sick: their odds are infinite, and they say nothing about a and b.
    plain, with_c = both(), []
    for side in plain:
        rows = pa.concat_tables([side.rows, pa.table({"ward": ["c"] * 40})])
        with_c.append(Side(rows, np.concatenate([side.outcome, np.ones(40, dtype=bool)])))
    found, left_out = effects.odds_ratios(*with_c, ["ward"])
    expected, _ = effects.odds_ratios(*plain, ["ward"])
    assert found == expected
    assert len(left_out) == 1


def test_missing_values_are_accounted_for_without_being_reported():
    def half(rng, sick):
        return pa.array(np.where(rng.random(len(sick)) < 0.5, "p", "q"), mask=rng.random(len(sick)) < 0.4)

    found, _ = effects.odds_ratios(*both(more=half), ["ward", "more"])
    assert [(e.column, e.level in {"p", "q"}) for e in found if e.column == "more"] == [("more", True)]
    assert finite(found)


def test_a_label_never_stands_in_what_was_left_out():
    secret = {"more": lambda _, sick: np.where(np.arange(len(sick)) < 5, "CANARY", "usual")}
    _, left_out = effects.odds_ratios(*both(**secret), ["ward", "more"])
    assert left_out
    assert "CANARY" not in " ".join(left_out)
