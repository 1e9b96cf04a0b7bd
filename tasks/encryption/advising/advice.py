"""What the advisor answers with: a plan with its price, what else there is, and what a dry run said."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tasks.common.errors import ParametersError
from tasks.common.values import Value
from tasks.encryption.advising.costs import Machine
from tasks.encryption.advising.libraries import Library
from tasks.encryption.advising.plans import Found
from tasks.encryption.advising.problem import Problem
from tasks.encryption.advising.rehearsal import Counts
from tasks.encryption.advising.trial import Stage
from tasks.encryption.parameters import Parameters, Scheme

# Of a process with the libraries loaded, before it has keys.
_PROCESS = 100 * 1024**2
EVALUATOR = (Stage.PART, Stage.ADD, Stage.FINISH)
DECRYPTING = (Stage.DECRYPT, Stage.DECRYPT_KEPT)


class Verdict(StrEnum):
    """What is the right tool."""

    ENCRYPTION = "homomorphic encryption"
    MPC = "multi-party computation"
    AT_HOME = "plain computation where the data are"
    TRUSTED = "a trusted environment"


class Seconds(Value):
    """Of one core. keys: once; the others for each run."""

    keys: float
    encrypt: float
    evaluate: float
    decrypt: float


class Traffic(Value):
    """Bytes. keys: to the evaluator, once; sent to it and returned by it for each run."""

    keys: int
    sent: int
    returned: int


class Plan(Value):
    """How it is done. parameters: none where the library chooses them itself. error: typical largest, 0 for integers.

    circuit, layout: the name of the circuit and what it does with slots. memory: bytes of the evaluator's process.
    """

    scheme: str
    library: Library
    parameters: Parameters | None
    circuit: str
    layout: str
    depth: int
    rotations: tuple[int, ...]
    products: bool
    error: float
    seconds: Seconds
    memory: int
    traffic: Traffic


class Alternative(Value):
    """Something else that could be done. plan: where it could be worked out here. loses: against the recommendation."""

    name: str
    here: bool
    get: str
    loses: str
    plan: Plan | None = None


class DryRun(Value):
    """The recommendation carried out with throw-away keys on random data, and compared with the plain result.

    groups, terms: how many of how many were done. error: measured, of what was done; whole: that of the whole problem
    by the same ratio; expected: predicted for what was done. seconds: measured, of what was done.
    """

    groups: tuple[int, int]
    terms: tuple[int, int]
    error: float
    expected: float
    whole: float
    seconds: Seconds
    predicted: Seconds


class Advice(Value):
    """The answer. why: sentences. plan: none where another tool is right."""

    problem: Problem
    verdict: Verdict
    why: tuple[str, ...]
    plan: Plan | None = None
    alternatives: tuple[Alternative, ...] = ()
    dry_run: DryRun | None = None

    def require_plan(self) -> Plan:
        """The plan, for those who can only go on with one.

        Raises:
            ParametersError: homomorphic encryption is not the tool.
        """
        if self.plan is None:
            raise ParametersError(f"{self.verdict} is the right tool here: {self.why[0]}")
        return self.plan


def priced(found: Found, machine: Machine, groups: int | None = None, terms: int | None = None) -> Plan:
    """A plan with what it costs on a machine, for all groups and terms of its circuit or for so many."""
    parameters, circuit, trial = found.parameters, found.circuit, found.trial
    groups, terms = groups or circuit.groups, terms or circuit.terms

    def seconds(counts: Counts) -> float:
        return machine.seconds(counts, parameters.degree)

    def stage(*stages: Stage) -> float:
        return sum(trial.scaled(each, seconds, groups, terms) for each in stages)

    primes = len(parameters.moduli_bits) - 1
    products = any(name == "multiply" for name, _ in _all(trial.first))
    switching_keys = len(found.rotations) + products
    coefficients = 8 * parameters.degree
    # SEAL also writes a table with a place for every possible rotation.
    table = coefficients if found.rotations else 0
    keys = switching_keys * 2 * primes * (primes + 1) * coefficients + 2 * (primes + 1) * coefficients + table
    factors = sum(times for (name, _), times in _all(trial.first).items() if name == "encode") * terms / trial.terms
    per_factor = coefficients * (primes if parameters.scheme is Scheme.CKKS else 1)
    return Plan(
        scheme=parameters.scheme, library=Library.PYFHEL, parameters=parameters, circuit=type(circuit).__name__,
        layout=circuit.layout, depth=circuit.depth, rotations=found.rotations, products=products, error=found.error,
        seconds=Seconds(
            keys=switching_keys * machine.each("key", parameters.degree, primes),
            encrypt=stage(Stage.ENCRYPT, Stage.MODEL), evaluate=stage(*EVALUATOR), decrypt=stage(*DECRYPTING),
        ),
        memory=int(_PROCESS + keys + factors * per_factor + 2 * trial.sent + 2 * (trial.kept + trial.returned)),
        traffic=Traffic(
            keys=keys, sent=groups * terms * trial.sent, returned=groups * (terms * trial.kept + trial.returned)
        ),
    )  # fmt: skip


def _all(efforts: dict[Stage, Counts]) -> Counts:
    total: Any = Counts()
    for counts in efforts.values():
        total.update(counts)
    return total
