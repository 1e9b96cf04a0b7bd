"""`secured run encrypted-tree`: a tree's own decisions on people whom only the owner's process sees."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from tasks.common.errors import MissingPart
from tasks.encryption.inference import tfhe
from tests.functional.running import secured

skops = pytest.importorskip("skops.io", reason="models in files need skops")
pytestmark = pytest.mark.slow

RNG = np.random.default_rng(4)
PEOPLE = pd.DataFrame(RNG.normal([60, 27, 130], [15, 4, 20], (400, 3)), columns=["age", "bmi", "pressure"])
ILL = np.where(PEOPLE["age"] / 15 + PEOPLE["pressure"] / 20 > 10.5, "yes", "no")
CANARY = 91.73451


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree")
    skops.dump(DecisionTreeClassifier(max_depth=2, random_state=0).fit(PEOPLE, ILL), folder / "tree.skops")
    skops.dump(RandomForestClassifier(2, max_depth=2, random_state=0).fit(PEOPLE, ILL), folder / "forest.skops")
    table = PEOPLE[:10].assign(site="x")
    table.loc[3, "age"] = CANARY
    table[["pressure", "site", "age"]].to_csv(folder / "people.csv", index=False)
    table[["pressure", "bmi"]].to_csv(folder / "lacking.csv", index=False)
    return folder


def tree(place, *, model="tree.skops", table="people.csv", folder="exchange", code=0, **more):
    given = (place / model, place / table, "--folder", place / folder, "--out", place / "decisions.json")
    ended = secured(
        "run", "encrypted-tree", *given, "--json", place / "r.json", "-q", home=place / "home", **more
    )  # fmt: skip
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return " ".join(ended.stderr.split())


def concrete() -> dict[str, str]:
    """Where Concrete is."""
    peer = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "secured" / "peers" / "concrete"
    found = os.environ.get("SECURED_CONCRETE", str(peer))
    with pytest.MonkeyPatch.context() as changes:
        changes.setenv("SECURED_CONCRETE", found)
        try:
            tfhe.python()
        except MissingPart as missing:
            pytest.skip(str(missing))
    return {"SECURED_CONCRETE": found}


@pytest.mark.long
def test_the_decisions_are_the_trees_and_nobody_but_the_owner_has_a_value(place):
    where = concrete()
    assert "no column `age`" in tree(place, table="lacking.csv", folder="lacking", code=11, **where)
    tree(place, **where)
    model = skops.load(place / "tree.skops", trusted=["sklearn.tree._tree.Tree"])
    table = pd.read_csv(place / "people.csv")
    wanted = model.predict(table.assign(bmi=0.0)[["age", "bmi", "pressure"]])
    found = json.loads((place / "decisions.json").read_text())
    assert [found["classes"][each] for each in found["decision"]] == wanted.tolist()
    assert set(wanted) == {"yes", "no"}
    assert stat.S_IMODE((place / "decisions.json").stat().st_mode) == 0o600
    needles = [str(CANARY).encode(), np.float64(CANARY).tobytes(), np.float32(CANARY).tobytes()]
    assert needles[0] in (place / "people.csv").read_bytes()
    searched = [path for root in ("exchange", "home") for path in (place / root).rglob("*") if path.is_file()]
    assert {"plan.json", "evaluation.key", "prefect.db", "mlflow.db"} <= {path.name for path in searched}
    assert [path for path in searched if any(needle in path.read_bytes() for needle in needles)] == []
    with sqlite3.connect(place / "home" / "mlflow" / "mlflow.db") as store:
        (note,) = store.execute("select value from tags where key = 'mlflow.note.content'").fetchone()
    assert "TFHE with 128 bits of security: exact, but for a chance of 1e-06 each" in note
    assert "it exists" in tree(place, code=10, **where)


def test_without_concrete_and_with_more_than_a_tree_nothing_is_begun(place, tmp_path):
    assert "pip install concrete-python" in tree(place, folder="none", code=40, SECURED_CONCRETE=str(tmp_path))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    here = {"SECURED_CONCRETE": str(tmp_path)}
    assert "RandomForestClassifier" in tree(place, model="forest.skops", folder="none", code=14, **here)
    assert "no table" in tree(place, table="nothing.csv", folder="none", code=10, **here)
    assert not (place / "none").exists()
