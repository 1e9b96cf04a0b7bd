"""What synthetic rows shall be like: values, ranges and shares, as masks over rows and as wishes that an engine takes.

A generalized label fulfils a range if all that it covers does. Shares become strata, one for each combination of the
values that have a share of their own (and of "any other"), whose sizes add up to the rows that are asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.attacks import space
from tasks.common.errors import ConditionsNotReached, PolicyError
from tasks.common.policy import Kind, Policy
from tasks.common.synthesis_forms import Condition, Shares, Span
from tasks.synthesis.coded import Given
from tasks.synthesis.columns import Columns


@dataclass(frozen=True)
class AnyOf:
    """One of these values, as text; None for a missing one. `others` turns it around: any value but these."""

    values: tuple[str | None, ...]
    others: bool = False


Wish = AnyOf | Span


@dataclass(frozen=True)
class Stratum:
    """So many rows that fulfil one wish for each column."""

    wishes: Mapping[str, Wish]
    rows: int


def strata(conditions: Mapping[str, Condition], rows: int) -> list[Stratum]:
    """The strata of `rows` rows; one without wishes where there are no conditions."""
    firm: dict[str, Wish] = {}
    shared: dict[str, list[tuple[AnyOf, float]]] = {}
    for name, condition in conditions.items():
        if isinstance(condition, Shares):
            parts = [(AnyOf((value,)), share) for value, share in condition.shares.items()]
            shared[name] = [*parts, (AnyOf(tuple(condition.shares), others=True), condition.rest)]
        elif isinstance(condition, Span):
            firm[name] = condition
        else:
            firm[name] = AnyOf(tuple(_word(v) for v in (condition if isinstance(condition, tuple) else (condition,))))
    combinations = list(itertools.product(*shared.values()))
    sizes = _whole(np.array([np.prod([share for _, share in parts]) for parts in combinations]) * rows, rows)
    return [
        Stratum(firm | dict(zip(shared, (wish for wish, _ in parts), strict=True)), int(size))
        for parts, size in zip(combinations, sizes, strict=True)
        if size
    ]


def fulfilled(table: pa.Table, wishes: Mapping[str, Wish], policy: Policy) -> np.ndarray:
    """Which rows fulfil all wishes, bool (rows,).

    Raises:
        PolicyError: a range is asked of a column that is neither numeric nor a date.
    """
    found = np.ones(table.num_rows, dtype=bool)
    for name, wish in wishes.items():
        found &= _within(table[name], name, wish, policy) if isinstance(wish, Span) else _any_of(table[name], wish)
    return found


def require_possible(release: pa.Table, wishes: Mapping[str, Wish], policy: Policy) -> None:
    """Raises: ConditionsNotReached: no row to learn from fulfils one of the wishes."""
    for name, wish in wishes.items():
        if not fulfilled(release, {name: wish}, policy).any():
            raise ConditionsNotReached(
                f"synthesis.conditions: no row to learn from has `{name}` {said(wish)}; such rows cannot be learned"
            )


def given(columns: Columns, wishes: Mapping[str, Wish], policy: Policy) -> Given | None:
    """The wish that the fewest rows fulfil by chance, for an engine that takes one; None if none is of a category."""
    best: tuple[float, Given] | None = None
    for place, category in enumerate(columns.categories.values()):
        of_it = {name: wish for name, wish in wishes.items() if name in category.values.column_names}
        if not of_it:
            continue
        right = category.counts * fulfilled(category.values, of_it, policy)
        shares = np.concatenate([right[: category.common], [right[category.common :].sum()]])[: category.size]
        chance = float(shares.sum() / category.counts.sum())
        if shares.any() and (best is None or chance < best[0]):
            codes = np.flatnonzero(shares)
            best = (chance, Given(place, codes, shares[codes].astype(float)))
    return best[1] if best else None


def said(wish: Wish) -> str:
    """A wish in words."""
    if isinstance(wish, AnyOf):
        values = ", ".join("missing" if value is None else f"`{value}`" for value in wish.values)
        return f"other than {values}" if wish.others else f"= {values}" if len(wish.values) == 1 else f"in {values}"
    if wish.least is None or wish.most is None:
        return f"up to {wish.most}" if wish.least is None else f"from {wish.least}"
    return f"within {wish.least} and {wish.most}"


def words(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values as the policy writes them: whole numbers without decimals, booleans as true and false."""
    if pa.types.is_floating(values.type):
        distinct = values.unique()
        text = pa.array([None if v is None else f"{v:.15g}" for v in distinct.to_pylist()], pa.string())
        return pc.take(text, pc.index_in(values, value_set=distinct))
    return values.cast(pa.string())


def _any_of(values: pa.ChunkedArray, wish: AnyOf) -> np.ndarray:
    found = pc.is_in(words(values), value_set=pa.array([v for v in wish.values if v is not None], pa.string()))
    if None in wish.values:
        found = pc.or_(found, values.is_null())
    return found.to_numpy() ^ wish.others


def _within(values: pa.ChunkedArray, name: str, wish: Span, policy: Policy) -> np.ndarray:
    if policy.columns[name].kind not in {Kind.NUMERIC, Kind.DATE}:
        kind = policy.columns[name].kind
        raise PolicyError(f"synthesis.conditions: `{name}` is {kind} and has no ranges; list values")
    covered = space.spans(name, policy.columns[name], values)
    with np.errstate(invalid="ignore"):  # missing ones lie nowhere
        return (covered[:, 0] >= _end(wish.least, -np.inf)) & (covered[:, 1] <= _end(wish.most, np.inf))


def _end(value: object, otherwise: float) -> float:
    return otherwise if value is None else space.position(value)  # type: ignore[arg-type]


def _whole(sizes: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers nearest to sizes that add up to the total (largest remainders)."""
    found = np.floor(sizes + 1e-9).astype(np.int64)
    order = np.argsort(-(sizes - found), kind="stable")
    found[order[: total - found.sum()]] += 1
    return found


def _word(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.15g}" if isinstance(value, float) else str(value)
