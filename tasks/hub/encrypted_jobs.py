"""Jobs under encryption in the knowledge base: a run for each answer, with how it was done and at what cost.

Nothing of a result goes there, nor of what was encrypted; only the owner has these.
"""

from __future__ import annotations

import mlflow

from tasks.common.values import content_hash
from tasks.encryption.evidence import Evidence
from tasks.hub.knowledge_base import FINGERPRINT, register_once
from tasks.hub.registration import Registration

EXPERIMENT = "encrypted-job"


def register(evidence: Evidence) -> Registration:
    """Log a job as one run; the same answer a second time gives the first one's run.

    Raises:
        StorageError: the knowledge base cannot be reached or written.
    """
    fingerprint = content_hash([evidence.job, evidence.keys, evidence.answer])
    return register_once(EXPERIMENT, fingerprint, lambda experiment: _log(evidence, experiment, fingerprint))


def _log(evidence: Evidence, experiment: str, fingerprint: str) -> str:
    with mlflow.start_run(experiment_id=experiment, run_name=evidence.kind) as run:
        mlflow.set_tags(
            {
                FINGERPRINT: fingerprint,
                "secured.code": evidence.code_version,
                "mlflow.source.name": "secured encrypted-job",
                "mlflow.note.content": _note(evidence),
            }
        )
        mlflow.log_params(_parameters(evidence))
        mlflow.log_metrics(_metrics(evidence))
        mlflow.log_dict(evidence.model_dump(mode="json"), "evidence.json")
        return str(run.info.run_id)


def _note(evidence: Evidence) -> str:
    off = "exact" if evidence.error == 0 else f"off by at most {evidence.error:.2g}"
    off += f", but for a chance of {evidence.chance:.1g} each" if evidence.chance else ""
    return (
        f"**{evidence.kind}** on ciphertexts in {evidence.scheme.upper()} with {evidence.security} bits of security: "
        f"{off}. The evaluator got {evidence.messages_sent:,} ciphertexts and no key that decrypts; only the owner "
        f"of the keys {evidence.keys} has the result. All there is to know is in the artifact `evidence.json`."
    )


def _parameters(evidence: Evidence) -> dict[str, object]:
    told: dict[str, object] = {
        "kind": evidence.kind,
        "job_sha256": content_hash(evidence.job),
        "keys": evidence.keys,
        "scheme": evidence.scheme,
        "security": evidence.security,
    }
    if (needs := evidence.needs) is None:
        return told
    return told | {
        "degree": needs.parameters.degree,
        "moduli_bits": ", ".join(map(str, needs.parameters.moduli_bits)),
        "plain_bits": needs.parameters.plain_bits,
        "scale_bits": needs.parameters.scale_bits,
        "rotation_keys": len(needs.rotations),
        "products": needs.products,
    }


def _metrics(evidence: Evidence) -> dict[str, float]:
    names = (
        "error", "parts", "messages_sent", "messages_answered", "bytes_sent", "bytes_answered", "seconds_encrypting",
        "seconds_evaluating", "seconds_decrypting",
    )  # fmt: skip
    found = {name: getattr(evidence, name) for name in names}
    return {name: float(value) for name, value in found.items() if value is not None}
