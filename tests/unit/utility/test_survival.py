"""Survival figures are those of theory, of lifelines, and of a hand-worked example."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.utils import restricted_mean_survival_time

from tasks.common import reading
from tasks.common.errors import TableError
from tasks.common.table import open_table
from tasks.common.utility_forms import Survival
from tasks.utility import clinical, survival
from tests.conftest import make_policy
from tests.shared_data import shared_data

ASKED = Survival(time="days", event="relapse", positive="yes", groups=("stage",))


def patients(count, seed, censored=0.3, faster=1.0):
    """Exponential times, twice the hazard in stage 2, censored at random; `faster` multiplies all hazards."""
    rng = np.random.default_rng(seed)
    stage = rng.choice(["1", "2"], count, p=[0.6, 0.4])
    days = rng.exponential(100 / faster / np.where(stage == "2", 2, 1))
    return pa.table({"days": days, "relapse": np.where(rng.random(count) < censored, "no", "yes"), "stage": stage})


def test_without_censoring_it_is_the_mean_and_its_standard_error():
    # Then S is the empirical survival, its area the mean of min(T, until), and the variance that of those over n.
    rng = np.random.default_rng(1)
    durations, until = np.round(rng.exponential(10, 400)), 15.0
    mean, error = survival.restricted_mean(durations, np.ones(400, dtype=bool), until)
    cut = np.minimum(durations, until)
    assert mean == pytest.approx(cut.mean())
    assert error == pytest.approx(cut.std() / np.sqrt(400))


def test_with_censoring_it_is_the_area_that_lifelines_finds():
    table = patients(300, 1)
    days, happened = table["days"].to_numpy(), np.array(table["relapse"].to_pylist()) == "yes"
    fitted = KaplanMeierFitter().fit(days, happened)
    mean, _ = survival.restricted_mean(days, happened, 80.0)
    assert mean == pytest.approx(restricted_mean_survival_time(fitted, t=80.0), rel=1e-6)


def test_a_hand_worked_example_with_censoring():
    # Times 1, 2+, 3, 4 (+ censored): S is 3/4 after 1 and 3/8 after 3. Area up to 4: 1 + 2 * 3/4 + 3/8 = 2.875.
    # Right of 1: 1.875 with 1 of 4 at risk, 1 / (4 * 3); right of 3: 0.375 with 1 of 2, 1 / (2 * 1).
    # At 4 the last person has the event, with no area right of it.
    mean, error = survival.restricted_mean(np.array([1.0, 2, 3, 4]), np.array([True, False, True, True]), 4.0)
    assert mean == pytest.approx(2.875)
    assert error**2 == pytest.approx(1.875**2 / 12 + 0.375**2 / 2)


def test_the_same_rows_differ_in_nothing():
    table = patients(400, 1)
    found = survival.compare(table, table, ASKED)
    assert found.largest_difference == 0
    assert found.mean_difference.value == 0
    assert found.mean_difference.low < 0 < found.mean_difference.high
    assert [hazard.overlap for hazard in found.hazards] == pytest.approx([1.0])
    assert found.real == found.synthetic


def test_the_largest_difference_is_that_of_the_curves_at_any_time():
    # Real: one of 40 dies each day from 1 to 40. Synthetic: half of them on day 10, the others on day 40.
    real = pa.table({"days": np.arange(1.0, 41), "relapse": ["yes"] * 40})
    synthetic = pa.table({"days": [10.0] * 20 + [40.0] * 20, "relapse": ["yes"] * 40})
    found = survival.compare(real, synthetic, Survival(time="days", event="relapse", positive="yes"))
    # Ten are still followed on day 31 in one table, and on day 40 in the other. On day 31, 9 of 40 are left in one, and
    # 20 in the other; the curves are farther apart than on day 10, when 30 and 20 are.
    assert found.times[-1] == 31
    assert found.largest_difference == pytest.approx(11 / 40)
    assert found.hazards == ()


def test_faster_relapse_in_synthetic_rows_shortens_the_mean():
    # Exponential hazards of h: the mean within t is (1 - exp(-h t)) / h, for 6 of 10 people at h and 4 at 2 h.
    real, synthetic = patients(6000, 1, censored=0), patients(6000, 2, censored=0, faster=2)
    found = survival.compare(real, synthetic, ASKED)
    until = found.times[-1]

    def mean(rate):
        return sum(share * -np.expm1(-h * until) / h for share, h in ((0.6, rate), (0.4, 2 * rate)))

    assert found.mean_real == pytest.approx(mean(0.01), rel=0.05)
    assert found.mean_difference.low < mean(0.02) - mean(0.01) < found.mean_difference.high


def test_hazard_ratios_hold_the_true_one_even_where_nobody_is_censored():
    found = survival.compare(patients(4000, 1, censored=0), patients(4000, 2, censored=0), ASKED)
    (hazard,) = found.hazards
    assert (hazard.level, hazard.reference) == ("2", "1")
    assert hazard.real.low < 2 < hazard.real.high
    assert hazard.agrees


def test_curves_begin_at_one_fall_and_lie_between_their_bounds():
    curve = survival.compare(patients(300, 1), patients(300, 2), ASKED).real
    assert curve.survival[0] == 1
    assert all(np.diff(curve.survival) <= 0)
    assert all(low <= s <= high for low, s, high in zip(curve.low, curve.survival, curve.high, strict=True))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda table: table.drop_columns(["days"]), "the synthetic rows have no column `days`"),
        (lambda table: table.set_column(0, "days", pa.array(["[0, 10)"] * len(table))), "holds no numbers"),
        (lambda table: table.slice(0, 20), "it takes 30 people"),
        (lambda table: table.set_column(1, "relapse", pa.array(["no"] * len(table))), "at least one event"),
        (lambda table: table.set_column(0, "days", pa.array([0.0] * len(table))), "nobody is followed"),
    ],
)
def test_rows_that_cannot_answer_are_told(change, word):
    table = patients(200, 1)
    with pytest.raises(TableError, match=word):
        survival.compare(table, change(table), ASKED)


def test_a_question_that_adjustments_made_unanswerable_is_left_out_with_a_word():
    policy = make_policy(
        {
            "days": {"role": "other", "kind": "numeric"},
            "relapse": {"role": "sensitive"},
            "stage": {"role": "quasi", "hierarchy": "all-or-nothing"},
        },
        survival=ASKED.model_dump(),
    )
    table = patients(200, 1).drop_columns(["days"])
    found = clinical.compare(table, table, policy)
    assert found.survival is None
    assert found.left_out == ("survival cannot be compared: the real rows have no column `days`",)


def test_children_with_wilms_tumour_have_the_hazard_ratios_of_lifelines():
    policy = make_policy(
        {
            "age": {"role": "quasi", "kind": "numeric", "hierarchy": "all-or-nothing"},
            "stage": {"role": "other"},
            "histol": {"role": "other"},
            "edrel": {"role": "other", "kind": "numeric"},
            "rel": {"role": "sensitive"},
        },
        survival={"time": "edrel", "event": "rel", "positive": 1, "groups": ["stage", "histol", "age"]},
    )
    path = shared_data("nwtco_wilms_children.csv")
    table = reading.read_release(open_table(path), policy)
    found = clinical.compare(table, table, policy).survival
    assert found is not None
    frame = pd.read_csv(path)[["edrel", "rel", "stage", "histol", "age"]]
    frame["age"] = (frame["age"] - frame["age"].mean()) / frame["age"].std(ddof=0)
    peer = CoxPHFitter().fit(frame, "edrel", "rel", formula="C(stage) + C(histol) + age")
    ratios = {(hazard.column, hazard.level): hazard.real for hazard in found.hazards}
    for name, key in (("C(stage)[T.4]", ("stage", "4")), ("C(histol)[T.2]", ("histol", "2")), ("age", ("age", None))):
        assert ratios[key].value == pytest.approx(np.exp(peer.params_[name]), rel=1e-4)
        assert ratios[key].low == pytest.approx(np.exp(peer.confidence_intervals_.loc[name].iloc[0]), rel=1e-4)
