"""From a table to a release: count, search, recode, suppress, round, shuffle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.anonymization import counting, hierarchies, releasing
from tasks.anonymization.classes import Histogram, Tuples, merged_histogram
from tasks.anonymization.counting import Counted
from tasks.anonymization.criteria import Criterion, DistinctDiversity, KAnonymity
from tasks.anonymization.lattice import Lattice
from tasks.anonymization.plan import Plan
from tasks.anonymization.releasing import Carried, Labelling, integers_where_whole
from tasks.anonymization.rounding import Rounding, multiples
from tasks.anonymization.search import Solution, search
from tasks.common.errors import TableError, ThresholdNotReached
from tasks.common.policy import Kind, Policy, Role
from tasks.common.reading import ARROW_TYPES
from tasks.common.store import decoded, table_writer
from tasks.common.streaming import InMemory, Rows
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
    """Anonymize the released columns of a typed table (see tasks.common.reading), in memory.

    persons: codes of the person behind each row, or None where each row is a person of its own.
    The rows of the release are in random order.

    Raises:
        TableError: fewer people than k.
        HierarchyError: a value stands outside its hierarchy.
        ThresholdNotReached: the criteria cannot be met, not even by full generalization.
    """
    rows = InMemory(table)
    return from_counted(rows, count(rows, persons, policy), policy, plan, rng)


def count(rows: Rows, persons: np.ndarray | None, policy: Policy, secrets: Sequence[str] | None = None) -> Counted:
    """What every plan of a policy needs to know of a table; counted once, used for each.

    secrets: columns that criteria may be about; all sensitive ones if not given. One with as many values as rows takes
    memory for each of them.
    """
    others = [name for name in policy.released if name not in policy.quasi]
    numeric = [name for name in others if policy.columns[name].kind is Kind.NUMERIC]
    return counting.count(rows, policy.quasi, policy.sensitive if secrets is None else secrets, numeric, persons)


def from_counted(rows: Rows, counted: Counted, policy: Policy, plan: Plan, rng: np.random.Generator) -> Release:
    """Anonymize rows that were counted before; see `anonymize`."""
    making = Making(counted, policy, plan)
    schema, tables = making.tables(rows, rng)
    made = pa.concat_tables([schema.empty_table(), *tables]).combine_chunks()
    return Release(decoded(made), making.account())


def write(
    rows: Rows, counted: Counted, policy: Policy, plan: Plan, rng: np.random.Generator, out: Path
) -> Anonymization:
    """Anonymize rows of any number into a file (.csv, or else Parquet), in the memory of some millions of them.

    Raises:
        StorageError: the file cannot be written; nothing half-written stays.
    """
    making = Making(counted, policy, plan)
    schema, tables = making.tables(rows, rng)
    with table_writer(out, schema) as put:
        for table in tables:
            put(table)
    return making.account()


def recode(table: pa.Table, policy: Policy, plan: Plan, levels: dict[str, int]) -> pa.Table:
    """Other rows of the same source in the vocabulary of a release, none suppressed; for testing models on them.

    Raises:
        HierarchyError: a value stands outside its hierarchy.
    """
    columns = {}
    for name in [name for name in policy.released if name not in plan.dropped and name not in levels]:
        values = table[name].combine_chunks()
        columns[name] = integers_where_whole(
            multiples(values, plan.rounding[name]) if name in plan.rounding else values
        )
    for name, level in levels.items():
        encoded = table[name].combine_chunks().dictionary_encode("encode")
        hierarchy = hierarchies.build(name, policy.columns[name], encoded.dictionary.to_pylist())
        labels = pa.array(hierarchy.labels[level]).take(pa.array(hierarchy.codes[level]))
        columns[name] = integers_where_whole(labels.take(encoded.indices))
    return pa.table(columns)


class Making:
    """One release in the making: what was decided from the tuples, then the rows."""

    def __init__(self, counted: Counted, policy: Policy, plan: Plan) -> None:
        if counted.tuples.people.sum() < plan.k - 0.5:
            people = round(counted.tuples.people.sum())
            raise TableError(f"k is {plan.k}, but the table holds only {people} people")
        self.policy, self.plan = policy, plan
        self.counted, self.into = counted.without(plan.dropped)
        self.secrets = {
            name: _rounded_secret(self.counted, name, plan)
            for name in self.counted.secret_values
            if name not in plan.dropped
        }
        tuples = self.counted.tuples
        self.tuples = Tuples(tuples.codes, tuples.rows, tuples.people, {n: h for n, (h, _) in self.secrets.items()})
        self.hierarchies = {
            name: hierarchies.build(name, policy.columns[name], leaves.to_pylist())
            for name, leaves in self.counted.leaves.items()
        }
        self.criteria = self._criteria()
        self.solution, self.suppressed = self._solve()
        self.carried = {name: self._carried(name) for name in policy.released if name not in self._gone()}

    def _gone(self) -> set[str]:
        return {*self.hierarchies, *self.plan.dropped}

    def _criteria(self) -> list[Criterion]:
        found: list[Criterion] = [KAnonymity(self.plan.k)]
        return found + [DistinctDiversity(*item) for item in self.plan.l.items() if item[0] in self.secrets]

    def _solve(self) -> tuple[Solution, np.ndarray]:
        lattice = Lattice(
            self.tuples,
            list(self.hierarchies.values()),
            [self.policy.columns[name].weight for name in self.hierarchies],
            self.criteria,
            self.plan.suppression,
            [min(self.plan.floor.get(name, 0), tree.levels - 1) for name, tree in self.hierarchies.items()],
        )
        solution = search(lattice)
        if solution is None:
            wanted = " and ".join(criterion.describe() for criterion in self.criteria)
            raise ThresholdNotReached(
                f"{wanted} cannot be reached: even with every quasi-identifier fully generalized more than "
                f"{self.plan.suppression:.1%} of the rows would have to be suppressed"
            )
        _, class_of_tuple = lattice.classes(solution.levels)
        return solution, solution.violating[class_of_tuple]

    def _carried(self, name: str) -> Carried:
        if name in self.plan.rounding:
            rounding = Rounding(self.plan.rounding[name])
            return Carried(rounding, rounding.type)
        kind = pa.int64() if name in self.counted.whole else ARROW_TYPES[self.policy.columns[name].kind]
        return Carried(lambda values: values.cast(kind), kind)

    def tables(self, rows: Rows, rng: np.random.Generator) -> tuple[pa.Schema, Iterator[pa.Table]]:
        """The released rows; the account is complete once they were all taken."""
        codes, labels = {}, {}
        for j, (name, tree) in enumerate(self.hierarchies.items()):
            level = self.solution.levels[j]
            labels[name] = tree.labels[level]
            codes[name] = tree.codes[level][self.tuples.codes[:, j]][self.into]
        order = [name for name in self.policy.released if name in codes or name in self.carried]
        labelling = Labelling(labels, codes, self.suppressed[self.into])
        return releasing.released(rows, self.counted.of_row, labelling, self.carried, order, rng)

    def account(self) -> Anonymization:
        """How it was made."""
        solution, good = self.solution, ~self.solution.violating
        rows, kept = self.counted.rows, int(self.tuples.rows[~self.suppressed].sum())
        lost = self._column_loss(kept / rows)
        weights = [self.policy.columns[name].weight for name in lost]
        return Anonymization(
            rows_before=rows,
            rows_after=kept,
            suppressed=1 - kept / rows,
            k=int(np.floor(solution.classes.people[good].min() + 1e-9)),
            l={name: int(solution.classes.distinct_secrets(name)[good].min()) for name in self._diverse()},
            classes=int(good.sum()),
            mean_class=float(solution.classes.rows[good].mean()),
            levels=dict(zip(self.hierarchies, solution.levels, strict=True)),
            top_levels={name: tree.levels - 1 for name, tree in self.hierarchies.items()},
            loss=solution.loss,
            bound=solution.bound,
            optimal=solution.optimal,
            nodes=solution.evaluated,
            column_loss=lost,
            utility_loss=float(np.average(list(lost.values()), weights=weights)),
            rounding={name: step for name, step in self.plan.rounding.items() if name not in self.plan.dropped},
            dropped=(*self.plan.dropped, *self.policy.named(*_REMOVED)),
            criteria=tuple(criterion.describe() for criterion in self.criteria),
        )

    def _diverse(self) -> Sequence[str]:
        return [name for name in self.plan.l if name in self.secrets]

    def _column_loss(self, kept_share: float) -> dict[str, float]:
        """Loss of a mean cell in [0, 1] by column, suppressed rows counting as lost."""
        inside = dict.fromkeys(self.policy.released, 0.0) | dict.fromkeys(self.plan.dropped, 1.0)
        for name, column in self.carried.items():
            if isinstance(column.change, Rounding):
                inside[name] = column.change.loss
        weights = np.where(self.suppressed, 0, self.tuples.rows)
        for j, (name, tree) in enumerate(self.hierarchies.items()):
            loss = tree.loss[self.solution.levels[j]][self.tuples.codes[:, j]]
            inside[name] = float(loss @ weights / max(weights.sum(), 1))
        return {name: 1 - kept_share + kept_share * loss for name, loss in inside.items()}


def _rounded_secret(counted: Counted, name: str, plan: Plan) -> tuple[Histogram, pa.Array]:
    """The histogram of a secret as it will be released, and its values by code."""
    histogram, values = counted.tuples.secrets[name], counted.secret_values[name]
    if name not in plan.rounding:
        return histogram, values
    rounded = multiples(values, plan.rounding[name])
    distinct = rounded.unique()
    codes = pc.index_in(rounded, distinct, skip_nulls=False).to_numpy().astype(np.int32)
    recoded = Histogram(histogram.starts, codes[histogram.codes], histogram.counts)
    tuples = len(histogram.starts) - 1
    return merged_histogram(recoded, np.arange(tuples), tuples), distinct
