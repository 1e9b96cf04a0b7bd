"""What a policy may say about the use of a release: the questions it shall answer, and how well."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from tasks.common.hierarchy_forms import Leaf
from tasks.common.values import Value


class Downstream(Value):
    """The question the data shall answer: a classifier of `target`, which measures usefulness and bias."""

    target: str
    positive: Leaf = Field(description="The value of `target` that the classifier looks for.")
    features: tuple[str, ...] | None = Field(
        None, description="Columns it learns from; if not given, all released ones that are not sensitive."
    )


class Volume(Value):
    """How many rows are enough."""

    tolerance: Annotated[float, Field(gt=0, lt=0.5)] = Field(0.01, description="AUC that more rows would still gain.")
    max_factor: Annotated[float, Field(ge=1, le=100)] = Field(
        3.0, description="Most rows, as a multiple of the release."
    )


class Usefulness(Value):
    """When synthetic rows are useful."""

    gap: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.1, description="Largest loss of AUC beside the release that is still useful, by the boosting model."
    )


class Survival(Value):
    """Time to an event, which survival curves and hazard ratios are compared by."""

    time: str = Field(description="Numeric: how long each person was followed.")
    event: str
    positive: Leaf = Field(description="The value of `event` that says it happened; others were lost sight of before.")
    groups: tuple[str, ...] = Field((), description="Columns whose hazard ratios are compared.")

    @model_validator(mode="after")
    def _different_columns(self) -> Self:
        names = [self.time, self.event, *self.groups]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"`{twice[0]}` stands more than once; time, event and groups are different columns")
        return self
