"""Keyed pseudonyms: a person keeps one name in all releases of a project, and only the key's owner can tell whose.

A pseudonym is HMAC-SHA-256 (RFC 2104) of the identifier under the owner's key, cut to 128 bits. A plain hash would not
do: whoever can list all identifiers undoes it (ENISA 2019, Pseudonymisation techniques and best practices). Project and
column are part of the message: one project's pseudonyms say nothing about another's, and another key's are unlinkable.

Pseudonymous data is personal data (GDPR Art. 4(5), recital 26): a pseudonym ties a person's rows together, so whoever
recognises one row has them all. An attack has to treat it as the name of a person's rows, not as a value.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from tasks.common.key_file import Key
from tasks.common.policy import Column, Policy

_DIGITS = 32  # 128 bits: two of 2^40 people get the same with probability below 2^-48


def domain(name: str, column: Column) -> str:
    """What the column's pseudonyms are told apart by: its own name, or the one it shares with others."""
    return column.pseudonym if isinstance(column.pseudonym, str) else name


def pseudonym(identifier: str, key: Key, project: str, within: str) -> str:
    """32 hexadecimal digits for one identifier."""
    return key.derive("pseudonym", project, within, identifier).hex()[:_DIGITS]


def pseudonyms(values: pa.Array | pa.ChunkedArray, key: Key, project: str, within: str) -> pa.Array:
    """Pseudonyms of a column of identifiers, string (rows,); a missing one stays missing.

    project: the policy's name. within: see domain. Numbers are written without a decimal point where they are whole, so
    that a column gives the same pseudonyms however a file stores it.
    """
    encoded = as_text(values).dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    made = [digest.hex()[:_DIGITS] for digest in key.derive_each("pseudonym", project, within, last=texts)]
    return pa.array(made, pa.string()).take(encoded.indices)


def released(table: pa.Table, policy: Policy, key: Key) -> dict[str, pa.Array]:
    """By pseudonymous column of the policy its pseudonyms; table: typed, with those columns."""
    return {
        name: pseudonyms(table[name], key, policy.name, domain(name, policy.columns[name]))
        for name in policy.pseudonymous
    }


def as_text(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Identifiers as they are written, string (rows,)."""
    flat = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_dictionary(flat.type):
        flat = flat.cast(flat.type.value_type)
    if not pa.types.is_floating(flat.type):
        return flat.cast(pa.string())
    whole = pc.and_(pc.equal(flat, pc.round(flat)), pc.less(pc.abs(flat), 2.0**53))
    return pc.if_else(whole, flat.cast(pa.int64(), safe=False).cast(pa.string()), flat.cast(pa.string()))
