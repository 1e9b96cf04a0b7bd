"""How useful a release and synthetic rows are, as pages show it: sentences, pictures, and a page for a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.common.policy import Policy
from tasks.common.style_sheet import style_sheet
from tasks.hub import pictures
from tasks.hub.pictures import Span
from tasks.hub.wording import percent
from tasks.utility.clinical import agreeing, mean_overlap
from tasks.utility.comparing import Comparison
from tasks.utility.downstream import Family
from tasks.utility.effects import Effect
from tasks.utility.fidelity import LEAST_CLOSED, Answer, Fidelity
from tasks.utility.propensity import Propensity
from tasks.utility.survival import SurvivalComparison
from tasks.utility.volume import VolumeNeed

HERE = Path(__file__).parent
_FIT_POINTS = 60
FAMILIES = {
    Family.BOOSTING: "gradient boosted trees",
    Family.LOGISTIC: "logistic regression",
    Family.FOREST: "random forest",
}
_TOLD_BY = {"logistic": "column by column", "tree": "by combinations of columns"}


def environment() -> Environment:
    """What renders the templates of this folder."""
    return Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def page(comparison: Comparison, policy: Policy, names: tuple[str, str]) -> str:
    """A comparison as one HTML file that needs nothing else. names: of the real and the synthetic file."""
    return (
        environment()
        .get_template("comparison.html.j2")
        .render(
            c=comparison,
            real_name=names[0],
            synthetic_name=names[1],
            tested=tested_on(comparison),
            notes=notes(comparison),
            css=style_sheet(),
            pictures=pictures,
            pct=percent,
            **shown(policy, None, comparison.fidelity),
        )
    )


def tested_on(comparison: Comparison) -> str:
    """On whom models were tested, in a sentence."""
    if comparison.held_out:
        return (
            f"Models were tested on {comparison.tested_rows:,} of the real rows, a random fifth held out here; the "
            f"synthetic rows are compared with the other {comparison.real_rows:,}. If they were learned from all of "
            "these people, this flatters them."
        )
    return (
        f"Models were tested on {comparison.tested_rows:,} rows of another file; the synthetic rows are compared "
        f"with {comparison.real_rows:,} real ones."
    )


def notes(comparison: Comparison) -> list[str]:
    """What was not compared, a sentence each."""
    found = []
    if comparison.left_out:
        found.append(f"Not compared, since not in the real or the tested rows: {', '.join(comparison.left_out)}.")
    if comparison.missing:
        found.append(f"The synthetic rows lack {', '.join(comparison.missing)}, which counts as missing in every row.")
    return found


def shown(policy: Policy, volume: VolumeNeed | None, fidelity: Fidelity | None) -> dict[str, Any]:
    """What the template of the section needs."""
    found: dict[str, Any] = {"policy": policy, "volume": volume, "fidelity": fidelity}
    found |= {"volume_points": [], "volume_fit": []}
    if volume:
        last = volume.rows + volume.add
        first = volume.points[0].rows
        xs = [first + (last - first) * i / _FIT_POINTS for i in range(_FIT_POINTS + 1)]
        found["volume_points"] = [(float(p.rows), p.auc) for p in volume.points]
        found["volume_fit"] = [(x, volume.auc_at(int(x))) for x in xs]
    if fidelity:
        clinical = fidelity.clinical
        found |= {
            "usefulness": verdict(fidelity),
            "auc_spans": _auc_spans(fidelity),
            "gaps": [(FAMILIES[answer.family], answer.gap) for answer in fidelity.answers],
            "telling": telling(fidelity.propensity),
            "told_by": _TOLD_BY,
            "odds": odds(clinical.odds, "odds ratios"),
            "odds_rows": ratio_rows(clinical.odds),
            "survival": clinical.survival,
            "survived": survived(clinical.survival, policy) if clinical.survival else "",
            "survival_curves": _curves(clinical.survival) if clinical.survival else [],
            "hazards": odds(clinical.survival.hazards, "hazard ratios") if clinical.survival else "",
            "hazard_rows": ratio_rows(clinical.survival.hazards) if clinical.survival else [],
            "left_out": [*clinical.left_out, *(clinical.survival.left_out if clinical.survival else ())],
        }
    return found


def figures(fidelity: Fidelity) -> dict[str, float]:
    """The numbers that the knowledge base keeps. AUCs without a family's name are the boosting model's."""
    clinical = fidelity.clinical
    found = {"shapes": fidelity.shapes, "trends": fidelity.trends, "trends_floor": fidelity.trends_floor}
    for answer in fidelity.answers:
        end = "" if answer.family is Family.BOOSTING else f".{answer.family}"
        found |= {f"auc_synthetic{end}": answer.synthetic.value, f"auc_release{end}": answer.real.value}
        found |= {f"auc_floor{end}": answer.floor.value, f"auc_gap{end}": answer.gap.value}
    found |= {f"pmse_ratio.{told.by}": told.ratio for told in fidelity.propensity}
    found |= _agreement("odds", clinical.odds)
    if clinical.survival:
        found |= {"survival_difference": clinical.survival.largest_difference}
        found |= _agreement("hazards", clinical.survival.hazards)
    return found


def _agreement(kind: str, effects: tuple[Effect, ...]) -> dict[str, float]:
    return {f"{kind}_overlap": mean_overlap(effects), f"{kind}_agreeing": agreeing(effects)} if effects else {}


def verdict(fidelity: Fidelity) -> str:
    """Whether synthetic rows are useful, and why, in sentences."""
    kept = f"They keep {percent(max(fidelity.trends_closed, 0))} of what pairs of columns say beyond shuffled columns"
    loss = _loss(fidelity.answers[0]) if fidelity.answers else ""
    if fidelity.useful:
        return f"The synthetic rows are useful. {kept}{f', and {loss} beside the release' if loss else ''}."
    reasons = []
    if fidelity.trends_closed < LEAST_CLOSED:
        reasons.append(f"{kept.lower()}, less than the {percent(LEAST_CLOSED)} that are needed")
    if fidelity.answers and not fidelity.informative:
        reasons.append("the boosting model learns no more from them than from shuffled columns")
    if fidelity.answers and not fidelity.near:
        reasons.append(f"{loss} beside the release, more than the policy's {fidelity.largest_gap:g}")
    return f"The synthetic rows are not useful: {'; '.join(reasons)}."


def _loss(answer: Answer) -> str:
    lost = f"{answer.gap.value:.3f}" if answer.gap.value > 0 else "no"
    return f"the boosting model loses {lost} AUC"


def telling(propensity: tuple[Propensity, ...]) -> str:
    """How well synthetic rows can be told from real ones, for people who do not know what a propensity score is."""
    told = " and ".join(f"{_TOLD_BY[p.by]} they reach {p.ratio:.1f}" for p in propensity)
    return (
        "Could someone tell a synthetic row from a real one? Models that try are scored so that 1 is what a perfect "
        f"synthesis has and {propensity[0].other_people:.1f} what other people of the same kind would have: {told}."
    )


def odds(effects: tuple[Effect, ...], kind: str) -> str:
    """How many ratios say the same in real and synthetic rows, in a sentence; empty without any."""
    if not effects:
        return ""
    same = round(agreeing(effects) * len(effects))
    return (
        f"{same} of {len(effects)} {kind} lead to the same conclusion: no clear effect, or a clear one in the same "
        f"direction. The 95 % intervals overlap by {percent(mean_overlap(effects))} in the mean."
    )


def survived(survival: SurvivalComparison, policy: Policy) -> str:
    """How survival differs, in sentences."""
    assert policy.survival is not None, "survival is compared only where the policy asks for it"
    gap = survival.mean_difference
    return (
        f"The curves are at most {100 * survival.largest_difference:.1f} percentage points apart. Within "
        f"{survival.times[-1]:,.4g} of {policy.survival.time} the mean time before {policy.survival.event} is "
        f"{survival.mean_real:,.4g} in real rows; in synthetic ones it differs by {gap.value:+,.3g} "
        f"({gap.low:+,.3g} to {gap.high:+,.3g})."
    )


def ratio_rows(effects: tuple[Effect, ...]) -> list[tuple[str, list[Span]] | str]:
    """A heading for each column, and the two ratios of each of its labels."""
    found: list[tuple[str, list[Span]] | str] = []
    before = None
    for effect in effects:
        if effect.column != before:
            found.append(f"{effect.column}, beside {effect.reference}" if effect.level is not None else effect.column)
            before = effect.column
        pair = [
            Span("", ratio.value, ratio.low, ratio.high, tone)
            for ratio, tone in ((effect.real, "after"), (effect.synthetic, "synthetic"))
        ]
        found.append((effect.level if effect.level is not None else "one standard deviation", pair))
    return found


def _auc_spans(fidelity: Fidelity) -> list[Span | str]:
    found: list[Span | str] = []
    for answer in fidelity.answers:
        found.append(FAMILIES[answer.family])
        rows = (
            ("real or anonymized rows", answer.real, "after"),
            ("synthetic rows", answer.synthetic, "synthetic"),
            ("shuffled columns", answer.floor, "before"),
        )
        found += [Span(name, a.value, a.low, a.high, tone) for name, a, tone in rows]
    return found


def _curves(survival: SurvivalComparison) -> list[tuple[str, tuple[float, ...], tuple[float, ...], tuple[float, ...]]]:
    return [
        (tone, curve.survival, curve.low, curve.high)
        for tone, curve in (("after", survival.real), ("synthetic", survival.synthetic))
    ]
