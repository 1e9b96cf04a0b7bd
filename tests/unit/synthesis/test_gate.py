"""What goes on to the attacks: rows that are of use and repeat nobody. On real tests for COVID-19."""

import numpy as np
import pyarrow as pa
import pytest

from tasks.common import reading
from tasks.common.synthesis_forms import Engine, Synthesis
from tasks.common.table import open_table
from tasks.synthesis import copies, drawing, engines, trees
from tasks.synthesis.handles import Candidate, Copying, ranked
from tasks.utility import fidelity
from tests.conftest import CHOP_TABLE
from tests.unit.hub.example import dossier


@pytest.fixture(scope="module")
def tests(chop):
    """Rows learned from, and rows of a control, as they are."""
    source = open_table(CHOP_TABLE)
    rows = reading.read(source, chop).take(pa.array(reading.included_rows(source, chop))).select(chop.released)
    places = np.random.default_rng(1).permutation(rows.num_rows)
    return rows.take(pa.array(places[:4_000])), rows.take(pa.array(places[4_000:7_000]))


def candidate(rows, tests, chop):
    learned, control = tests
    return Candidate(
        engine=Engine.TREES,
        fidelity=fidelity.compare(learned, rows, control, chop, 1),
        copying=copies.look(rows, learned, control, chop, np.random.default_rng(1)),
    )


def test_rows_of_trees_go_on(tests, chop):
    fitted = engines.fit(tests[0], Synthesis(), Engine.TREES, seed=1)
    made = candidate(drawing.draw(fitted, 4_000, 1, chop, tests[0])[0], tests, chop)
    assert made.fidelity.trends > made.fidelity.trends_floor
    assert made.copying.acceptable


@pytest.mark.long
def test_trees_keep_more_of_a_rare_result_when_it_is_drawn_after_what_it_depends_on(tests, chop, monkeypatch):
    """One test in twenty is positive. Drawn first, the result would hardly split any other column."""
    learned, control = tests

    def kept():
        rows = [engines.fit(learned, Synthesis(), Engine.TREES, seed=seed).draw(4_000, seed) for seed in range(3)]
        compared = [fidelity.compare(learned, made, control, chop, 1) for made in rows]
        return np.mean([answer.synthetic.value for found in compared for answer in found.answers])

    last = kept()
    monkeypatch.setattr(trees, "_entropy", lambda counts: -float(len(counts)))  # columns of few values first
    assert last > kept() + 0.01


def test_shuffled_columns_do_not(tests, chop):
    shuffled = candidate(fidelity.shuffled(tests[0], np.random.default_rng(2)), tests, chop)
    assert shuffled.fidelity.shapes == pytest.approx(1.0), "every single column is perfect"
    assert shuffled.copying.excess < 0.1
    assert not shuffled.worth_attacking


def test_a_plain_copy_does_not(tests, chop):
    copy = candidate(tests[0], tests, chop)
    assert copy.fidelity.useful
    assert copy.copying.rare_copies > 1_000
    assert not copy.worth_attacking


def test_a_copy_with_noise_in_one_column_does_not(tests, chop):
    days, noise = tests[0]["pan_day"].to_numpy(), np.random.default_rng(3).normal(0, 15, 4_000)
    noisy = tests[0].set_column(
        tests[0].column_names.index("pan_day"),
        "pan_day",
        pa.array(days + noise),
    )
    copy = candidate(noisy, tests, chop)
    assert copy.copying.rare_copies == 0
    assert copy.copying.low > 0.8
    assert copy.copying.without == "pan_day"
    assert not copy.worth_attacking


def test_candidates_are_asked_from_the_most_useful_on():
    good = next(c for c in dossier().candidates if c.fidelity)
    answers = good.fidelity.answers

    def with_auc(value, **changes):
        better = answers[0].synthetic.model_copy(update={"value": value, "low": value - 0.01, "high": value + 0.01})
        first = answers[0].model_copy(update={"synthetic": better})
        told = good.fidelity.model_copy(update={"answers": (first, *answers[1:])})
        return good.model_copy(update={"fidelity": told, **changes})

    copied = Copying(rows=10, rare_copies=1, without=None, nearer=0.5, expected=0.5, excess=0, low=0, high=0)
    failed = Candidate(engine="tvae", failed="diverged")
    candidates = [with_auc(0.70), with_auc(0.72), with_auc(0.80, copying=copied), with_auc(0.70), failed]
    assert ranked(candidates) == [1, 0, 3]
