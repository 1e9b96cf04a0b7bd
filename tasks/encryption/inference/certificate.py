"""What was measured when a plan was tried on people whose predictions are known: same decisions, and how far off.

Owner and evaluator here exchange envelopes and nothing else, as in a job; they are in one process only to be timed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import roc_auc_score

from tasks.common.errors import InputError
from tasks.common.store import write_text
from tasks.common.values import Value
from tasks.encryption import envelope
from tasks.encryption.ciphertext import Encrypted
from tasks.encryption.inference.job import Inference
from tasks.encryption.inference.network import Link
from tasks.encryption.parameters import Parameters
from tasks.encryption.session import Session


class Certificate(Value):
    """An inference beside its model.

    stated_error: of a predictor, by encryption and polynomials; approximation: the polynomials' share. largest_error:
    the most that one was off. decisions_differ: people for whom another class came out; undecidable: people whose
    predictor is so close to a threshold that the stated error could turn it. auc: under encryption and in plain, where
    labels are known. seconds: of the owner's encryption, of evaluation, and of decryption. bytes_sent, bytes_returned:
    envelopes.
    """

    origin: str
    plan: str
    layout: str
    parameters: Parameters
    depth: int
    degrees: tuple[int, ...]
    rows: int
    stated_error: float
    approximation: float
    largest_error: float
    decisions_differ: int | None
    undecidable: int | None
    auc: tuple[float, float] | None
    seconds: tuple[float, float, float]
    bytes_sent: int
    bytes_returned: int

    @property
    def holds(self) -> bool:
        """Whether nothing was further off than stated, and no decision differs without a stated reason."""
        return self.largest_error <= self.stated_error and (self.decisions_differ or 0) <= (self.undecidable or 0)

    def text(self) -> str:
        """For people."""
        p, (encrypting, evaluating, decrypting) = self.parameters, self.seconds
        lines = [
            f"{self.origin} under encryption, beside itself on {self.rows:,} people: "
            + ("the same within the stated error" if self.holds else "NOT within the stated error"),
            f"  predictor      off by {self.largest_error:.2g} at most; stated {self.stated_error:.2g}, of which "
            f"{self.approximation:.2g} for polynomials instead of activations",
        ]
        if self.decisions_differ is not None:
            lines.append(
                f"  decisions      {self.decisions_differ:,} differ; {self.undecidable:,} people are within the stated "
                "error of a threshold"
            )
        if self.auc is not None:
            lines.append(f"  AUC            {self.auc[0]:.6f} encrypted, {self.auc[1]:.6f} in plain")
        degrees = f", polynomials of degree {', '.join(map(str, self.degrees))}" if self.degrees else ""
        lines += [
            f"  parameters     {p.scheme.upper()}, degree {p.degree:,}, modulus of {sum(p.moduli_bits)} bits "
            f"({' + '.join(map(str, p.moduli_bits))}), scale of {p.scale_bits}, {p.security} bits of security",
            f"  plan           {self.plan}, {self.layout}, depth {self.depth}{degrees}",
            f"  time           {encrypting:.2f} s to encrypt, {evaluating:.2f} s to evaluate "
            f"({self.rows / evaluating:,.0f} people/s), {decrypting:.2f} s to decrypt",
            f"  traffic        {self.bytes_sent:,} bytes to the evaluator, {self.bytes_returned:,} back",
        ]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> None:
        """certificate.json and certificate.txt."""
        write_text(folder / "certificate.json", self.model_dump_json(indent=2) + "\n")
        write_text(folder / "certificate.txt", self.text())


def certify(
    job: Inference, owner: Session, evaluator: Session, data: ArrayLike, labels: ArrayLike | None = None
) -> Certificate:
    """Run a job on people, and compare with the plan's own model in plain.

    data: (rows, features). labels: bool (rows,), whether a person is of the second class, for the AUC.

    Raises:
        InputError: the labels do not fit.
        SecuredError: as for the job.
    """
    values, plan = np.asarray(data, dtype=np.float64), job.plan
    started = time.perf_counter()
    sent = {name: envelope.pack(message) for name, message in job.encrypt(owner, values).items()}
    encrypted = time.perf_counter()
    returned: dict[str, bytes] = {}
    for part in job.parts(list(sent)):
        given: dict[str, Encrypted] = {name: envelope.unpack(evaluator, sent[name]) for name in part}
        returned |= {name: envelope.pack(answer) for name, answer in job.evaluate(evaluator, given).items()}
    evaluated = time.perf_counter()
    answers = {name: envelope.unpack(owner, answer) for name, answer in returned.items()}
    result, error = job.decrypt(owner, answers), job.stated_error(answers)
    decrypted = time.perf_counter()
    size, plain = job.size(), job.plainly(values)
    activations = [layer.activation for layer in plan.layers if layer.activation]
    return Certificate(
        origin=plan.origin, plan=plan.fingerprint, layout=job.layout, parameters=size.parameters,
        depth=job.depth, degrees=tuple(activation.degree for activation in activations), rows=len(values),
        stated_error=error, approximation=plan.approximation,
        largest_error=float(np.abs(result["predictor"] - plain["predictor"]).max()),
        **_decided(job, result["predictor"], plain["predictor"], error),
        auc=None if labels is None else _auc(job, labels, result, plain),
        seconds=(encrypted - started, evaluated - encrypted, decrypted - evaluated),
        bytes_sent=sum(map(len, sent.values())), bytes_returned=sum(map(len, returned.values())),
    )  # fmt: skip


def _decided(job: Inference, encrypted: np.ndarray, plain: np.ndarray, error: float) -> dict[str, Any]:
    """How many decisions differ, and how many the error could turn: a logit near 0, or two that are nearly alike."""
    if job.plan.link not in (Link.LOGISTIC, Link.SOFTMAX):
        return {"decisions_differ": None, "undecidable": None}
    differ = int((job.plan.decisions(encrypted) != job.plan.decisions(plain)).sum())
    if job.plan.link is Link.LOGISTIC:
        near = np.abs(plain[:, 0]) <= error
    else:
        ordered = np.sort(plain, axis=1)
        near = ordered[:, -1] - ordered[:, -2] <= 2 * error
    return {"decisions_differ": differ, "undecidable": int(near.sum())}


def _auc(
    job: Inference, labels: ArrayLike, encrypted: dict[str, np.ndarray], plain: dict[str, np.ndarray]
) -> tuple[float, float]:
    truth = np.asarray(labels)
    if job.plan.outputs != 1 or truth.shape != (len(plain["predictor"]),) or len(np.unique(truth)) != 2:
        raise InputError("an AUC needs one predictor and a label of two kinds for every person")
    return tuple(float(roc_auc_score(truth, side["predictor"][:, 0])) for side in (encrypted, plain))  # type: ignore[return-value]
