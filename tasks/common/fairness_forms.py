"""What a policy may say about groups of people whom a model must not treat differently."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.common.values import Value

Labels = Literal["trusted", "biased"]
Mitigation = Literal["rows", "weights", "thresholds"]
Equalized = Literal["demographic_parity", "true_positive_rate_parity", "equalized_odds"]


class Fairness(Value):
    """Bias of the downstream model between groups of people."""

    protected: tuple[str, ...] = Field(min_length=1)
    tolerance: Annotated[float, Field(ge=0, le=1)] = Field(
        0.05, description="Largest acceptable difference of rates between groups."
    )
    labels: Labels = Field(
        "trusted",
        description="`biased` where the recorded outcome itself is wrong more often for some groups, as when a disease "
        "is looked for less in them. Error rates against such records mislead; how often groups are flagged does not.",
    )
    mitigation: tuple[Mitigation, ...] | None = Field(
        None,
        description="Drawing balancing synthetic `rows`, `weights` of rows, `thresholds` of the model for each group. "
        "If not given, rows and weights, or thresholds alone where labels are biased; none at all with [].",
    )
    equalize: Equalized = Field("demographic_parity", description="What thresholds make equal between groups.")

    @property
    def mitigations(self) -> tuple[Mitigation, ...]:
        """What is done, in this order."""
        if self.mitigation is None:
            return ("thresholds",) if self.labels == "biased" else ("rows", "weights")
        return tuple(one for one in ("rows", "weights", "thresholds") if one in self.mitigation)

    @model_validator(mode="after")
    def _labels_can_bear_it(self) -> Self:
        if self.labels == "biased" and self.equalize == "equalized_odds":
            raise ValueError(
                "`equalize: equalized_odds` makes errors against the recorded outcome equal, which `labels: biased` "
                "says cannot be trusted; use `demographic_parity`"
            )
        return self
