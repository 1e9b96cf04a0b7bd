"""Every kind of job by its name. A description says `{"kind": ...}`, and the evaluator reads it back as that job.

A job says its kind in a field that has only one value, `kind: Literal["matvec"] = "matvec"`. A new kind is one line
in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.common import descriptions
from tasks.encryption.inference.job import Inference
from tasks.encryption.job import Job
from tasks.encryption.jobs.aggregation import Aggregation
from tasks.encryption.jobs.kmeans import KMeansDistances, KMeansUpdate
from tasks.encryption.jobs.matvec import MatrixVector
from tasks.encryption.jobs.polygenic import Polygenic
from tasks.encryption.jobs.statistics import Statistics
from tasks.encryption.jobs.training import LogisticTraining
from tasks.encryption.regridding.zoom import Enlarge, Shrink

KINDS: dict[str, type[Job]] = {
    "aggregation": Aggregation,
    "enlarge": Enlarge,
    "inference": Inference,
    "kmeans-distances": KMeansDistances,
    "kmeans-update": KMeansUpdate,
    "logistic-training": LogisticTraining,
    "matvec": MatrixVector,
    "polygenic": Polygenic,
    "shrink": Shrink,
    "statistics": Statistics,
}


def read(description: str | bytes | Mapping[str, Any]) -> Job:
    """The job of a description, from JSON or what JSON was read to.

    Raises:
        InputError: it is no JSON, names no kind that is known, or its fields are not those of its kind. The message
            names fields, never what stands in them.
        ParametersError: the job would be impossible.
    """
    return descriptions.read(description, KINDS, "job")
