"""Private synthesis keeps to its budget and its domain, and is exact where the budget allows it."""

import importlib.util
import math
import sys

import numpy as np
import pyarrow as pa
import pytest
import torch

from tasks.common.errors import BudgetExhausted, MissingPart, PolicyError
from tasks.common.synthesis_forms import Synthesis
from tasks.synthesis import private
from tasks.synthesis.budget import Budget, Ledger
from tasks.synthesis.public import Declared, Public

pytest.importorskip("mbi")
ROWS = 3_000
KNOWN = Public(
    columns={
        "ward": Declared(labels=("a", "b", "c"), missing=False),
        "ill": Declared(labels=("no", "yes"), missing=False),
        "grade": Declared(low=0, high=3, missing=False),
    }
)


def rows(count=ROWS):
    """Illness depends on the ward, the grade on illness."""
    rng = np.random.default_rng(5)
    ward = rng.choice(3, count, p=[0.5, 0.3, 0.2])
    ill = rng.random(count) < np.array([0.1, 0.4, 0.8])[ward]
    grade = np.where(ill, rng.integers(1, 4, count), 0)
    return pa.table(
        {
            "ward": pa.array(np.array(["a", "b", "c"])[ward].tolist()),
            "ill": pa.array(np.array(["no", "yes"])[ill.astype(int)].tolist()),
            "grade": pa.array(grade),
        }
    )


def settings(engine="mst", epsilon=50.0, **rest):
    return Synthesis(privacy={"engine": engine, "epsilon": epsilon, "delta": 1e-6}, **rest)


def fit(engine="mst", epsilon=50.0, table=None, **rest):
    rest = {"public": KNOWN, "source": np.random.default_rng(1).bytes, **rest}
    asked = settings(engine, epsilon, epochs=2)
    return private.fit(rows() if table is None else table, asked, seed=2, **rest)


@pytest.fixture(scope="module")
def fitted():
    return fit()


def share(table, *names):
    codes = [np.unique(table[name].to_numpy(zero_copy_only=False).astype(str), return_inverse=True) for name in names]
    shape = [len(values) for values, _ in codes]
    return np.bincount(np.ravel_multi_index([c for _, c in codes], shape), minlength=math.prod(shape)) / len(table)


@pytest.mark.parametrize("engine", ["mst", "aim"])
def test_a_large_budget_gives_the_marginals_to_within_noise_and_drawing(engine):
    learned = fit(engine)
    made, noise = learned.sample(200_000, 3), max(part.sigma for part in learned.ledger.parts if part.sigma)
    for pair in (("ward", "ill"), ("ill", "grade")):
        cells = len(share(rows(), *pair))
        # Mean absolute noise of a cell in rows, and the mean deviation of a drawn share of at most 1/2, for each cell.
        allowed = cells * (noise / ROWS + math.sqrt(0.25 / 200_000)) / 2
        distance = np.abs(share(made, *pair) - share(rows(), *pair)).sum() / 2
        assert distance < allowed


def test_relations_that_a_tree_leaves_out_are_lost_and_those_of_the_target_are_not(fitted):
    assert len(fitted.model.cliques) == 2
    asked = fit(public=KNOWN.model_copy(update={"target": "grade"}))
    assert {frozenset(pair) for pair in asked.model.cliques} >= {
        frozenset(("grade", "ward")),
        frozenset(("grade", "ill")),
    }


@pytest.mark.parametrize("engine", ["mst", "aim", "dp-ctgan"])
def test_no_engine_spends_more_than_the_budget_or_leaves_half_of_it(engine):
    ledger = fit(engine, epsilon=2.0).ledger
    assert 1.9 < ledger.epsilon <= 2.0
    assert ledger.budget == Budget(epsilon=2.0, delta=1e-6)


@pytest.mark.parametrize("engine", ["mst", "dp-ctgan"])
def test_rows_have_the_schema_and_nothing_from_outside_the_domain(engine):
    outside = pa.table(
        {
            "ward": pa.array(["canary"] * 300 + ["a"] * 300),
            "ill": pa.array(["no", "yes"] * 300),
            "grade": pa.array([10**6] * 300 + [0] * 300),
        }
    )
    made = fit(engine, table=outside).sample(2000, 3)
    assert made.schema == outside.schema
    assert set(made["ward"].to_pylist()) <= {"a", "b", "c"}
    assert set(made["grade"].to_pylist()) <= {0, 1, 2, 3}


def test_drawing_repeats_with_its_seed_and_costs_nothing(fitted):
    before = fitted.ledger
    assert fitted.sample(50, 1).equals(fitted.sample(50, 1))
    assert not fitted.sample(50, 1).equals(fitted.sample(50, 2))
    assert fitted.sample(0, 1).num_rows == 0
    assert fitted.ledger == before


def test_noise_differs_from_run_to_run_although_the_seed_does_not():
    ward = rows().select(["ward"])
    one, two = (private.fit(ward, settings(epsilon=1), seed=2, public=KNOWN) for _ in range(2))
    assert not np.array_equal(one.model.buckets[0].weights, two.model.buckets[0].weights)


def test_the_number_of_rows_is_known_to_within_noise(fitted):
    assert abs(fitted.total - ROWS) < 10 * max(part.sigma for part in fitted.ledger.parts if part.sigma)


def test_a_budget_that_is_used_up_refuses_also_when_it_comes_from_a_file(fitted):
    stored = Ledger.model_validate_json(fitted.ledger.model_dump_json())
    with pytest.raises(BudgetExhausted, match="is used up"):
        fit(ledger=stored)


def test_a_budget_used_up_by_gradients_refuses_too():
    with pytest.raises(BudgetExhausted, match="is used up"):
        fit("mst", epsilon=2.0, ledger=fit("dp-ctgan", epsilon=2.0).ledger)


def test_people_with_several_rows_get_noise_that_many_times_as_wide():
    ward = rows().select(["ward"])
    persons = (KNOWN.model_copy(update={"rows_per_person": n}) for n in (1, 3))
    one, three = (fit(table=ward, public=known, epsilon=5.0).ledger.parts for known in persons)
    assert three[0].sigma / one[0].sigma == pytest.approx(3, rel=0.01)
    assert three[0].sensitivity == 3


def test_a_ledger_of_rows_is_not_taken_for_one_of_people(fitted):
    with pytest.raises(PolicyError, match="1 rows of a person together, and the policy 3"):
        fit(public=KNOWN.model_copy(update={"rows_per_person": 3}), ledger=Ledger(budget=fitted.ledger.budget))


def test_a_table_of_one_column_works():
    made = fit(table=rows().select(["ward"])).sample(5000, 1)
    assert np.abs(share(made, "ward") - share(rows(), "ward")).max() < 0.03


def test_no_privacy_in_the_policy_is_told():
    with pytest.raises(PolicyError, match="no `privacy:`"):
        private.fit(rows(), Synthesis(), seed=1)


@pytest.mark.parametrize(("engine", "package"), [("mst", "mbi"), ("dp-ctgan", "opacus")])
def test_an_engine_that_is_not_installed_is_told(engine, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPart, match=r"pip install 'secured\[privacy\]'"):
        fit(engine)


def test_the_doctor_names_the_packages():
    from tasks.common import doctor

    assert importlib.util.find_spec("mbi") is not None
    assert "mbi 2" in doctor._privacy().found


@pytest.fixture
def training():
    from tasks.synthesis import private_gan
    from tasks.synthesis.noise import Noise

    spans = private_gan._Spans({"a": 4, "b": 3})
    rng = np.random.default_rng(0)
    hot = spans.encode({"a": rng.integers(0, 4, 40), "b": rng.integers(0, 3, 40)})

    def make(sigma):
        torch.manual_seed(1)
        made = private_gan._Training(hot, spans, 20.0, Noise(np.random.default_rng(2).bytes), sigma)
        for layer in made._discriminator.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0  # or sums with a row and without it would drop other units
        with torch.no_grad():
            list(made._discriminator.parameters())[-1].fill_(-50)  # sure of being made up: gradients have to be cut
        return made

    return make


def test_one_row_moves_the_sum_of_gradients_by_the_clipping_norm_at_most(training):
    made = training(0.0)
    moved = []
    for out in range(20):
        rest = torch.cat([made._rows[:out], made._rows[out + 1 : 20]])
        pairs = zip(made._row_gradients(made._rows[:20].clone()), made._row_gradients(rest), strict=True)
        moved.append(math.sqrt(sum(float(((a - b) ** 2).sum()) for a, b in pairs)))
    assert max(moved) <= 1.0001
    assert max(moved) > 0.99  # and they are cut, not small


def test_gradients_get_noise_of_the_width_that_was_accounted(training):
    made, quiet = training(3.0), training(0.0)
    drawn = made._row_gradients(made._rows[:20].clone())
    exact = quiet._row_gradients(quiet._rows[:20].clone())
    noise = torch.cat([(a - b).ravel() for a, b in zip(drawn, exact, strict=True)]).numpy()
    assert noise.std() == pytest.approx(3.0, abs=4 * 3 / math.sqrt(2 * len(noise)))


def test_an_empty_batch_is_noise_alone(training):
    made = training(1.0)
    noise = torch.cat([g.ravel() for g in made._row_gradients(made._rows[:0])])
    assert noise.std() == pytest.approx(1.0, abs=0.05)


@pytest.mark.long
def test_a_whole_fit_tells_no_more_than_the_budget_says_and_a_reckless_one_is_caught(monkeypatch):
    """Minutes, since a model is fitted in each of many runs; the parts are audited in test_accountant."""
    from tasks.synthesis.noise import Noise
    from tests.unit.synthesis.test_accountant import least_epsilon

    class Reckless(Noise):
        def gaussian(self, variance, count):
            return super().gaussian(variance / 400, count)

    runs, epsilon = 150, 1.0
    tables = [pa.table({"ward": ["a"] * (100 + present) + ["b"] * 100}) for present in (0, 1)]

    def rows_of_a(present, run):
        model = fit("mst", epsilon, tables[present], source=np.random.default_rng([run, present]).bytes).model
        weights = model.buckets[0].weights
        return model.total * weights[0] / weights.sum()

    def audited(kind):
        monkeypatch.setattr("tasks.synthesis.accountant.Noise", kind)
        outside, inside = (np.array([rows_of_a(present, run) for run in range(runs)]) for present in (0, 1))
        return least_epsilon(inside, outside, 1e-6)

    assert audited(Noise) <= epsilon < audited(Reckless)
