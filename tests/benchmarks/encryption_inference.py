"""Encrypted inference: people per second on the evaluator's side beside TenSEAL's, and stroke patients beside plain.

Everybody is one process on one thread, and rounds alternate, so that what else the machine does falls on all alike.
TenSEAL 0.3.18 is a peer and no part of the project; without it (`pip install tenseal==0.3.18`) its rows are left out.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tasks.encryption import envelope, keys
from tasks.encryption.inference.certificate import Certificate, certify
from tasks.encryption.inference.evaluation import Layout
from tasks.encryption.inference.job import Inference
from tasks.encryption.inference.transformation import plan_of
from tasks.encryption.session import Session
from tests import stroke_trial
from tests.benchmarks import results
from tests.shared_data import shared_data_or_none

PACKAGES = ("Pyfhel", "numpy", "scikit-learn")
FEATURES, BATCHES, ROUNDS = 30, 4, 7
TARGET = 50_000
_LOCK = "a passphrase for benchmarks"
# What TenSEAL's tutorial 1, "Training and evaluation of logistic regression on encrypted data", evaluates with.
_TUTORIAL: tuple[int, list[int], int] = (4096, [40, 20, 40], 20)
# One that is as exact as a logit of a model that decides about people should be.
_EXACT: tuple[int, list[int], int] = (8192, [60, 40, 60], 40)


def main() -> None:
    """Measure and record."""
    head = ("who, one core", "people/s", "of the target", "logit off by")
    text = (
        f"A logistic model of {FEATURES} features, full batches. Evaluation alone where nothing else is said, with "
        f"ciphertexts already open. Best of {ROUNDS} alternating rounds; target {TARGET:,} people/s."
    )
    rows = _throughput()
    results.record("Encryption: logistic inference", f"{text}\n\n{results.table(head, rows)}", PACKAGES)
    path = shared_data_or_none(stroke_trial.FILE)
    if path is None:
        sys.stderr.write("inference: no stroke patients (SECURED_SHARED_DATA names the folder of their table)\n")
        return
    certificates = _stroke(path)
    text = "\n\n".join(f"```\n{certificate.text().strip()}\n```" for certificate in certificates)
    results.record("Encryption: outcome of 19,285 stroke patients", text, PACKAGES)


def _throughput() -> list[tuple[str, ...]]:
    rng = np.random.default_rng(0)
    people = rng.normal(size=(BATCHES * 2048, FEATURES))
    ill = people @ rng.normal(size=FEATURES) + rng.logistic(size=len(people)) > 0
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(people, ill)
    with tempfile.TemporaryDirectory() as folder:
        sides = [*_ours(Path(folder), model, people), *_tenseal(model, people)]
        best = [0.0] * len(sides)
        for _ in range(ROUNDS):
            for number, side in enumerate(sides):
                started = time.perf_counter()
                side.run()
                best[number] = max(best[number], side.count / (time.perf_counter() - started))
    found = [
        (side.name, f"{speed:,.0f}", f"{speed / TARGET:.2g}x", f"{side.off():.1g}")
        for side, speed in zip(sides, best, strict=True)
    ]
    sys.stderr.write("".join(f"inference: {row}\n" for row in found))
    return found


@dataclass(frozen=True)
class Side:
    """Somebody who evaluates `count` people in a run, and how far logits are off."""

    name: str
    count: int
    run: Callable[[], Any]
    off: Callable[[], float]


def _opened(folder: Path, job: Inference) -> tuple[Session, Session]:
    needs = job.needs()
    keys.make(folder, needs.parameters, _LOCK, rotations=needs.rotations, products=needs.products)
    return keys.open_owner(folder / "owner", _LOCK), keys.open_evaluator(folder / "evaluator")


def _ours(folder: Path, model: Any, people: np.ndarray) -> list[Side]:
    plan = plan_of(model, people)
    logits = model.decision_function(people)[:, None]
    found = []
    for precision in (1e-2, 1e-6):
        job = Inference(plan=plan, precision=precision)
        owner, evaluator = _opened(folder / f"columns {precision}", job)
        found += _columns(job, owner, evaluator, people, logits)
    row = Inference(plan=plan, layout=Layout.ROWS, precision=1e-2)
    owner, evaluator = _opened(folder / "row", row)
    sent = {name: envelope.unpack(evaluator, envelope.pack(c)) for name, c in row.encrypt(owner, people[:4]).items()}
    found.append(Side(
        f"ours, a person a ciphertext, degree {evaluator.parameters.degree:,}", 4,
        lambda: row.evaluate(evaluator, sent),
        lambda: _off(row, owner, row.evaluate(evaluator, sent), logits[:4]),
    ))  # fmt: skip
    return found


def _columns(job: Inference, owner: Session, evaluator: Session, people: np.ndarray, logits: np.ndarray) -> list[Side]:
    messages = {name: envelope.pack(ciphertext) for name, ciphertext in job.encrypt(owner, people).items()}
    sent = {name: envelope.unpack(evaluator, message) for name, message in messages.items()}

    def from_messages() -> None:
        given = {name: envelope.unpack(evaluator, message) for name, message in messages.items()}
        for ciphertext in job.evaluate(evaluator, given).values():
            envelope.pack(ciphertext)

    def off() -> float:
        return _off(job, owner, job.evaluate(evaluator, sent), logits)

    data = "+".join(map(str, evaluator.parameters.moduli_bits[:-1]))
    name = f"ours, degree {evaluator.parameters.degree:,}, modulus {data}"
    return [
        Side(name, len(people), lambda: job.evaluate(evaluator, sent), off),
        Side(f"{name}, with reading and writing of messages", len(people), from_messages, off),
    ]


def _off(job: Inference, owner: Session, answers: dict[str, Any], logits: np.ndarray) -> float:
    """How far logits are off; above what is stated, the benchmark ends."""
    opened = {name: envelope.unpack(owner, envelope.pack(answer)) for name, answer in answers.items()}
    off = float(np.abs(job.decrypt(owner, opened)["predictor"] - logits).max())
    if off > job.stated_error(opened):
        raise SystemExit(f"logits are off by {off:.2g}, more than stated")
    return off


def _tenseal(model: Any, people: np.ndarray) -> list[Side]:
    try:
        import tenseal
    except ImportError:
        sys.stderr.write("inference: no TenSEAL, so no peer\n")
        return []
    scaler, logistic = model[0], model[-1]
    scaled, logits = scaler.transform(people), model.decision_function(people)
    weights, bias = logistic.coef_[0].tolist(), float(logistic.intercept_[0])
    found = []
    for degree, bits, scale in (_TUTORIAL, _EXACT):
        context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, degree, coeff_mod_bit_sizes=bits, n_threads=1)
        context.global_scale = 2.0**scale
        context.generate_galois_keys()
        count, name = degree // 2, f"TenSEAL, degree {degree:,}, modulus {'+'.join(map(str, bits[:-1]))}"
        columns = [tenseal.ckks_vector(context, column) for column in scaled[:count].T]
        rows = [tenseal.ckks_vector(context, row) for row in scaled[:4]]

        def by_columns(columns: list[Any] = columns) -> Any:
            total = columns[0] * weights[0]
            for column, weight in zip(columns[1:], weights[1:], strict=True):
                total += column * weight
            return total + bias

        def by_rows(rows: list[Any] = rows) -> list[Any]:
            return [row.dot(weights) + bias for row in rows]

        def columns_off(run: Callable[[], Any] = by_columns, count: int = count) -> float:
            return float(np.abs(np.array(run().decrypt()) - logits[:count]).max())

        def rows_off(run: Callable[[], Any] = by_rows) -> float:
            return float(np.abs(np.array([row.decrypt()[0] for row in run()]) - logits[:4]).max())

        found.append(Side(f"{name}, CKKSVector a feature times a number", count, by_columns, columns_off))
        found.append(Side(f"{name}, CKKSVector a person, dot", 4, by_rows, rows_off))
    return found


def _stroke(path: Path) -> list[Certificate]:
    """A logistic model and a small network of all patients."""
    features, poor = stroke_trial.outcome(path)
    values = features.to_numpy()
    network = MLPClassifier(
        hidden_layer_sizes=(8,), activation="tanh", alpha=1.0, max_iter=100, early_stopping=True, random_state=0
    )
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number, last in enumerate((LogisticRegression(), network)):
            model = make_pipeline(StandardScaler(), last).fit(values, poor)
            job = Inference(plan=plan_of(model, values, tolerance=1e-5), precision=(1e-6, 1e-5)[number])
            owner, evaluator = _opened(Path(folder) / str(number), job)
            found.append(certify(job, owner, evaluator, values, poor))
            sys.stderr.write(f"inference: {found[-1].text()}")
    return found


if __name__ == "__main__":
    main()
