"""Every program comes to the same under every engine and protocol that is here as it does in the clear."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from mpc_programs.inference import MODEL, ROWS, Inference
from mpc_programs.mean_variance import MeanVariance
from mpc_programs.regression_training import RegressionTraining
from mpc_programs.secure_sum import SecureSum
from mpc_programs.tree_inference import TreeInference
from tasks.common.errors import MissingPart
from tasks.mpc.formats import FixedPoint
from tasks.mpc.protocols import PROTOCOLS, named
from tests.unit.mpc.cohorts import (
    ODD_TABLES,
    Patients,
    of_association,
    of_auc,
    of_groups,
    of_quantile,
    of_survival,
    of_tables,
    patients,
)  # fmt: skip
from tests.unit.mpc.programs import Dividing

_DEADLINE_SECONDS = 120.0

# Numbers that are often wrong: none, the ends of the range, the smallest steps, halves, and what is no fraction of two.
_ODD = np.array([0.0, -0.0, 8.0, -8.0, 2.0**-20, -(2.0**-20), 0.5, -1.5, 1 / 3, -7.999])


def _vectors(parties: int) -> dict[int, dict[str, np.ndarray]]:
    """Each party has all odd numbers, in another order; and all have the range's end at once, twice."""
    return {party: {"vector": np.concatenate([np.roll(_ODD, 3 * party), [8.0, -8.0]])} for party in range(parties)}


def _weighted(parties: int, weights: list[float]) -> dict[int, dict[str, np.ndarray]]:
    return {party: each | {"weight": np.array([weights[party]])} for party, each in _vectors(parties).items()}


def _hospitals(*values: list[float], **options: float) -> tuple[MeanVariance, dict[int, dict[str, np.ndarray]]]:
    program = MeanVariance(
        parties=len(values), rows=tuple(len(each) for each in values), low=-8, high=8, bins=4, **options
    )  # fmt: skip
    return program, {party: {"values": np.array(each, dtype=np.float64)} for party, each in enumerate(values)}


def _uneven(n: int) -> tuple[MeanVariance, dict[int, dict[str, np.ndarray]]]:
    """Hospitals with 1, 40, 80 ... rows, at the edges of cells and a step beside them, and at the ends."""
    near = np.array([[edge, edge - 2.0**-20, edge + 2.0**-20] for edge in (-4.0, 0.0, 4.0)]).ravel()
    rows = np.concatenate([near, [-8.0, 8.0], _ODD])
    return _hospitals([8.0], *(np.resize(np.roll(rows, party), 40 * party) for party in range(1, n)))


def _patients(n: int, **options: Any) -> tuple[RegressionTraining, dict[int, dict[str, np.ndarray]]]:
    """A party with a single row, one with none, and one or more with 24 each, of outcomes that features tell."""
    counts = (1, 0, *[24] * (n - 2))
    random = np.random.default_rng(11)
    rows = np.clip(random.normal(size=(sum(counts), 3)), -3, 3)
    outcome = (rows @ [2.0, -1.0, 0.0] + random.normal(size=len(rows)) > 0).astype(np.int64)
    given_options = {"rate": 0.9, "steps": 4, "format": _SHORT, "most": 3.0, "most_start": 4.0} | options
    program = RegressionTraining(parties=n, rows=counts, features=3, **given_options)
    ends = np.cumsum(counts)
    given = {
        party: {"features": rows[end - size : end], "outcome": outcome[end - size : end]}
        for party, (size, end) in enumerate(zip(counts, ends, strict=True))
    }
    if program.model == "linear":
        for each in given.values():
            each["outcome"] = 2.5 * each["features"][:, 0] - 1 / 3
    if program.start:
        # Scores from -21 to 21: far beyond the link's range.
        given[0]["start"] = np.array([4.0, -3.0, 0.1, -1 / 3])
    return program, given


def _questions(n: int, **options: Any) -> tuple[Inference, dict[int, dict[str, np.ndarray]]]:
    """A model of party 0, rows of party 1, and others who bring nothing. No score is so near 0 that a class is open."""
    given_options = {"format": _SHORT, "most": 3.0, "most_sum": 4.0} | options
    program = Inference(parties=n, rows=12, features=4, **given_options)
    random = np.random.default_rng(12)
    model = {name: random.uniform(-1, 1, shape.shape) for name, shape in program.inputs(MODEL).items()}
    model = {name: 3.99 * each / np.abs(each).sum(axis=1, keepdims=True) for name, each in model.items()}
    score = Inference(parties=n, rows=1, features=4, **given_options | {"reveal": "score"})
    tried = np.concatenate([[np.zeros(4), np.full(4, 3.0), np.full(4, -3.0)], random.uniform(-3, 3, (40, 4))])
    said = score.plainly({MODEL: model, ROWS: {"features": tried}})["score"]
    rows = tried[np.abs(said) > 2 * score.error()][:12]
    pad = {"pad": np.resize([0, 1, 1], 12)} if program.reveal == "padded" else {}
    return program, {MODEL: model, ROWS: {"features": rows} | pad, **{party: {} for party in range(2, n)}}


def _tree(n: int, depth: int) -> tuple[TreeInference, dict[int, dict[str, np.ndarray]]]:
    """Rows at thresholds, a step beside them, and far from them."""
    random, splits = np.random.default_rng(13), 2**depth - 1
    program = TreeInference(parties=n, rows=24, features=3, depth=depth, most=50.0, most_value=5.0, format=_SHORT)
    model = {
        "choice": np.eye(3, dtype=np.int64)[random.integers(0, 3, splits)],
        "threshold": random.integers(-3, 4, splits) / 3,
        "leaf": random.uniform(-5, 5, splits + 1),
    }
    beside = random.choice([-1, 0, 1], (24, 3)) * program.format.step
    rows = random.integers(-3, 4, (24, 3)) / 3 + beside
    rows[:2] = [[50.0] * 3, [-50.0] * 3]
    return program, {MODEL: model, ROWS: {"features": rows}, **{party: {} for party in range(2, n)}}


_SHORT = FixedPoint(bits=31, fraction=16)


def _alike(n: int, rows: int) -> Patients:
    """Patients of whom nothing differs but the hospital: all have the last time, event, score and no variant."""
    pooled = patients(rows, parties=n)
    return pooled._replace(
        group=pooled.group * 0, time=pooled.time * 0 + 4, is_event=pooled.is_event | True, score=pooled.score * 0 + 1,
        genotypes=pooled.genotypes * 0,
    )  # fmt: skip


_LENGTH = len(_ODD) + 2
_WIDE = FixedPoint(bits=62, fraction=31)
CASES = {
    "sum": lambda n: (SecureSum(parties=n, length=_LENGTH, most=8.0), _vectors(n)),
    "one number": lambda n: (SecureSum(parties=n, length=1), {p: {"vector": np.array([-1.0])} for p in range(n)}),
    "mean, equal weights": lambda n: (
        SecureSum(parties=n, length=_LENGTH, most=8.0, weighted=True), _weighted(n, [1.0] * n)
    ),
    "mean, weights from end to end": lambda n: (
        SecureSum(parties=n, length=_LENGTH, most=8.0, weighted=True),
        _weighted(n, [1.0, 1000.0, 1 / 3 + 1, 512.0, 7.0][:n]),
    ),
    "moments of uneven hospitals": _uneven,
    # Of 12, 3, 0 and 9 rows a hospital: at n = 3 the second cell has 3, and would be known from all 24.
    "moments, a telling cell": lambda n: _hospitals([-7.0] * 12, [-1.0] * 3, *[[5.0] * 9] * (n - 2), minimum=5),
    # Two cells of 3 and 4: what is missing is 7, and could be either's.
    "moments, two small cells": lambda n: _hospitals([-7.0] * 12, [-1.0] * 3, *[[5.0] * 4] * (n - 2), minimum=5),
    "moments of one value": lambda n: _hospitals(*[[-8.0] * 5] * n, minimum=2),
    "survival, small steps gathered": lambda n: of_survival(patients(150, parties=n), parties=n, minimum=10),
    "survival, every event shown": lambda n: of_survival(
        patients(60, parties=n)._replace(group=np.arange(60) % 3), parties=n, minimum=1, groups=3
    ),
    "survival, all at once in one group": lambda n: of_survival(_alike(n, 12), parties=n, minimum=12),
    # At the last time 2 are at risk, and both have the event: fewer than 3 people, although 3 events have gathered.
    "survival, few at risk": lambda n: of_groups([[3, 1, 2], [3, 0, 5]], [[0] * 3] * 2, parties=n, minimum=3),
    # At the last time one of each group is at risk; one has the event.
    "survival to the last patient": lambda n: of_groups(
        [[1, 1, 1], [0, 2, 0]], [[0, 2, 0], [0, 2, 1]], parties=n, minimum=1
    ),
    "genotypes of odd tables": lambda n: of_tables(*ODD_TABLES, parties=n, minimum=5),
    "genotypes": lambda n: of_association(patients(400, parties=n), parties=n, minimum=5),
    "alleles": lambda n: of_association(patients(100, parties=n), parties=n, minimum=1, by="alleles"),
    "genotypes of nobody's variants": lambda n: of_association(_alike(n, 12), parties=n, minimum=1),
    "genotypes of linked people": lambda n: of_association(patients(90, parties=n), parties=n, linked_people=90),
    "alleles of linked people": lambda n: of_association(
        patients(90, parties=n), parties=n, minimum=4, by="alleles", linked_people=90
    ),
    "auc": lambda n: of_auc(patients(200, parties=n), parties=n, bins=50),
    "auc, one positive too few": lambda n: of_auc(
        patients(30, parties=n)._replace(is_event=np.arange(30) < 4), parties=n, bins=2, minimum=5
    ),
    "quartiles": lambda n: of_quantile(patients(200, parties=n), parties=n, bins=13),
    "quantiles at the ends": lambda n: of_quantile(
        patients(100, parties=n), parties=n, bins=64, thousandths=(9, 10, 11, 500, 990, 991), minimum=1
    ),
    "quantiles of one value": lambda n: of_quantile(_alike(n, 20), parties=n, bins=3),
    "mean in a long format": lambda n: (
        SecureSum(parties=n, length=_LENGTH, most=8.0, weighted=True, format=_WIDE),
        _weighted(n, [1.0, 999.999, 123.456, 512.0, 7.0][:n]),
    ),
    "logistic regression": _patients,
    "logistic regression, updated": lambda n: _patients(n, start=True, penalty=0.25),
    "logistic regression in a long format": lambda n: _patients(n, format=FixedPoint()),
    "linear regression": lambda n: _patients(n, model="linear", rate=0.4),
    "ridge regression, updated": lambda n: _patients(n, model="linear", rate=0.4, start=True, penalty=0.25),
    "probabilities of a logistic model": _questions,
    "scores of a perceptron": lambda n: _questions(n, hidden=(5, 3), reveal="score"),
    "probabilities of a perceptron in a long format": lambda n: _questions(n, hidden=(5,), format=FixedPoint()),
    "classes of a perceptron": lambda n: _questions(n, hidden=(5,), reveal="class"),
    "classes of a perceptron with a pad": lambda n: _questions(n, hidden=(5,), reveal="padded"),
    "a tree of one split": lambda n: _tree(n, 1),
    "a tree of three levels": lambda n: _tree(n, 3),
}  # fmt: skip
ENGINES = [("embedded", "shamir"), *(("MP-SPDZ", name) for name in PROTOCOLS)]
# Comparisons cost the embedded engine most, and Shamir's shares MP-SPDZ: what takes long is left to the long tests.
EVERY = [
    pytest.param(
        *each, case,
        marks=pytest.mark.long
        if each == ("MP-SPDZ", "shamir") or (each[0] == "embedded" and "survival" in case)
        else (),
    )
    for each in ENGINES
    for case in CASES
]  # fmt: skip


@pytest.fixture(scope="module")
def engine_of(tmp_path_factory):
    """An engine by its name, or a skipped test that says what is missing."""
    made = {}

    def found(name):
        if name not in made:
            made[name] = _engine(name, tmp_path_factory)
        if isinstance(made[name], MissingPart):
            pytest.skip(str(made[name]))
        return made[name]

    return found


def _engine(name, places):
    module, kind, arguments = {
        "embedded": ("tasks.mpc.embedded", "Embedded", ()),
        "MP-SPDZ": ("tasks.mpc.mp_spdz", "MpSpdz", (places.mktemp("compiled"),)),
    }[name]
    try:
        return getattr(importlib.import_module(module), kind)(*arguments)
    except MissingPart as missing:
        return missing


def _compared(engine, protocol, case, parties):
    if protocol.name not in engine.protocols():
        pytest.skip(f"this {engine.name} has no {protocol.name}")
    program, given = CASES[case](parties)
    result = engine.run(program, engine.compile(program, protocol), given, _DEADLINE_SECONDS)
    plain = program.plainly(program.checked(given))
    assert list(result.outputs) == list(program.outputs())
    for name, values in plain.items():
        within = 0 if program.outputs()[name].whole else program.error()
        np.testing.assert_allclose(result.outputs[name], values, rtol=0, atol=within, err_msg=name)
    return program, result


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "protocol", "case"), EVERY, ids=lambda name: name)
def test_an_engine_comes_to_what_it_would_be_in_the_clear(engine, protocol, case, engine_of):
    protocol = named(protocol)
    parties = max(3, protocol.fewest)
    program, result = _compared(engine_of(engine), protocol, case, parties)
    assert len(result.cost.sent) == parties
    # A party has shares to send of every number that it brings.
    for party, sent in enumerate(result.cost.sent):
        assert sent > 8 * sum(shape.size for shape in program.inputs(party).values())
    assert 0 < result.cost.online < result.cost.seconds


@pytest.mark.slow
def test_of_many_quotients_none_is_off_now_and_then(engine_of):
    # Of MP-SPDZ's own division one in 10,000 was, when told that there were fewer bits than twice those behind the
    # point; here are 7,000 in each run.
    engine, protocol = engine_of("MP-SPDZ"), named("replicated-ring")
    if protocol.name not in engine.protocols():
        pytest.skip(f"this {engine.name} has no {protocol.name}")
    program, given = of_association(patients(500, variants=1000))
    compiled, plain = engine.compile(program, protocol), program.plainly(program.checked(given))
    for _ in range(5):
        found = engine.run(program, compiled, given, _DEADLINE_SECONDS).outputs
        np.testing.assert_allclose(found["statistic"], plain["statistic"], rtol=0, atol=program.error())


@pytest.mark.long
@pytest.mark.parametrize("engine", ["embedded", "MP-SPDZ"])
@pytest.mark.parametrize("case", ["mean, weights from end to end", "logistic regression", "a tree of three levels"])
def test_five_parties_come_to_the_same(engine, case, engine_of):
    _compared(engine_of(engine), named("shamir"), case, 5)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "output"), [("sum", "total"), ("mean, weights from end to end", "mean")])
def test_the_embedded_engine_is_closer_than_the_format_rounds(case, output, engine_of):
    # In the format (48, 20) it has 27 bits behind the point, as many as before it. Each of three inputs is rounded by
    # half a step of 2**-27, and nothing else is, whatever the program allows.
    program, given = CASES[case](3)
    engine = engine_of("embedded")
    result = engine.run(program, engine.compile(program, named("shamir")), given, _DEADLINE_SECONDS)
    off = np.abs(result.outputs[output] - program.plainly(given)[output]).max()
    assert 0 < off <= 1.5 * 2.0**-27


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [FixedPoint(bits=48, fraction=20), FixedPoint(bits=40, fraction=30), _WIDE])
def test_shared_numbers_divide_in_every_format(numbers, engine_of):
    # In the first MPyC left to itself comes to 0. 3 * 8 * 20 = 480 fits before each point. Products are rounded by a
    # step, and 1 / weight by four at most.
    program = Dividing(parties=3, length=_LENGTH, most=8.0, weighted=True, most_weight=20.0, format=numbers)
    given = _weighted(3, [1.0, 19.5, 4 / 3])
    engine = engine_of("embedded")
    mean = engine.run(program, engine.compile(program, named("shamir")), given, _DEADLINE_SECONDS).outputs["mean"]
    np.testing.assert_allclose(mean, program.plainly(given)["mean"], rtol=0, atol=4 * 480 * numbers.step)


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "protocol"), ENGINES, ids=lambda name: name)
def test_coefficients_are_nearer_than_if_rounding_always_went_the_same_way(engine, protocol, engine_of):
    # Scores over 4 are rounded to 11 bits, 32 steps of the format, up or down as the rest falls: by a spread of at most
    # half of that, times 4 and the slope, 15 steps of a residual. The mean of 25 residuals times features of a spread
    # of 1 has a spread of 3 steps, and four steps of descent at a rate of 0.9 have one of 5.4. Five such are 27.
    found, protocol = engine_of(engine), named(protocol)
    if protocol.name not in found.protocols():
        pytest.skip(f"this {found.name} has no {protocol.name}")
    program, given = CASES["logistic regression"](max(3, protocol.fewest))
    result = found.run(program, found.compile(program, protocol), given, _DEADLINE_SECONDS)
    for name, values in program.plainly(given).items():
        np.testing.assert_allclose(result.outputs[name], values, rtol=0, atol=27 * program.format.step, err_msg=name)
