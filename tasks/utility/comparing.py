"""Any synthetic table beside the rows it stands for, whoever made it.

The tables have to speak one language: where the synthetic rows were learned from a generalized release, that release is
what they are compared with, and people to test on have to be generalized in the same way.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from tasks.anonymization import holdout
from tasks.common import reading
from tasks.common.errors import TableError
from tasks.common.policy import Policy
from tasks.common.seeds import generator
from tasks.common.table import Table
from tasks.common.values import Value
from tasks.utility import fidelity
from tasks.utility.downstream import is_number, words
from tasks.utility.fidelity import Fidelity

_HELD_OUT = 0.2
_FEWEST_ROWS = 10
Say = Callable[[str], None]


class Comparison(Value):
    """How useful synthetic rows are beside the real ones, and on whom that was tested.

    held_out: whether the tested people were taken out of the real rows, which had no others beside them.
    left_out: released columns that the real rows or the tested people lack, which were not compared. missing: those
    that the synthetic rows alone lack; they count as columns without any value.
    """

    real_rows: int
    synthetic_rows: int
    tested_rows: int
    held_out: bool
    left_out: tuple[str, ...]
    missing: tuple[str, ...]
    fidelity: Fidelity


def compare(real: Table, synthetic: Table, test: Table | None, policy: Policy, say: Say) -> Comparison:
    """Compare tables in files; without people to test on, a random fifth of the real rows is held out.

    All rows of a person are held out together, if the policy names the person and the table has that column.

    Raises:
        TableError: the target is missing or constant, or the tables do not speak one language, or have too few rows.
    """
    say("reading")
    rows, made, people = _read(real, policy), _read(synthetic, policy), _read(test, policy) if test else None
    names = [name for name in rows.column_names if people is None or name in people.column_names]
    _require_target(policy, {"real": rows, "synthetic": made} | ({"tested": people} if people else {}))
    if not set(names) & set(made.column_names):
        raise TableError("the tables have none of the policy's released columns in common")
    missing = tuple(name for name in names if name not in made.column_names)
    for name in missing:
        made = made.append_column(name, pa.nulls(made.num_rows))
    if people is None:
        held = _held_out(real, policy, rows.num_rows)
        rows, people = rows.filter(pa.array(~held)), rows.filter(pa.array(held))
    if min(rows.num_rows, people.num_rows, made.num_rows) < _FEWEST_ROWS:
        raise TableError(
            f"there are {rows.num_rows} real, {people.num_rows} tested and {made.num_rows} synthetic rows; a "
            f"comparison takes at least {_FEWEST_ROWS} of each"
        )
    rows, made, people = _one_language(rows.select(names), made.select(names), people.select(names))
    say("comparing, which takes some seconds for each ten thousand rows")
    return Comparison(
        real_rows=rows.num_rows,
        synthetic_rows=made.num_rows,
        tested_rows=people.num_rows,
        held_out=test is None,
        left_out=tuple(name for name in policy.released if name not in names),
        missing=missing,
        fidelity=fidelity.compare(rows, made, people, policy, policy.seed),
    )


def _read(table: Table, policy: Policy) -> pa.Table:
    rows = reading.read_release(table, policy)
    rows = rows.select([name for name in policy.released if name in rows.column_names])
    return rows.take(pa.array(reading.included_rows(table, _excluding(table, policy))))


def _excluding(table: Table, policy: Policy) -> Policy:
    """The policy with those exclusions that still mean something: generalized columns hold labels, or are gone."""
    left = {}
    for name, leaves in policy.exclude.items():
        if name in table.columns:
            values = table.read([name])[name]
            plain = values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
            if reading.converted(plain, policy.columns[name]) is not None:
                left[name] = leaves
    return policy.model_copy(update={"exclude": left})


def _held_out(table: Table, policy: Policy, rows: int) -> np.ndarray:
    """A random fifth of the people, as a mask of the rows that are not excluded, bool (rows,)."""
    rng = generator(policy.seed, "compare", "held out")
    if policy.person is None or policy.person not in table.columns:
        who = np.arange(rows)
    else:
        persons = holdout.persons(table, policy)
        assert persons is not None, "asked only where the policy names a person"
        who = persons[reading.included_rows(table, _excluding(table, policy))]
    people, place = np.unique(who, return_inverse=True)
    return (rng.permutation(len(people)) < round(_HELD_OUT * len(people)))[place]


def _require_target(policy: Policy, tables: dict[str, pa.Table]) -> None:
    """Raises: TableError: a table lacks the target of the downstream question."""
    if policy.downstream is None:
        return
    for said, rows in tables.items():
        if policy.downstream.target not in rows.column_names:
            raise TableError(
                f"the {said} rows have no column `{policy.downstream.target}`, the target of the policy's `downstream:`"
            )


def _one_language(*tables: pa.Table) -> list[pa.Table]:
    """The tables with numbers where all have numbers and text elsewhere.

    Raises:
        TableError: a column holds numbers in one and labels in another, or shares no label with the real rows.
    """
    columns: dict[str, list[pa.ChunkedArray]] = {}
    for name in tables[0].column_names:
        values = [table[name] for table in tables]
        # A column without any value may be of either kind.
        kinds = {is_number(column) for column in values if column.null_count < len(column)}
        if len(kinds) > 1:
            raise TableError(
                f"`{name}` holds numbers in one table and labels in another; compare synthetic rows with the release "
                "they were learned from, and test on people who are generalized like it"
            )
        wanted = pa.float64() if kinds == {True} else pa.string()
        columns[name] = [column.cast(wanted) for column in values]
        if wanted == pa.string() and not set(words(columns[name][0])) & set(words(columns[name][2])):
            raise TableError(
                f"`{name}` has no label in common between the real rows and the tested people; these have to be "
                "generalized in the same way"
            )
    return [pa.table({name: column[place] for name, column in columns.items()}) for place in range(len(tables))]
