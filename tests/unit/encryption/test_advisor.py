"""Advice: the right tool is named, the price is that of what is done, and nothing is recommended that does not hold."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.commands.encryption_advice import advise as command
from tasks.common.errors import InputError, ParametersError
from tasks.encryption.advising import advisor, costs, dry_run, libraries, plans, tfhe_estimate
from tasks.encryption.advising.advice import Verdict, priced
from tasks.encryption.advising.circuits import layouts
from tasks.encryption.advising.examples import example
from tasks.encryption.advising.libraries import Library
from tasks.encryption.advising.problem import Problem
from tasks.encryption.advising.rehearsal import Counts
from tasks.encryption.parameters import Parameters, Scheme

pytest.importorskip("Pyfhel", reason="homomorphic encryption needs Pyfhel, which `make env` builds")

_CONCRETE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "secured" / "peers" / "concrete"
LOGISTIC = Problem(operation="logistic", rows=2000, features=10, range=4, precision=1e-3)


@pytest.fixture(scope="module")
def advice():
    return advisor.advise(LOGISTIC)


# The right tool.


@pytest.mark.parametrize(
    ("form", "verdict", "word"),
    [
        ({"operation": "aggregation", "features": 10, "parties": 5, "precision": 0.1, "key": "nobody"},
         Verdict.MPC, "masks that cancel out"),
        ({"operation": "logistic", "features": 10, "parties": 3, "precision": 0.1, "key": "nobody"},
         Verdict.MPC, "Secret sharing"),
        ({"operation": "tree", "rows": 1_000_000, "nodes": 50, "precision": 1}, Verdict.MPC, "50,000,000 comparisons"),
        ({"operation": "comparison", "rows": 9_999, "precision": 1, "deadline": 0.01}, Verdict.MPC, "cannot compare"),
        ({"operation": "training", "rows": 100, "features": 3, "iterations": 200, "precision": 0.1},
         Verdict.MPC, "no homomorphic scheme here is deep enough"),
        ({"operation": "network", "features": 3, "layers": [8] * 40, "precision": 0.1},
         Verdict.MPC, "no homomorphic scheme here is deep enough"),
        ({"operation": "tree", "nodes": 5, "precision": 1, "security": 192}, Verdict.MPC, "128 bits of security"),
        ({"operation": "sum", "precision": 0.1, "key": "evaluator"}, Verdict.TRUSTED, "can also decrypt"),
        ({"operation": "linear", "features": 3, "precision": 0.1, "model": "public"}, Verdict.AT_HOME, "in plaintext"),
    ],
)  # fmt: skip
def test_another_tool_is_named_where_it_is_right(form, verdict, word):
    made = advisor.advise(Problem.model_validate(form))
    assert made.verdict is verdict
    assert word in " ".join(made.why)
    assert made.plan is None
    assert made.dry_run is None
    assert {library for library in Library if any(a.name.startswith(library) for a in made.alternatives)}
    with pytest.raises(ParametersError, match=verdict):
        made.require_plan()


def test_a_deadline_that_no_number_of_cores_meets_asks_for_another_tool():
    hasty = Problem(operation="matrix-vector", features=16, outputs=16, precision=0.01, deadline=0.001)
    made = advisor.advise(hasty, verify=False)
    assert made.verdict is Verdict.MPC
    assert "more than the deadline of 0.001 s" in made.why[0]


def test_a_deadline_that_more_cores_meet_says_how_many():
    # 250 vectors are independent of each other.
    form = {"operation": "linear", "rows": 2_000_000, "features": 10, "precision": 0.01}
    seconds = advisor.advise(Problem.model_validate(form), verify=False).require_plan().seconds.evaluate
    made = advisor.advise(Problem.model_validate({**form, "deadline": seconds / 2.5}), verify=False)
    assert made.verdict is Verdict.ENCRYPTION
    assert any("shared out to 3 cores" in sentence for sentence in made.why)


def test_few_comparisons_go_to_tfhe_with_an_estimate_that_says_so():
    made = advisor.advise(Problem(operation="tree", rows=2, features=3, nodes=7, range=10, precision=1), verify=False)
    plan = made.require_plan()
    assert plan.library is Library.CONCRETE
    assert plan.parameters is None
    assert any("estimates from theory" in sentence for sentence in made.why)


@pytest.mark.long
@pytest.mark.skipif(not _CONCRETE.is_dir(), reason="Concrete has no environment of its own here")
def test_a_tree_is_carried_out_by_concrete_where_it_is(monkeypatch):
    monkeypatch.setenv("SECURED_CONCRETE", str(_CONCRETE))
    made = advisor.advise(Problem(operation="tree", rows=5, features=2, nodes=3, range=10, precision=1))
    assert made.dry_run.error == 0
    assert made.dry_run.groups == (3, 5)
    assert made.dry_run.seconds.evaluate > 0
    assert any("those of the dry run" in sentence for sentence in made.why)
    # Evaluation keys of TFHE at 128 bits are tens of megabytes.
    assert 10**7 < made.plan.traffic.keys < 10**9


def test_comparisons_cost_by_their_number_and_bits():
    # One lookup for up to four bits; two blocks take one each and one to join them.
    one = tfhe_estimate.comparisons(Problem(operation="comparison", rows=6, features=2, range=7, precision=1))
    assert one == 12
    small, large = (
        tfhe_estimate.estimated(Problem(operation="comparison", rows=100, range=reach, precision=1))
        for reach in (7, 100)
    )
    assert large.traffic.sent == 2 * small.traffic.sent
    # Of a tree of seven comparisons four leaves are of the second class.
    tree = tfhe_estimate.estimated(Problem(operation="tree", nodes=7, features=3, precision=1))
    assert tree.layout.startswith("3 ciphertexts of 4 bits and 11 table lookups")
    assert 2 < large.seconds.evaluate / small.seconds.evaluate < 4.5


def test_a_precision_out_of_reach_is_an_error_and_no_verdict():
    with pytest.raises(ParametersError, match="ask for a precision of"):
        advisor.advise(Problem(operation="mean", rows=1000, range=1e12, precision=1e-6))


def test_who_holds_the_key_of_several_owners_is_warned_of():
    form = {"operation": "aggregation", "features": 10, "parties": 5, "precision": 0.1}
    warned = "could decrypt what the others send"
    own = advisor.advise(Problem.model_validate(form), verify=False)
    third = advisor.advise(Problem.model_validate({**form, "key": "third-party"}), verify=False)
    assert any(warned in sentence for sentence in own.why)
    assert not any(warned in sentence for sentence in third.why)


# The recommendation.


def test_the_recommendation_is_verified_and_says_why(advice):
    plan, run = advice.require_plan(), advice.dry_run
    assert plan.scheme == "ckks"
    assert run.error <= LOGISTIC.precision
    assert 0.5 < run.expected / run.error < 2
    assert any("128 bits of security" in sentence for sentence in advice.why)


def test_every_library_has_a_row_and_every_other_plan_a_price(advice):
    names = " ".join(each.name for each in advice.alternatives)
    for library in Library:
        assert library in names or library is advice.plan.library
    assert "multi-party computation" in names
    assert "trusted environment" in names
    assert all(each.loses and each.get for each in advice.alternatives)
    other = [each for each in advice.alternatives if each.plan is not None]
    assert [each.plan.circuit for each in other] == ["WeightedRows"]


def test_advice_is_written_as_json_and_read_back(advice):
    assert type(advice).model_validate(json.loads(advice.model_dump_json())) == advice


def test_integers_are_exact_in_the_dry_run():
    made = advisor.advise(Problem(operation="variance", rows=3000, features=2, range=100, exact=True))
    assert made.require_plan().scheme in {"bfv", "bgv"}
    assert made.dry_run.error == 0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        # Twelve bits less of scale are 4,096 times the error.
        ({"scale_bits": 16}, "results are off by"),
        ({"moduli_bits": (30, 30), "scale_bits": 28}, "the guard refuses"),
    ],
)
def test_a_broken_recommendation_is_caught_by_the_dry_run(advice, change, word):
    machine = costs.this_machine(Scheme.CKKS)
    broken = Parameters.model_validate({**advice.plan.parameters.model_dump(), **change})
    plan = advice.plan.model_copy(update={"parameters": broken})
    with pytest.raises(ParametersError, match=f"does not hold: .*{word}"):
        dry_run.check(LOGISTIC, plan, machine)


def test_a_recommendation_without_its_keys_is_caught_by_the_dry_run():
    problem = Problem(operation="sum", rows=100, precision=0.1)
    machine = costs.this_machine(Scheme.CKKS)
    plan = priced(plans.find(problem, layouts(problem.operation)[0], Scheme.CKKS), machine)
    assert plan.rotations == (1, 2, 4, 8, 16, 32, 64)  # 128 slots at least for 100 rows
    without = plan.model_copy(update={"rotations": plan.rotations[1:]})
    with pytest.raises(ParametersError, match="does not hold"):
        dry_run.check(problem, without, machine)


# The price.


def test_traffic_is_what_ciphertexts_and_keys_weigh(advice, tmp_path):
    from tasks.encryption import approximate, envelope, keys

    plan = advice.plan.model_copy(update={"rotations": (1, 5), "products": True})
    keys.make(tmp_path / "keys", plan.parameters, "measured and thrown away", rotations=(1, 5), products=True)
    written = sum(file.stat().st_size for file in (tmp_path / "keys" / "evaluator").glob("*.key"))
    found = plans.rehearsed(plan.parameters, dry_run.circuit_of(LOGISTIC, plan), draws=1)
    with_keys = type(found)(found.parameters, found.circuit, (1, 5, 7), found.error, found.trial)
    # Three keys to rotate weigh as much as two and one for products.
    predicted = priced(with_keys, costs.this_machine(Scheme.CKKS))
    assert predicted.traffic.keys == pytest.approx(written, rel=0.01)
    owner = keys.open_owner(tmp_path / "keys" / "owner", "measured and thrown away")
    one = len(envelope.pack(approximate.encrypt(owner, np.zeros(owner.slots) + 0.5)))
    assert predicted.traffic.sent == pytest.approx(10 * found.circuit.groups * one, rel=0.01)


def test_work_is_that_of_theory():
    # Switching keys of L primes takes L(L + 1) transforms and more that grow with L: near four times for twice L.
    twice = costs.work("switch keys", Scheme.CKKS, 8192, 20) / costs.work("switch keys", Scheme.CKKS, 8192, 10)
    assert 3.4 < twice < 4
    assert costs.work("add", Scheme.CKKS, 8192, 6) == 2 * costs.work("add", Scheme.CKKS, 8192, 3)
    for operation in ("rotate", "encrypt", "decrypt", "multiply", "rescale"):
        more = costs.work(operation, Scheme.CKKS, 16384, 6) / costs.work(operation, Scheme.CKKS, 8192, 6)
        assert 2 <= more < 2.2


def test_costs_add_up_and_follow_from_two_numbers_an_operation():
    machine = costs.Machine(scheme=Scheme.CKKS, operations={"add": (1.0, 0.0), "rotate": (0.0, 2.0)})
    rotate = 2 * costs.work("rotate", Scheme.CKKS, 4096, 2)
    counts = Counts({("add", 2): 3, ("rotate", 2): 1})
    assert machine.seconds(counts, 4096) == pytest.approx(3 + rotate)


def test_a_machine_is_measured_once_and_kept(monkeypatch):
    first = costs.this_machine(Scheme.CKKS)
    monkeypatch.setattr(costs, "measured", lambda _: pytest.fail("measured again"))
    assert costs.this_machine(Scheme.CKKS) == first


def test_a_damaged_note_of_the_machine_is_measured_again(monkeypatch, tmp_path):
    monkeypatch.setenv("SECURED_HOME", str(tmp_path))
    made = costs.Machine(scheme=Scheme.BGV, operations={"add": (1.0, 1.0)})
    monkeypatch.setattr(costs, "measured", lambda _: made)
    assert costs.this_machine(Scheme.BGV) == made
    (note,) = tmp_path.rglob("costs-*.json")
    note.write_text("{")
    assert costs.this_machine(Scheme.BGV) == made


# Libraries.


def test_a_library_is_looked_for_where_it_may_be(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert libraries.look(Library.PYFHEL).here
    monkeypatch.setattr(libraries, "has", lambda _: False)
    missing = libraries.look(Library.CONCRETE)
    assert not missing.here
    assert "concrete-python" in missing.get
    (tmp_path / "secured/peers/tree/lib/python3.11/site-packages/concrete/fhe").mkdir(parents=True)
    found = libraries.look(Library.CONCRETE)
    assert found.here
    assert found.found == "in the environment tree"


# The command.


def invoke(*arguments):
    import typer

    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(arguments))


def test_the_command_shows_advice_and_writes_it(tmp_path):
    problem, result = tmp_path / "problem.yaml", tmp_path / "advice.json"
    problem.write_text("operation: linear\nrows: 500\nfeatures: 4\nprecision: 0.001\n", encoding="utf-8")
    ended = invoke(str(problem), "--json", str(result))
    assert ended.exit_code == 0
    for word in ("CKKS, SEAL through Pyfhel", "expected error", "Dry run with throw-away keys", "OpenFHE", "HElib"):
        assert word in ended.output
    written = json.loads(result.read_text())
    assert written["verdict"] == "homomorphic encryption"
    assert written["dry_run"]["error"] < 0.001


def test_the_command_prints_an_example_that_it_takes(tmp_path):
    printed = invoke("--example", "tree")
    assert printed.output == example("tree")
    problem = tmp_path / "problem.yaml"
    problem.write_text(printed.output, encoding="utf-8")
    assert "TFHE through Concrete" in invoke(str(problem)).output


def test_the_command_can_insist_on_encryption(tmp_path):
    problem = tmp_path / "problem.yaml"
    problem.write_text("operation: sum\nprecision: 0.1\nkey: evaluator\n", encoding="utf-8")
    assert invoke(str(problem)).exit_code == 0
    assert isinstance(invoke(str(problem), "--require").exception, ParametersError)
    assert isinstance(invoke().exception, InputError)
