"""A first policy for a table, guessed from names and values. Written to be read and corrected by a person.

Guesses err on the side of protection: what looks like an identifier is removed, what other people could know is
generalized, what nobody can tell is a quasi-identifier.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from tasks.common.policy import Kind, Role
from tasks.common.table import Table
from tasks.validation.free_text import prose

_NAMES = (
    r"((first|last|sur|full|given|family|maiden|middle)_?name|e?_?mail|phone|ssn|mrn|nhs_?n|passport|address|street)"
)
_NUMBERS = r"((^|_)(id|ids|name)(_|$)|(patient|encounter|subject|person|stay)_?(id|nbr|no|num))"
_SENSITIVE = (
    r"(diag|icd|result|outcome|disease|disea|death|died|status|hiv|cancer|therapy|drug|medic|lab|test|score|"
    r"readmi|allerg|smok|pregnan)"
)
_KNOWN_TO_OTHERS = (
    r"(age|sex|gender|race|ethnic|birth|dob|zip|post|city|town|county|state|country|region|site|hosp|clinic|ward|unit|"
    r"payor|payer|insur|marital|educ|income|occup|job|height|weight|bmi|admi|visit|day|date|month|year|hour|time|"
    r"group|class|special)"
)
_POSTCODE = r"(zip|post)"
_MANY_DISTINCT = 0.9
_FEW_DISTINCT = 20
_MANY_PEOPLE = 0.02  # distinct values of a column called id or name, as a share of rows, that make it a person's


@dataclass(frozen=True)
class Guess:
    """What a column seems to be, as it is written into the draft, and why."""

    name: str
    role: Role
    kind: Kind
    hierarchy: str | None
    reason: str


def draft(table: Table, name: str | None = None) -> str:
    """A commented YAML policy for a table. It passes `secured policy check`, but a person has to review the roles."""
    frame = table.read()
    frame = pa.table({column: _plain(frame[column]) for column in table.columns})
    guesses = [_guess(column, frame[column]) for column in table.columns]
    if not any(guess.role is Role.QUASI for guess in guesses):
        guesses = [_as_quasi(guess, frame[guess.name]) for guess in guesses]
    lines = [
        "# A first draft: every role below is a guess from names and values. Review each line before you rely on it.",
        "# direct: names a person, removed. quasi: others may know it, generalized. sensitive: what must stay private.",
        "# other: neither, released. drop: not needed, removed.",
        f"name: {name or _slug(table.path)}",
        f"table: {_scalar(str(table.path))}",
        *_person_line(guesses),
        "context: public        # or controlled, enclave; decides the threshold",
        "seed: 1",
        "columns:",
        *[line for guess in guesses for line in _column_lines(guess)],
        "criteria:",
        "  k: 5                 # people in the smallest group of look-alikes",
        "  suppression: 0.05    # share of rows that may be left out",
        "# The question the data shall answer; needed for volume and bias:",
        "# downstream: {target: COLUMN, positive: VALUE}",
        "# fairness: {protected: [COLUMN]}",
        "# Time to an event, for survival curves in real and synthetic rows:",
        "# survival: {time: COLUMN, event: COLUMN, positive: VALUE}",
    ]
    return "\n".join(lines) + "\n"


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Strings as strings, however they are stored."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    return values.cast(pa.string()) if pa.types.is_large_string(values.type) else values


def _guess(name: str, values: pa.ChunkedArray) -> Guess:
    word = name.lower()
    kind = _kind(values)
    known = values.drop_null()
    distinct = len(known.unique())
    if distinct < 2:
        return Guess(name, Role.DROP, Kind.CATEGORICAL, None, "has one value only" if distinct else "has no value")
    if kind is Kind.TEXT:
        found = prose(known)
        role = Role.DIRECT if re.search(_NAMES, word) else Role.DROP
        return Guess(name, role, kind, None, found.reason if found else "free text")
    if _identifies(word, kind, known, distinct):
        return Guess(name, Role.DIRECT, kind, None, "looks like an identifier")
    if re.search(_SENSITIVE, word):
        return Guess(name, Role.SENSITIVE, kind, None, "sounds like health")
    if re.search(_KNOWN_TO_OTHERS, word) or kind is Kind.DATE:
        return Guess(name, Role.QUASI, kind, _hierarchy(word, kind, values), "others may know it")
    if kind is Kind.NUMERIC and distinct > _FEW_DISTINCT:
        return Guess(name, Role.OTHER, kind, None, "a measurement")
    return Guess(name, Role.QUASI, kind, _hierarchy(word, kind, values), "cannot be told; protected to be safe")


def _identifies(word: str, kind: Kind, known: pa.ChunkedArray, distinct: int) -> bool:
    """Names and numbers of people: called so and of many values, or a different one in nearly every row."""
    if re.search(_NAMES, word) or len(known) <= _FEW_DISTINCT:
        return re.search(f"{_NAMES}|{_NUMBERS}", word) is not None
    whole = kind is Kind.CATEGORICAL or pa.types.is_integer(known.type)
    unique = whole and distinct > _MANY_DISTINCT * len(known)
    return unique or (re.search(_NUMBERS, word) is not None and distinct > _MANY_PEOPLE * len(known))


def _as_quasi(guess: Guess, values: pa.ChunkedArray) -> Guess:
    """A policy needs a quasi-identifier; where none was found, everything that is released becomes one."""
    if guess.role in {Role.DIRECT, Role.DROP}:
        return guess
    hierarchy = _hierarchy(guess.name.lower(), guess.kind, values)
    return Guess(guess.name, Role.QUASI, guess.kind, hierarchy, "no column is known to others for sure")


def _kind(values: pa.ChunkedArray) -> Kind:
    if pa.types.is_boolean(values.type):
        return Kind.CATEGORICAL
    if pa.types.is_date(values.type) or pa.types.is_timestamp(values.type):
        return Kind.DATE
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
        return Kind.NUMERIC if len(values.unique()) > 2 else Kind.CATEGORICAL
    if not pa.types.is_string(values.type):
        return Kind.CATEGORICAL
    return _kind_of_text(values.drop_null())


def _kind_of_text(known: pa.ChunkedArray) -> Kind:
    if len(known) == 0:
        return Kind.CATEGORICAL
    if pc.all(pc.match_substring_regex(known, r"^\d{4}-\d{2}-\d{2}$")).as_py():
        return Kind.DATE
    if pc.all(pc.match_substring_regex(known, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")).as_py():
        return Kind.NUMERIC if len(known.unique()) > 2 else Kind.CATEGORICAL
    return Kind.TEXT if prose(known) else Kind.CATEGORICAL


def _hierarchy(word: str, kind: Kind, values: pa.ChunkedArray) -> str:
    if kind is Kind.DATE:
        return "{dates: [month, quarter, year]}"
    if kind is Kind.CATEGORICAL:
        return "{prefix: [4, 3, 2, 1]}" if re.search(_POSTCODE, word) else "all-or-nothing"
    numbers = values.drop_null().cast(pa.float64())
    low, high = pc.min(numbers).as_py(), pc.max(numbers).as_py()
    whole = pc.all(pc.equal(numbers, pc.round(numbers))).as_py()
    width = max(_nice((high - low) / 20), 1.0 if whole else 0.0)
    return f"{{intervals: [{', '.join(f'{width * factor:g}' for factor in (1, 2, 4, 8))}]}}"


def _nice(width: float) -> float:
    """The nearest 1, 2 or 5 times a power of ten."""
    scale = 10.0 ** math.floor(math.log10(width)) if width > 0 else 1.0
    return min((1 * scale, 2 * scale, 5 * scale, 10 * scale), key=lambda nice: abs(nice - width))


def _column_lines(guess: Guess) -> list[str]:
    parts = [f"role: {guess.role}"]
    if guess.kind is not Kind.CATEGORICAL:
        parts.append(f"kind: {guess.kind}")
    if guess.hierarchy:
        parts.append(f"hierarchy: {guess.hierarchy}")
    return [f"  {_scalar(guess.name)}: {{{', '.join(parts)}}}   # {guess.reason}"]


def _person_line(guesses: list[Guess]) -> list[str]:
    ids = [g.name for g in guesses if g.role is Role.DIRECT and re.search(r"(patient|subject|person)", g.name.lower())]
    return [f"person: {_scalar(ids[0])}   # rows with the same value are one person"] if ids else []


def _scalar(text: str) -> str:
    return yaml.safe_dump(text, width=10_000, allow_unicode=True).removesuffix("\n...\n").strip()


def _slug(path: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:60] or "table"
