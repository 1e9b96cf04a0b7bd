"""The forms in which a policy can ask for transformations of single columns; tasks.anonymization carries them out.

| key               | for columns of                    | what is released                                         |
|-------------------|-----------------------------------|----------------------------------------------------------|
| `bottom:`, `top:` | `kind: numeric` or `date`         | values beyond the limit as the limit itself              |
| `pseudonym: true` | `role: direct`                    | a keyed pseudonym in place of the value                  |
| `shift:`          | `kind: date`, role quasi or other | dates moved by secret days, the same for all of a person |

Ages are the standing example of `top:`: HIPAA's Safe Harbor has all over 89 aggregated into one category of 90 and
older (45 CFR 164.514(b)(2)(i)(C)), which is `top: 90`.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Protocol, Self

from pydantic import Field, model_validator

from tasks.common.hierarchy_forms import AllOrNothing, HierarchySpec, Intervals
from tasks.common.values import Value

Limit = float | dt.date


class Shift(Value):
    """Dates of a person move by one secret offset, uniform over -days to days without 0: `shift: {days: 365}`."""

    days: Annotated[int, Field(ge=1, le=3650)] = Field(description="Largest offset.")
    keep_weekday: bool = Field(False, description="Offsets are whole weeks, so that weekdays stay.")

    @model_validator(mode="after")
    def _leaves_a_choice(self) -> Self:
        if self.keep_weekday and self.days < 7:
            raise ValueError(f"offsets of whole weeks need `days` of 7 or more, but it is {self.days}")
        return self


class Transformed(Protocol):
    """What a column says that decides whether its transformations make sense."""

    @property
    def role(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def hierarchy(self) -> HierarchySpec | None: ...

    @property
    def bottom(self) -> Limit | None: ...

    @property
    def top(self) -> Limit | None: ...

    @property
    def pseudonym(self) -> bool | str: ...

    @property
    def shift(self) -> Shift | None: ...


def require_sense(column: Transformed) -> None:
    """Refuse transformations that do not fit the column's role and kind, or each other.

    Raises:
        ValueError: with what to do about it.
    """
    if column.pseudonym and column.role != "direct":
        raise ValueError(f"`pseudonym` is for the role `direct`, but the role is `{column.role}`")
    if column.pseudonym and column.kind == "text":
        raise ValueError("free text cannot get a pseudonym; say `kind: categorical` if it holds identifiers")
    if column.shift is not None and (column.kind != "date" or column.role not in {"quasi", "other"}):
        raise ValueError("`shift` needs `kind: date` and the role `quasi` or `other`")
    if column.bottom is not None or column.top is not None:
        _require_limits(column)


def _require_limits(column: Transformed) -> None:
    if column.role not in {"quasi", "sensitive", "other"}:
        raise ValueError(f"`bottom` and `top` are for columns that are released, but the role is `{column.role}`")
    if column.shift is not None:
        raise ValueError("`bottom` and `top` cannot be combined with `shift`: intervals between dates would not stay")
    for key, limit in (("bottom", column.bottom), ("top", column.top)):
        kind = "date" if isinstance(limit, dt.date) else "numeric"
        if limit is not None and kind != column.kind:
            raise ValueError(f"`{key}` of a column of `kind: {column.kind}` has to be {_a(column.kind)}")
    if column.bottom is not None and column.top is not None and not column.bottom < column.top:  # type: ignore[operator]
        raise ValueError("`bottom` has to be less than `top`")
    if column.role == "quasi":
        _require_open_labels(column)


def _a(kind: str) -> str:
    return {"numeric": "a number", "date": "a date, as in 1930-01-01"}.get(
        kind, "left out: it needs a number or a date"
    )


def _require_open_labels(column: Transformed) -> None:
    """A limit stands for everything beyond it, so every label that covers it has to cover all of that too."""
    hierarchy = column.hierarchy
    if isinstance(hierarchy, AllOrNothing):
        return
    if not isinstance(hierarchy, Intervals):
        raise ValueError("`bottom` and `top` of a quasi-identifier need a hierarchy of intervals, or `all-or-nothing`")
    if column.top is not None and (hierarchy.max is None or hierarchy.max > column.top):  # type: ignore[operator]
        raise ValueError(f"with `top: {column.top:g}` the intervals need a `max:` of {column.top:g} or less")
    if column.bottom is not None and (hierarchy.min is None or hierarchy.min <= column.bottom):  # type: ignore[operator]
        raise ValueError(f"with `bottom: {column.bottom:g}` the intervals need a `min:` above {column.bottom:g}")
