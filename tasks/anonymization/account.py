"""The account of a release: how it was made and what holds for it."""

from __future__ import annotations

from pydantic import Field

from tasks.common.recoding_forms import Method
from tasks.common.values import Value


class Anonymization(Value):
    """How a release was made and what holds for it. Shares and losses are in [0, 1].

    method: how quasi-identifiers were recoded. levels: by quasi-identifier its level, 0 unchanged, and top_levels the
    one at which only `*` is left; none where single cells or regions were decided on.
    k: people in the smallest class. l: fewest different secrets in a class, by sensitive column.
    loss: mean Normalized Certainty Penalty of a quasi-identifying cell. bound: no full-domain recoding loses less;
    equal to the loss where it is optimal, 0 where nothing is known.
    column_loss: what was lost by released column: that penalty, or the root mean square of what rounding, coding and
    shifting moved, in standard deviations, or 1 for a column that an adjustment dropped; suppressed rows count as lost.
    utility_loss: their weighted mean. cells: share of quasi-identifying cells of released rows that were suppressed.
    key: fingerprint of the key that pseudonyms or shifts were derived from.
    """

    method: Method = Method.FULL_DOMAIN
    rows_before: int
    rows_after: int
    suppressed: float
    k: int
    l: dict[str, int]  # noqa: E741 - the field's own name
    classes: int
    mean_class: float
    levels: dict[str, int]
    top_levels: dict[str, int]
    loss: float
    bound: float
    optimal: bool
    nodes: int
    column_loss: dict[str, float]
    utility_loss: float
    cells: float = 0.0
    rounding: dict[str, float]
    dropped: tuple[str, ...]
    criteria: tuple[str, ...]
    pseudonyms: tuple[str, ...] = Field((), description="Columns that are released as keyed pseudonyms.")
    key: str | None = None
