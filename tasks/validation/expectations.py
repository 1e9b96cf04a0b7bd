"""What a policy promises about its table, as Great Expectations, checked without a raw value leaving the process.

Great Expectations puts offending values into its results. Only verdicts and counts are taken from them; rows are named
by number, so that the person who has the table can look.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.anonymization import hierarchies
from tasks.common import reading
from tasks.common.errors import TableError
from tasks.common.policy import Column, Kind, Policy
from tasks.common.streaming import BATCH_ROWS, InFile
from tasks.common.table import Table
from tasks.common.values import Value
from tasks.validation.free_text import Watch

_COUNTS_ONLY = {"result_format": "BASIC", "partial_unexpected_count": 0}
_NAMED_ROWS = 3
_VARIES = "expect_column_unique_value_count_to_be_between"
_KNOWN = "expect_column_values_to_not_be_null"
_BETWEEN = "expect_column_values_to_be_between"
_NO_PROSE = "no_free_text"


class Check(Value):
    """One expectation: what was asked of which column, whether it holds, and if not what is wrong."""

    column: str | None
    expectation: str
    holds: bool
    problem: str = ""


class Validation(Value):
    """All checks of a table against its policy. rows: those left after the policy's exclusions."""

    rows: int
    excluded: int
    checks: tuple[Check, ...]

    @property
    def problems(self) -> list[str]:
        """What is wrong, a sentence each."""
        return [check.problem for check in self.checks if not check.holds]

    def require(self) -> None:
        """Stop here if anything is wrong.

        Raises:
            TableError: with every problem on a line of its own.
        """
        if self.problems:
            raise TableError("the table is not what the policy says:\n" + "\n".join(f"- {p}" for p in self.problems))


def validate(table: Table, policy: Policy) -> Validation:
    """Check the released columns of a table, rows that the policy excludes left out, some hundred thousand at a time.

    Raises:
        PolicyError: the table and the policy do not name the same columns.
        TableError: values are not of their column's kind, or the policy excludes every row.
    """
    reading.require_same_columns(table, policy)
    expected = [e for name in policy.released for e in _expect(name, policy.columns[name])]
    outcomes = [_Outcome() for _ in expected]
    run, rows = _runner(expected), 0
    words = Watch([n for n in policy.released if n not in policy.quasi and policy.columns[n].kind is Kind.CATEGORICAL])
    for batch in InFile(table, policy).batches(policy.released):
        frame = pa.table(batch, names=policy.released)
        rows += frame.num_rows
        words.add(frame)
        for outcome, result in zip(outcomes, run(frame), strict=True):
            outcome.add(result, frame)
    if rows == 0:
        raise TableError(f"`exclude:` leaves no row of {table.path.name}")
    checks = [_check(outcome, rows, table, policy) for outcome in outcomes]
    return Validation(rows=rows, excluded=table.rows - rows, checks=(*checks, *_without_prose(words)))


def _without_prose(words: Watch) -> list[Check]:
    """Whether columns that are released as they are hold free text; k people share what quasi-identifiers hold."""
    checks = []
    for name, found in words.found().items():
        problem = f"column `{name}` holds {found.reason}; that is never released: say `role: drop`" if found else ""
        checks.append(Check(column=name, expectation=_NO_PROSE, holds=found is None, problem=problem))
    return checks


class _Outcome:
    """What one expectation came to, over all batches."""

    def __init__(self) -> None:
        self.column, self.kind = "", ""
        self.unexpected = 0
        self.distinct: set[Any] = set()
        self._raised = False

    def add(self, result: Any, frame: pa.Table) -> None:
        config = result.expectation_config
        self.column, self.kind = config.kwargs["column"], config.type
        self._raised |= bool(result.exception_info.get("raised_exception"))
        self.unexpected += int(result.result.get("unexpected_count") or 0)
        if self.kind == _VARIES and len(self.distinct) < 2:
            # A column may be constant in every batch and vary between them.
            self.distinct |= set(pc.drop_null(frame[self.column].unique()).slice(0, 2).to_pylist())

    def holds(self, rows: int, column: Column) -> bool:
        if self._raised:
            return False
        if self.kind == _VARIES:
            return len(self.distinct) >= 2
        if self.kind == _KNOWN:
            return self.unexpected <= column.missing * rows + 1e-9
        return self.unexpected == 0


def _expect(name: str, column: Column) -> list[Any]:
    import great_expectations.expectations as gxe  # takes seconds

    expected: list[Any] = [
        gxe.ExpectColumnUniqueValueCountToBeBetween(column=name, min_value=2),
        gxe.ExpectColumnValuesToNotBeNull(column=name, mostly=1 - column.missing),
    ]
    if column.range is not None:
        low, high = column.range
        expected.append(gxe.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high))
    leaves = hierarchies.listed_leaves(name, column) if column.hierarchy else None
    if leaves is not None:
        known = [leaf for leaf in leaves if leaf is not None]
        expected.append(gxe.ExpectColumnValuesToBeInSet(column=name, value_set=known))
    return expected


def _runner(expected: list[Any]) -> Callable[[pa.Table], list[Any]]:
    """What checks one batch after the other; its results are in the order of `expected`."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    # It tells of every temporary folder.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    suite = gx.ExpectationSuite(name="policy", expectations=expected)
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset("table")
    definition = asset.add_batch_definition_whole_dataframe("all")
    places = {(e.expectation_type, e.column): number for number, e in enumerate(expected)}

    def place(result: Any) -> int:
        return places[result.expectation_config.type, result.expectation_config.kwargs["column"]]

    def run(frame: pa.Table) -> list[Any]:
        batch = definition.get_batch({"dataframe": frame.to_pandas()})
        return sorted(batch.validate(suite, result_format=_COUNTS_ONLY).results, key=place)

    return run


def _check(outcome: _Outcome, rows: int, table: Table, policy: Policy) -> Check:
    name, column = outcome.column, policy.columns[outcome.column]
    holds = outcome.holds(rows, column)
    problem = "" if holds else _problem(outcome, rows, table, policy)
    return Check(column=name, expectation=outcome.kind, holds=holds, problem=problem)


def _problem(outcome: _Outcome, rows: int, table: Table, policy: Policy) -> str:
    name, column, count = outcome.column, policy.columns[outcome.column], outcome.unexpected
    if outcome.kind == _VARIES:
        alike = "has the same value in every row" if outcome.distinct else "has no value at all"
        return f"column `{name}` {alike}; give it the role `drop`"
    if outcome.kind == _KNOWN:
        return f"column `{name}`: {count} of {rows} values are missing, more than the policy's {column.missing:.1%}"
    if outcome.kind == _BETWEEN:
        low, high = column.range or (0, 0)
        where = _rows(table, policy, name, lambda values: pc.or_(pc.less(values, low), pc.greater(values, high)))
        return f"column `{name}`: values outside [{low:g}, {high:g}]: {count} ({where})"
    known = [leaf for leaf in hierarchies.listed_leaves(name, column) or [] if leaf is not None]

    def unknown(values: pa.ChunkedArray) -> pa.ChunkedArray:
        return pc.and_(pc.invert(pc.is_in(values, value_set=pa.array(known, values.type))), pc.is_valid(values))

    where = _rows(table, policy, name, unknown)
    return f"column `{name}`: values outside its hierarchy: {count} ({where})"


def _rows(table: Table, policy: Policy, name: str, wrong: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> str:
    """The first rows with wrong values, as numbers in the file, counted from 1 without the header."""
    found: list[int] = []
    for first, batch in table.batches(list(dict.fromkeys([name, *policy.exclude])), BATCH_ROWS):
        raw = {n: pa.chunked_array([values]) for n, values in zip(batch.schema.names, batch.columns, strict=True)}
        bad = pc.fill_null(wrong(reading.as_kind(raw[name], name, policy.columns[name], first)), False)
        if policy.exclude:
            bad = pc.and_(bad, reading.included(raw, policy, first))
        found += (np.flatnonzero(bad.to_numpy()) + first + 1).tolist()
        if len(found) > _NAMED_ROWS:
            break
    shown = ", ".join(str(number) for number in found[:_NAMED_ROWS])
    return f"row{'s' if len(found) > 1 else ''} {shown}{', …' if len(found) > _NAMED_ROWS else ''}"
