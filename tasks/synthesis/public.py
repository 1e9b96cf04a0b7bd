"""What is known of a table's columns without looking at its rows: what the policy says of them.

Labels of a generalized column are public where its hierarchy lists them, and ranges where the policy gives them. What
is not public has to be found by noisy counts, which costs budget; see tasks.synthesis.domain. Names and types of
columns count as public, and so do the levels a release was generalized to: privacy is for the rows of the release.
"""

from __future__ import annotations

import datetime as dt
import math

import pyarrow as pa
from pydantic import Field

from tasks.anonymization import hierarchies
from tasks.anonymization.account import Anonymization
from tasks.anonymization.hierarchies import Label
from tasks.common.errors import PolicyError
from tasks.common.hierarchy_forms import AllOrNothing, Intervals, Leaf
from tasks.common.policy import Column, Kind, Policy
from tasks.common.transformation_forms import Limit
from tasks.common.values import Value


class Declared(Value):
    """What is public of a column: its labels as words, or its range and the step its numbers are multiples of.

    Dates count as days since 1970. missing: whether values may be missing.
    """

    labels: tuple[str, ...] | None = None
    low: float | None = None
    high: float | None = None
    step: float | None = None
    missing: bool = True


class Public(Value):
    """What is public of a table.

    rows_per_person: most rows of one person, who are protected together. target: the column that others are asked
    about.
    """

    columns: dict[str, Declared] = Field(default_factory=dict)
    rows_per_person: int = 1
    target: str | None = None


def declared(policy: Policy, account: Anonymization | None = None) -> Public:
    """What a policy says of the released columns: of a release with its account, of rows as they are without.

    Raises:
        PolicyError: `categories:` names a column that is not released.
    """
    privacy = policy.synthesis.privacy
    categories = {} if privacy is None else privacy.categories
    if strange := [name for name in categories if name not in policy.released]:
        raise PolicyError(f"synthesis.privacy.categories names `{strange[0]}`, which is not a released column")
    columns = {name: _released(name, policy.columns[name], account) for name in policy.released}
    columns |= {name: _named(policy.columns[name], leaves) for name, leaves in categories.items()}
    target = policy.downstream.target if policy.downstream else None
    return Public(columns=columns, rows_per_person=policy.rows_per_person or 1, target=target)


def _released(name: str, column: Column, account: Anonymization | None) -> Declared:
    if account is None or column.hierarchy is None:
        return _generalized(name, column, 0)
    if name not in account.levels:
        return Declared()  # recoded region by region, by labels that no hierarchy lists
    listed = _generalized(name, column, account.levels[name])
    if listed.labels is None or not account.cells:
        return listed
    return listed.model_copy(update={"labels": tuple(dict.fromkeys([*listed.labels, hierarchies.ANY]))})


def _named(column: Column, leaves: tuple[Leaf, ...]) -> Declared:
    labels = [hierarchies.as_leaf(leaf, column.kind) for leaf in leaves if leaf is not None]
    return Declared(labels=tuple(_word(label) for label in labels), missing=None in leaves)


def _word(label: Label) -> str:
    """As Arrow writes it, which is how values of the release become words."""
    return pa.scalar(label).cast(pa.string()).as_py()


def _generalized(name: str, column: Column, level: int) -> Declared:
    missing = column.missing > 0
    leaves = hierarchies.listed_leaves(name, column)
    if leaves is not None:
        known = sorted({leaf for leaf in leaves if leaf is not None}, key=str)
        hierarchy = hierarchies.build(name, column, [*known, None])
        labels = hierarchy.labels[min(level, hierarchy.levels - 1)]
        words = dict.fromkeys(_word(label) for label in labels if label is not None)
        return Declared(labels=tuple(words), missing=missing and None in labels)
    if level == 0:
        return _raw(column, missing=missing)
    spec = column.hierarchy
    if isinstance(spec, AllOrNothing) or level > _levels(spec):
        return Declared(labels=(hierarchies.ANY,), missing=False)
    if isinstance(spec, Intervals) and spec.min is not None and spec.max is not None:
        return Declared(labels=_interval_labels(spec, spec.intervals[level - 1]), missing=missing)
    return Declared(missing=missing)


def _levels(spec: object) -> int:
    """Levels between the values themselves and `*`."""
    return next((len(getattr(spec, key)) for key in ("intervals", "prefix", "dates") if hasattr(spec, key)), 0)


def _interval_labels(spec: Intervals, width: float) -> tuple[str, ...]:
    assert spec.min is not None and spec.max is not None, "asked only for closed ranges"
    count = math.ceil(round((spec.max - spec.min) / width, 9))
    inside = [spec.min + place * width for place in range(count)]
    return tuple(hierarchies.interval_label(v, width, spec) for v in (-math.inf, *inside, spec.max))


def _raw(column: Column, *, missing: bool) -> Declared:
    if column.kind not in {Kind.NUMERIC, Kind.DATE}:
        return Declared(missing=missing)
    low, high = column.range or (None, None)
    bottom, top = _place(column.bottom), _place(column.top)
    return Declared(
        low=low if bottom is None else bottom, high=high if top is None else top, step=column.round, missing=missing
    )


def _place(limit: Limit | None) -> float | None:
    return float((limit - dt.date(1970, 1, 1)).days) if isinstance(limit, dt.date) else limit
