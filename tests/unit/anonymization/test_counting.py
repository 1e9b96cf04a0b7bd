"""One pass over batches counts what pandas counts in memory; parts merge to the whole; people are never overstated."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.anonymization import counting
from tasks.anonymization.counting import Asked, count, merge
from tasks.anonymization.grouping import Grouping
from tasks.common import streaming
from tasks.common.streaming import InMemory

ROWS = st.lists(
    st.tuples(st.sampled_from([*"abcdefgh", None]), st.integers(-3, 5), st.sampled_from(["x", "y", None])),
    min_size=1,
    max_size=80,
)


def table(rows):
    city, age, result = (list(column) for column in zip(*rows, strict=True))
    return pa.table(
        {"city": pa.array(city, pa.string()), "age": pa.array(map(float, age)), "result": pa.array(result, pa.string())}
    )


def contents(counted):
    """Every tuple with its rows, people and histogram, in plain values."""
    leaves = [counted.leaves[name].to_pylist() for name in counted.leaves]
    found = {}
    for i in range(len(counted.tuples)):
        key = tuple(values[code] for values, code in zip(leaves, counted.tuples.codes[i], strict=True))
        histogram = counted.tuples.secrets.get("result")
        secrets = {}
        if histogram is not None:
            inside = slice(histogram.starts[i], histogram.starts[i + 1])
            values = counted.secret_values["result"].to_pylist()
            secrets = dict(
                zip([values[code] for code in histogram.codes[inside]], histogram.counts[inside].tolist(), strict=True)
            )
        found[key] = (int(counted.tuples.rows[i]), round(float(counted.tuples.people[i]), 9), secrets)
    return found


ASKED = Asked(("city", "age"), ("result",), ("age",))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, st.integers(1, 7))
def test_batches_count_what_pandas_counts(monkeypatch, rows, size):
    monkeypatch.setattr(streaming, "BATCH_ROWS", size)
    counted = count(InMemory(table(rows)), Asked(("city", "age"), ("result",)))
    frame = pd.DataFrame(rows, columns=["city", "age", "result"]).astype(object).where(lambda f: f.notna(), "missing")
    by_tuple = frame.groupby(["city", "age"]).size().to_dict()
    by_secret = frame.groupby(["city", "age", "result"]).size().to_dict()
    plain = {(city if city is not None else "missing", age): value for (city, age), value in contents(counted).items()}
    assert {key: value[0] for key, value in plain.items()} == by_tuple
    assert {
        (*key, secret if secret is not None else "missing"): n
        for key, (_, _, secrets) in plain.items()
        for secret, n in secrets.items()
    } == by_secret


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(1, 5))
def test_the_number_of_each_row_is_that_of_its_tuple(rows, parts):
    frame = table(rows)
    counted = count(InMemory(frame), Asked(("city", "age")))
    number = counted.of_row.read(0, len(rows))
    leaves = [counted.leaves[name].to_pylist() for name in ("city", "age")]
    seen = [(leaves[0][counted.tuples.codes[n, 0]], leaves[1][counted.tuples.codes[n, 1]]) for n in number]
    assert seen == list(zip(frame["city"].to_pylist(), frame["age"].to_pylist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(2, 5))
def test_parts_merge_to_the_whole(rows, parts):
    frame = table(rows)
    pieces = [frame.take(pa.array(p)) for p in np.array_split(np.arange(len(rows)), parts) if len(p)]
    merged = merge([count(InMemory(piece), ASKED) for piece in pieces])
    whole = count(InMemory(frame), ASKED)
    assert contents(merged) == contents(whole)
    assert merged.leaves == whole.leaves
    assert np.array_equal(merged.tuples.codes, whole.tuples.codes)
    assert np.array_equal(merged.of_row.read(0, len(rows)), whole.of_row.read(0, len(rows)))
    assert merged.whole == whole.whole


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_fewer_columns_count_as_if_counted_without_them(rows):
    frame = table(rows)
    fewer, into = count(InMemory(frame), Asked(("city", "age"), ("result",))).without(["city"])
    assert contents(fewer) == contents(count(InMemory(frame.select(["age", "result"])), Asked(("age",), ("result",))))
    assert len(into) == len(count(InMemory(frame), Asked(("city", "age"))).tuples)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=60), st.sets(st.integers(0, 3)))
def test_a_class_never_counts_more_people_than_it_has(rows, merged):
    """A class is any union of tuples."""
    persons, of_row = (np.array(column, dtype=np.int32) for column in zip(*rows, strict=True))
    weights = counting.row_weights(persons, of_row)
    inside = np.isin(of_row, list(merged))
    assert weights[inside].sum() <= len(set(persons[inside].tolist())) + 1e-9
    assert weights.sum() == pytest.approx(len(set(persons.tolist())))


def test_rows_of_one_person_that_are_alike_count_as_one_person():
    # Person 7 has 10,000 rows in one tuple, person 8 one there and one elsewhere: 1 + 1/2 and 1/2 people.
    persons = np.array([7] * 10_000 + [8, 8])
    of_row = np.array([0] * 10_001 + [1], dtype=np.int32)
    weights = counting.row_weights(persons, of_row)
    assert np.bincount(of_row, weights).tolist() == pytest.approx([1.5, 0.5])


def test_sixty_columns_need_several_words_and_keep_apart_what_differs():
    rng = np.random.default_rng(1)
    columns = {f"c{j}": rng.integers(0, 40, 3000).astype(str) for j in range(60)}
    frame = pa.table(columns)
    doubled = pa.concat_tables([frame, frame.slice(0, 500)])
    counted = count(InMemory(doubled), Asked(tuple(columns)))
    assert len(counted.tuples) == len(pd.DataFrame(columns).drop_duplicates()) == 3000
    assert counted.tuples.rows.sum() == 3500
    assert sorted(counted.tuples.rows.tolist()) == [1] * 2500 + [2] * 500


def test_a_million_distinct_values_in_one_column_are_a_million_tuples():
    values = np.random.default_rng(2).permutation(1_000_000)
    counted = count(
        InMemory(pa.table({"id": values.astype(float), "sex": np.where(values % 2, "f", "m")})),
        Asked(("id", "sex")),
    )
    assert len(counted.tuples) == 1_000_000
    assert (counted.tuples.rows == 1).all()
    assert counted.leaves["id"].to_numpy()[:3].tolist() == [0.0, 1.0, 2.0]


def test_codes_that_outgrow_their_bits_are_packed_anew():
    grouping = Grouping(2)
    first = grouping.add([np.array([0, 1], dtype=np.int32), np.array([1, 1], dtype=np.int32)], [2, 2])
    big = 2**30
    second = grouping.add([np.array([0, big], dtype=np.int32), np.array([1, big], dtype=np.int32)], [big + 1, big + 1])
    assert first.tolist() == [0, 1]
    assert second.tolist() == [0, 2]
    assert grouping.codes().tolist() == [[0, 1], [1, 1], [big, big]]
    assert grouping.weights.tolist() == [2, 1, 1]


def test_numbers_of_many_rows_lie_in_a_file_and_read_the_same(monkeypatch):
    monkeypatch.setattr(counting, "_MOST_IN_MEMORY", 64)
    numbers = counting.Numbers()
    parts = [np.arange(n * 30, n * 30 + 30, dtype=np.int32) for n in range(9)]
    for part in parts:
        numbers.append(part)
    assert numbers._file is not None
    assert len(numbers) == 270
    assert numbers.read(55, 100).tolist() == list(range(55, 155))
    assert numbers.read(260, 100).tolist() == list(range(260, 270))


def test_columns_of_integers_are_told_from_others():
    frame = pa.table({"a": ["x"] * 3, "n": [1.0, None, 3.0], "f": [1.0, 2.5, 3.0]})
    assert count(InMemory(frame), Asked(("a",), numeric=("n", "f"))).whole == {"n"}
