"""From a model in a file, and people it will see the like of, to a job and the certificate that it says the same.

The certificate's keys are made for it and thrown away. Owner and evaluator are one process, which has the data anyway.
"""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.common.errors import InputError, TableError
from tasks.common.seeds import generator
from tasks.common.table import open_table
from tasks.common.values import Value
from tasks.encryption import keys, plaintexts
from tasks.encryption.inference import files
from tasks.encryption.inference.certificate import Certificate, certify
from tasks.encryption.inference.evaluation import Layout
from tasks.encryption.inference.job import Inference
from tasks.encryption.inference.models import network_of, response_of
from tasks.encryption.inference.transformation import MARGIN, TOLERANCE, require_parity, transformed

TENSORS = ".safetensors"


class Asked(Value):
    """What a job is made of.

    model: .skops, or .safetensors with its description. data: a table of the model's features, or an array (.npy).
    target: a column of the table that is no feature, with two values. layout, precision: of the job; tolerance and
    margin: as in `transformed`.
    """

    model: Path
    description: Path | None = None
    data: Path
    target: str = ""
    layout: Layout = Layout.COLUMNS
    precision: float = 1e-4
    tolerance: float = TOLERANCE
    margin: float = MARGIN


def made(asked: Asked) -> tuple[Inference, np.ndarray]:
    """The job, and the people of the data: float64 (rows, features).

    Raises:
        InputError, TableError: a file cannot be read, or does not fit the model.
        ParametersError: the model cannot be evaluated under encryption, or not as exactly as asked.
    """
    tensors = asked.model.suffix == TENSORS
    if tensors != (asked.description is not None):
        raise InputError(f"a {TENSORS} file needs a description of its layers (--description), other models have none")
    model = None if tensors else files.from_skops(asked.model)
    network = files.from_safetensors(asked.model, asked.description) if asked.description else network_of(model)
    names = network.features or _columns(asked, network.weights[0].shape[1])
    people = _array(asked.data) if asked.data.suffix == ".npy" else _rows(asked.data, names)
    plan = transformed(network, people, margin=asked.margin, tolerance=asked.tolerance)
    if model is not None:
        require_parity(plan, people, response_of(model, people))
    if names:
        plan = plan.model_copy(update={"features": names})
    job = Inference(plan=plan, layout=asked.layout, precision=asked.precision)
    job.size()
    return job, people


def labels(asked: Asked) -> np.ndarray | None:
    """Whether each person has the greater of the target's two values; None without a target.

    Raises:
        TableError: there is no such column, or it has not two values.
    """
    if not asked.target:
        return None
    table = open_table(asked.data)
    if asked.target not in table.columns:
        raise TableError(f"{asked.data.name} has no column `{asked.target}`; it has {', '.join(table.columns)}")
    values = table.read([asked.target])[asked.target].combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    found = sorted(values.unique().to_pylist(), key=lambda value: (value is None, value))
    if len(found) != 2 or values.null_count:
        raise TableError(f"column `{asked.target}` has {len(found)} different values; a certificate's AUC needs two")
    return np.asarray(values.to_pylist()) == found[1]


def certified(job: Inference, people: np.ndarray, truth: np.ndarray | None, most: int, seed: int = 0) -> Certificate:
    """The job beside its model on at most so many of the people, drawn by lot."""
    chosen = np.sort(generator(seed, "certificate").permutation(len(people))[:most])
    needs = job.needs()
    with tempfile.TemporaryDirectory() as name:
        folder, passphrase = Path(name) / "keys", secrets.token_hex(32)
        keys.make(folder, needs.parameters, passphrase, rotations=needs.rotations, products=needs.products)
        owner, evaluator = keys.open_owner(folder / "owner", passphrase), keys.open_evaluator(folder / "evaluator")
    return certify(job, owner, evaluator, people[chosen], None if truth is None else truth[chosen])


def _columns(asked: Asked, inputs: int) -> tuple[str, ...]:
    """The features of a model that does not name them: the table's other columns, in their order."""
    if asked.data.suffix == ".npy":
        return ()
    names = tuple(name for name in open_table(asked.data).columns if name != asked.target)
    if len(names) != inputs:
        raise InputError(
            f"the model names no features and takes {inputs}; {asked.data.name} has {len(names)} columns besides the "
            "target: leave in it those of the model, in its order"
        )
    return names


def _array(path: Path) -> np.ndarray:
    found: Any = plaintexts.read(path, ())
    return np.asarray(found, dtype=np.float64)


def _rows(path: Path, names: tuple[str, ...]) -> np.ndarray:
    return np.asarray(plaintexts.read(path, names), dtype=np.float64)
