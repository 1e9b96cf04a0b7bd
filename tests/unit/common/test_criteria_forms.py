"""Criteria as policies write them: short and long, with files that are found and hashed, and mistakes that are told."""

import json

import pytest

from tasks.common import policy_file
from tasks.common.criteria_forms import Ground
from tasks.common.errors import InputError, PolicyError

COLUMNS = """\
name: small
columns:
  age: {role: quasi, kind: numeric, hierarchy: {intervals: [5, 10], min: 0, max: 90}}
  result: {role: sensitive}
  stay: {role: sensitive, kind: numeric}
  note: {role: other}
criteria:
"""
ALL = """\
  k: 3
  l: {result: 2}
  entropy_l: {result: 1.8}
  recursive_l: {result: {c: 3, l: 2}}
  t: {result: {t: 0.2, distance: hierarchical, hierarchy: {csv: tree.csv}}, stay: 0.3}
  delta_disclosure: {result: 1.0}
  beta: {result: {beta: 1.0, enhanced: true}, stay: 2}
  presence: {population: people.csv, min: 0, max: 0.5}
  k_map: {k: 5, population: {path: people.csv}}
  uniqueness: {people: 250000, most: 0.01, model: dankar}
  risk: {prosecutor_average: 0.05, marketer: 0.02, population: people.csv}
"""


def written(folder, text, tree="a;g;*\n", people="age\n1\n"):
    folder.mkdir(exist_ok=True)
    (folder / "policy.yaml").write_text(COLUMNS + text, encoding="utf-8")
    (folder / "tree.csv").write_text(tree, encoding="utf-8")
    (folder / "people.csv").write_text(people, encoding="utf-8")
    return folder / "policy.yaml"


def test_every_criterion_can_be_asked_for(tmp_path):
    criteria = policy_file.read(written(tmp_path, ALL)).criteria
    assert criteria.secrets == ["result", "stay"]
    assert criteria.t["stay"].distance is Ground.EQUAL
    assert criteria.beta["stay"].beta == 2
    assert criteria.population.path == tmp_path / "people.csv"
    assert criteria.t["result"].hierarchy.csv == tmp_path / "tree.csv"


def test_the_fingerprint_follows_the_content_of_files_and_not_their_place(tmp_path):
    prints = [
        policy_file.read(written(tmp_path / folder, ALL, **files)).fingerprint()
        for folder, files in (("a", {}), ("b", {}), ("c", {"tree": "b;g;*\n"}), ("d", {"people": "age\n2\n"}))
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


@pytest.mark.parametrize(
    ("criteria", "words"),
    [
        ("  t: {note: 0.2}", "criteria.t names `note`, whose role `other` does not fit"),
        ("  beta: {nothing: 1}", "criteria.beta names `nothing`, which is not under `columns:`"),
        ("  t: {result: {t: 0.2, distance: ordered}}", "give `order:`"),
        ("  t: {result: {t: 0.2, distance: hierarchical}}", "give both or neither"),
        ("  t: {result: {t: 0.2, distance: hierarchical, hierarchy: {intervals: [5]}}}", "needs `kind: numeric`"),
        ("  t: {stay: {t: 0.2, order: [1, 2]}}", "`order:` is for `distance: ordered`"),
        ("  k_map: {k: 5}", "either `population:` (a table) or `people:`"),
        ("  risk: {marketer: 0.1}", "`marketer` needs `population:`"),
        ("  presence: {population: people.csv, min: 0.5, max: 0.1}", "`min` is above `max`"),
        (
            "  presence: {population: people.csv, max: 0.1}\n  k_map: {k: 5, population: tree.csv}",
            "the same population table",
        ),
    ],
)
def test_a_mistake_is_told(tmp_path, criteria, words):
    with pytest.raises(PolicyError) as caught:
        policy_file.read(written(tmp_path, criteria + "\n"))
    assert words in str(caught.value)


def test_a_missing_population_is_told_before_any_work(tmp_path):
    path = written(tmp_path, "  k_map: {k: 5, population: elsewhere.csv}\n")
    with pytest.raises(InputError, match=r"criteria\.k_map: the population .*elsewhere\.csv cannot be read"):
        policy_file.read(path)


def test_short_forms_stand_in_the_schema():
    definitions = json.loads(policy_file.schema())["$defs"]
    assert {"type": "string"} in definitions["PopulationFile"]["anyOf"]
    assert {"type": "number"} in definitions["Closeness"]["anyOf"]
