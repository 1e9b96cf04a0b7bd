"""The knowledge base in MLflow: a run for each data flow, with parameters, scores, evidence and the released tables.

Nothing of the original goes there but its name, its hash and counts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import yaml
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset

from tasks.attacks.score import Gate, Scorecard
from tasks.common.hierarchy_forms import HierarchyFile
from tasks.common.identity import identity
from tasks.common.policy import Policy
from tasks.common.values import content_hash
from tasks.hub import bias, engines
from tasks.hub.dossier import Dossier, versions
from tasks.hub.knowledge_base import FINGERPRINT, register_once
from tasks.hub.registration import Registration
from tasks.hub.usefulness import figures

EXPERIMENT = "data-flow"


def register(dossier: Dossier, folder: Path) -> Registration:
    """Log a dossier and the files in `folder` as one run; the same dossier a second time gives the first one's run.

    Raises:
        StorageError: the knowledge base cannot be reached or written.
    """
    fingerprint = content_hash(identity(dossier))
    return register_once(EXPERIMENT, fingerprint, lambda experiment: _log(dossier, folder, experiment, fingerprint))


def _log(dossier: Dossier, folder: Path, experiment: str, fingerprint: str) -> str:
    passed = dossier.verdict is not None and dossier.verdict.gate is Gate.PASSES
    with mlflow.start_run(experiment_id=experiment, run_name=dossier.policy.name) as run:
        mlflow.set_tags(
            {
                FINGERPRINT: fingerprint,
                "secured.gate": str(dossier.card.gate),
                "secured.released": str(passed).lower(),
                "secured.code": dossier.code_version,
                "mlflow.source.name": "secured data-flow",
                "mlflow.note.content": _note(dossier),
                **{f"version.{name}": version for name, version in versions().items()},
            }
        )
        mlflow.log_params(_parameters(dossier))
        mlflow.log_metrics(_metrics(dossier))
        _log_attempts(dossier)
        _log_input(dossier)
        mlflow.log_artifacts(str(folder))
        return str(run.info.run_id)


def _note(dossier: Dossier) -> str:
    card = dossier.card
    return (
        f"**{dossier.policy.name}** for the context *{dossier.policy.context}*: score {card.score:.1f}, "
        f"gate **{card.gate}** (worst attack {card.worst}, upper bound {card.worst_finding.high:.3f}, "
        f"threshold {dossier.policy.threshold:.2f}). The whole story is in the artifact `report.html`."
    )


def _parameters(dossier: Dossier) -> dict[str, object]:
    policy, account = dossier.policy, dossier.release.account
    return {
        "policy": policy.name,
        "policy_sha256": policy.fingerprint(),
        "context": policy.context,
        "threshold": policy.threshold,
        "seed": policy.seed,
        "table": dossier.source.path.name,
        "table_sha256": dossier.source.sha256,
        "k": account.k,
        "recoding": str(account.method),
        "criteria": ", ".join(account.criteria),
        "suppression_limit": policy.criteria.suppression,
        "epochs": policy.synthesis.epochs or "auto",
        "engine": next((str(c.engine) for c in dossier.candidates if c.chosen), "none"),
        **{f"level.{name}": f"{level} of {account.top_levels[name]}" for name, level in account.levels.items()},
        **{f"rounding.{name}": step for name, step in account.rounding.items()},
        **({"pseudonyms": ", ".join(account.pseudonyms)} if account.pseudonyms else {}),
        **({"key_fingerprint": account.key} if account.key else {}),
    }


def _metrics(dossier: Dossier) -> dict[str, float]:
    account = dossier.release.account
    found = {
        "score": dossier.card.score,
        "rows_original": account.rows_before,
        "rows_released": account.rows_after,
        "suppressed": account.suppressed,
        "cells_suppressed": account.cells,
        "loss": account.loss,
        "utility_loss": account.utility_loss,
        "people_in_smallest_class": account.k,
        "adjustments": len(dossier.steps),
        **_risks("", dossier.card),
    }
    if dossier.verdict and dossier.verdict.synthetic:
        found |= {
            "score_synthetic": dossier.verdict.synthetic.score,
            **_risks("synthetic.", dossier.verdict.synthetic),
        }
    found |= engines.figures(dossier.candidates)
    if dossier.fidelity:
        found |= figures(dossier.fidelity)
    if dossier.fairness:
        found |= bias.metrics(dossier.fairness)
    return {name: float(value) for name, value in found.items()}


def _risks(prefix: str, card: Scorecard) -> dict[str, float]:
    """Upper bounds, and the further figures that attacks are reported by."""
    bounds = {f"risk_upper.{prefix}{finding.name}": finding.high for finding in card.attacks}
    figures = {f"{key}.{prefix}{f.name}": figure for f in card.attacks for key, figure in f.extras.items()}
    return bounds | figures


def _log_attempts(dossier: Dossier) -> None:
    """Score and loss of each attempt as a curve over the adjustments."""
    for number, attempt in enumerate(dossier.attempts):
        mlflow.log_metrics(
            {
                "attempt.score": attempt.card.score,
                "attempt.risk_upper": attempt.card.worst_finding.high,
                "attempt.utility_loss": attempt.release.account.utility_loss,
            },
            step=number,
        )


def _log_input(dossier: Dossier) -> None:
    source = CodeDatasetSource(tags={"mlflow.source.type": "LOCAL", "rows": str(dossier.source.rows)})
    dataset = MetaDataset(source, name=dossier.source.path.name, digest=dossier.source.sha256[:16])  # type: ignore[abstract]
    mlflow.log_input(dataset, context="original, stays with its owner")


def evidence_files(dossier: Dossier) -> dict[str, str]:
    """The evidence as text files by name: the policy with its hierarchies, the score card, everything as JSON."""
    policy, hierarchies = _portable(dossier.policy)
    return {
        "policy.yaml": yaml.safe_dump(policy, sort_keys=False, allow_unicode=True),
        **hierarchies,
        "scorecard.json": json.dumps(dossier.card.model_dump(mode="json"), indent=2) + "\n",
        "evidence.json": json.dumps(_without_paths(dossier), indent=2) + "\n",
        **(bias.files(dossier.fairness) if dossier.fairness else {}),
    }


def _portable(policy: Policy) -> tuple[dict[str, Any], dict[str, str]]:
    """The policy as it can be read again anywhere: its hierarchy files beside it, by name.

    A population's table stays with its owner; its name and hash say which one has to be laid there to read it.
    """
    written = policy.model_dump(mode="json", exclude={"table"}, exclude_defaults=True)
    files = {}
    for name, column in policy.columns.items():
        if isinstance(column.hierarchy, HierarchyFile):
            written["columns"][name]["hierarchy"] = {"csv": f"hierarchy-{name}.csv"}
            files[f"hierarchy-{name}.csv"] = column.hierarchy.csv.read_text(encoding="utf-8")
    for name, closeness in policy.criteria.t.items():
        if isinstance(closeness.hierarchy, HierarchyFile):
            written["criteria"]["t"][name]["hierarchy"] = {"csv": f"hierarchy-t-{name}.csv"}
            files[f"hierarchy-t-{name}.csv"] = closeness.hierarchy.csv.read_text(encoding="utf-8")
    for key in ("presence", "k_map", "risk"):
        holder = getattr(policy.criteria, key)
        if holder is not None and holder.population is not None:
            written["criteria"][key]["population"]["path"] = holder.population.path.name
    return written, files


def _without_paths(dossier: Dossier) -> dict[str, object]:
    """The dossier as JSON; where files lie on the owner's machine is nobody's business."""
    hidden = {"path", "selection", "csv"}

    def strip(value: object) -> object:
        if isinstance(value, dict):
            return {key: strip(item) for key, item in value.items() if key not in hidden}
        if isinstance(value, list):
            return [strip(item) for item in value]
        return value

    dumped = dossier.model_dump(mode="json", exclude={"policy": {"table"}})
    return {"versions": versions(), **strip(dumped)}  # type: ignore[dict-item]
