"""Plans are secure, deep enough, and the smallest; rehearsals say what theory says. No keys are made here."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.common.errors import ParametersError, WouldBeWrong
from tasks.encryption import approximate
from tasks.encryption.advising import plans, rehearsal, trial
from tasks.encryption.advising.circuit import Kit
from tasks.encryption.advising.circuit_models import Diagonals
from tasks.encryption.advising.circuits import layouts
from tasks.encryption.advising.problem import Operation, Problem
from tasks.encryption.parameters import Parameters, Scheme
from tasks.encryption.security import MOST_BITS

CKKS = Parameters(scheme="ckks", degree=8192, moduli_bits=(60, 40, 40, 60), scale_bits=40)


def found(problem, scheme=Scheme.CKKS, layout=0):
    return plans.find(problem, layouts(problem.operation)[layout], scheme)


# Tables of other tools.


def test_the_tables_are_those_of_seal():
    # SEAL 4.1, util/hestdparms.h: SEAL_HE_STD_PARMS_128_TC, _192_TC and _256_TC, for degrees 1024 to 32768.
    seal = {
        128: [27, 54, 109, 218, 438, 881],
        192: [19, 37, 75, 152, 305, 611],
        256: [14, 29, 58, 118, 237, 476],
    }
    assert {level: list(table.values()) for level, table in MOST_BITS.items()} == seal


@pytest.mark.parametrize(
    ("degree", "bits"),
    [
        # SEAL 4.1, util/globals.cpp, GetDefaultCoeffModulus128: sizes of the primes of CoeffModulus::BFVDefault.
        (4096, (36, 36, 37)),
        (8192, (43, 43, 44, 44, 44)),
        (16384, (48, 48, 48, 49, 49, 49, 49, 49, 49)),
        # TenSEAL's tutorials 1 (Training and Evaluation of Logistic Regression) and 2 (Working with Approximate
        # Numbers), and Pyfhel's Demo_3 (CKKS).
        (4096, (40, 20, 40)),
        (8192, (40, 21, 21, 21, 21, 21, 21, 40)),
        (8192, (60, 40, 40, 60)),
        (16384, (60, 30, 30, 30, 60)),
    ],
)
def test_parameters_of_other_tools_are_accepted_and_one_bit_over_their_limit_is_not(degree, bits):
    parameters = Parameters(scheme="ckks", degree=degree, moduli_bits=bits, scale_bits=20)
    assert sum(parameters.moduli_bits) <= MOST_BITS[128][degree]
    room = MOST_BITS[128][degree] - sum(bits)
    with pytest.raises(ParametersError, match="less than 128 bits"):
        Parameters(scheme="ckks", degree=degree, moduli_bits=(*bits, *_split(room + 1)), scale_bits=20)


def _split(bits):
    """Primes of 20 to 60 bits that have at least so many together."""
    count = max(1, math.ceil(bits / 60))
    return (max(20, math.ceil(bits / count)),) * count


def test_the_depth_that_is_possible_is_the_one_of_the_standard():
    # 881 bits at degree 32768 (table 1) have room for 44 primes of 20 bits, two of which are no levels.
    with pytest.raises(plans.TooDeep, match="enough for 42: ask for less depth"):
        found(Problem(operation="training", rows=1000, features=3, iterations=12, precision=0.1))


# Properties.

PROBLEMS = st.one_of(
    st.builds(
        lambda rows, power, reach: Problem(operation="mean", rows=rows, range=reach, precision=reach * 10.0**power),
        st.integers(1, 40_000), st.integers(-6, -1), st.floats(1e-3, 1e6),
    ),
    st.builds(
        lambda features, weight, power: Problem(
            operation="linear", rows=100, features=features, weights=weight, precision=weight * 10.0**power
        ),
        st.integers(1, 40), st.floats(1e-2, 1e2), st.integers(-5, -1),
    ),
    st.builds(
        lambda degree, power: Problem(operation="polynomial", rows=50, degree=degree, precision=10.0**power),
        st.integers(2, 8), st.integers(-5, -1),
    ),
)  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(PROBLEMS, st.sampled_from([128, 192, 256]))
def test_a_plan_is_never_insecure_and_promises_what_was_asked(problem, security):
    problem = problem.model_copy(update={"security": security})
    try:
        plan = found(problem)
    except ParametersError:
        return  # refused with a reason
    parameters = plan.parameters
    assert sum(parameters.moduli_bits) <= MOST_BITS[security][parameters.degree]
    assert sum(int(prime).bit_length() for prime in parameters.primes) <= MOST_BITS[security][parameters.degree]
    assert plan.error <= problem.precision
    assert parameters.levels >= plan.circuit.depth


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([Scheme.CKKS, Scheme.BFV, Scheme.BGV]), st.integers(0, 5), st.integers(1, 3))
def test_more_depth_never_gives_a_smaller_modulus(scheme, depth, more):
    exact = {"exact": True, "range": 100} if scheme is not Scheme.CKKS else {"precision": 1e-3}
    asked = {"operation": "linear", "rows": 50, "features": 4, **exact}
    shallow = found(Problem(**asked, depth=depth), scheme).parameters
    deep = found(Problem(**asked, depth=depth + more), scheme).parameters
    assert sum(deep.moduli_bits[:-1]) >= sum(shallow.moduli_bits[:-1])
    assert deep.degree >= shallow.degree
    assert len(deep.moduli_bits) >= len(shallow.moduli_bits)


@settings(max_examples=8, deadline=None)
@given(st.integers(-5, -1))
def test_more_precision_never_gives_a_smaller_scale(power):
    coarse, fine = (
        found(Problem(operation="linear", features=4, precision=p)).parameters
        for p in (10.0**power, 10.0 ** (power - 1))
    )
    assert fine.scale_bits >= coarse.scale_bits


def test_a_stronger_level_takes_a_larger_ring_or_fewer_bits():
    degrees = [
        found(Problem(operation="polynomial", degree=7, precision=1e-4, security=level)).parameters.degree
        for level in (128, 192, 256)
    ]
    assert degrees == sorted(degrees)
    assert degrees[0] < degrees[-1]


# Refusals.


def test_a_precision_that_cannot_be_reached_is_refused_with_one_that_can():
    with pytest.raises(ParametersError, match="ask for a precision of"):
        found(Problem(operation="sum", rows=1000, range=1e9, precision=1e-9))


def test_integers_that_would_wrap_around_every_modulus_are_refused():
    with pytest.raises(ParametersError, match="integers get too large"):
        found(Problem(operation="variance", rows=10**9, range=10**6, exact=True), Scheme.BFV)


@pytest.mark.parametrize("scheme", [Scheme.BFV, Scheme.BGV])
def test_too_many_products_of_integers_are_refused(scheme):
    with pytest.raises(plans.TooDeep, match="use multi-party computation"):
        found(Problem(operation="linear", features=3, range=10, exact=True, depth=60), scheme)


@pytest.mark.parametrize(
    "form",
    [
        {"operation": "training", "rows": 10**9, "features": 10, "iterations": 2},
        {"operation": "network", "features": 10**6, "layers": (10**6, 1)},
        {"operation": "kmeans-step", "rows": 100, "features": 10**6, "clusters": 10},
    ],
    ids=["training", "network", "kmeans"],
)
def test_what_would_take_days_is_refused_in_no_time(form):
    with pytest.raises(ParametersError, match="multi-party computation"):
        found(Problem(**form, precision=0.1))


def test_a_network_that_is_too_large_by_columns_is_applied_row_by_row():
    problem = Problem(operation="network", features=784, layers=(32, 10), weights=0.03, precision=0.1)
    with pytest.raises(ParametersError, match="25,408 weights"):
        found(problem)
    assert found(problem, layout=1).error < 0.1


@pytest.mark.parametrize("scheme", [Scheme.CKKS, Scheme.BFV, Scheme.BGV])
def test_the_depth_that_is_asked_for_is_there_for_products(scheme):
    # One level of a linear model is used; what comes out can be multiplied twice more, for real as in the rehearsal.
    asked = {"exact": True, "range": 3} if scheme is not Scheme.CKKS else {"precision": 1e-3}
    plan = found(Problem(operation="linear", features=2, depth=3, **asked), scheme)
    shallow = found(Problem(operation="linear", features=2, **asked), scheme).parameters
    site = trial.Rehearsed(rehearsal.session(plan.parameters))
    trial.run(plan.circuit, site, groups=1, terms=1, spare=2)
    with pytest.raises(WouldBeWrong):
        trial.run(plan.circuit, trial.Rehearsed(rehearsal.session(shallow)), groups=1, terms=1, spare=2)


def test_an_image_whose_rows_fit_into_no_ciphertext_is_refused():
    with pytest.raises(ParametersError, match="does not fit twice"):
        found(Problem(operation="regridding", shape=(4, 20_000), factor=2, precision=1.0))


# Circuits compute what they say, in every layout and scheme, as far as a rehearsal can tell.

SMALL = [
    {"operation": "sum", "rows": 5000, "features": 2},
    {"operation": "mean", "rows": 300, "features": 2, "range": 50},
    {"operation": "variance", "rows": 5000, "range": 20},
    {"operation": "linear", "rows": 5000, "features": 40, "range": 5},
    {"operation": "cox", "rows": 50, "features": 5},
    {"operation": "logistic", "rows": 50, "features": 5, "model": "encrypted"},
    {"operation": "polygenic-score", "rows": 10, "features": 2500},
    {"operation": "polynomial", "rows": 5000, "degree": 5, "range": 2},
    {"operation": "network", "features": 6, "layers": (4, 2), "rows": 3, "range": 2},
    {"operation": "matrix-vector", "rows": 2, "features": 20, "outputs": 13},
    {"operation": "matrix-vector", "rows": 2, "features": 13, "outputs": 40},
    {"operation": "kmeans-step", "rows": 500, "features": 2, "clusters": 3, "range": 9},
    {"operation": "aggregation", "features": 5000, "parties": 5},
]


@pytest.mark.parametrize("form", SMALL, ids=lambda form: form["operation"])
@pytest.mark.parametrize("scheme", [Scheme.CKKS, Scheme.BFV])
def test_a_circuit_computes_its_operation_in_every_layout(form, scheme):
    problem = Problem(**form, **({"precision": 1e-3} if scheme is Scheme.CKKS else {"exact": True}))
    for kind in layouts(problem.operation):
        plan = plans.find(problem, kind, scheme)
        if scheme is Scheme.CKKS:
            assert 0 < plan.error < 1e-3
        else:
            assert plan.error == 0


@pytest.mark.parametrize(
    "form",
    [
        {"operation": "network", "features": 4, "layers": (3, 1), "activation": 3, "range": 2, "precision": 1e-3},
        {"operation": "training", "rows": 200, "features": 2, "iterations": 2, "range": 2, "precision": 1e-2},
        {"operation": "regridding", "shape": (3, 20, 20), "factor": 2, "range": 50, "precision": 0.1},
        {"operation": "regridding", "shape": (90, 60), "factor": 3, "precision": 0.1},
    ],
    ids=["network", "training", "volume", "image"],
)
def test_a_circuit_of_fractions_computes_its_operation(form):
    problem = Problem(**form)
    for kind in layouts(problem.operation):
        assert 0 < plans.find(problem, kind, Scheme.CKKS).error < problem.precision


def test_a_lookup_and_a_histogram_are_exact_without_being_asked():
    for form in ({"operation": "lookup", "entries": 300, "weights": 99}, {"operation": "histogram", "bins": 3}):
        assert found(Problem(**form), Scheme.BGV).error == 0


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (3, 7), (16, 5), (5, 16), (1, 8), (8, 1)])
def test_a_matrix_by_diagonals_is_the_product(shape):
    random = np.random.default_rng(1)
    matrix, vector = random.normal(size=shape), random.normal(size=shape[1])
    session = rehearsal.session(CKKS)
    own = Diagonals(matrix, "m")
    period = np.zeros(own.columns)
    period[: shape[1]] = vector
    kit = Kit(session, lambda values, bound: approximate.encrypt(session, values, bound=bound))
    product = own.times(kit, kit.encrypt(np.tile(period, session.slots // own.columns), 10.0))
    assert np.allclose(product.native.values[: shape[0]], matrix @ vector)


def test_every_operation_has_a_circuit_but_those_that_compare():
    without = {operation for operation in Operation if not layouts(operation)}
    assert without == {Operation.COMPARISON, Operation.TREE}


# Rehearsals.


def test_fresh_noise_is_what_theory_says():
    # Of rounding both parts, the second times a ternary secret, and of encoding: n/24 + n²/36 + n/24, real parts.
    session = rehearsal.session(CKKS)
    drawn = [approximate.encrypt(session, np.zeros(4096) + 1e-9 * np.arange(4096)).native.noise for _ in range(40)]
    expected = math.sqrt(8192 / 24 + 8192**2 / 36 + 8192 / 24) / 2**40
    assert float(np.std(drawn)) == pytest.approx(expected, rel=0.05)


def test_a_constant_is_encoded_with_the_error_of_one_coefficient():
    session = rehearsal.session(CKKS)
    encoded = approximate.encode(session, 0.1, 0, 1000.0)
    assert encoded.native.noise == pytest.approx(0.1 - 0.1)  # 0.1 · 1000 is whole
    assert approximate.encode(session, 0.1234, 0, 1000.0).native.noise == pytest.approx(0.123 - 0.1234)


def test_the_same_key_makes_the_same_error_at_the_slots_next_to_one():
    parameters = Parameters(scheme="ckks", degree=8192, moduli_bits=(40, 40, 40), scale_bits=30)
    session = rehearsal.session(parameters)
    x = approximate.encrypt(session, np.full(4096, 0.5))
    turned = [float(x.rotate(1).native.noise[0]) for _ in range(30)]
    away = [float(x.rotate(1).native.noise[1000]) for _ in range(30)]
    assert abs(np.mean(turned)) > 10 * np.std(turned)
    assert abs(np.mean(turned)) > 20 * np.std(away)


def test_the_guard_refuses_in_a_rehearsal_what_it_would_refuse_for_real():
    session = rehearsal.session(CKKS)
    x = approximate.encrypt(session, np.full(4096, 0.5))
    with pytest.raises(WouldBeWrong, match="no level is left"):
        x * x * x * x


def test_what_is_done_is_counted_by_primes():
    session = rehearsal.session(CKKS)
    x = approximate.encrypt(session, np.linspace(-1, 1, 4096))
    _ = (x * x).rotate(3)
    assert session.native.taken() == {
        ("encrypt", 3): 1, ("multiply", 3): 1, ("switch keys", 3): 1, ("rescale", 3): 1, ("rotate", 2): 1,
    }  # fmt: skip
    assert session.rotations.asked == {3}


def test_terms_that_are_left_out_add_their_noise():
    # A hundred vectors have ten times the noise of one; only four are rehearsed.
    errors = []
    for parties in (1, 100):
        problem = Problem(operation="aggregation", features=4096, parties=parties, precision=1.0)
        circuit = layouts(problem.operation)[0](problem, 4096, False)
        site = trial.Rehearsed(rehearsal.session(CKKS))
        errors.append(trial.run(circuit, site, groups=1, terms=min(4, parties), whole=True).error)
    assert errors[1] / errors[0] == pytest.approx(10, rel=0.3)
