"""Every program by its name. A description says `{"kind": ..., "parties": ...}` and is read back as the program.

A new program is one line in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpc_programs.association import Association
from mpc_programs.inference import Inference
from mpc_programs.joint_auc import JointAuc
from mpc_programs.mean_variance import MeanVariance
from mpc_programs.quantile import Quantile
from mpc_programs.regression_training import RegressionTraining
from mpc_programs.secure_sum import SecureSum
from mpc_programs.survival import Survival
from mpc_programs.tree_inference import TreeInference
from tasks.common import descriptions
from tasks.mpc.program import Program

KINDS: dict[str, type[Program]] = {
    "association": Association,
    "inference": Inference,
    "joint_auc": JointAuc,
    "mean_variance": MeanVariance,
    "quantile": Quantile,
    "regression_training": RegressionTraining,
    "secure_sum": SecureSum,
    "survival": Survival,
    "tree_inference": TreeInference,
}


def read(description: str | bytes | Mapping[str, Any]) -> Program:
    """The program of a description, from JSON or what JSON was read to.

    Raises:
        InputError: it is no JSON, names no program that is known, or its fields are not those of the program.
        ParametersError: the program would be impossible.
    """
    return descriptions.read(description, KINDS, "program")
