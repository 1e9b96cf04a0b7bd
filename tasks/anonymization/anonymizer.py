"""From a table to a release: count, decide, recode, suppress, round, shuffle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.anonymization import coding, counting, deciding, hierarchies, longitudinal, releasing, transforming
from tasks.anonymization.account import Anonymization
from tasks.anonymization.counting import Asked, Counted
from tasks.anonymization.criteria import Criterion, Secret, build
from tasks.anonymization.histograms import Histogram, merged_histogram
from tasks.anonymization.plan import Plan
from tasks.anonymization.releasing import Carried, integers_where_whole
from tasks.anonymization.rounding import Rounding, multiples
from tasks.common.criteria_forms import PopulationFile
from tasks.common.errors import TableError
from tasks.common.key_file import Key
from tasks.common.policy import Kind, Policy, Role
from tasks.common.reading import ARROW_TYPES
from tasks.common.store import decoded, table_writer
from tasks.common.streaming import InFile, InMemory, Rows
from tasks.common.table import open_table

_REMOVED = (Role.DIRECT, Role.DROP)

# Counts parts of a table, in their order.
CountEach = Callable[[Sequence[Rows], Asked], Sequence[Counted]]


@dataclass(frozen=True)
class Release:
    """A release and its account."""

    table: pa.Table
    account: Anonymization


@dataclass(frozen=True)
class Source:
    """Rows to release, with what the policy asks of single columns done to them, and the policy of such rows.

    moved: by column what coding and shifting cost, in [0, 1]. pseudonyms: columns that are released as such.
    key: fingerprint of the key, where something is derived from it.
    """

    rows: Rows
    policy: Policy
    moved: dict[str, float]
    pseudonyms: tuple[str, ...] = ()
    key: str | None = None


def source(rows: Rows, policy: Policy, key: Key | None = None) -> Source:
    """Rows as the policy has them before they are generalized.

    Raises:
        PolicyError: a key is needed and not given; dates are to be shifted but no person is named, or in several ways.
    """
    changed = transforming.transformed(rows, policy, key)
    if changed is rows:
        return Source(rows, policy, {})
    return Source(
        changed,
        transforming.as_released(policy),
        transforming.losses(rows, changed, policy),
        tuple(policy.pseudonymous),
        key.fingerprint if key and policy.needs_key else None,
    )


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
        PolicyError: the policy asks for what it gives too little for: a key, a population, an order of secrets.
    """
    rows = source(InMemory(table), policy)
    return from_counted(rows, count(rows, persons), plan, rng)


def count(
    rows: Source,
    persons: np.ndarray | None,
    secrets: Sequence[str] | None = None,
    parts: int = 1,
    each: CountEach | None = None,
) -> Counted:
    """What every plan of a policy needs to know of a table; counted once, used for each.

    parts: so many parts of the table are counted apart at most, and their counts merged; the result does not depend on
    it. each: counts parts; threads of this process if not given.
    secrets: columns that criteria may be about; all sensitive ones if not given. One with as many values as rows takes
    memory for each of them.
    """
    policy = rows.policy
    others = [name for name in policy.released if name not in policy.quasi]
    numeric = [name for name in others if policy.columns[name].kind is Kind.NUMERIC]
    asked = Asked(tuple(policy.quasi), tuple(policy.sensitive if secrets is None else secrets), tuple(numeric))
    # Who has rows in several parts is only known to who sees all of them.
    apart = rows.rows.parts(parts) if parts > 1 and persons is None else [rows.rows]
    if len(apart) == 1:
        counted = counting.count(rows.rows, asked, persons)
    else:
        counted = counting.merge((each or _in_threads)(apart, asked))
    population = policy.criteria.population
    return counted if population is None else _with_population(counted, population, policy)


def _in_threads(parts: Sequence[Rows], asked: Asked) -> list[Counted]:
    with ThreadPoolExecutor(len(parts)) as pool:
        return list(pool.map(lambda part: counting.count(part, asked), parts))


def _with_population(counted: Counted, file: PopulationFile, policy: Policy) -> Counted:
    rows = source(InFile(open_table(file.path), policy.model_copy(update={"exclude": {}})), policy).rows
    everybody = counting.count(rows, Asked(tuple(policy.quasi)))
    people = everybody.tuples.people
    if file.count is not None:
        stand_for = open_table(file.path).read([file.count])[file.count].cast(pa.float64()).to_numpy()
        people = np.bincount(everybody.of_row.read(0, everybody.rows), stand_for, len(people))
    return counting.with_population(counted, everybody, people)


def from_counted(rows: Source, counted: Counted, plan: Plan, rng: np.random.Generator) -> Release:
    """Anonymize rows that were counted before, in memory; see `anonymize`."""
    making = Making(rows, counted, plan)
    schema, tables = making.tables(rng)
    made = pa.concat_tables([schema.empty_table(), *tables]).combine_chunks()
    return Release(decoded(made), making.account())


def write(rows: Source, counted: Counted, plan: Plan, rng: np.random.Generator, out: Path) -> Anonymization:
    """Anonymize rows of any number into a file (.csv, or else Parquet), in the memory of some millions of them.

    Raises:
        StorageError: the file cannot be written; nothing half-written stays.
    """
    making = Making(rows, counted, plan)
    schema, tables = making.tables(rng)
    with table_writer(out, schema) as put:
        for table in tables:
            put(table)
    return making.account()


def recode(table: pa.Table, policy: Policy, plan: Plan, levels: dict[str, int]) -> pa.Table:
    """Other rows of the same source in the vocabulary of a release, none suppressed; for testing models on them.

    Raises:
        HierarchyError: a value stands outside its hierarchy.
    """
    table = pa.table({name: coding.coded(table[name], policy.columns[name]) for name in table.column_names})
    columns = {}
    for name in [name for name in policy.released if name not in plan.dropped and name not in levels]:
        values = table[name].combine_chunks()
        values = multiples(values, plan.rounding[name]) if name in plan.rounding else values
        columns[name] = integers_where_whole(values)
    for name, level in levels.items():
        encoded = table[name].combine_chunks().dictionary_encode("encode")
        hierarchy = hierarchies.build(name, policy.columns[name], encoded.dictionary.to_pylist())
        labels = pa.array(hierarchy.labels[level]).take(pa.array(hierarchy.codes[level]))
        columns[name] = integers_where_whole(labels.take(encoded.indices))
    return pa.table(columns)


class Making:
    """One release in the making: what was decided from the tuples, then the rows."""

    def __init__(self, rows: Source, counted: Counted, plan: Plan) -> None:
        self._source, self._policy, self._plan = rows, rows.policy, plan
        people = counted.tuples.people.sum()
        if people < plan.criteria.k - 0.5:
            raise TableError(f"k is {plan.criteria.k}, but the table holds only {round(people)} people")
        self._counted, self._into = counted.without(plan.dropped)
        self._trees = {
            name: hierarchies.build(name, self._policy.columns[name], leaves.to_pylist())
            for name, leaves in self._counted.leaves.items()
        }
        self._criteria = self._judge()
        self._decision = deciding.decide(self._tuples, self._trees, self._criteria, self._policy, plan)
        gone = {*self._trees, *plan.dropped}
        self._carried = {name: self._carry(name) for name in self._policy.released if name not in gone}

    def _judge(self) -> list[Criterion]:
        """The plan's criteria, on secrets as they will be released."""
        names = [name for name in self._counted.secret_values if name not in self._plan.dropped]
        rounded = {name: _rounded_secret(self._counted, name, self._plan) for name in names}
        histograms = {name: histogram for name, (histogram, _) in rounded.items()}
        self._tuples = replace(self._counted.tuples, secrets=histograms)
        secrets = {
            name: Secret(values.to_pylist(), self._policy.columns[name].kind) for name, (_, values) in rounded.items()
        }
        return build(self._plan.criteria, self._tuples, secrets, self._plan.dropped)

    def _carry(self, name: str) -> Carried:
        if name in self._plan.rounding:
            rounding = Rounding(self._plan.rounding[name])
            return Carried(rounding, rounding.type)
        kind = pa.int64() if name in self._counted.whole else ARROW_TYPES[self._policy.columns[name].kind]
        return Carried(lambda values: values.cast(kind), kind)

    def tables(self, rng: np.random.Generator) -> tuple[pa.Schema, Iterator[pa.Table]]:
        """The released rows; the account is complete once they were all taken."""
        order = [name for name in self._policy.released if name in self._trees or name in self._carried]
        self._of_row = self._decision.of_row(self._counted.of_row, self._into)
        return releasing.released(self._source.rows, self._of_row, self._decision.labelling, self._carried, order, rng)

    def account(self) -> Anonymization:
        """How it was made."""
        decision, policy, plan = self._decision, self._policy, self._plan
        rows, classes, solution = self._counted.rows, decision.classes, decision.solution
        lost = self._column_loss(decision.kept / rows)
        measured = [name for name in lost if name not in self._source.pseudonyms]
        levels = zip(self._trees, solution.levels, strict=True) if solution else []
        diverse = [name for name in plan.criteria.l if name in classes.secrets]
        return Anonymization(
            method=policy.recoding.method,
            rows_before=rows,
            rows_after=decision.kept,
            suppressed=1 - decision.kept / rows,
            k=self._least_people(),
            l={name: int(classes.distinct_secrets(name).min()) for name in diverse},
            classes=len(classes),
            mean_class=float(classes.rows.mean()),
            levels=dict(levels),
            top_levels={name: tree.levels - 1 for name, tree in self._trees.items()} if solution else {},
            loss=decision.loss,
            bound=solution.bound if solution else 0.0,
            optimal=solution.optimal if solution else False,
            nodes=solution.evaluated if solution else 0,
            column_loss=lost,
            utility_loss=float(
                np.average([lost[n] for n in measured], weights=[policy.columns[n].weight for n in measured])
            ),
            cells=decision.cells,
            rounding={name: step for name, step in plan.rounding.items() if name not in plan.dropped},
            dropped=(*plan.dropped, *policy.named(*_REMOVED)),
            criteria=tuple(criterion.describe() for criterion in self._criteria),
            pseudonyms=self._source.pseudonyms,
            key=self._source.key,
        )

    def _least_people(self) -> int:
        """People in the smallest class that is released, exactly."""
        decision, persons = self._decision, self._counted.persons
        if persons is None:
            return int(np.floor(decision.classes.people.min() + 1e-9))
        who = np.unique(persons, return_inverse=True)[1]
        of_fragment, kept = decision.class_of_fragment(), ~decision.labelling.suppressed
        class_of_row = of_fragment[self._of_row.read(0, self._counted.rows)]
        people = longitudinal.people_in_classes([(who, class_of_row)], int(of_fragment.max()) + 1)
        return int(people[of_fragment[kept]].min())

    def _column_loss(self, kept_share: float) -> dict[str, float]:
        """Loss of a mean cell in [0, 1] by column, suppressed rows counting as lost."""
        inside = dict.fromkeys(self._policy.released, 0.0) | dict.fromkeys(self._plan.dropped, 1.0)
        for name, column in self._carried.items():
            if isinstance(column.change, Rounding):
                inside[name] = column.change.loss
        inside |= self._decision.column_loss
        for name, moved in self._source.moved.items():
            if name in inside:
                inside[name] = max(inside[name], moved)
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
