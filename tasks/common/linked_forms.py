"""A set of tables about the same people: one row for each person in the base, any number in tables of events.

    base: patients.yaml                      # a policy with `table:`, `person:` and `pseudonym: true` on that column
    tables:
      stays:
        table: stays.parquet                 # has the person's identifier in a column called as in the base
        columns: {patient: {role: direct, pseudonym: true}, stay: {role: direct, pseudonym: true},
                  admitted: {role: other, kind: date, shift: {days: 365}}}
      diagnoses:
        table: diagnoses.parquet
        through: {table: stays, key: stay}   # names the stay, and `stays` says whose it was
        most_rows_per_person: 200
        count_bands: [1, 5, 20]
        columns: {stay: {role: direct, pseudonym: true}, icd: {role: sensitive}}

Quasi-identifiers stand in the base alone. What events say is sensitive or other; their dates are shifted.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from tasks.common import policy_file
from tasks.common.errors import PolicyError
from tasks.common.policy import Column, Kind, Policy, Role
from tasks.common.synthesis_forms import Constraints
from tasks.common.transformation_forms import Shift
from tasks.common.values import Value

BASE = "base"


class Through(Value):
    """Rows name the person by way of another table of the set."""

    table: str
    key: str = Field(description="Column of both tables; the other one says whose it is.")


class Events(Value):
    """A table with any number of rows for a person."""

    table: Path
    person: str | None = Field(None, description="Column of the person's identifier, if not called as in the base.")
    through: Through | None = None
    columns: dict[str, Column] = Field(min_length=1)
    most_rows_per_person: Annotated[int, Field(ge=1)] | None = Field(
        None, description="More rows of a person are left out, by random choice."
    )
    count_bands: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(
        None, description="Others may know how many rows a person has: from each of these on, people look alike."
    )
    constraints: Constraints = Field(Constraints(), description="What no synthetic row of this table may break.")

    @field_validator("count_bands")
    @classmethod
    def _rises(cls, bands: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if bands is not None and (not bands or any(later <= earlier for earlier, later in pairwise(bands))):
            raise ValueError("bands begin at rising numbers of rows, as in [1, 5, 20]")
        return bands

    @model_validator(mode="after")
    def _no_quasi_identifiers_and_no_dates(self) -> Self:
        for name, column in self.columns.items():
            if column.role is Role.QUASI:
                raise ValueError(
                    f"`{name}` is a quasi-identifier; they stand in the base, with one value for each person. "
                    "Give it another role here, or `drop` it"
                )
            if column.kind is Kind.DATE and name in self.released and column.shift is None:
                raise ValueError(f"`{name}` is a date of an event; give it `role: other` and a `shift:`, or `drop` it")
        if unknown := [name for name in self.constraints.columns if name not in self.released]:
            raise ValueError(f"constraints: `{unknown[0]}` is no column that is released as a value")
        if self.through is not None and self.person is not None:
            raise ValueError("the person is named by `person` or by `through`, not by both")
        return self

    @property
    def released(self) -> list[str]:
        """Columns that are released as values."""
        return [name for name, column in self.columns.items() if column.role in {Role.SENSITIVE, Role.OTHER}]

    @property
    def pseudonymous(self) -> list[str]:
        """Columns that are released as pseudonyms."""
        return [name for name, column in self.columns.items() if column.pseudonym]


class Linked(Value):
    """A set of tables as it is written."""

    base: Path = Field(description="The base's policy, relative to this file.")
    tables: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")], Events] = Field(min_length=1)

    @model_validator(mode="after")
    def _links_lead_somewhere(self) -> Self:
        if BASE in self.tables:
            raise ValueError(f"no table of events can be called `{BASE}`; that is the base's name")
        for name, events in self.tables.items():
            if events.through is not None:
                self._require_link(name, events, events.through)
        return self

    def _require_link(self, name: str, events: Events, through: Through) -> None:
        other = self.tables.get(through.table)
        if other is None or other.through is not None:
            raise ValueError(f"`{name}` goes through `{through.table}`, which is no table that names the person itself")
        for place, columns in ((name, events.columns), (through.table, other.columns)):
            if through.key not in columns or columns[through.key].role is not Role.DIRECT:
                raise ValueError(f"the key `{through.key}` has to be a column of `{place}` with the role `direct`")


class LinkedPolicy(Value):
    """A set with its base's policy. Paths are absolute."""

    base: Policy
    tables: dict[str, Events]

    @property
    def person(self) -> str:
        """The base's column of the person's identifier."""
        assert self.base.person is not None, "checked when the set was read"
        return self.base.person

    @property
    def shifts(self) -> set[Shift]:
        """How dates are shifted; all in the same way, once the set was read."""
        columns = [
            *self.base.columns.values(),
            *(c for events in self.tables.values() for c in events.columns.values()),
        ]
        return {column.shift for column in columns if column.shift is not None}


def read(path: Path) -> LinkedPolicy:
    """Read and check a set and its base's policy.

    Raises:
        InputError: a file is missing or not text.
        PolicyError: one says something impossible.
    """
    said = policy_file.read_as(Linked, path)
    folder = path.absolute().parent
    base = policy_file.read(folder / said.base)
    tables = {
        name: events.model_copy(update={"table": (folder / events.table).resolve()})
        for name, events in said.tables.items()
    }
    linked = LinkedPolicy(base=base, tables=tables)
    _require_base(linked, path)
    return linked


def _require_base(linked: LinkedPolicy, path: Path) -> None:
    base = linked.base
    if base.table is None or base.person is None:
        raise PolicyError(
            f"{path}: the base's policy needs `table:` and `person:`, by which the other tables are linked"
        )
    if not base.columns[base.person].pseudonym:
        raise PolicyError(
            f"{path}: the base's column `{base.person}` needs `pseudonym: true`, by which released tables are joined"
        )
    if len(linked.shifts) > 1:
        raise PolicyError(
            f"{path}: all `shift:` of a set have to be the same, or intervals between dates would not stay"
        )
    for name, events in linked.tables.items():
        if base.person in events.columns and events.columns[base.person].role is not Role.DIRECT:
            raise PolicyError(
                f"{path}: `{base.person}` names the person, so it needs the role `direct` in `{name}` too"
            )
        person = events.person or (base.person if events.through is None else None)
        if person is not None and (person not in events.columns or events.columns[person].role is not Role.DIRECT):
            raise PolicyError(
                f"{path}: `{name}` needs a column `{person}` with the role `direct`, which names the person; "
                "or say `person:` or `through:`"
            )
