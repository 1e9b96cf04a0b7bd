"""What a policy promises about its table, as Great Expectations, checked without a raw value leaving the process.

Great Expectations puts offending values into its results. Only verdicts and counts are taken from them; rows are named
by number, so that the person who has the table can look.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.anonymization import hierarchies
from tasks.common import reading
from tasks.common.errors import TableError
from tasks.common.policy import Column, Policy
from tasks.common.table import Table
from tasks.common.values import Value

_COUNTS_ONLY = {"result_format": "BASIC", "partial_unexpected_count": 0}
_NAMED_ROWS = 3


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
    """Check the released columns of a table, rows that the policy excludes left out.

    Raises:
        PolicyError: the table and the policy do not name the same columns.
        TableError: values are not of their column's kind, or the policy excludes every row.
    """
    reading.require_same_columns(table, policy)
    included = reading.included_rows(table, policy)
    frame = reading.read(table, policy).take(pa.array(included))
    checks = [
        _check(result, frame, included, policy)
        for result in _run(frame, [e for name in policy.released for e in _expect(name, policy.columns[name])])
    ]
    return Validation(rows=len(included), excluded=table.rows - len(included), checks=tuple(checks))


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


def _run(frame: pa.Table, expected: list[Any]) -> list[Any]:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    # It tells of every temporary folder.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    suite = gx.ExpectationSuite(name="policy", expectations=expected)
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame.to_pandas()})
    return list(batch.validate(suite, result_format=_COUNTS_ONLY).results)


def _check(result: Any, frame: pa.Table, included: np.ndarray, policy: Policy) -> Check:
    config = result.expectation_config
    name, kind = config.kwargs["column"], config.type
    if result.exception_info.get("raised_exception") or not result.success:
        problem = _problem(kind, name, result.result, frame, included, policy.columns[name])
        return Check(column=name, expectation=kind, holds=False, problem=problem)
    return Check(column=name, expectation=kind, holds=True)


def _problem(
    kind: str, name: str, result: dict[str, Any], frame: pa.Table, included: np.ndarray, column: Column
) -> str:
    count, values = result.get("unexpected_count"), frame[name]
    if kind == "expect_column_unique_value_count_to_be_between":
        alike = "has no value at all" if result.get("observed_value") == 0 else "has the same value in every row"
        return f"column `{name}` {alike}; give it the role `drop`"
    if kind == "expect_column_values_to_not_be_null":
        return (
            f"column `{name}`: {count} of {len(values)} values are missing, more than the policy's {column.missing:.1%}"
        )
    if kind == "expect_column_values_to_be_between":
        low, high = column.range or (0, 0)
        outside = pc.fill_null(pc.or_(pc.less(values, low), pc.greater(values, high)), False).to_numpy()
        return f"column `{name}`: values outside [{low:g}, {high:g}]: {count} ({_rows(outside, included)})"
    leaves = [leaf for leaf in hierarchies.listed_leaves(name, column) or [] if leaf is not None]
    known = pc.is_in(values, value_set=pa.array(leaves, type=values.type))
    outside = pc.and_(pc.invert(known), pc.is_valid(values)).to_numpy()
    return f"column `{name}`: values outside its hierarchy: {count} ({_rows(outside, included)})"


def _rows(wrong: np.ndarray, included: np.ndarray) -> str:
    """Row numbers in the file, counted from 1 without the header."""
    numbers = included[np.flatnonzero(wrong)] + 1
    shown = ", ".join(str(number) for number in numbers[:_NAMED_ROWS])
    return f"row{'s' if len(numbers) > 1 else ''} {shown}{', …' if len(numbers) > _NAMED_ROWS else ''}"
