"""A complete dossier with made-up numbers, for tests of what is done with dossiers."""

from pathlib import Path

from tasks.anonymization.account import Anonymization
from tasks.anonymization.handles import Parts, Release
from tasks.anonymization.ladder import Step
from tasks.attacks.adversary import Goal
from tasks.attacks.score import Finding, Gate, Scorecard
from tasks.common.synthesis_forms import Engine
from tasks.common.table import Table
from tasks.hub.dossier import Attempt, Dossier, Verdict
from tasks.synthesis.handles import Account, Candidate, Copying
from tasks.utility.clinical import Clinical
from tasks.utility.distributions import Distribution
from tasks.utility.downstream import Estimate, Family
from tasks.utility.effects import Effect
from tasks.utility.fidelity import Answer, Fidelity
from tasks.utility.propensity import Propensity
from tasks.utility.volume import Point, VolumeNeed
from tasks.validation.expectations import Validation
from tests.conftest import make_plan, make_policy
from tests.unit.hub.example_bias import fairness

PRIVATE = Path("/somewhere/private")


def finding(name, goal, high, **more):
    numbers = {
        "description": "knows age", "trials": 900, "control_trials": 300, "success": 0.1, "control": 0.05,
        "baseline": 0.01, "risk": min(0.05, high), "low": 0.01, "high": high,
    }  # fmt: skip
    return Finding(name=name, goal=goal, **(numbers | more))


def card(gate=Gate.PASSES, high=0.06):
    """A singling-out attack sets the score; others have the figures that attacks of their kind are reported by."""
    reported = {
        "tpr_at_fpr_0.01": 0.0123, "tpr_at_fpr_0.01_low": 0.0064, "tpr_at_fpr_0.01_high": 0.0212,
        "fpr_measured_0.01": 0.0111,
    }  # fmt: skip
    attacks = (
        finding("singling-out-all", Goal.SINGLING_OUT, high, needed=5000),
        finding("singling-out-some", Goal.SINGLING_OUT, 0.02),
        finding("linkability", Goal.LINKABILITY, 0.01),
        finding("inference-result", Goal.INFERENCE, 0.02),
        finding("inference-result-learned", Goal.INFERENCE, 0.055, success=0.6),
        finding("prosecutor", Goal.REIDENTIFICATION, 0.01, extras={"above_threshold": 0.034}),
        finding("membership-distance", Goal.MEMBERSHIP, 0.013, extras=reported),
        finding("reconstruction-partition", Goal.RECONSTRUCTION, 0.03, control=0.12, extras={"pinned": 0.25}),
    )
    return Scorecard(
        score=100 * (1 - high), gate=gate, threshold=0.09, confidence=0.95, worst=attacks[0].name, attacks=attacks
    )


def dossier(gate=Gate.PASSES, column="age", **changes):
    """changes: of the account of the release."""
    policy = make_policy(
        {
            "mrn": {"role": "direct"},
            column: {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10]}},
            "sex": {"role": "quasi", "hierarchy": "all-or-nothing"},
            "result": {"role": "sensitive"},
        },
        table=str(PRIVATE / "patients.csv"),
        person="mrn",
        downstream={"target": "result", "positive": "sick"},
        fairness={"protected": ["sex"]},
    )
    table = Table(path=PRIVATE / "patients.csv", sha256="a" * 64, rows=1000, columns=tuple(policy.columns))
    plan = make_plan(5, suppression=0.05)
    account = Anonymization(
        rows_before=600, rows_after=580, suppressed=0.033, k=5, l={}, classes=40, mean_class=14.5,
        levels={column: 1, "sex": 0}, top_levels={column: 2, "sex": 1}, loss=0.1, bound=0.1, optimal=True, nodes=6,
        column_loss={column: 0.2, "sex": 0.03, "result": 0.03}, utility_loss=0.09, rounding={}, dropped=("mrn",),
        criteria=("5-anonymity",),
    )  # fmt: skip
    release = Release(table=table, plan=plan, account=account.model_copy(update=changes))
    estimate = Estimate(value=0.7, low=0.65, high=0.75)
    floor, gap = Estimate(value=0.5, low=0.45, high=0.55), Estimate(value=0.012, low=-0.01, high=0.034)
    answers = tuple(Answer(family=family, synthetic=estimate, real=estimate, floor=floor, gap=gap) for family in Family)
    told = tuple(
        Propensity(by=by, share=0.5, pmse=0.004, expected=0.001, deviation=0.0005) for by in ("logistic", "tree")
    )
    odds = Effect(
        column="sex", level="m", reference="f", real=Estimate(value=2.0, low=1.5, high=2.6),
        synthetic=Estimate(value=1.8, low=1.4, high=2.4),
    )  # fmt: skip
    return Dossier(
        policy=policy,
        source=table,
        validation=Validation(rows=990, excluded=10, checks=()),
        parts=Parts(train=table, working=table, sealed=table),
        attempts=(Attempt(release=release, card=card(Gate.FAILS, 0.2)), Attempt(release=release, card=card())),
        steps=(
            Step(change="k from 3 to 5", attack="singling-out-all", risk_before=0.2, risk_after=0.06, loss_before=0.05,
                 loss_after=0.09, tried=4, plan=plan),
        ),
        verdict=Verdict(released=card(gate, 0.06 if gate is Gate.PASSES else 0.2), synthetic=card()),
        volume=VolumeNeed(
            points=(Point(rows=100, auc=0.6), Point(rows=580, auc=0.7)), ceiling=0.75, scale=1.0, exponent=0.5,
            tolerance=0.01, rows=580, enough=10_000, add=1160, capped=True,
        ),
        candidates=(
            Candidate(engine=Engine.CTGAN, failed="CTGAN diverged in epoch 3"),
            Candidate(
                engine=Engine.TREES,
                account=Account(rows=1160, drawn=1500, copies=37, achieved={"sex": {"= `f`": 1.0}}),
                fidelity=Fidelity(
                    shapes=0.95, trends=0.9, trends_floor=0.7, validity=1.0, answers=answers, propensity=told,
                    clinical=Clinical(odds=(odds,), survival=None, left_out=("height: constant",)), largest_gap=0.1,
                ),
                copying=Copying(
                    rows=1160, rare_copies=0, without=None, nearer=0.5, expected=0.48, excess=0.04, low=0.01, high=0.07
                ),
                card=card(),
                chosen=True,
            ),
        ),
        fairness=fairness(),
        distributions=(
            Distribution(
                column=column, labels=("[0, 10)", "(rare)"), before=(0.9, 0.1), after=(1.0, 0.0), synthetic=None,
            ),
        ),
        products={"anonymized": table, "synthetic": table},
        code_version="c" * 64,
    )  # fmt: skip
