"""Every program comes to the same under every engine and protocol that is here as it does in the clear."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from mpc_programs.mean_variance import MeanVariance
from mpc_programs.secure_sum import SecureSum
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
}  # fmt: skip
ENGINES = [("embedded", "shamir"), *(("MP-SPDZ", name) for name in PROTOCOLS)]


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
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("engine", "protocol"), ENGINES, ids=lambda name: name)
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


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["embedded", "MP-SPDZ"])
def test_five_parties_come_to_the_same(engine, engine_of):
    _compared(engine_of(engine), named("shamir"), "mean, weights from end to end", 5)


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
