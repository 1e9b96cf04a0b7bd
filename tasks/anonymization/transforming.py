"""What the policy asks of single columns, done to rows as they stream past: coding, shifted dates, pseudonyms.

Wrapped rows have the same batches as those they wrap, so whatever counts, recodes and writes rows works on them, under
a policy in which pseudonyms are a column like any other that is released.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from tasks.anonymization import coding, date_shift, pseudonyms
from tasks.common.errors import PolicyError
from tasks.common.key_file import Key
from tasks.common.policy import Column, Kind, Policy, Role
from tasks.common.streaming import Rows
from tasks.common.transformation_forms import Shift


def as_released(policy: Policy) -> Policy:
    """The policy of transformed rows: pseudonyms are released as they are, and nothing is left to transform."""
    named = {name: Column(role=Role.OTHER, kind=Kind.CATEGORICAL) for name in policy.pseudonymous}
    plain = without_transformations(policy)
    return plain.model_copy(update={"columns": {name: named.get(name, c) for name, c in plain.columns.items()}})


def without_transformations(policy: Policy) -> Policy:
    """The policy of rows whose values were coded and shifted before, and which have no pseudonyms."""
    nothing = {"shift": None, "bottom": None, "top": None, "pseudonym": False}
    columns = {name: column.model_copy(update=nothing) for name, column in policy.columns.items()}
    return policy.model_copy(update={"columns": columns})


def transformed_columns(policy: Policy) -> list[str]:
    """Columns whose released values differ from their own before anything is generalized or rounded."""
    return [
        name
        for name, column in policy.columns.items()
        if column.pseudonym or column.shift or column.bottom is not None or column.top is not None
    ]


@dataclass(frozen=True)
class Transformed:
    """Rows with what the policy asks of single columns done to them. key: None where nothing is derived from it."""

    rows: Rows
    policy: Policy
    key: Key | None
    shift: Shift | None

    def parts(self, most: int) -> list[Rows]:
        """See tasks.common.streaming.Rows."""
        return [replace(self, rows=part) for part in self.rows.parts(most)]

    def batches(self, columns: Sequence[str], encoded: Collection[str] = ()) -> Iterator[list[pa.Array]]:
        """See tasks.common.streaming.Rows; dictionaries may hold a coded value more than once.

        Raises:
            TableError: a row whose dates are to be shifted names no person.
        """
        dates = [name for name in columns if self.policy.columns[name].shift is not None]
        person = [self.policy.person] if dates and self.policy.person is not None else []
        wanted = list(dict.fromkeys([*columns, *person]))
        for batch in self.rows.batches(wanted, [name for name in encoded if name not in dates]):
            arrays = dict(zip(wanted, batch, strict=True))
            made = {name: self._done(arrays[name], name) for name in columns if name not in dates}
            if dates:
                made |= self._shifted(arrays, dates)
            yield [_encoded(made[name]) if name in encoded else made[name] for name in columns]

    def _shifted(self, arrays: dict[str, pa.Array], dates: list[str]) -> dict[str, pa.Array]:
        assert self.key is not None, "asked for by `transformed`"
        assert self.shift is not None, "there are dates to shift"
        days = date_shift.offsets(arrays[self.policy.person or ""], self.key, self.policy.name, self.shift)
        return {name: date_shift.shifted(arrays[name], days) for name in dates}

    def _done(self, values: pa.Array, name: str) -> pa.Array:
        column = self.policy.columns[name]
        if pa.types.is_dictionary(values.type):
            return pa.DictionaryArray.from_arrays(values.indices, self._done(values.dictionary, name))
        if column.pseudonym and self.key is not None:
            within = pseudonyms.domain(name, column)
            return pseudonyms.pseudonyms(values, self.key, self.policy.name, within)
        return coding.coded(values, column)


def _encoded(values: pa.Array) -> pa.DictionaryArray:
    return values if pa.types.is_dictionary(values.type) else values.dictionary_encode()


def transformed(rows: Rows, policy: Policy, key: Key | None) -> Rows:
    """The rows as the policy has them before they are generalized; the same rows where it asks for nothing.

    Raises:
        PolicyError: a key is needed and not given; dates are to be shifted but no person is named, or in several ways.
    """
    names = transformed_columns(policy)
    if not names:
        return rows
    if policy.needs_key and key is None:
        raise PolicyError(
            f"the policy derives {', '.join(f'`{n}`' for n in names)} from the owner's key, and none was given; "
            "`secured key new FILE` makes one, --key FILE names it"
        )
    shift = date_shift.form(policy)
    if shift is not None and policy.person is None:
        raise PolicyError(date_shift.no_person(policy))
    return Transformed(rows, policy, key, shift)


def losses(before: Rows, after: Rows, policy: Policy) -> dict[str, float]:
    """By coded or shifted column what its mean cell lost, in [0, 1]; one more pass over those columns alone."""
    names = [name for name in transformed_columns(policy) if not policy.columns[name].pseudonym]
    measured = {name: coding.Moved() for name in names}
    if names:
        for old, new in zip(before.batches(names), after.batches(names), strict=True):
            for name, exact, released in zip(names, old, new, strict=True):
                measured[name].add(exact, released)
    return {name: moved.loss for name, moved in measured.items()}
