"""The report: one HTML file without a link to anywhere, the verdict first, for the people who have to decide."""

from __future__ import annotations

from typing import Any

from tasks.attacks.score import Finding, Gate, Scorecard
from tasks.common.style_sheet import style_sheet
from tasks.hub import bias, engines, pictures, usefulness, wording
from tasks.hub.dossier import Dossier, versions
from tasks.hub.pictures import Span
from tasks.hub.summary import headline, reason
from tasks.hub.wording import GOALS, by_goal, change, percent
from tasks.utility.distributions import Distribution

_TONES = {Gate.PASSES: "good", Gate.FAILS: "bad", Gate.INCONCLUSIVE: "unsure"}


def render(dossier: Dossier) -> str:
    """The report as HTML."""
    template = usefulness.environment().get_template("report.html.j2")
    return template.render(
        d=dossier,
        account=dossier.release.account,
        css=style_sheet(),
        headline=headline(dossier),
        reason=reason(dossier),
        tone=_TONES[dossier.card.gate],
        cards=_cards(dossier),
        columns=_columns(dossier),
        versions=versions(),
        pictures=pictures,
        wording=wording,
        pct=percent,
        tone_of=_TONES.__getitem__,
        spans_of=_attack_spans,
        tone_of_finding=_tone,
        series_of=_series,
        **usefulness.shown(dossier.policy, dossier.volume, dossier.fidelity),
        **engines.shown(dossier.candidates),
        bias=bias.view(dossier.fairness, dossier.policy) if dossier.fairness else None,
    )


def _cards(dossier: Dossier) -> list[tuple[str, Scorecard]]:
    if dossier.verdict is None:
        return [("Anonymized rows, best attempt", dossier.card)]
    cards = [("Anonymized rows", dossier.verdict.released)]
    if dossier.verdict.synthetic:
        cards.append(("Synthetic rows", dossier.verdict.synthetic))
    return cards


def _attack_spans(card: Scorecard) -> list[Span | str]:
    """A heading for each goal and the attacks of it, the one that sets the score in bold."""
    found: list[Span | str] = []
    for goal, findings in by_goal(card):
        found.append(GOALS[goal][0])
        found += [Span(f.name, f.risk, f.low, f.high, _tone(f, card.threshold), f.name == card.worst) for f in findings]
    return found


def _tone(finding: Finding, threshold: float) -> str:
    if finding.high <= threshold:
        return "good"
    return "bad" if finding.low > threshold else "unsure"


def _columns(dossier: Dossier) -> list[dict[str, Any]]:
    account = dossier.release.account
    return [
        {
            "name": name,
            "role": str(column.role),
            "change": change(dossier.policy, account, name),
            "loss": account.column_loss.get(name),
        }
        for name, column in dossier.policy.columns.items()
    ]


def _series(distribution: Distribution) -> list[tuple[str, tuple[float, ...]]]:
    series = [("before", distribution.before), ("after", distribution.after)]
    return series + ([("synthetic", distribution.synthetic)] if distribution.synthetic else [])
