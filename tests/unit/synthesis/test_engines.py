"""Each engine learns what rows are like and how columns hang together, and repeats with its seed."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tasks.common.errors import TableError
from tasks.common.synthesis_forms import Constraints, Engine, Synthesis
from tasks.synthesis import engines, gan, tvae
from tasks.synthesis.columns import learn

QUICK = Synthesis(epochs=2, batch=100)
ALL = list(Engine)


def patients(count=900, seed=2):
    """In ward a stays are long, elsewhere short; one in five stays is not known."""
    rng = np.random.default_rng(seed)
    ward = rng.choice(list("abc"), count)
    hours = np.where(ward == "a", rng.normal(9, 1, count), rng.normal(2, 0.5, count)).round(2)
    return pa.table(
        {
            "ward": ward,
            "hours": pa.array(hours, mask=rng.random(count) < 0.2),
            "sex": rng.choice(["f", "m"], count, p=[0.7, 0.3]),
            "visits": pa.array(rng.integers(0, 500, count)),
        }
    )


def relation(rows):
    """How much oftener stays are long in ward a than elsewhere."""
    known = rows.filter(rows["hours"].is_valid())
    long, ward = known["hours"].to_numpy() > 5, np.array(known["ward"].to_pylist()) == "a"
    return long[ward].mean() - long[~ward].mean()


@pytest.mark.parametrize("engine", ALL)
def test_rows_have_the_releases_columns_types_and_labels(engine):
    made = engines.fit(patients(300), QUICK, engine, seed=3).draw(333, seed=4)
    assert made.num_rows == 333
    assert made.schema.equals(patients().schema)
    for name in ("ward", "sex"):
        assert set(made[name].to_pylist()) <= set(patients()[name].to_pylist())


@pytest.mark.parametrize("engine", ALL)
def test_the_same_seed_gives_the_same_rows_and_another_one_others(engine):
    one, two = (engines.fit(patients(200), QUICK, engine, seed=3).draw(50, seed=4) for _ in range(2))
    assert one.equals(two)
    assert not one.equals(engines.fit(patients(200), QUICK, engine, seed=3).draw(50, seed=5))
    if engine is not Engine.TREES:  # which learn the same from the same rows
        assert not one.equals(engines.fit(patients(200), QUICK, engine, seed=6).draw(50, seed=4))


@pytest.mark.parametrize(("engine", "epochs", "least"), [("ctgan", 100, 0.4), ("tvae", 300, 0.6), ("trees", 1, 0.9)])
def test_training_finds_how_columns_hang_together(engine, epochs, least):
    assert relation(patients()) > 0.99
    settings = Synthesis(epochs=epochs, batch=100)
    made = engines.fit(patients(), settings, Engine(engine), seed=3).draw(3_000, seed=1)
    assert relation(made) > least
    assert made["hours"].null_count / 3_000 == pytest.approx(0.2, abs=0.1)
    assert pc.mean(pc.equal(made["sex"], "f")).as_py() == pytest.approx(0.7, abs=0.12)


def test_what_was_hardly_trained_knows_nothing_of_it():
    made = engines.fit(patients(), Synthesis(epochs=1, batch=100), Engine.CTGAN, seed=3).draw(3_000, seed=1)
    assert abs(relation(made)) < 0.3


def test_a_copula_keeps_correlations_and_distributions():
    rng = np.random.default_rng(5)
    first = rng.normal(0, 1, 4_000)
    second = np.exp(0.8 * first + 0.6 * rng.normal(0, 1, 4_000))  # normal scores correlate by 0.8
    table = pa.table({"first": first, "second": second, "third": rng.choice(["x", "y"], 4_000, p=[0.9, 0.1])})
    made = engines.fit(table, QUICK, Engine.COPULA, seed=1).draw(20_000, seed=2)
    found = np.corrcoef(made["first"].to_numpy(), np.log(made["second"].to_numpy()))[0, 1]
    assert found == pytest.approx(0.8, abs=0.03)
    assert np.quantile(made["second"].to_numpy(), [0.1, 0.5, 0.9]) == pytest.approx(
        np.quantile(second, [0.1, 0.5, 0.9]), rel=0.1
    )
    assert pc.mean(pc.equal(made["third"], "y")).as_py() == pytest.approx(0.1, abs=0.02)


def test_no_leaf_of_a_tree_holds_fewer_than_forty_rows():
    table = patients(2_000)
    _, rows = learn(table, Constraints())
    for column in engines.fit(table, QUICK, Engine.TREES, seed=1).model._columns:
        held = np.diff(column._starts)
        assert held[held > 0].min() >= 40
        assert held.sum() == len(rows)


@pytest.mark.parametrize("engine", [Engine.CTGAN, Engine.TVAE])
def test_a_network_is_taken_from_where_its_rows_were_worth_most(engine):
    worths = iter([0.5, 0.9, 0.6, 0.7, 0.8, 0.8, 0.99])
    fitted = engines.fit(patients(200), Synthesis(epochs=24, batch=100), engine, seed=1, worth=lambda *_: next(worths))
    # Looked at after epochs 12, 14, 16, 18, 20, 22; the best was the second, and four looks brought nothing better.
    assert fitted.epochs == 14
    assert next(worths) == 0.99


def test_rows_kept_apart_are_not_learned_from(monkeypatch):
    seen = {}
    real_fit = gan.fit

    def spy(rows, *rest):
        seen["learned"] = len(rows)
        return real_fit(rows, *rest)

    monkeypatch.setitem(engines._FIT, Engine.CTGAN, spy)

    def worth(drawn, real):
        seen["judges"] = real.num_rows
        return 0.5

    engines.fit(patients(400), QUICK, Engine.CTGAN, seed=1, worth=worth)
    assert seen == {"learned": 350, "judges": 50}
    engines.fit(patients(400), QUICK.model_copy(update={"early_stopping": False}), Engine.CTGAN, seed=1, worth=worth)
    assert seen["learned"] == 400


def test_each_epoch_is_reported():
    seen = []
    engines.fit(patients(200), QUICK, Engine.CTGAN, seed=1, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 2), (2, 2)]


def test_epochs_follow_the_rows():
    assert gan.epochs_for(9_000, 200) == 40  # 45 batches an epoch, 1,800 in all
    assert gan.epochs_for(1_000_000, 200) == 10
    assert tvae.epochs_for(6_000) == 200  # 30 batches an epoch, 6,000 in all
    assert tvae.epochs_for(1_000_000) == 30


@pytest.mark.parametrize("engine", ALL)
def test_too_few_rows_are_told(engine):
    with pytest.raises(TableError, match="at least 100 rows"):
        engines.fit(patients(50), QUICK, engine, seed=1)


@pytest.mark.parametrize("engine", ALL)
def test_none_are_none(engine):
    assert engines.fit(patients(120), QUICK, engine, seed=1).draw(0, seed=1).num_rows == 0


def odd_tables():
    rng = np.random.default_rng(9)
    many = {f"lab {n}": pa.array(rng.normal(0, 1, 200).round(1), mask=rng.random(200) < 0.4) for n in range(60)}
    return {
        "one column": pa.table({"ward": rng.choice(["a", "b"], 200)}),
        "one number": pa.table({"hours": rng.normal(0, 1, 200)}),
        "all missing": pa.table({"ward": pa.nulls(200, pa.string()), "hours": pa.nulls(200, pa.float64())}),
        "a constant": pa.table({"ward": ["a"] * 200, "hours": [1.5] * 200, "sex": rng.choice(["f", "m"], 200)}),
        "5,000 categories": pa.table({"code": [f"c{n}" for n in rng.permutation(5_000)], "x": rng.normal(0, 1, 5_000)}),
        "dates": pa.table({"day": pa.array((np.datetime64("2020-01-01") + rng.integers(0, 900, 200)).astype("M8[D]"))}),
        "times": pa.table({"at": pa.array(np.datetime64("2020-01-01T00:00:00") + rng.integers(0, 10**7, 200))}),
        "120 columns, 40 % missing": pa.table(
            many | {f"item {n}": rng.choice(["yes", "no"], 200) for n in range(60)}
        ),
    }  # fmt: skip


@pytest.mark.parametrize("engine", ALL)
@pytest.mark.parametrize("name", list(odd_tables()))
def test_odd_tables_are_learned(engine, name):
    table = odd_tables()[name]
    made = engines.fit(table, Synthesis(epochs=1), engine, seed=1).draw(150, seed=1)
    assert made.schema.equals(table.schema)
    assert made.num_rows == 150
    for column in table.column_names:
        if table[column].null_count == 0:
            assert made[column].null_count == 0
