"""A recommendation carried out before it is trusted: throw-away keys, random data, known answers."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.common.errors import KeyRefused, ParametersError, WouldBeWrong
from tasks.encryption import keys
from tasks.encryption.advising import plans, trial
from tasks.encryption.advising.advice import DECRYPTING, EVALUATOR, DryRun, Plan, Seconds, priced
from tasks.encryption.advising.circuit import Circuit
from tasks.encryption.advising.circuits import layouts
from tasks.encryption.advising.costs import Machine
from tasks.encryption.advising.problem import Problem
from tasks.encryption.advising.trial import Stage, Trial


def check(problem: Problem, plan: Plan, machine: Machine) -> DryRun:
    """Run the plan's circuit on full ciphertexts, and as many of them as tell how the others are.

    Raises:
        ParametersError: the result is further off than the problem allows, or the guard refuses what the plan says.
        MissingPart: Pyfhel is not installed.
    """
    circuit = circuit_of(problem, plan)
    groups, terms = plans.limits(circuit)
    assert plan.parameters is not None
    try:
        done, making = measured(plan, circuit, groups=groups, terms=terms)
        capped = plans.rehearsed(plan.parameters, circuit, whole=False)
    except (WouldBeWrong, KeyRefused) as refusal:
        raise ParametersError(f"the recommendation does not hold: the guard refuses in it ({refusal})") from None
    # What is left out adds to the error as theory says.
    grown = plan.error / capped.error if capped.error > 0 else 1.0
    found = DryRun(
        groups=(groups, circuit.groups), terms=(terms, circuit.terms), error=done.error, expected=capped.error,
        whole=done.error * max(1.0, grown), seconds=seconds_of(done, making),
        predicted=priced(capped, machine, groups, terms).seconds,
    )  # fmt: skip
    allowed = 0.0 if plan.parameters.scheme != "ckks" else problem.wanted
    if not found.whole <= allowed:
        raise ParametersError(
            f"the recommendation does not hold: in the dry run results are off by {found.whole:.2g}, more than the "
            f"{allowed:g} that are allowed"
        )
    return found


def measured(plan: Plan, circuit: Circuit, *, groups: int, terms: int, seed: int = 0) -> tuple[Trial[float], float]:
    """A circuit with keys that are made for it and thrown away, and the seconds that these took to make.

    Raises:
        WouldBeWrong: the guard refuses.
    """
    with _throw_away(plan) as (site, making):
        return trial.run(circuit, site, groups=groups, terms=terms, seed=seed), making


def seconds_of(done: Trial[float], making: float) -> Seconds:
    """What was measured, by who does it."""

    def taken(*stages: Stage) -> float:
        return sum(effort.get(stage, 0.0) for stage in stages for effort in (done.first, done.others))

    return Seconds(
        keys=making, encrypt=taken(Stage.ENCRYPT, Stage.MODEL), evaluate=taken(*EVALUATOR), decrypt=taken(*DECRYPTING)
    )


def circuit_of(problem: Problem, plan: Plan) -> Circuit:
    """The circuit that a plan names."""
    assert plan.parameters is not None
    (kind,) = (kind for kind in layouts(problem.operation) if kind.__name__ == plan.circuit)
    return kind(problem, plan.parameters.slots, plan.parameters.scheme != "ckks")


@contextmanager
def _throw_away(plan: Plan) -> Iterator[tuple[trial.Real, float]]:
    assert plan.parameters is not None
    lock = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="secured-dry-run-") as folder:
        place = Path(folder) / "keys"
        start = time.process_time()
        keys.make(place, plan.parameters, lock, rotations=plan.rotations, products=plan.products)
        making = time.process_time() - start
        owner = keys.open_owner(place / "owner", lock)
        yield trial.Real(owner, keys.open_evaluator(place / "evaluator")), making
