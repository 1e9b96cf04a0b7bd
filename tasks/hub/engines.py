"""Which engine made the synthetic rows, as the report and the knowledge base tell it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.common.privacy_forms import PrivateEngine
from tasks.common.synthesis_forms import AnyEngine, Engine
from tasks.synthesis.handles import MOST_EXCESS, Candidate

NAMES: dict[AnyEngine, str] = {
    Engine.CTGAN: "CTGAN",
    Engine.TVAE: "TVAE",
    Engine.COPULA: "Gaussian copula",
    Engine.TREES: "decision trees",
    PrivateEngine.MST: "MST",
    PrivateEngine.AIM: "AIM",
    PrivateEngine.DP_CTGAN: "DP-CTGAN",
}


def shown(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """What the template of this section needs."""
    spent = next((c.account.ledger for c in candidates if c.account and c.account.ledger), None)
    return {"engines_said": said(candidates), "engine_names": NAMES, "most_excess": MOST_EXCESS, "ledger": spent}


def said(candidates: Sequence[Candidate]) -> str:
    """Whose rows were taken, and why, in a sentence."""
    if not candidates:
        return ""
    champion, chosen = candidates[0], next((c for c in candidates if c.chosen), None)
    if chosen is None:
        return "The rows of no engine were useful enough and withstood the attacks, so none were added."
    if chosen is champion:
        return (
            f"The rows of {NAMES[chosen.engine]} were taken: the policy names it, and no other engine's passed better."
        )
    return (
        f"The rows of {NAMES[chosen.engine]} were taken: they were more useful than those of "
        f"{NAMES[champion.engine]}, which the policy names, or those did not pass."
    )


def figures(candidates: Sequence[Candidate]) -> dict[str, float]:
    """Numbers by name for the knowledge base: of each engine, and of the rows that were taken."""
    found: dict[str, float] = {}
    for candidate in candidates:
        if candidate.fidelity is None or candidate.copying is None:
            continue
        found[f"worth.{candidate.engine}"] = candidate.worth
        if candidate.account and candidate.account.ledger:
            found["epsilon"] = candidate.account.ledger.epsilon
        found[f"nearer_than_chance.{candidate.engine}"] = candidate.copying.excess
    return found
