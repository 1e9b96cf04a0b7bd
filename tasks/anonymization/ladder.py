"""The ladder of adjustments: what can be done about an attack that succeeded, and which of it is worth its price.

The attack that failed the gate decides which rungs come into question. Each is tried; the one taken buys the most
protection for the detail it costs. Every rung taken is recorded with what it cost and what it gained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tasks.anonymization.hierarchies import number
from tasks.anonymization.plan import Plan
from tasks.common.policy import Kind, Policy, Role
from tasks.common.values import Value

K_STEPS = (2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100, 150, 200)
_FINEST_ROUNDING, _COARSEST_ROUNDING = (
    0.1,
    4.0,
)  # in standard deviations; coarser, nothing is left of a column
_LEAST_GAIN = 0.001


class Rung(Value):
    """One adjustment: what it changes, in words, and the plan with it."""

    change: str
    plan: Plan


class Step(Value):
    """A rung taken. risk_*: upper bound of the attack it answers, loss_*: utility loss; in [0, 1]."""

    change: str
    attack: str
    risk_before: float
    risk_after: float
    loss_before: float
    loss_after: float
    tried: int
    plan: Plan


@dataclass(frozen=True)
class Trial:
    """What a plan comes to: upper bound of the attack in question and utility loss, or that it cannot be had."""

    risk: float
    loss: float


def rungs(policy: Policy, plan: Plan, table: pa.Table, *, secret: str | None, diversify: bool) -> list[Rung]:
    """Adjustments that address an attack, gentle and drastic ones.

    secret: the column that an inference attack guessed. diversify: whether that secret may be protected by diversity.
    """
    found = _larger_k(plan)
    if secret is not None and diversify:
        found += _more_diverse(plan, table, secret)
    for name in policy.named(Role.OTHER, Role.SENSITIVE):
        if name not in plan.dropped and name != secret:
            found += _coarser(policy, plan, table, name)
    return found


def best(candidates: list[Rung], now: Trial, threshold: float, measure: Callable[[Plan], Trial | None]) -> Step | None:
    """Take the rung with the most gain for its price, or None where none gains anything.

    measure: tries a plan; None where its criteria cannot be met. Gain beyond the threshold does not count.
    """
    needed = now.risk - threshold
    chosen: tuple[float, Rung, Trial] | None = None
    for rung in candidates:
        trial = measure(rung.plan)
        if trial is None:
            continue
        gain = min(now.risk - trial.risk, needed)
        worth = gain / max(trial.loss - now.loss, _LEAST_GAIN)
        if gain >= min(_LEAST_GAIN, needed) and (chosen is None or worth > chosen[0]):
            chosen = (worth, rung, trial)
    if chosen is None:
        return None
    _, rung, trial = chosen
    return Step(
        change=rung.change,
        attack="",
        risk_before=now.risk,
        risk_after=trial.risk,
        loss_before=now.loss,
        loss_after=trial.loss,
        tried=len(candidates),
        plan=rung.plan,
    )


def _larger_k(plan: Plan) -> list[Rung]:
    now = plan.criteria.k
    larger = [k for k in K_STEPS if k > now][:2]
    return [Rung(change=f"k from {now} to {k}", plan=plan.with_criteria(k=k)) for k in larger]


def _more_diverse(plan: Plan, table: pa.Table, secret: str) -> list[Rung]:
    now = plan.criteria.l.get(secret, 1)
    if now + 1 > len(table[secret].unique()):
        return []
    diversity = plan.criteria.l | {secret: now + 1}
    return [Rung(change=f"l of {secret} from {now} to {now + 1}", plan=plan.with_criteria(l=diversity))]


def _coarser(policy: Policy, plan: Plan, table: pa.Table, name: str) -> list[Rung]:
    """Round a number twice as coarsely; leave a column out altogether."""
    found = []
    if policy.columns[name].kind is Kind.NUMERIC:
        step = _next_step(plan, table, name)
        if step is not None:
            rounding = plan.rounding | {name: step}
            found.append(
                Rung(
                    change=f"{name} in steps of {number(step)}",
                    plan=plan.model_copy(update={"rounding": rounding}),
                )
            )
    if policy.columns[name].role is Role.OTHER:
        found.append(Rung(change=f"{name} left out", plan=plan.model_copy(update={"dropped": (*plan.dropped, name)})))
    return found


def _next_step(plan: Plan, table: pa.Table, name: str) -> float | None:
    spread = pc.stddev(table[name]).as_py() or 0.0
    step = plan.rounding[name] * 2 if name in plan.rounding else _round_number(_FINEST_ROUNDING * spread)
    return step if 0 < step <= _COARSEST_ROUNDING * spread else None


def _round_number(value: float) -> float:
    """The nearest 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 0.0
    candidates = [m * 10.0**e for e in range(-12, 13) for m in (1, 2, 5)]
    return min(candidates, key=lambda candidate: abs(candidate - value) / candidate)
