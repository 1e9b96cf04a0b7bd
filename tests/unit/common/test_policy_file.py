"""Policies are read so that every complaint names the file, the line and the way out."""

import json
from pathlib import Path

import pytest
import yaml

from tasks.common import policy_file
from tasks.common.errors import InputError, PolicyError
from tests.conftest import CHOP_POLICY

GOOD = """\
name: small
columns:
  mrn: {role: direct}
  age: {role: quasi, kind: numeric, hierarchy: {intervals: [5, 10], min: 0, max: 90}}
  answer: {role: quasi, hierarchy: {groups: [{negative: [no], positive: [yes]}]}}
  diagnosis: {role: sensitive}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(tmp_path: Path, text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        policy_file.read(written(tmp_path, text))
    return str(caught.value)


def test_a_good_policy_is_read(tmp_path):
    policy = policy_file.read(written(tmp_path, GOOD))
    assert policy.quasi == ["age", "answer"]
    assert policy.released == ["age", "answer", "diagnosis"]
    assert policy.threshold == 0.09  # EMA Policy 0070 for public release


def test_yes_and_no_are_words_and_not_booleans(tmp_path):
    groups = policy_file.read(written(tmp_path, GOOD)).columns["answer"].hierarchy.groups
    assert groups[0] == {"negative": ("no",), "positive": ("yes",)}


@pytest.mark.parametrize(
    ("before", "after", "line", "word"),
    [
        ("role: direct", "rule: direct", 3, "did you mean `role`"),
        ("hierarchy: {intervals", "hierachy: {intervals", 4, "did you mean `hierarchy`"),
        ("role: sensitive", "role: secret", 6, "columns.diagnosis.role"),
        ("kind: numeric", "kind: number", 4, "columns.age.kind"),
        ("[5, 10]", "[5, 12]", 4, "multiple"),
        ("max: 90", "max: 93", 4, "positive multiple of the first width"),
        ("{groups: [{negative: [no], positive: [yes]}]}", "{group: []}", 5, "`intervals`, `groups`"),
        (", hierarchy: {groups: [{negative: [no], positive: [yes]}]}", "", 5, "without a hierarchy"),
        ("diagnosis: {role: sensitive}", "diagnosis: {role: sensitive, kind: text}", 6, "free text"),
        ("  diagnosis", "  age", 6, "a second time"),
        ("name: small\n", "name: small\nseed: -1\n", 2, "seed"),
        ("name: small\n", "name: small\ncontext: moon\n", 1, "unknown context `moon`"),
        ("name: small\n", "name: small\ncriteria: {l: {age: 2}}\n", 2, "criteria.l names `age`"),
        ("name: small\n", "name: small\nperson: nobody\n", 2, "person names `nobody`"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path, before, after, line, word):
    assert before in GOOD
    told = complaint(tmp_path, GOOD.replace(before, after, 1))
    assert f"policy.yaml, line {line}:" in told
    assert word in told


def test_broken_yaml_is_told_with_its_line(tmp_path):
    assert "policy.yaml, line 4: this is not YAML" in complaint(
        tmp_path, "name: x\ncolumns:\n  a: {role: direct\nb: 1\n"
    )


def test_all_mistakes_are_told_at_once(tmp_path):
    told = complaint(tmp_path, GOOD.replace("role: direct", "role: x").replace("role: sensitive", "role: y"))
    assert told.count("policy.yaml, line") == 2


def test_a_missing_policy_names_the_way_to_make_one(tmp_path):
    with pytest.raises(InputError, match="secured policy draft"):
        policy_file.read(tmp_path / "none.yaml")


def test_a_policy_that_is_no_text_is_told(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(InputError, match="UTF-8"):
        policy_file.read(path)


def test_a_missing_hierarchy_file_is_told_before_any_work(tmp_path):
    with pytest.raises(InputError, match=r"column `age`.*levels\.csv"):
        policy_file.read(written(tmp_path, GOOD.replace("{intervals: [5, 10], min: 0, max: 90}", "{csv: levels.csv}")))


def test_paths_count_from_the_policys_folder():
    policy = policy_file.read(CHOP_POLICY)
    assert policy.table.is_file()
    assert policy.columns["clinic_name"].hierarchy.csv.is_file()


def test_the_fingerprint_follows_content_and_not_place(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    text = GOOD.replace("{intervals: [5, 10], min: 0, max: 90}", "{csv: levels.csv}")
    prints = []
    for folder, levels in (("a", "1;*\n2;*\n"), ("b", "1;*\n2;*\n"), ("a", "1;*\n3;*\n")):
        (tmp_path / folder / "levels.csv").write_text(levels)
        prints.append(policy_file.read(written(tmp_path / folder, text)).fingerprint())
    assert prints[0] == prints[1]
    assert prints[0] != prints[2]


def test_the_schema_knows_every_key_of_the_example():
    schema = json.loads(policy_file.schema())
    document = yaml.safe_load(CHOP_POLICY.read_text(encoding="utf-8"))
    assert set(document) <= set(schema["properties"])
    column_keys = set().union(*(set(column) for column in document["columns"].values()))
    assert column_keys <= set(schema["$defs"]["Column"]["properties"])
