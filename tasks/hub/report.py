"""The report: one HTML file without a link to anywhere, the verdict first, for the people who have to decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tasks.attacks.score import Finding, Gate, Scorecard
from tasks.hub import bias, pictures, wording
from tasks.hub.dossier import Dossier, versions
from tasks.hub.pictures import Span
from tasks.hub.summary import headline, reason
from tasks.hub.wording import GOALS, by_goal, change, percent
from tasks.utility.distributions import Distribution

_HERE = Path(__file__).parent
_TONES = {Gate.PASSES: "good", Gate.FAILS: "bad", Gate.INCONCLUSIVE: "unsure"}
_FIT_POINTS = 60


def render(dossier: Dossier) -> str:
    """The report as HTML."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        d=dossier,
        account=dossier.release.account,
        css=Markup((_HERE / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - our own style sheet
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
        **_usefulness(dossier),
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


def _usefulness(dossier: Dossier) -> dict[str, Any]:
    found: dict[str, Any] = {"volume_points": [], "volume_fit": [], "auc_spans": [], "usefulness": ""}
    if dossier.volume:
        need = dossier.volume
        last = need.rows + need.add
        xs = [need.points[0].rows + (last - need.points[0].rows) * i / _FIT_POINTS for i in range(_FIT_POINTS + 1)]
        found["volume_points"] = [(float(p.rows), p.auc) for p in need.points]
        found["volume_fit"] = [(x, need.auc_at(int(x))) for x in xs]
    if dossier.fidelity:
        fidelity = dossier.fidelity
        rows = (
            ("anonymized rows", fidelity.auc_real, "after"),
            ("synthetic rows", fidelity.auc, "synthetic"),
            ("shuffled columns", fidelity.auc_floor, "before"),
        )
        found["auc_spans"] = [Span(name, a.value, a.low, a.high, tone) for name, a, tone in rows if a]
        found["usefulness"] = (
            "The synthetic rows are above it: "
            f"they keep {percent(fidelity.trends_closed)} of what pairs of columns say beyond it."
            if fidelity.useful
            else "The synthetic rows are not clearly above it, so none were added."
        )
    return found
