"""The forms in which a policy can write a generalization hierarchy; tasks.anonymization is what they do to values."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_serializer, model_validator

from tasks.common.values import Value

Leaf = str | int | float | bool | None


class Intervals(Value):
    """Numbers become intervals [a, a + width), one level for each width; beyond min and max they are open."""

    intervals: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _widths_nest(self) -> Self:
        for narrow, wide in pairwise(self.intervals):
            ratio = wide / narrow
            if ratio <= 1 or abs(ratio - round(ratio)) > 1e-9:
                raise ValueError(
                    f"each interval width has to be a multiple of the one before, but {wide:g} is none of {narrow:g}"
                )
        if self.min is not None and self.max is not None:
            steps = (self.max - self.min) / self.intervals[0]
            if steps <= 0 or abs(steps - round(steps)) > 1e-9:
                raise ValueError(f"max - min has to be a positive multiple of the first width {self.intervals[0]:g}")
        return self


class Groups(Value):
    """Values become named groups, one mapping for each level; a later level groups the names of the one before."""

    groups: tuple[dict[str, tuple[Leaf, ...]], ...] = Field(min_length=1)


class Prefix(Value):
    """Codes keep only their first characters, one level for each length: postcodes, ICD codes."""

    prefix: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)

    @field_validator("prefix")
    @classmethod
    def _shrinks(cls, lengths: tuple[int, ...]) -> tuple[int, ...]:
        if any(later >= earlier for earlier, later in pairwise(lengths)):
            raise ValueError("prefix lengths have to shrink from level to level, as in [4, 3, 2]")
        return lengths


DatePart = Literal["week", "month", "quarter", "year", "decade"]


class Dates(Value):
    """Dates become weeks, months, quarters, years or decades, one level for each."""

    dates: tuple[DatePart, ...] = Field(min_length=1)

    @field_validator("dates")
    @classmethod
    def _coarsens(cls, parts: tuple[DatePart, ...]) -> tuple[DatePart, ...]:
        order = ["week", "month", "quarter", "year", "decade"]
        ranks = [order.index(part) for part in parts]
        if ranks != sorted(set(ranks)):
            raise ValueError(f"date parts have to coarsen from level to level, in the order {', '.join(order)}")
        if "week" in parts and len(parts) > 1:
            raise ValueError("weeks do not nest in months or years; use `week` alone")
        return parts


class HierarchyFile(Value):
    """A file in ARX's format: a line for each value, its levels from the value itself upwards, `;` between them."""

    csv: Path
    sha256: str | None = Field(None, description="Of the file; filled in when the policy is read.")


class AllOrNothing(Value):
    """No level between the value itself and `*`. Written `hierarchy: all-or-nothing`."""

    @model_serializer
    def _written(self) -> str:
        return "all-or-nothing"


def _hierarchy_form(value: Any) -> str:
    if value == "all-or-nothing" or isinstance(value, AllOrNothing):
        return "all-or-nothing"
    known = ("intervals", "groups", "prefix", "dates", "csv")
    for form in known:
        if (isinstance(value, dict) and form in value) or hasattr(value, form):
            return form
    return "unknown"


HierarchySpec = Annotated[
    Annotated[Intervals, Tag("intervals")]
    | Annotated[Groups, Tag("groups")]
    | Annotated[Prefix, Tag("prefix")]
    | Annotated[Dates, Tag("dates")]
    | Annotated[HierarchyFile, Tag("csv")]
    | Annotated[AllOrNothing, Tag("all-or-nothing")],
    Discriminator(
        _hierarchy_form,
        custom_error_type="hierarchy",
        custom_error_message=(
            "a hierarchy has one of the keys `intervals`, `groups`, `prefix`, `dates`, `csv`, "
            "or is the word `all-or-nothing`"
        ),
    ),
]
