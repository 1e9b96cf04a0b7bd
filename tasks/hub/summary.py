"""The outcome of a run in a few lines: for Prefect's pages and for the terminal."""

from __future__ import annotations

from tasks.attacks.score import Gate
from tasks.hub.dossier import Dossier
from tasks.hub.wording import GOALS, by_goal, percent


def headline(dossier: Dossier) -> str:
    """The verdict in a sentence."""
    context = {"public": "publicly"}.get(dossier.policy.context, f"in the context “{dossier.policy.context}”")
    if dossier.card.gate is Gate.FAILS:
        return f"Must not be shared {context}"
    if dossier.verdict and dossier.card.gate is Gate.PASSES:
        return f"May be shared {context}"
    return f"Not shown to be safe to share {context}"


def reason(dossier: Dossier) -> str:
    """Why: the worst attack and its bound beside the threshold, and what is missing where that cannot be told."""
    card, threshold = dossier.card, dossier.policy.threshold
    worst = card.worst_finding
    beyond = "stays below" if worst.high <= threshold else "reaches beyond"
    missing = f" That is for want of people: {card.shortage}." if card.shortage else ""
    return (
        f"The worst attack, {worst.name}, gains at most {percent(worst.high)} on people in the release "
        f"(best estimate {percent(worst.risk)}), which {beyond} the threshold of {percent(threshold)}.{missing}"
    )


def markdown(dossier: Dossier) -> str:
    """Score, gate and every attack as Markdown."""
    rows = [
        f"| {GOALS[goal][0]} | {f.name} | {percent(f.success)} | {percent(f.control)} | {f.risk:.3f} "
        f"| {f.low:.3f} – {f.high:.3f} |"
        for goal, findings in by_goal(dossier.card)
        for f in findings
    ]
    return "\n".join(
        [
            f"# {headline(dossier)}: score {dossier.card.score:.1f}",
            "",
            reason(dossier),
            "",
            "| goal | attack | success on released people | on the control | risk | bounds |",
            "|---|---|---|---|---|---|",
            *rows,
        ]
    )
