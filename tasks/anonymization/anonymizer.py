"""From a table to a release: group, search, recode, suppress, round, shuffle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.anonymization import classes as equivalence
from tasks.anonymization import hierarchies
from tasks.anonymization.criteria import Criterion, DistinctDiversity, KAnonymity
from tasks.anonymization.hierarchies import Hierarchy
from tasks.anonymization.lattice import Lattice
from tasks.anonymization.plan import Plan
from tasks.anonymization.search import Solution, search
from tasks.common.errors import TableError, ThresholdNotReached
from tasks.common.policy import Policy, Role
from tasks.common.values import Value

_REMOVED = (Role.DIRECT, Role.DROP)


class Anonymization(Value):
    """How a release was made and what holds for it. Shares and losses are in [0, 1].

    levels: level by quasi-identifier, 0 unchanged; top_levels the level at which only `*` is left.
    k: people in the smallest class. l: fewest different secrets in a class, by sensitive column.
    loss: mean Normalized Certainty Penalty of a quasi-identifying cell, bound: no recoding loses less.
    column_loss: what was lost by released column: that penalty, or the root mean square of rounding errors in standard
    deviations, or 1 for a column that an adjustment dropped; suppressed rows count as lost.
    utility_loss: their weighted mean.
    """

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
    rounding: dict[str, float]
    dropped: tuple[str, ...]
    criteria: tuple[str, ...]


@dataclass(frozen=True)
class Release:
    """A release and its account."""

    table: pa.Table
    account: Anonymization


def anonymize(
    table: pa.Table, persons: np.ndarray | None, policy: Policy, plan: Plan, rng: np.random.Generator
) -> Release:
    """Anonymize the released columns of a typed table (see tasks.common.reading).

    persons: codes of the person behind each row, or None where each row is a person of its own.
    The rows of the release are in random order.

    Raises:
        TableError: fewer people than k.
        HierarchyError: a value stands outside its hierarchy.
        ThresholdNotReached: the criteria cannot be met, not even by full generalization.
    """
    people = equivalence.person_weights(persons, table.num_rows)
    if people.sum() < plan.k - 0.5:
        raise TableError(f"k is {plan.k}, but the table holds only {round(people.sum())} people")
    quasi = [name for name in policy.quasi if name not in plan.dropped]
    encoded = {name: _encode(table[name], name, policy) for name in quasi}
    others = _rounded(table, [name for name in policy.released if name not in (*quasi, *plan.dropped)], plan)
    solution, class_of_row = _solve(encoded, others, people, policy, plan)
    kept = np.flatnonzero(~solution.violating[class_of_row])
    rng.shuffle(kept)
    columns = {
        name: _recode(hierarchy, codes[kept], level)
        for (name, (hierarchy, codes)), level in zip(encoded.items(), solution.levels, strict=True)
    }
    columns |= {name: values.take(pa.array(kept)) for name, values in others.items()}
    release = pa.table({name: columns[name] for name in policy.released if name in columns})
    lost = _column_loss(table, kept, solution, encoded, others, policy, plan)
    return Release(release, _account(table.num_rows, kept, solution, encoded, plan, policy, lost))


def recode(table: pa.Table, policy: Policy, plan: Plan, levels: dict[str, int]) -> pa.Table:
    """Other rows of the same source in the vocabulary of a release, none suppressed; for testing models on them.

    Raises:
        HierarchyError: a value stands outside its hierarchy.
    """
    columns = _rounded(table, [name for name in policy.released if name not in plan.dropped], plan)
    for name, level in levels.items():
        hierarchy, codes = _encode(table[name], name, policy)
        columns[name] = _recode(hierarchy, codes, level)
    return pa.table(columns)


def _encode(values: pa.ChunkedArray, name: str, policy: Policy) -> tuple[Hierarchy, np.ndarray]:
    """The column's hierarchy over its sorted distinct values, and each row's leaf code, int32 (rows,)."""
    flat = values.combine_chunks()
    distinct = flat.unique()
    order = pc.sort_indices(distinct)
    leaves = distinct.take(order)
    codes = pc.index_in(flat, leaves, skip_nulls=False).to_numpy().astype(np.int32)
    return hierarchies.build(name, policy.columns[name], leaves.to_pylist()), codes


def _recode(hierarchy: Hierarchy, codes: np.ndarray, level: int) -> pa.Array:
    labels = pa.array(hierarchy.labels[level])
    return _integers_where_whole(labels.take(pa.array(hierarchy.codes[level][codes])))


def _rounded(table: pa.Table, names: list[str], plan: Plan) -> dict[str, pa.Array]:
    columns = {}
    for name in names:
        values = table[name].combine_chunks()
        if name in plan.rounding:
            values = _multiples(values, plan.rounding[name])
        columns[name] = _integers_where_whole(values)
    return columns


def _multiples(values: pa.Array, step: float) -> pa.Array:
    numbers = values.to_numpy(zero_copy_only=False)
    # Twelve digits, as people write numbers: 0.3 and not 0.30000000000000004.
    return pa.array(np.round(np.round(numbers / step) * step, 12), mask=np.isnan(numbers))


def _integers_where_whole(values: pa.Array) -> pa.Array:
    if not pa.types.is_floating(values.type):
        return values
    whole = pc.all(pc.equal(values, pc.round(values))).as_py()
    return values.cast(pa.int64()) if whole and pc.max(pc.abs(values)).as_py() < 2**53 else values


def _solve(
    encoded: dict[str, tuple[Hierarchy, np.ndarray]],
    others: dict[str, pa.Array],
    people: np.ndarray,
    policy: Policy,
    plan: Plan,
) -> tuple[Solution, np.ndarray]:
    criteria: list[Criterion] = [KAnonymity(plan.k)]
    criteria += [DistinctDiversity(name, least) for name, least in plan.l.items() if name not in plan.dropped]
    secrets = {
        c.column: others[c.column].dictionary_encode("encode").indices.to_numpy().astype(np.int64)
        for c in criteria
        if isinstance(c, DistinctDiversity)
    }
    leaf_codes = np.stack([codes for _, codes in encoded.values()], axis=1)
    sizes = [len(hierarchy.leaves) for hierarchy, _ in encoded.values()]
    tuples, of_row = equivalence.group(leaf_codes, sizes, people, secrets)
    lattice = Lattice(
        tuples,
        [hierarchy for hierarchy, _ in encoded.values()],
        [policy.columns[name].weight for name in encoded],
        criteria,
        plan.suppression,
        [min(plan.floor.get(name, 0), hierarchy.levels - 1) for name, (hierarchy, _) in encoded.items()],
    )
    solution = search(lattice)
    if solution is None:
        wanted = " and ".join(criterion.describe() for criterion in criteria)
        raise ThresholdNotReached(
            f"{wanted} cannot be reached: even with every quasi-identifier fully generalized more than "
            f"{plan.suppression:.1%} of the rows would have to be suppressed"
        )
    _, class_of_tuple = lattice.classes(solution.levels)
    return solution, class_of_tuple[of_row]


def _column_loss(
    table: pa.Table,
    kept: np.ndarray,
    solution: Solution,
    encoded: dict[str, tuple[Hierarchy, np.ndarray]],
    others: dict[str, pa.Array],
    policy: Policy,
    plan: Plan,
) -> dict[str, float]:
    """Loss of a mean cell in [0, 1] by column, suppressed rows counting as lost."""
    kept_share = len(kept) / table.num_rows
    inside = dict.fromkeys(policy.released, 0.0) | dict.fromkeys(plan.dropped, 1.0)
    for name in plan.rounding.keys() & others.keys():
        inside[name] = _rounding_loss(table[name], others[name])
    for (name, (hierarchy, codes)), level in zip(encoded.items(), solution.levels, strict=True):
        inside[name] = float(hierarchy.loss[level][codes[kept]].mean())
    return {name: 1 - kept_share + kept_share * loss for name, loss in inside.items()}


def _rounding_loss(exact: pa.ChunkedArray, rounded: pa.Array) -> float:
    spread = pc.stddev(exact).as_py()
    if not spread:
        return 0.0
    errors = pc.subtract(exact, rounded.cast(pa.float64()))
    return float(min(np.sqrt(pc.mean(pc.multiply(errors, errors)).as_py()) / spread, 1.0))


def _account(
    rows: int,
    kept: np.ndarray,
    solution: Solution,
    encoded: dict[str, tuple[Hierarchy, np.ndarray]],
    plan: Plan,
    policy: Policy,
    lost: dict[str, float],
) -> Anonymization:
    good = ~solution.violating
    least = {name: int(solution.classes.distinct_secrets(name)[good].min()) for name in solution.classes.secrets}
    criteria: list[Criterion] = [
        KAnonymity(plan.k),
        *(DistinctDiversity(*item) for item in plan.l.items() if item[0] in least),
    ]
    kept_share = len(kept) / rows
    return Anonymization(
        rows_before=rows,
        rows_after=len(kept),
        suppressed=1 - kept_share,
        k=int(np.floor(solution.classes.people[good].min() + 1e-9)),
        l=least,
        classes=int(good.sum()),
        mean_class=float(solution.classes.rows[good].mean()),
        levels=dict(zip(encoded, solution.levels, strict=True)),
        top_levels={name: hierarchy.levels - 1 for name, (hierarchy, _) in encoded.items()},
        loss=solution.loss,
        bound=solution.bound,
        optimal=solution.optimal,
        nodes=solution.evaluated,
        column_loss=lost,
        utility_loss=float(np.average(list(lost.values()), weights=[policy.columns[name].weight for name in lost])),
        rounding={name: step for name, step in plan.rounding.items() if name not in plan.dropped},
        dropped=(*plan.dropped, *policy.named(*_REMOVED)),
        criteria=tuple(criterion.describe() for criterion in criteria),
    )
