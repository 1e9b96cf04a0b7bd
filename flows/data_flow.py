"""The data flow: from a hospital's table to a release with its evidence. Reads like the figure in the README."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from flows import runtime
from tasks.anonymization import steps as anonymization
from tasks.anonymization.handles import Parts, Release
from tasks.anonymization.ladder import Step
from tasks.attacks import steps as attacks
from tasks.attacks.handles import TargetGroups
from tasks.attacks.score import Gate, Scorecard
from tasks.common.errors import Inconclusive, SecuredError, ThresholdNotReached
from tasks.common.policy import Policy
from tasks.common.steps import code_version
from tasks.common.table import Table
from tasks.fairness import steps as fairness
from tasks.fairness.handles import Unbiased
from tasks.hub import steps as hub
from tasks.hub import summary
from tasks.hub.dossier import Attempt, Dossier, Verdict
from tasks.hub.handles import Publication
from tasks.synthesis import steps as synthesis
from tasks.utility import steps as utility
from tasks.validation import steps as validation


@flow(name="data-flow", flow_run_name="{policy}", task_runner=runtime.task_runner())  # type: ignore[arg-type] # PrefectDaskFuture
def data_flow(policy: str, table: str | None = None, seed: int | None = None) -> Publication:
    """Anonymize a table, attack it, score it, adjust it until its threshold holds, bring it to volume, unbias it.

    Args:
        policy: Path of the policy (YAML) that says what the columns mean and with whom the table is shared.
        table: Path of the table (CSV or Parquet), if it is not the one that the policy names.
        seed: Seed of everything that is drawn at random, if it is not the policy's.
    """
    job = validation.prepare.submit(policy, table, seed).result()
    rules = job.policy
    checked = validation.validate.submit(job.table, rules)
    checks = checked.result()
    parts = anonymization.split.submit(job.table, rules, return_state=False, wait_for=[checked]).result()
    groups = attacks.choose_targets.submit(parts.train, parts.working, rules).result()
    attempts, taken = protect(parts, groups, rules)
    dossier = Dossier(
        policy=rules,
        source=job.table,
        validation=checks,
        parts=parts,
        attempts=attempts,
        steps=taken,
        code_version=code_version(),
    )
    if dossier.worth_completing:
        dossier = complete(dossier, groups)
    return conclude(dossier)


def protect(parts: Parts, groups: TargetGroups, policy: Policy) -> tuple[tuple[Attempt, ...], tuple[Step, ...]]:
    """Anonymize, attack, score; adjust until the working threshold holds, or no adjustment helps."""
    plan = anonymization.plan.submit(policy).result()
    attempts: list[Attempt] = []
    taken: list[Step] = []
    while True:
        release = anonymization.anonymize.submit(parts.train, policy, plan).result()
        card = assess(release.table, release, groups, policy, policy.working_threshold, policy.attacks.confidence)
        attempts.append(Attempt(release=release, card=card))
        if card.gate is Gate.PASSES or len(taken) == policy.adjust.rungs:
            break
        adjustment = attacks.adjust.submit(parts.train, groups, release, card, policy).result()
        if adjustment is None:
            break
        taken.append(adjustment)
        plan = adjustment.plan
    return tuple(attempts), tuple(taken)


def assess(
    rows: Table, release: Release, groups: TargetGroups, policy: Policy, threshold: float, confidence: float
) -> Scorecard:
    """Run every declared adversary in parallel, and sum up."""
    adversaries = attacks.adversaries.submit(rows, policy).result()
    evidence = [attacks.attack.submit(a, rows, groups, policy, release.plan.rounding) for a in adversaries]
    return attacks.judge.submit(evidence, threshold, confidence).result()  # type: ignore[arg-type] # futures resolve


def complete(dossier: Dossier, groups: TargetGroups) -> Dossier:
    """Bring a protected release to volume, measure and mitigate bias, and ask the sealed control."""
    policy, parts, release = dossier.policy, dossier.parts, dossier.release
    need = utility.volume.submit(release, parts.working, policy).result()
    synthetic = synthesis.synthesize.submit(release.table, need, policy).result()
    fidelity = card = unbiased = None
    if synthetic is not None:
        compared = utility.usefulness.submit(release, synthetic.rows, parts.working, policy)
        card = assess(synthetic.rows, release, groups, policy, policy.working_threshold, policy.attacks.confidence)
        fidelity = compared.result()
    accepted = synthetic if fidelity and card and fidelity.useful and card.gate is Gate.PASSES else None
    if policy.fairness is not None:
        unbiased = fairness.unbias.submit(release, accepted, parts.working, policy).result()
    rows = unbiased.synthetic if unbiased and accepted else accepted.rows if accepted else None
    verdict = open_sealed_control(release, rows, parts, policy)
    shown = utility.distributions.submit(release, parts.train, rows, policy)
    return dossier.model_copy(
        update={
            "volume": need,
            "synthetic_card": card,
            "fidelity": fidelity,
            "fairness": unbiased.account if unbiased else None,
            "verdict": verdict,
            "distributions": tuple(shown.result()),
            "products": products(release, rows, unbiased, verdict),
        }
    )


def open_sealed_control(release: Release, synthetic: Table | None, parts: Parts, policy: Policy) -> Verdict:
    """The final score, on people whom nothing was adjusted to."""
    groups = attacks.choose_targets.submit(parts.train, parts.sealed, policy).result()
    threshold, confidence = policy.threshold, policy.verdict_confidence
    released = assess(release.table, release, groups, policy, threshold, confidence)
    made_up = assess(synthetic, release, groups, policy, threshold, confidence) if synthetic else None
    return Verdict(released=released, synthetic=made_up)


def products(
    release: Release, synthetic: Table | None, unbiased: Unbiased | None, verdict: Verdict
) -> dict[str, Table]:
    """The tables that may be shared after the verdict."""
    if verdict.gate is not Gate.PASSES or (synthetic and not verdict.synthetic_may_go):
        return {"anonymized": release.table} if verdict.gate is Gate.PASSES else {}
    found = {"anonymized": release.table}
    found |= {"synthetic": synthetic} if synthetic else {}
    return found | ({"unbiased": unbiased.table} if unbiased else {})


def conclude(dossier: Dossier) -> Publication:
    """Write report and evidence, register them, and fail the run where nothing may be shared.

    Raises:
        ThresholdNotReached, Inconclusive: the gate says so; report and evidence are there all the same.
    """
    published = hub.register.submit(dossier).result()
    announce(dossier, published)
    if dossier.verdict is None or dossier.verdict.gate is not Gate.PASSES:
        raise refusal(dossier, published)
    return published


def refusal(dossier: Dossier, published: Publication) -> SecuredError:
    """The error of a run that ends without a release, with the best that was reached."""
    card, policy = dossier.card, dossier.policy
    where = "on the sealed control" if dossier.verdict else f"after {len(dossier.steps)} adjustments"
    kind = ThresholdNotReached if card.gate is Gate.FAILS else Inconclusive
    return kind(
        f"no release: the threshold {policy.threshold} of the context `{policy.context}` was not reached. The best was "
        f"a score of {card.score:.1f} {where}, where {card.worst} has a risk of {card.worst_finding.risk:.3f}, at most "
        f"{card.worst_finding.high:.3f}. The report tells what was tried: {published.report}"
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
