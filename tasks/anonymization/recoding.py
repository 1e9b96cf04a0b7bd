"""The result of recoding cell by cell: what each tuple becomes, or each part of one that was divided.

Full-domain generalization gives a column one level; local recoding, microaggregation and cell suppression decide for
each tuple. What they decide has one form, so that rows are released and accounted for in the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tasks.anonymization.axes import Labels
from tasks.anonymization.classes import ROUNDING, Tuples, merge, pack_below
from tasks.anonymization.criteria import Criterion, Judgement, KAnonymity, judge, split
from tasks.anonymization.histograms import Histogram
from tasks.common.errors import ThresholdNotReached


@dataclass(frozen=True)
class Recoded:
    """f fragments of tuples, each a number of a tuple's rows that are released alike, over q columns.

    labels: by column its distinct labels.
    source: int64 (f,), the tuple; rising, and each once unless tuples were divided.
    rows: int64 (f,), how many of the tuple's rows; which of them does not matter.
    codes: int32 (f, q), places in `labels`. loss: float64 (f, q), Normalized Certainty Penalty of the cell, in [0, 1].
    suppressed: bool (f,), rows that are left out.
    classes: the equivalence classes of the rows that are not.
    """

    labels: Labels
    source: np.ndarray
    rows: np.ndarray
    codes: np.ndarray
    loss: np.ndarray
    suppressed: np.ndarray
    classes: Tuples

    @property
    def suppressed_share(self) -> float:
        """Share of rows that are left out."""
        return float(self.rows[self.suppressed].sum() / self.rows.sum())

    def mean_loss(self, shares: np.ndarray) -> float:
        """Mean loss of a row, suppressed ones losing all; shares float64 (q,): columns' weights, adding up to 1."""
        lost = np.where(self.suppressed, 1.0, self.loss @ shares)
        return float(lost @ self.rows / self.rows.sum())


def recoded(
    tuples: Tuples,
    source: np.ndarray,
    rows: np.ndarray,
    labels: Labels,
    codes: np.ndarray,
    loss: np.ndarray,
    criteria: Sequence[Criterion],
    suppression: float,
) -> Recoded | None:
    """Put fragments into the common form, classes that violate a criterion suppressed.

    None if that were more than the share `suppression` of the rows, or all.
    """
    order = np.argsort(source, kind="stable")
    source, rows, codes, loss = source[order], rows[order], codes[order].astype(np.int32), loss[order]
    parts = fragments(tuples, source, rows).with_codes(codes)
    classes, of_fragment, _ = merge(parts, *pack_below(list(codes.T), [len(column) for column in labels]))
    total = int(rows.sum())
    judgement = _judged(classes, criteria, int(suppression * total + 1e-9))
    bad = judgement.violating
    if not judgement.satisfied or int(classes.rows[bad].sum()) == total:
        return None
    return Recoded(labels, source, rows, codes, loss, bad[of_fragment], subset(classes, np.flatnonzero(~bad)))


def _judged(classes: Tuples, criteria: Sequence[Criterion], most_suppressed: int) -> Judgement:
    return judge(split(criteria), classes, most_suppressed, lambda: np.argsort(np.lexsort(classes.codes.T)))


def fragments(tuples: Tuples, source: np.ndarray, rows: np.ndarray) -> Tuples:
    """`rows` (int64 (f,)) rows of each tuple in `source` (int64 (f,)), as tuples.

    A part of a tuple has its share of the people, and of each secret: exact where all rows have the same.
    """
    chosen = subset(tuples, source)
    if np.array_equal(rows, chosen.rows):
        return chosen
    share = rows / np.maximum(chosen.rows, 1)
    secrets = {
        name: Histogram(histogram.starts, histogram.codes, histogram.counts * share[histogram.of_entry])
        for name, histogram in chosen.secrets.items()
    }
    population = None if chosen.population is None else chosen.population * share
    return Tuples(chosen.codes, rows, chosen.people * share, secrets, population)


def subset(tuples: Tuples, chosen: np.ndarray) -> Tuples:
    """The tuples at the places `chosen`, int64 (c,)."""
    secrets = {name: _subset(histogram, chosen) for name, histogram in tuples.secrets.items()}
    population = None if tuples.population is None else tuples.population[chosen]
    return Tuples(tuples.codes[chosen], tuples.rows[chosen], tuples.people[chosen], secrets, population)


def _subset(histogram: Histogram, chosen: np.ndarray) -> Histogram:
    lengths = np.diff(histogram.starts)[chosen]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    entries = np.arange(starts[-1]) + np.repeat(histogram.starts[chosen] - starts[:-1], lengths)
    return Histogram(starts, histogram.codes[entries], histogram.counts[entries])


def stricter(tuples: Tuples, criteria: Sequence[Criterion]) -> Iterator[list[Criterion]]:
    """The criteria, then the same with a larger and larger k: what is asked of all classes together may need it.

    Raises:
        ThresholdNotReached: not even all rows as one class satisfy them, or nothing that was tried did.
    """
    everything, _, _ = merge(tuples, np.zeros(len(tuples), dtype=np.int64), 1)
    people, k = float(everything.people[0]), least_people(criteria)
    if _judged(everything, criteria, 0).satisfied:
        yield list(criteria)
        while k <= people / 2 + ROUNDING:  # beyond, all are one class
            k = int(min(np.ceil(1.5 * k), people))
            yield [*criteria, KAnonymity(k)]
    wanted = " and ".join(criterion.describe() for criterion in criteria)
    raise ThresholdNotReached(f"{wanted} cannot be reached: not even all rows together satisfy it")


def least_people(criteria: Sequence[Criterion]) -> int:
    """The k that classes have at least, 1 where no criterion says so."""
    return max((criterion.k for criterion in criteria if isinstance(criterion, KAnonymity)), default=1)


def judged_secrets(criteria: Sequence[Criterion]) -> set[str]:
    """Sensitive columns that criteria look at; all of these criteria have a column."""
    return {criterion.column for criterion in criteria if hasattr(criterion, "column")}


def with_secrets(tuples: Tuples, names: Collection[str]) -> Tuples:
    """The same with histograms of these sensitive columns only."""
    return replace(tuples, secrets={name: tuples.secrets[name] for name in tuples.secrets if name in names})
