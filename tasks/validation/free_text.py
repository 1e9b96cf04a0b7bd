"""Telling free text from codes and names of things by content, without a value leaving the process.

What people type is rarely typed twice in the same words; what a system offers to choose from is chosen again and again,
however long it is. So text is free where many values occur only once and hold words. On the International Stroke Trial
its five columns of remarks have 39 to 75 % of values that occur once, its and other tables' coded columns below 4 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tasks.common import reading
from tasks.common.errors import TableError
from tasks.common.policy import Column, Kind
from tasks.common.table import Table

_LOOKED_AT = 100_000
_FEW_VALUES = 20
_WORD = r"(^|\s)\pL{2,}"
_SINGLE, _WORDS = 0.2, 1.3  # share of values that occur once; words in a mean distinct value
_SINGLE_LONG, _LONG = 0.05, 40  # the same share where a mean value has more characters than this
_WORDS_OF_FEW = 3.0  # in few values each occurs once, so only sentences tell


@dataclass(frozen=True)
class Prose:
    """Why a column is free text: the share of values that occur once, and words in a mean distinct value."""

    single: float
    words: float

    @property
    def reason(self) -> str:
        """Half a sentence."""
        return f"free text: {self.single:.0%} of its values occur only once, with {self.words:.1f} words in the mean"


def prose(values: pa.Array | pa.ChunkedArray) -> Prose | None:
    """Why these strings are free text, judged by the first 100,000, or None if they are not."""
    counts = values.drop_null().slice(0, _LOOKED_AT).value_counts()
    if len(counts) == 0:
        return None
    distinct, times = counts.field("values"), counts.field("counts")
    single = pc.sum(pc.equal(times, 1)).as_py() / pc.sum(times).as_py()
    words = pc.mean(pc.count_substring_regex(distinct, _WORD)).as_py()
    length = pc.mean(pc.utf8_length(distinct)).as_py()
    if pc.sum(times).as_py() <= _FEW_VALUES:
        free = single >= _SINGLE and words >= _WORDS_OF_FEW
    else:
        free = words >= _WORDS and (single >= _SINGLE or (length > _LONG and single >= _SINGLE_LONG))
    return Prose(single, words) if free else None


class Watch:
    """Columns of strings that are looked at batch by batch, as far as is needed to judge them."""

    def __init__(self, columns: list[str]) -> None:
        self._seen: dict[str, list[pa.Array]] = {name: [] for name in columns}

    def add(self, frame: pa.Table) -> None:
        """One more batch, with all of the columns."""
        for name, parts in self._seen.items():
            missing = _LOOKED_AT - sum(len(part) for part in parts)
            if missing > 0:
                parts.extend(frame[name].drop_null().slice(0, missing).chunks)

    def found(self) -> dict[str, Prose | None]:
        """By column why it is free text, or None."""
        return {
            name: prose(pa.chunked_array(parts, pa.string()) if parts else pa.array([], pa.string()))
            for name, parts in self._seen.items()
        }


def require_none(table: Table, columns: dict[str, Column], released: list[str]) -> None:
    """Refuse a table whose released columns hold free text.

    Raises:
        PolicyError: the table lacks a column.
        TableError: with every such column and why.
    """
    reading.require_columns(table, released)
    names = [name for name in released if columns[name].kind is Kind.CATEGORICAL]
    raw = table.read(names) if names else pa.table({})
    found = {name: prose(reading.as_kind(raw[name], name, columns[name])) for name in names}
    if told := [f"column `{name}` holds {why.reason}" for name, why in found.items() if why is not None]:
        raise TableError(f"{table.path.name}: {'; '.join(told)}; that is never released: say `role: drop`")
