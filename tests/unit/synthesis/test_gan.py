"""CTGAN's rows speak the release's vocabulary, repeat with their seed and carry what was missing."""

import numpy as np
import pyarrow as pa
import pytest

from tasks.common.errors import TableError
from tasks.common.policy import Synthesis
from tasks.synthesis import gan

FAST = Synthesis(epochs=2, batch=100)


def release(count=400):
    rng = np.random.default_rng(1)
    hours = np.round(rng.normal(5, 2, count), 2)
    return pa.table(
        {
            "age": rng.choice(["[0, 20)", "[20, 40)"], count),
            "ward": pa.array(rng.choice(["a", "b", None], count).tolist(), pa.string()),
            "hours": pa.array(hours, mask=rng.random(count) < 0.2),
            "visits": pa.array(rng.integers(0, 500, count)),
            "grade": pa.array(rng.integers(1, 4, count)),
        }
    )


@pytest.fixture(scope="module")
def fitted():
    return gan.fit(release(), FAST, seed=3)


def test_rows_have_the_releases_columns_types_and_labels(fitted):
    made = gan.sample(fitted, 333, seed=4)
    assert made.num_rows == 333
    assert made.schema.equals(release().schema)
    for name in ("age", "ward", "grade"):
        assert set(made[name].to_pylist()) <= set(release()[name].to_pylist())


def test_missing_values_stay_possible(fitted):
    made = gan.sample(fitted, 2000, seed=4)
    assert made["hours"].null_count > 0
    assert made["ward"].null_count > 0
    assert made["visits"].null_count == 0


def test_numbers_keep_their_decimals(fitted):
    hours = gan.sample(fitted, 500, seed=4)["hours"].drop_null().to_numpy()
    assert np.allclose(hours, np.round(hours, 2))


def test_the_same_seed_gives_the_same_rows_and_another_one_others():
    one, two = (gan.sample(gan.fit(release(), FAST, seed=3), 50, seed=4) for _ in range(2))
    assert one.equals(two)
    assert not one.equals(gan.sample(gan.fit(release(), FAST, seed=5), 50, seed=4))


def test_each_epoch_is_reported():
    seen = []
    gan.fit(release(200), FAST, seed=1, progress=seen.append)
    assert seen == [1, 2]


def test_epochs_follow_the_rows():
    assert gan.epochs_for(9_000, 200) == 40  # 45 batches an epoch, 1,800 in all
    assert gan.epochs_for(1_000_000, 200) == 10


def test_too_few_rows_are_told():
    with pytest.raises(TableError, match="at least 100 rows"):
        gan.fit(release(50), FAST, seed=1)


def test_none_are_none(fitted):
    assert gan.sample(fitted, 0, seed=1).num_rows == 0
