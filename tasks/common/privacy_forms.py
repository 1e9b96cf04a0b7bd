"""How a policy asks for differentially private synthesis; tasks.synthesis.private carries it out."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tasks.common.hierarchy_forms import Leaf
from tasks.common.values import Value


class PrivateEngine(StrEnum):
    """What learns the table under a privacy budget."""

    MST = "mst"  # noisy marginals of single columns and of a tree of pairs; the safe choice on small tables
    AIM = "aim"  # noisy marginals of those pairs that are approximated worst; slower, better with larger budgets
    DP_CTGAN = "dp-ctgan"  # CTGAN's networks, the discriminator trained by noisy gradients; for large tables


class Privacy(Value):
    """Differential privacy of the synthetic rows, for each row that they are learned from, or each person.

    There is no seed for the noise: whoever knew it could subtract it. It comes from the system's random source, so two
    runs with one policy differ unless the second reuses what the first has stored.
    """

    engine: PrivateEngine = PrivateEngine.MST
    epsilon: Annotated[float, Field(gt=0, le=100)] = Field(
        description="Whether one row is in or out changes no probability by more than a factor of e^epsilon."
    )
    delta: Annotated[float, Field(gt=0, le=1e-3)] = Field(
        1e-6,
        description="Probability by which that may fail; well below 1 / rows. Chosen without looking at the table.",
    )
    bins: Annotated[int, Field(ge=2, le=256)] = Field(32, description="Most intervals that numbers are counted in.")
    categories: dict[str, tuple[Leaf, ...]] = Field(
        default_factory=dict,
        description="Values that columns may have, by column. Others are found by noisy counts, out of the budget.",
    )
