"""Tables for tests of local recoding, and what an independent reader makes of a recoded table."""

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st
from pycanon import anonymity

from tasks.anonymization import axes, counting, hierarchies
from tasks.common.streaming import InMemory
from tests.conftest import make_policy

POLICY = make_policy(
    {
        "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10, 20], "min": 0, "max": 80}},
        "seen": {"role": "quasi", "kind": "date", "hierarchy": {"dates": ["month", "year"]}},
        "city": {"role": "quasi", "hierarchy": {"groups": [{"north": ["a", "b"], "south": ["c", "d"]}]}},
        "sex": {"role": "quasi", "hierarchy": "all-or-nothing"},
        "result": {"role": "sensitive"},
    }
)
TYPES = {"age": pa.float64(), "seen": pa.date32(), "city": pa.string(), "sex": pa.string(), "result": pa.string()}
DAYS = [dt.date(2020, 1, 1) + dt.timedelta(days=17 * n) for n in range(8)]

row = st.tuples(
    st.sampled_from([None, *(float(age) for age in range(0, 80, 7))]),
    st.sampled_from([*DAYS, None]),
    st.sampled_from([*"abcd", None]),
    st.sampled_from("fm"),
    st.sampled_from("xyz"),
)
tables = st.lists(row, min_size=8, max_size=60)


def table_of(rows, types=None):
    types = types or TYPES
    columns = zip(*rows, strict=True)
    return pa.table({n: pa.array(list(c), t) for (n, t), c in zip(types.items(), columns, strict=True)})


def counted(table, policy=POLICY, persons=None, secrets=None):
    """The tuples of a table, its axes, hierarchies, and the tuple of each row."""
    asked = counting.Asked(tuple(policy.quasi), tuple(policy.sensitive if secrets is None else secrets))
    found = counting.count(InMemory(table), asked, persons)
    trees = {n: hierarchies.build(n, policy.columns[n], leaves.to_pylist()) for n, leaves in found.leaves.items()}
    return found.tuples, axes.by_name(policy.columns, trees), trees, found.of_row.read(0, table.num_rows)


def allot(recoded, of_row):
    """The fragment of each row: a tuple's rows in their order go to its fragments in theirs."""
    fragment = np.empty(len(of_row), dtype=np.int64)
    by_tuple = np.argsort(of_row, kind="stable")
    fragment[by_tuple] = np.repeat(np.arange(len(recoded.source)), recoded.rows)
    return fragment


def released(recoded, of_row, table, policy=POLICY):
    """The recoded rows as words, and which rows of the table they are."""
    fragment = allot(recoded, of_row)
    kept = np.flatnonzero(~recoded.suppressed[fragment])
    columns = {
        name: [str(recoded.labels[j][code]) for code in recoded.codes[fragment[kept], j]]
        for j, name in enumerate(policy.quasi)
    }
    columns |= {name: [str(value) for value in table[name].take(kept).to_pylist()] for name in policy.sensitive}
    return pd.DataFrame(columns), kept


def oracle_k(frame, policy=POLICY):
    return anonymity.k_anonymity(frame, policy.quasi)


def oracle_l(frame, policy=POLICY):
    return anonymity.l_diversity(frame, policy.quasi, ["result"])


def covers(label, value, name, policy=POLICY):
    """Whether a released label, as a word, stands for a value; read here afresh, without the project's parsers."""
    column = policy.columns[name]
    if label == "*" or label == str(value):
        return True
    if value is None:
        return False
    if isinstance(value, float) and label[0].isdigit():
        return float(label) == value
    if label.startswith(("[", "(")):
        low, high = label[1:-1].split(", ")
        parse = dt.date.fromisoformat if isinstance(value, dt.date) else float
        above = low == "-inf" or parse(low) <= value
        below = high == "inf" or (value <= parse(high) if label.endswith("]") else value < parse(high))
        return above and below
    tree = hierarchies.build(name, column, [value])
    return label in {tree.labels[level][0] for level in range(tree.levels)}
