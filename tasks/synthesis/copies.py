"""Does a synthetic table repeat the rows it was learned from?

Two questions. Is a row the exact copy of a rare one: one that fewer than k rows of those learned from look like, in all
columns? And do synthetic rows lie nearer to those rows than to others of the same kind: each one's nearest neighbour is
looked for among all rows learned from and all of a control that nobody learned from, no row left out. If the synthetic
rows know nothing of single rows, the nearest one is a learned one as often as rows are, p0 = learned / (learned +
control), whatever the distances are like: given the union, any choice of the learned ones is equally likely. Rows at
the same distance count by their number, which keeps that exact (but for rows that a release suppressed, of which the
control still has some: a few percent at most). The excess is (p - p0) / (1 - p0): 0 for honest rows, 1 for copies. It
is looked for in all columns together and in all but each one, since a copy may hide behind noise in one column; the
largest counts, with bounds that hold for all of them together.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.attacks import neighbours, space
from tasks.attacks.inference import Answers, secrets_by_point
from tasks.attacks.risk import Interval, Stratum, Trials, success_rate
from tasks.common.policy import Column, Kind, Policy, Role
from tasks.synthesis.columns import is_number
from tasks.synthesis.handles import Copying

_CONFIDENCE = 0.95
_MOST_ROWS = 20_000


class RareRows:
    """The rows that fewer than k are alike with, in all columns but keys, to compare others with."""

    def __init__(self, learned: pa.Table, k: int, keys: tuple[str, ...] = ()) -> None:
        self._rows = Vocabulary(learned, [name for name in learned.column_names if name not in keys])
        row, counts = np.unique(self._rows.keys(learned), return_counts=True)
        self._rare = row[counts < max(k, 2)]

    def repeated_by(self, rows: pa.Table) -> np.ndarray:
        """Which rows equal a rare one, bool (rows,)."""
        return np.isin(self._rows.keys(rows), self._rare)


class Vocabulary:
    """The values of some columns of a table, by which rows of any table become comparable keys."""

    def __init__(self, table: pa.Table, names: list[str]) -> None:
        self._values = {name: table[name].combine_chunks().unique() for name in names}

    def keys(self, table: pa.Table) -> np.ndarray:
        """One key for each row, uint64 (rows,), equal where all columns are; unknown values of a column count as equal.

        Keys are hashes of 64 bits: among a million rows two that differ share one with a probability of 3e-8.
        """
        key = np.zeros(table.num_rows, dtype=np.uint64)
        for name, values in self._values.items():
            place = pc.fill_null(pc.index_in(table[name], value_set=values), len(values)).to_numpy()
            key = _mixed(key * np.uint64(len(values) + 1) + place.astype(np.uint64))
        return key


def look(
    synthetic: pa.Table, learned: pa.Table, control: pa.Table, policy: Policy, rng: np.random.Generator
) -> Copying:
    """Compare synthetic rows with those learned from and with a control, all in one vocabulary.

    At most 20,000 synthetic rows, chosen by lot, are looked at for neighbours; every one for copies.
    """
    unique = policy.synthesis.constraints.unique
    names = [name for name in synthetic.column_names if name not in unique]
    rare = RareRows(learned, policy.criteria.k, unique)
    copies = int(rare.repeated_by(synthetic).sum())
    some = synthetic
    if synthetic.num_rows > _MOST_ROWS:
        some = synthetic.take(pa.array(rng.choice(synthetic.num_rows, _MOST_ROWS, replace=False)))
    expected = learned.num_rows / (learned.num_rows + control.num_rows)
    near = _nearest_is_learned(some.select(names), learned.select(names), control.select(names), policy)
    confidence = 1 - (1 - _CONFIDENCE) / len(near)
    shares = {without: _share(credit, confidence) for without, credit in near.items()}
    hidden = max(shares, key=lambda without: shares[without].value)
    worst = shares[hidden]
    return Copying(
        rows=synthetic.num_rows,
        rare_copies=copies,
        without=hidden,
        nearer=worst.value,
        expected=expected,
        excess=(worst.value - expected) / (1 - expected),
        low=(worst.low - expected) / (1 - expected),
        high=(worst.high - expected) / (1 - expected),
    )


def _share(credit: np.ndarray, confidence: float) -> Interval:
    """The mean of probabilities, with bounds."""
    trials = Stratum(
        name="rows", weight=1, trials=len(credit), successes=float(credit.sum()), squares=float((credit**2).sum())
    )
    return success_rate(Trials(strata=(trials,)), confidence)


def _mixed(key: np.ndarray) -> np.ndarray:
    """The finalizer of splitmix64 (Steele, Lea, Flood 2014, OOPSLA, figure 16): each bit depends on all."""
    key = key + np.uint64(0x9E3779B97F4A7C15)
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))


def _nearest_is_learned(
    some: pa.Table, learned: pa.Table, control: pa.Table, policy: Policy
) -> dict[str | None, np.ndarray]:
    """For each row the share of learned ones among its nearest neighbours, float64 (rows,), by the column left out."""
    names = some.column_names
    as_they_are = policy.model_copy(
        update={
            "columns": {
                name: Column(role=Role.OTHER, kind=Kind.NUMERIC if is_number(learned[name].type) else Kind.CATEGORICAL)
                for name in names
            }
        }
    )
    place = space.build(some, pa.concat_tables([learned, control]), names, as_they_are, {})
    labels = np.concatenate([np.zeros(learned.num_rows, np.int32), np.ones(control.num_rows, np.int32)])
    right = np.zeros(some.num_rows, dtype=np.int32)
    answers = Answers(labels=labels, first=right, last=right + 1, share=np.ones(2, dtype=np.float32))
    secrets = secrets_by_point(place, answers)
    left_out = [None, *names] if len(names) > 1 else [None]
    return {
        without: neighbours.guess_credit(place, place.mask([name for name in names if name != without]), secrets)
        for without in left_out
    }
