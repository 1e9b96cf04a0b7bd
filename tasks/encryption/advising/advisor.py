"""Which scheme, library and parameters for a problem, at what price, and when another tool is right.

Every layout of an operation is planned in every scheme that fits; the cheapest in time is recommended, the others are
shown beside it. Homomorphic encryption is the wrong tool where nobody may hold a key alone, where much is compared, and
where more products follow on each other than a secure modulus has room for; this says so and names the right one.
"""

from __future__ import annotations

import math

from tasks.common.errors import ParametersError
from tasks.encryption.advising import costs, dry_run, libraries, plans, tfhe_estimate
from tasks.encryption.advising.advice import Advice, Alternative, Plan, Verdict, priced
from tasks.encryption.advising.circuits import layouts
from tasks.encryption.advising.libraries import Library
from tasks.encryption.advising.problem import KeyHolder, Model, Operation, Problem
from tasks.encryption.parameters import Scheme
from tasks.encryption.security import most_bits

# Comparisons under TFHE that are still worth it, and seconds that they may take where there is no deadline.
_MOST_COMPARISONS, _PATIENCE = 10_000, 600.0
_SECURITY_OF_CONCRETE = 128
_SUMS = {Operation.SUM, Operation.MEAN, Operation.HISTOGRAM, Operation.AGGREGATION}


def advise(problem: Problem, *, verify: bool = True) -> Advice:
    """Advice on a problem. verify: carry the recommendation out on random data before it is given.

    Raises:
        ParametersError: the precision cannot be reached, or the dry run shows that the recommendation does not hold.
        MissingPart: Pyfhel is not installed.
    """
    other = _another_tool(problem)
    if other is not None:
        verdict, why = other
        return Advice(problem=problem, verdict=verdict, why=why, alternatives=_table(problem, None, []))
    if problem.decides:
        return _on_comparisons(problem, verify)
    try:
        planned = _planned(problem)
    except plans.TooDeep as too_deep:
        return Advice(
            problem=problem, verdict=Verdict.MPC, alternatives=_table(problem, None, []),
            why=(f"no homomorphic scheme here is deep enough: {too_deep}", *_mpc_instead(problem)),
        )  # fmt: skip
    best, *others = planned
    if (too_slow := _misses_deadline(problem, best)) is not None:
        return Advice(
            problem=problem, verdict=Verdict.MPC, why=(too_slow, *_mpc_instead(problem)),
            alternatives=_table(problem, None, planned),
        )  # fmt: skip
    checked = None
    if verify and best.parameters is not None:
        checked = dry_run.check(problem, best, costs.this_machine(best.parameters.scheme))
    return Advice(
        problem=problem, verdict=Verdict.ENCRYPTION, why=_why(problem, best), plan=best, dry_run=checked,
        alternatives=_table(problem, best, others),
    )  # fmt: skip


def _planned(problem: Problem) -> list[Plan]:
    """Plans in all layouts and schemes that fit, the fastest first.

    Raises:
        ParametersError: there is none.
    """
    made: list[Plan] = []
    refusals: list[ParametersError] = []
    for kind in layouts(problem.operation):
        for scheme in (Scheme.BFV, Scheme.BGV) if problem.integers else (Scheme.CKKS,):
            try:
                made.append(priced(plans.find(problem, kind, scheme), costs.this_machine(scheme)))
            except ParametersError as refusal:
                refusals.append(refusal)
    if not made:
        raise next((each for each in refusals if isinstance(each, plans.TooDeep)), refusals[0])
    return sorted(made, key=_effort)


def _effort(plan: Plan) -> float:
    return plan.seconds.evaluate + plan.seconds.encrypt + plan.seconds.decrypt


# When another tool is right.


def _another_tool(problem: Problem) -> tuple[Verdict, tuple[str, ...]] | None:
    if problem.key is KeyHolder.EVALUATOR:
        return Verdict.TRUSTED, (
            "who computes can also decrypt, so encryption would protect nothing from it.",
            "Compute in plaintext in an environment that is trusted by contract or by its hardware, or give the secret "
            "key to the owner of the data or to a third party.",
        )
    if problem.key is KeyHolder.NOBODY:
        return Verdict.MPC, _without_holder(problem)
    if problem.model is Model.PUBLIC and problem.parties == 1:
        return Verdict.AT_HOME, (
            "everybody may know the model and the data have one owner, who can apply it in plaintext.",
            "That is exact and some thousand times cheaper than the same on ciphertexts.",
        )
    return None


def _without_holder(problem: Problem) -> tuple[str, ...]:
    owners = f"{problem.parties:,} owners" if problem.parties > 1 else "one owner"
    sums = (
        "For sums, masks that cancel out (secure aggregation) are enough: one message of each party, no such key."
        if problem.operation in _SUMS
        else "Secret sharing among three servers or parties computes it without any key."
    )
    return (
        f"nobody may hold the secret key alone, and there are {owners}: SEAL has no keys that several hold together.",
        sums,
        "OpenFHE has threshold keys, but no job here runs on it.",
    )


def _mpc_instead(problem: Problem) -> tuple[str, ...]:
    interactive = problem.operation in {Operation.TRAINING, Operation.KMEANS_STEP}
    return (
        "Secret sharing has no limit of depth: a product costs a message between the parties, not noise.",
        "It needs two or three servers that do not collude, and a fast network between them"
        + (", which training needs for each step." if interactive else "."),
    )


def _misses_deadline(problem: Problem, plan: Plan) -> str | None:
    """Why a plan is too slow on any number of cores, if it is."""
    if problem.deadline is None or plan.seconds.evaluate <= problem.deadline:
        return None
    circuit = dry_run.circuit_of(problem, plan)
    least = plan.seconds.evaluate / (circuit.groups * circuit.terms)
    if least <= problem.deadline:
        return None
    return (
        f"the evaluator would take {plan.seconds.evaluate:.3g} s of one core, and the parts that can be shared out "
        f"{least:.3g} s each, more than the deadline of {problem.deadline:g} s."
    )


def _on_comparisons(problem: Problem, verify: bool) -> Advice:
    plan, done = tfhe_estimate.estimated(problem), None
    refusal = _compares_too_much(problem, plan)
    if refusal is None and verify and problem.operation is Operation.TREE:
        carried_out = tfhe_estimate.tree_dry_run(problem, plan)
        if carried_out is not None:
            done, plan = carried_out
            refusal = _compares_too_much(problem, plan)
    if refusal is not None:
        return Advice(
            problem=problem, verdict=Verdict.MPC, alternatives=_table(problem, None, [plan]),
            why=(f"{refusal}, and CKKS, BFV and BGV cannot compare.", *_mpc_instead(problem)),
        )  # fmt: skip
    number = tfhe_estimate.comparisons(problem)
    estimates = "those of the dry run." if done else "estimates from theory, and no dry run was done."
    return Advice(
        problem=problem, verdict=Verdict.ENCRYPTION, plan=plan, dry_run=done, alternatives=_table(problem, plan, []),
        why=(
            f"{number:,} comparisons are few enough for TFHE, which looks them up in tables.",
            f"Concrete chooses the parameters when it compiles, at {_SECURITY_OF_CONCRETE} bits of security; time and "
            f"sizes are {estimates}",
        ),
    )  # fmt: skip


def _compares_too_much(problem: Problem, plan: Plan) -> str | None:
    """Why TFHE is not the tool for comparisons, if it is not."""
    number = tfhe_estimate.comparisons(problem)
    if problem.security > _SECURITY_OF_CONCRETE:
        return f"Concrete has {_SECURITY_OF_CONCRETE} bits of security, not {problem.security}"
    limit = problem.deadline if problem.deadline is not None else _PATIENCE
    if number > _MOST_COMPARISONS or plan.seconds.evaluate > limit:
        return f"it takes {number:,} comparisons; under TFHE that is about {plan.seconds.evaluate:.3g} s on one core"
    return None


# Why, and what else.


def _why(problem: Problem, plan: Plan) -> tuple[str, ...]:
    assert plan.parameters is not None
    parameters = plan.parameters
    bits = sum(parameters.moduli_bits)
    told = [_of_scheme(problem, plan)]
    told.append(
        f"A modulus of {bits} bits in a ring of degree {parameters.degree:,} has {parameters.security} bits of "
        f"security by the tables of HomomorphicEncryption.org ({_room(plan)} bits allowed)."
    )
    if plan.depth:
        products = "One product needs" if plan.depth == 1 else f"{plan.depth} products one after another need"
        told.append(f"{products} room in the modulus, which makes it as large as it is.")
    if not plan.rotations:
        told.append("No rotation keys are needed.")
    if problem.deadline is not None and plan.seconds.evaluate > problem.deadline:
        cores = math.ceil(plan.seconds.evaluate / problem.deadline)
        told.append(f"For the deadline of {problem.deadline:g} s the work has to be shared out to {cores} cores.")
    if problem.parties > 1 and problem.key is KeyHolder.OWNER:
        told.append(
            "The owner who holds the key could decrypt what the others send: they have to trust it not to ask the "
            "evaluator for that, or let a third party hold the key."
        )
    if problem.per_day != 1:
        told.append(
            f"{problem.per_day:g} runs a day take {problem.per_day * plan.seconds.evaluate / 3600:.3g} core hours."
        )
    return tuple(told)


def _of_scheme(problem: Problem, plan: Plan) -> str:
    if plan.scheme == Scheme.CKKS:
        return (
            f"Numbers with an error of {problem.wanted:g} are what CKKS computes with; {plan.error:.2g} is expected, "
            f"at a scale of {plan.parameters.scale_bits if plan.parameters else 0} bits."
        )
    name = plan.scheme.upper()
    reason = "cheaper products of ciphertexts" if plan.scheme == Scheme.BGV else "no levels to follow"
    return (
        f"Results have to be exact integers, which {name} computes modulo a prime of "
        f"{plan.parameters.plain_bits if plan.parameters else 0} bits so that nothing wraps around; it was faster than "
        f"the other one, with {reason}."
    )


def _room(plan: Plan) -> int:
    assert plan.parameters is not None
    return most_bits(plan.parameters.degree, plan.parameters.security)


def _table(problem: Problem, best: Plan | None, others: list[Plan]) -> tuple[Alternative, ...]:
    rows = [_worked_out(plan, best) for plan in others]
    rows += [_words(problem, scheme) for scheme in ("CKKS", "BFV and BGV") if _unplanned(problem, best, others, scheme)]
    for library in Library:
        if library is Library.PYFHEL and (best is not None or others):
            continue
        if best is not None and library is best.library:
            continue
        known = libraries.look(library)
        rows.append(
            Alternative(
                name=f"{library} ({known.schemes}): {known.found}", here=known.here, get=known.get,
                loses=f"{known.loses}; good for: {known.strong}",
            )
        )  # fmt: skip
    return (
        *rows,
        Alternative(
            name="multi-party computation", here=libraries.has("tasks.mpc") or libraries.has("mpyc"),
            get="`pip install mpyc`, or MP-SPDZ from source",
            loses="needs servers that do not collude and a network between them; no party can be offline",
        ),
        Alternative(
            name="plaintext in a trusted environment", here=True, get="a contract, or hardware with attestation",
            loses="whoever runs it sees the data",
        ),
    )  # fmt: skip


def _worked_out(plan: Plan, best: Plan | None) -> Alternative:
    name = f"{plan.scheme.upper()}, {plan.layout}"
    known = libraries.look(plan.library)
    if best is None or plan.scheme == "tfhe":
        return Alternative(name=name, here=known.here, get=known.get, plan=plan, loses="time, see the first sentence")
    slower = _effort(plan) / max(_effort(best), 1e-9)
    lost = [f"{slower:.2g} times as slow"] if slower > 1.05 else []
    for what in ("keys", "sent", "returned"):
        mine, its = getattr(best.traffic, what), getattr(plan.traffic, what)
        if its > 1.2 * mine:
            lost.append(f"{its / max(mine, 1):.2g} times the bytes {_BYTES[what]}")
    return Alternative(
        name=name, here=known.here, get=known.get, plan=plan, loses=", ".join(lost) or "nothing much; as good"
    )


_BYTES = {"keys": "of keys", "sent": "sent", "returned": "returned"}


def _unplanned(problem: Problem, best: Plan | None, others: list[Plan], scheme: str) -> bool:
    """Whether a family of schemes was not worked out, and a sentence is due instead."""
    if best is None and not others:
        return False
    return problem.decides or (scheme == "CKKS") == problem.integers


def _words(problem: Problem, scheme: str) -> Alternative:
    known = libraries.look(Library.PYFHEL)
    if problem.decides:
        loses = "cannot compare; a polynomial that is like a comparison is deep, and wrong near the threshold"
    elif scheme == "CKKS":
        loses = "exactness: results are off by an error and have to be rounded, which no bound proves right"
    else:
        digits = math.ceil(math.log2(2 * problem.range / problem.wanted))
        loses = f"range: numbers would have to be integers of {digits} bits, which each product doubles for good"
    return Alternative(name=f"{scheme} through Pyfhel", here=known.here, get=known.get, loses=loses)
