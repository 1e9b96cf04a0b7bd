"""Every method of recoding, and every kind of criterion, comes through the anonymizer as the policy says."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pycanon import anonymity

from tasks.anonymization import anonymizer
from tasks.anonymization.plan import first_plan
from tasks.common import policy_file, reading
from tasks.common.errors import PolicyError
from tasks.common.recoding_forms import Method
from tasks.common.streaming import InMemory
from tasks.common.table import open_table
from tests.conftest import CHOP_TABLE, make_policy

RNG = np.random.default_rng


def columns(**more):
    return {
        "city": {"role": "quasi", "hierarchy": {"groups": [{"north": ["a", "b"], "south": ["c", "d"]}]}},
        "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10, 20], "min": 0, "max": 80}},
        "result": {"role": "sensitive"},
        "dose": {"role": "other", "kind": "numeric", **more},
    }


def people(rows=400):
    rng = RNG(3)
    return pa.table(
        {
            "city": rng.choice([*"abcd"], rows, p=[0.5, 0.3, 0.15, 0.05]),
            "age": rng.integers(0, 80, rows).astype(float),
            "result": rng.choice([*"xyz"], rows, p=[0.6, 0.3, 0.1]),
            "dose": np.arange(rows, dtype=float),
        }
    )


def released(table, policy, persons=None):
    return anonymizer.anonymize(table, persons, policy, first_plan(policy), RNG(1))


def words(release):
    return release.table.to_pandas().astype(str)


@pytest.mark.parametrize("recoding", [*Method, {"method": "full-domain", "cell_suppression": True}], ids=str)
def test_k_holds_and_rows_keep_what_they_carry(recoding):
    table = people()
    policy = make_policy(columns(), recoding=recoding, criteria={"k": 7, "suppression": 0.05})
    release = released(table, policy)
    assert anonymity.k_anonymity(words(release), ["city", "age"]) == release.account.k >= 7
    assert release.account.rows_after == release.table.num_rows >= 380
    # dose numbers the rows: each released row carries the result of its own person, and nobody comes twice.
    original = dict(zip(table["dose"].to_pylist(), table["result"].to_pylist(), strict=True))
    pairs = list(zip(release.table["dose"].to_pylist(), release.table["result"].to_pylist(), strict=True))
    assert len({dose for dose, _ in pairs}) == len(pairs)
    assert all(original[dose] == result for dose, result in pairs)


def test_rows_that_are_alike_may_be_divided_between_regions():
    """Twelve people of one age: relaxed Mondrian cuts them into two groups with the six others, strict cannot."""
    table = pa.table(
        {"city": ["a"] * 18, "age": [1.0] * 3 + [5.0] * 12 + [9.0] * 3, "result": [*"xy"] * 9, "dose": [1.0] * 18}
    )
    strict, relaxed = (
        released(table, make_policy(columns(), recoding=method, criteria={"k": 6}))
        for method in ("mondrian", "mondrian-relaxed")
    )
    assert strict.account.classes == 1
    assert relaxed.account.classes > 1
    assert anonymity.k_anonymity(words(relaxed), ["city", "age"]) >= 6
    assert relaxed.table.num_rows == 18


def test_local_recoding_loses_less_than_full_domain_on_chop(chop):
    table = open_table(CHOP_TABLE)
    rows = reading.read(table, chop).take(pa.array(reading.included_rows(table, chop)))
    losses = {}
    for method in ("full-domain", "mondrian", "microaggregation"):
        policy = chop.model_copy(update={"recoding": make_policy(columns(), recoding=method).recoding})
        losses[method] = released(rows, policy).account.loss
    assert losses["mondrian"] < losses["full-domain"] / 2
    assert losses["microaggregation"] < losses["full-domain"] / 2


@pytest.mark.parametrize(
    ("criteria", "check"),
    [
        ({"entropy_l": {"result": 1.8}}, lambda f: np.exp(_entropies(f)).min() >= 1.8 - 1e-9),
        ({"t": {"result": 0.15}}, lambda f: anonymity.t_closeness(f, ["city", "age"], ["result"]) <= 0.15 + 1e-9),
        ({"l": {"result": 3}}, lambda f: anonymity.l_diversity(f, ["city", "age"], ["result"]) >= 3),
        ({"risk": {"prosecutor_average": 0.05}}, lambda f: f.groupby(["city", "age"]).ngroups / len(f) <= 0.05),
    ],
    ids=["entropy l", "t", "l", "average risk"],
)
def test_criteria_of_the_policy_hold_in_the_release(criteria, check):
    policy = make_policy(columns(), criteria={"k": 3, "suppression": 0.1, **criteria})
    release = released(people(), policy)
    assert check(words(release))
    assert len(release.account.criteria) == 2
    looser = released(people(), make_policy(columns(), criteria={"k": 3, "suppression": 0.1}))
    assert release.account.loss >= looser.account.loss


def _entropies(frame):
    def entropy(values):
        shares = values.value_counts(normalize=True)
        return -(shares * np.log(shares)).sum()

    return frame.groupby(["city", "age"])["result"].apply(entropy)


@pytest.fixture
def population(tmp_path):
    """Everybody of the table twice, and a thousand others; a row stands for two people."""
    rng = RNG(9)
    table = people()
    others = pd.DataFrame({"city": rng.choice([*"abcd"], 500), "age": rng.integers(0, 80, 500).astype(float)})
    frame = pd.concat([table.to_pandas()[["city", "age"]], others]).assign(stands_for=2)
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), tmp_path / "population.parquet")
    return frame


def test_k_map_counts_people_of_the_population(population, tmp_path):
    frame = population
    text = "name: p\ncolumns:\n  city: {role: quasi, hierarchy: {groups: [{north: [a, b], south: [c, d]}]}}\n"
    text += "  age: {role: quasi, kind: numeric, hierarchy: {intervals: [10, 20], min: 0, max: 80}}\n"
    text += "criteria: {k: 2, k_map: {k: 25, population: {path: population.parquet, count: stands_for}}}\n"
    (tmp_path / "p.yaml").write_text(text)
    policy = policy_file.read(tmp_path / "p.yaml")
    release = released(people().select(["city", "age"]), policy)
    levels = release.account.levels
    everyone = pa.Table.from_pandas(frame[["city", "age"]], preserve_index=False)
    labelled = anonymizer.recode(everyone, policy, first_plan(policy), levels).to_pandas().astype(str)
    sizes = 2 * labelled.groupby(["city", "age"]).size()
    assert min(sizes[row] for row in words(release).itertuples(index=False, name=None)) >= 25


def test_a_population_that_lacks_people_of_the_table_is_refused(tmp_path):
    pq.write_table(people(100).select(["city", "age"]), tmp_path / "few.parquet")
    criteria = {"k": 2, "k_map": {"k": 5, "population": {"path": str(tmp_path / "few.parquet")}}}
    with pytest.raises(PolicyError, match="is none of the table"):
        released(people(), make_policy(columns(), criteria=criteria))


def test_values_beyond_a_limit_are_released_as_the_limit_and_cost_it():
    release = released(people(), make_policy(columns(top=300, bottom=10), criteria={"k": 3}))
    doses = release.table["dose"].to_pylist()
    assert (min(doses), max(doses)) == (10, 300)
    assert release.account.column_loss["dose"] > 1 - release.account.rows_after / 400


def test_a_pseudonym_needs_a_key():
    policy = make_policy({"id": {"role": "direct", "pseudonym": True}, **columns()}, criteria={"k": 3})
    table = people().append_column("id", pa.array([str(n) for n in range(400)]))
    with pytest.raises(PolicyError, match="secured key new"):
        anonymizer.source(InMemory(table), policy)
