"""The data flow: from a hospital's table to a release with its evidence. Reads like the figure in the README."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run

from flows import runtime
from flows.runtime import submit
from tasks.anonymization import steps as anonymization
from tasks.anonymization.handles import Parts, Release
from tasks.anonymization.ladder import Step
from tasks.attacks import steps as attacks
from tasks.attacks.handles import Shared, TargetGroups
from tasks.attacks.score import Gate, Scorecard
from tasks.common.code import code_version
from tasks.common.errors import Inconclusive, SecuredError, ThresholdNotReached
from tasks.common.policy import Policy
from tasks.common.table import Table
from tasks.fairness import steps as fairness
from tasks.fairness.handles import Unbiased
from tasks.hub import steps as hub
from tasks.hub import summary
from tasks.hub.dossier import Attempt, Dossier, Verdict
from tasks.hub.handles import Publication
from tasks.synthesis import steps as synthesis
from tasks.synthesis.handles import Candidate, Synthetic, ranked
from tasks.utility import steps as utility
from tasks.utility.volume import VolumeNeed
from tasks.validation import steps as validation

T = TypeVar("T")
# What a step takes: a value, or the future of one. Futures are what Prefect draws the graph of a run by.
Later: TypeAlias = PrefectFuture[Any] | T


def result(later: Later[T]) -> T:
    """The value, or that of the future."""
    return later.result() if isinstance(later, PrefectFuture) else later


def named_after_policy() -> str:
    """What a run is called in Prefect's pages: `data-flow chop`."""
    return f"data-flow {Path(flow_run.parameters['policy']).stem}"


@flow(name="data-flow", flow_run_name=named_after_policy, task_runner=runtime.task_runner())  # type: ignore[arg-type]
def data_flow(policy: str, table: str = "", seed: int | None = None) -> Publication:
    """Anonymize a table, attack it, score it, adjust it until its threshold holds, bring it to volume, unbias it.

    Args:
        policy: Path of the policy (YAML) that says what the columns mean and with whom the table is shared.
        table: Path of the table (CSV or Parquet). Empty: the one that the policy names.
        seed: Seed of everything that is drawn at random, if it is not the policy's.
    """
    job = submit(validation.prepare, policy, table, seed)
    checked = submit(validation.validate, job)
    rules, checks = job.result().policy, checked.result()
    parts = submit(anonymization.split, job, checked)
    protected = protect(parts, rules)
    dossier = Dossier(
        policy=rules,
        source=job.result().table,
        validation=checks,
        parts=parts.result(),
        attempts=protected.attempts,
        steps=protected.steps,
        code_version=code_version(),
    )
    if dossier.worth_completing:
        dossier = complete(dossier, protected.release, parts)
    return conclude(dossier)


class Protected(NamedTuple):
    """What anonymizing ended with: every attempt, every adjustment, and the last release."""

    attempts: tuple[Attempt, ...]
    steps: tuple[Step, ...]
    release: PrefectFuture[Release]


def protect(parts: Later[Parts], policy: Policy) -> Protected:
    """Anonymize, attack, score; adjust until the working threshold holds, or no adjustment helps."""
    threshold, confidence = policy.working_threshold, policy.attacks.confidence
    groups = submit(attacks.choose_targets, parts, "working", policy)
    plan = submit(anonymization.plan, policy).result()
    attempts: list[Attempt] = []
    taken: list[Step] = []
    while True:
        release = submit(anonymization.anonymize, parts, policy, plan)
        card = assess(release, release, groups, policy, threshold, confidence)
        attempts.append(Attempt(release=release.result(), card=card.result()))
        if attempts[-1].card.gate is Gate.PASSES or len(taken) == policy.adjust.rungs:
            break
        adjustment = submit(attacks.adjust, parts, groups, release, card, policy).result()
        if adjustment is None:
            break
        taken.append(adjustment)
        plan = adjustment.plan
    return Protected(tuple(attempts), tuple(taken), release)


def assess(
    rows: Later[Shared],
    release: Later[Release],
    groups: Later[TargetGroups],
    policy: Policy,
    threshold: float,
    confidence: float,
) -> PrefectFuture[Scorecard]:
    """Run every declared adversary in parallel against rows that are the release or were made from it, and sum up."""
    adversaries = submit(attacks.adversaries, rows, policy).result()
    evidence = [submit(attacks.attack, adversary, rows, release, groups, policy) for adversary in adversaries]
    return submit(attacks.judge, evidence, threshold, confidence)


def complete(dossier: Dossier, release: Later[Release], parts: Later[Parts]) -> Dossier:
    """Bring a protected release to volume, measure and mitigate bias, and ask the sealed control."""
    policy = dossier.policy
    need = submit(utility.volume, release, parts, policy)
    candidates, accepted = top_up(release, need, parts, policy)
    unbiased = submit(fairness.unbias, release, accepted, parts, policy) if policy.fairness else None
    made_up = (unbiased or accepted) if accepted is not None else None
    verdict = open_sealed_control(release, made_up, parts, policy)
    shown = submit(utility.distributions, release, parts, made_up, policy)
    return dossier.model_copy(
        update={
            "volume": need.result(),
            "candidates": candidates,
            "fairness": unbiased.result().account if unbiased else None,
            "verdict": verdict,
            "distributions": tuple(shown.result()),
            "products": products(
                dossier.release, result(made_up) if made_up else None, result(unbiased) if unbiased else None, verdict
            ),
        }
    )


def top_up(
    release: Later[Release], need: Later[VolumeNeed | None], parts: Later[Parts], policy: Policy
) -> tuple[tuple[Candidate, ...], PrefectFuture[Synthetic | None] | None]:
    """Let the champion and its challengers learn the release; the most useful rows that pass the gate are taken."""
    made = [submit(synthesis.synthesize, release, need, policy, engine) for engine in policy.synthesis.engines]
    if made[0].result() is None:
        return (), None
    candidates = compare(made, release, parts, policy)
    groups = submit(attacks.choose_targets, parts, "working", policy)
    for place in ranked(candidates):
        judged = assess(made[place], release, groups, policy, policy.working_threshold, policy.attacks.confidence)
        candidates[place] = candidates[place].model_copy(update={"card": judged.result()})
        if candidates[place].passes:
            candidates[place] = candidates[place].model_copy(update={"chosen": True})
            return tuple(candidates), made[place]
    return tuple(candidates), None


def compare(
    made: list[PrefectFuture[Synthetic | None]], release: Later[Release], parts: Later[Parts], policy: Policy
) -> list[Candidate]:
    """How useful the rows of each engine are, and whether they repeat anyone; a challenger that fails is told."""
    drawn: list[Any] = [future.result(raise_on_failure=False) for future in made]
    looked_at = {
        place: (
            submit(utility.usefulness, release, made[place], parts, policy),
            submit(synthesis.copying, release, made[place], parts, policy),
        )
        for place, rows in enumerate(drawn)
        if isinstance(rows, Synthetic)
    }
    found = []
    for place, (engine, rows) in enumerate(zip(policy.synthesis.engines, drawn, strict=True)):
        if place not in looked_at:
            found.append(Candidate(engine=engine, failed=str(rows)))
            continue
        fidelity, copying = (future.result() for future in looked_at[place])
        made_by = Candidate(engine=engine, epochs=rows.epochs, account=rows.account)
        found.append(made_by.model_copy(update={"fidelity": fidelity, "copying": copying}))
    return found


def open_sealed_control(
    release: Later[Release], made_up: Later[Shared] | None, parts: Later[Parts], policy: Policy
) -> Verdict:
    """The final score, on people whom nothing was adjusted to."""
    groups = submit(attacks.choose_targets, parts, "sealed", policy)
    threshold, confidence = policy.threshold, policy.verdict_confidence
    released = assess(release, release, groups, policy, threshold, confidence)
    synthetic = assess(made_up, release, groups, policy, threshold, confidence) if made_up else None
    return Verdict(released=released.result(), synthetic=synthetic.result() if synthetic else None)


def products(release: Release, made_up: Shared | None, unbiased: Unbiased | None, verdict: Verdict) -> dict[str, Table]:
    """The tables that may be shared after the verdict."""
    if verdict.gate is not Gate.PASSES:
        return {}
    if made_up and not verdict.synthetic_may_go:
        return {"anonymized": release.table}
    found = {"anonymized": release.table}
    found |= {"synthetic": made_up.attacked} if made_up else {}
    return found | ({"unbiased": unbiased.table} if unbiased else {})


def conclude(dossier: Dossier) -> Publication:
    """Write report and evidence, register them, and fail the run where nothing may be shared.

    Raises:
        ThresholdNotReached, Inconclusive: the gate says so; report and evidence are there all the same.
    """
    published = submit(hub.register, dossier).result()
    announce(dossier, published)
    if dossier.verdict is None or dossier.verdict.gate is not Gate.PASSES:
        raise refusal(dossier, published)
    return published


def refusal(dossier: Dossier, published: Publication) -> SecuredError:
    """The error of a run that ends without a release, with the best that was reached."""
    card, policy = dossier.card, dossier.policy
    where = "on the sealed control" if dossier.verdict else f"after {len(dossier.steps)} adjustments"
    kind = ThresholdNotReached if card.gate is Gate.FAILS else Inconclusive
    missing = f"That is for want of people: {card.shortage}. " if card.shortage else ""
    return kind(
        f"no release: the threshold {policy.threshold} of the context `{policy.context}` was not reached. The best was "
        f"a score of {card.score:.1f} {where}, where {card.worst} has a risk of {card.worst_finding.risk:.3f}, at most "
        f"{card.worst_finding.high:.3f}. {missing}The report tells what was tried: {published.report}"
    )


def announce(dossier: Dossier, published: Publication) -> None:
    """Show the outcome in Prefect's pages."""
    create_markdown_artifact(summary.markdown(dossier), key="score", description="Score and gate")
    create_link_artifact(
        published.registration.page or published.report.as_uri(),
        link_text="The run in the knowledge base" if published.registration.page else "The report",
        key="release",
        description="Where release, evidence and report are",
    )
