"""How each column is distributed before and after, for people to look at, and safe to be looked at.

Everything is counted in the release's vocabulary, and values that fewer than k original rows have are counted together:
the picture shows no more of the original than the release does.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa

from tasks.common.reading import floats
from tasks.common.values import Value

RARE = "(rare)"
MISSING = "(missing)"
_MOST_BARS = 12
_BINS = 8


class Distribution(Value):
    """Shares of a column's labels in [0, 1], in the original rows, the release and the synthetic rows (if any)."""

    column: str
    labels: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    synthetic: tuple[float, ...] | None


def distributions(before: pa.Table, after: pa.Table, synthetic: pa.Table | None, least: int) -> list[Distribution]:
    """Compare the columns of three tables in one vocabulary; labels with fewer than `least` rows before are rare."""
    return [
        _of_numbers(name, before[name], after[name], synthetic[name] if synthetic else None, least)
        if _is_number(after[name]) and len(after[name].unique()) > _MOST_BARS
        else _of_labels(name, before[name], after[name], synthetic[name] if synthetic else None, least)
        for name in after.column_names
    ]


def _is_number(values: pa.ChunkedArray) -> bool:
    return pa.types.is_integer(values.type) or pa.types.is_floating(values.type)


def _of_labels(
    name: str, before: pa.ChunkedArray, after: pa.ChunkedArray, synthetic: pa.ChunkedArray | None, least: int
) -> Distribution:
    words = [_words(values) for values in (before, after, synthetic) if values is not None]
    counts = {label: int(np.sum(words[0] == label)) for label in set(words[0])}
    common = sorted((label for label, count in counts.items() if count >= least), key=lambda x: (-counts[x], x))
    shown = _in_order(common[:_MOST_BARS])
    labels = [*shown, RARE]
    shares = [_shares(np.where(np.isin(part, shown), part, RARE), labels) for part in words]
    return _distribution(name, labels, shares)


def _of_numbers(
    name: str, before: pa.ChunkedArray, after: pa.ChunkedArray, synthetic: pa.ChunkedArray | None, least: int
) -> Distribution:
    parts = [floats(values) for values in (before, after, synthetic) if values is not None]
    low, high = np.nanquantile(parts[1], [0.01, 0.99])
    edges = np.linspace(low, high, _BINS + 1) if high > low else np.array([low, low + 1])
    labels = [f"{a:.4g} – {b:.4g}" for a, b in pairwise(edges)]
    # The outermost bins take what lies beyond them, so that no single extreme value shows.
    bins = [np.clip(np.searchsorted(edges, part, side="right") - 1, 0, len(labels) - 1) for part in parts]
    named = [
        np.where(np.isnan(part), MISSING, np.array([*labels, MISSING], dtype=object)[where])
        for part, where in zip(parts, bins, strict=True)
    ]
    held = {label: int(np.sum(named[0] == label)) for label in [*labels, MISSING]}
    shown = [label for label, count in held.items() if count >= least]
    every = [*shown, RARE]
    return _distribution(name, every, [_shares(np.where(np.isin(part, shown), part, RARE), every) for part in named])


def _distribution(name: str, labels: list[str], shares: list[np.ndarray]) -> Distribution:
    used = [index for index in range(len(labels)) if any(part[index] > 0 for part in shares)]
    columns = [tuple(float(part[index]) for index in used) for part in shares]
    return Distribution(
        column=name,
        labels=tuple(labels[index] for index in used),
        before=columns[0],
        after=columns[1],
        synthetic=columns[2] if len(columns) > 2 else None,
    )


def _shares(words: np.ndarray, labels: list[str]) -> np.ndarray:
    return np.array([np.mean(words == label) if len(words) else 0.0 for label in labels])


def _words(values: pa.ChunkedArray) -> np.ndarray:
    return np.array([MISSING if value is None else f"{value}" for value in values.to_pylist()], dtype=object)


def _in_order(labels: list[str]) -> list[str]:
    """Numbers and intervals by size, other labels as they came (most frequent first)."""
    starts = [_start(label) for label in labels]
    if any(start is None for label, start in zip(labels, starts, strict=True) if label != MISSING):
        return labels
    return [label for _, label in sorted(zip((np.inf if s is None else s for s in starts), labels, strict=True))]


def _start(label: str) -> float | None:
    try:
        return float(label.strip("[(").split(",")[0])
    except ValueError:
        return None
