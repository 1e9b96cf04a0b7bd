"""Date shifting: all dates of a person move by one secret offset, so intervals stay and calendar dates do not.

The offset is derived by HMAC from the owner's key and the person's identifier, so tables that are released apart agree,
and nothing has to be kept. It is uniform over -days to days without 0; whole weeks keep weekdays, as in MIMIC-III
(Johnson et al. 2016, Scientific Data 3), and leave a seventh of the choice. Shifting hides when something happened, not
how long it took: whoever knows two dates of a person knows an interval (Hripcsak et al. 2016, JAMIA 23(6)).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.anonymization.pseudonyms import as_text
from tasks.common.errors import PolicyError, TableError
from tasks.common.key_file import Key
from tasks.common.policy import Policy
from tasks.common.transformation_forms import Shift


def offset(person: str, key: Key, project: str, shift: Shift) -> int:
    """The person's offset in days.

    A 256-bit number modulo the 2n possible offsets is off uniform by less than 2n / 2^256.
    """
    return next(_offsets([person], key, project, shift))


def _offsets(people: list[str], key: Key, project: str, shift: Shift) -> Iterator[int]:
    step = 7 if shift.keep_weekday else 1
    most = shift.days // step
    for digest in key.derive_each("date-shift", project, str(step), str(most), last=people):
        drawn = int.from_bytes(digest, "big") % (2 * most)
        yield step * (drawn - most if drawn < most else drawn - most + 1)


def offsets(persons: pa.Array | pa.ChunkedArray, key: Key, project: str, shift: Shift) -> np.ndarray:
    """The offset of each row's person, int32 (rows,).

    Raises:
        TableError: a row names no person.
    """
    text = as_text(persons)
    if text.null_count:
        raise TableError(
            f"at least {text.null_count} rows name no person, so their dates cannot be shifted along with the person's "
            "other dates; complete them, or leave them out under `exclude:`"
        )
    encoded = text.dictionary_encode()
    of_person = list(_offsets(encoded.dictionary.to_pylist(), key, project, shift))
    return np.array(of_person, dtype=np.int32)[encoded.indices.to_numpy()]


def shifted(dates: pa.Array | pa.ChunkedArray, days: np.ndarray) -> pa.Array:
    """Dates (date32) moved by days, int (rows,); missing ones stay missing."""
    flat = dates.combine_chunks() if isinstance(dates, pa.ChunkedArray) else dates
    return pc.add(flat.cast(pa.int32()), pa.array(days, pa.int32())).cast(pa.date32())


def form(policy: Policy) -> Shift | None:
    """How the policy's dates are shifted, or None where none are.

    Raises:
        PolicyError: in more than one way, so that intervals between columns would not stay.
    """
    forms = {column.shift for column in policy.columns.values() if column.shift is not None}
    if len(forms) > 1:
        raise PolicyError(
            "the policy has different `shift:` for its dates; one for all keeps the intervals between them"
        )
    return next(iter(forms), None)


def no_person(policy: Policy) -> str:
    """Why dates of a policy that names no person are not shifted."""
    names = ", ".join(f"`{name}`" for name, column in policy.columns.items() if column.shift is not None)
    return (
        f"the dates in {names} cannot be shifted without `person:`, which says which rows belong together; where each "
        "row is a person of its own, name the column that numbers the rows"
    )


def released(
    table: pa.Table, persons: pa.Array | pa.ChunkedArray | None, policy: Policy, key: Key
) -> dict[str, pa.Array]:
    """By date column of the policy that is to be shifted its shifted dates.

    table: typed, with those columns. persons: identifiers of the person behind each row, where the policy names one.

    Raises:
        PolicyError: the policy names no person, so which dates belong together is not known.
        TableError: a row names no person.
    """
    shift = form(policy)
    if shift is None:
        return {}
    names = [name for name, column in policy.columns.items() if column.shift is not None]
    if persons is None:
        raise PolicyError(no_person(policy))
    days = offsets(persons, key, policy.name, shift)
    return {name: shifted(table[name], days) for name in names}
