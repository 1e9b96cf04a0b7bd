"""t-closeness: secrets in a class distributed nearly as in the whole table (Li, Li and Venkatasubramanian 2007, ICDE;
2010, TKDE 22(7)).

Nearly is an earth mover's distance of at most t, each with its own idea of how far apart two secrets are: all equally,
by places between them in an order, or by how high in a hierarchy they meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np

from tasks.anonymization.classes import ROUNDING, Tuples, fewest_rows
from tasks.anonymization.histograms import Histogram
from tasks.common.compiling import compiled


class Distance(Protocol):
    """How far distributions of m secrets are from that of the whole table, between 0 and 1."""

    @property
    def overall(self) -> np.ndarray:
        """Shares of the secrets in the table, float64 (m,)."""
        ...

    def of(self, histogram: Histogram, left_out: np.ndarray | None = None) -> np.ndarray:
        """Earth mover's distance of each class, float64 (classes,); 0 if it is empty or left out, bool (classes,)."""
        ...

    def lost(self, histogram: Histogram, distances: np.ndarray, t: float) -> np.ndarray:
        """Least share of each class at these distances to suppress so that some of the rest may be within t."""
        ...


@dataclass(frozen=True, eq=False)
class EqualDistance:
    """Half the sum of differences (2010, section 4.3.2). overall: shares of the secrets in the table, float64 (m,)."""

    overall: np.ndarray

    def of(self, histogram: Histogram, left_out: np.ndarray | None = None) -> np.ndarray:
        """See Distance."""
        return _equal(histogram.starts, histogram.codes, histogram.counts, _none_of(histogram, left_out), self.overall)

    def lost(self, histogram: Histogram, distances: np.ndarray, t: float) -> np.ndarray:
        """See Distance. Of m people kept, at most min(n_i, m p_i) with secret i agree with the table, and the sum over
        all i has to be (1 - t) m at least."""
        limit = (1 - t) * (1 - ROUNDING)
        return _lost(histogram.starts, histogram.codes, histogram.counts, self.overall, limit, distances > t + ROUNDING)


@dataclass(frozen=True, eq=False)
class OrderedDistance:
    """Sum of absolute differences of the cumulative shares, over m - 1 (2010, section 4.3.1).

    place: int64 (m,), the place of each secret in the order of those that occur; overall: their shares by code.
    """

    overall: np.ndarray
    place: np.ndarray

    @cached_property
    def _cumulative(self) -> tuple[np.ndarray, np.ndarray]:
        """Cumulative shares by place, and their running sum with a zero before."""
        in_order = np.zeros(int((self.overall > 0).sum()))
        in_order[self.place[self.overall > 0]] = self.overall[self.overall > 0]
        cumulative = np.cumsum(in_order)
        return cumulative, np.append(0.0, np.cumsum(cumulative))

    def of(self, histogram: Histogram, left_out: np.ndarray | None = None) -> np.ndarray:
        """See Distance."""
        none = _none_of(histogram, left_out)
        return _ordered(histogram.starts, histogram.codes, histogram.counts, none, self.place, *self._cumulative)

    def lost(self, histogram: Histogram, distances: np.ndarray, t: float) -> np.ndarray:  # noqa: ARG002
        """See Distance."""
        return _lost_at_least(self, distances, t)


@dataclass(frozen=True, eq=False)
class HierarchicalDistance:
    """What has to move through each node of a hierarchy, times the node's height over the whole (2010, section 4.3.2).

    levels: int32 (height + 1, m), the label of each secret by level, level 0 the secrets and the last one label.
    """

    overall: np.ndarray
    levels: np.ndarray

    @cached_property
    def _tree(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Nodes of all levels numbered through: where each level begins, each node's parent and share of the table."""
        begins = np.cumsum([0, *(int(labels.max(initial=-1)) + 1 for labels in self.levels)])
        parents, shares = np.zeros(begins[-1], dtype=np.int64), np.zeros(begins[-1])
        for level, labels in enumerate(self.levels):
            np.add.at(shares, begins[level] + labels, self.overall)
            if level + 1 < len(self.levels):
                parents[begins[level] + labels] = begins[level + 1] + self.levels[level + 1]
        return begins, parents, shares

    def of(self, histogram: Histogram, left_out: np.ndarray | None = None) -> np.ndarray:
        """See Distance."""
        leaves, none = self.levels[0].astype(np.int64), _none_of(histogram, left_out)
        return _hierarchical(histogram.starts, histogram.codes, histogram.counts, none, leaves, *self._tree)

    def lost(self, histogram: Histogram, distances: np.ndarray, t: float) -> np.ndarray:  # noqa: ARG002
        """See Distance."""
        return _lost_at_least(self, distances, t)


def _lost_at_least(distance: Distance, distances: np.ndarray, t: float) -> np.ndarray:
    """By convexity: where a share s of a class at distance d is suppressed, what is kept is within t and what is
    suppressed within D, the distance of the farthest single secret, so that d <= (1 - s) t + s D."""
    secrets = np.flatnonzero(distance.overall > 0).astype(np.int32)
    each = Histogram(np.arange(len(secrets) + 1), secrets, np.ones(len(secrets)))
    farthest = float(distance.of(each).max(initial=0.0))
    return np.clip((distances - t) / max(farthest - t, ROUNDING), 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class TCloseness:
    """Secrets of each class at a distance of at most t from those of the table (2007, def. 2).

    Monotone: the distance is convex in the class's distribution (2007, lemma 1). Not absorbing.
    """

    column: str
    t: float
    distance: Distance
    monotone: ClassVar[bool] = True

    def violated(self, classes: Tuples) -> np.ndarray:
        """Classes farther than t from the table."""
        return self.judged(classes)[0]

    def judged(self, classes: Tuples, settled: np.ndarray | None = None, /) -> tuple[np.ndarray, np.ndarray]:
        """See ClassCriterion."""
        histogram = classes.secrets[self.column]
        distances = self.distance.of(histogram, settled)
        violated = distances > self.t + ROUNDING
        lost = self.distance.lost(histogram, distances, self.t)
        return violated, fewest_rows(classes, violated, classes.people * lost)

    def describe(self) -> str:
        """As `0.2-closeness of result (ordered distance)`."""
        name = type(self.distance).__name__.removesuffix("Distance").lower()
        return f"{self.t:g}-closeness of {self.column} ({name} distance)"


def _none_of(histogram: Histogram, left_out: np.ndarray | None) -> np.ndarray:
    return np.zeros(len(histogram.starts) - 1, dtype=np.bool_) if left_out is None else left_out


@compiled
def _equal(
    starts: np.ndarray, codes: np.ndarray, counts: np.ndarray, left_out: np.ndarray, overall: np.ndarray
) -> np.ndarray:
    """A secret that a class lacks differs by its share p; these sum to 1 less the p of those that it has."""
    distances = np.zeros(len(starts) - 1)
    for number in range(len(distances)):
        if left_out[number]:
            continue
        people = counts[starts[number] : starts[number + 1]].sum()
        if people > 0:
            total = 1.0
            for entry in range(starts[number], starts[number + 1]):
                share = overall[codes[entry]]
                total += abs(counts[entry] / people - share) - share
            distances[number] = max(total / 2, 0.0)
    return distances


@compiled
def _ordered(
    starts: np.ndarray,
    codes: np.ndarray,
    counts: np.ndarray,
    left_out: np.ndarray,
    place: np.ndarray,
    cumulative: np.ndarray,
    running: np.ndarray,
) -> np.ndarray:
    """Between two secrets of a class its cumulative share is constant and the table's rises, so one search finds where
    they cross and sums that were taken before give both sides: no walk over secrets that the class lacks."""
    distances, size = np.zeros(len(starts) - 1), len(cumulative)
    share = np.zeros(size)
    for number in range(len(distances)):
        begin, end = starts[number], starts[number + 1]
        people = counts[begin:end].sum()
        if people == 0 or size < 2 or left_out[number]:
            continue
        places = np.empty(end - begin, dtype=np.int64)
        for entry in range(begin, end):
            places[entry - begin] = place[codes[entry]]
            share[place[codes[entry]]] = counts[entry] / people
        places.sort()
        total, below, reached = running[places[0]], 0.0, places[0]
        for i in range(len(places)):
            below += share[places[i]]
            stop = places[i + 1] if i + 1 < len(places) else size
            crossing = reached + np.searchsorted(cumulative[reached:stop], below)
            total += below * (crossing - reached) - (running[crossing] - running[reached])
            total += running[stop] - running[crossing] - below * (stop - crossing)
            reached = stop
        distances[number] = max(total / (size - 1), 0.0)
    return distances


@compiled
def _hierarchical(
    starts: np.ndarray,
    codes: np.ndarray,
    counts: np.ndarray,
    left_out: np.ndarray,
    leaves: np.ndarray,
    begins: np.ndarray,
    parents: np.ndarray,
    shares: np.ndarray,
) -> np.ndarray:
    """Level by level, only through nodes above secrets of the class: all others lack their whole share, and nothing
    moves within them."""
    height = len(begins) - 2
    distances = np.zeros(len(starts) - 1)
    inside, known = np.zeros(len(shares)), np.zeros(len(shares))
    plus, minus = np.zeros(len(shares)), np.zeros(len(shares))
    touched, above = np.empty(begins[1], dtype=np.int64), np.empty(begins[1], dtype=np.int64)
    for number in range(len(distances)):
        if left_out[number]:
            continue
        people, here = counts[starts[number] : starts[number + 1]].sum(), 0
        for entry in range(starts[number], starts[number + 1]):
            node = leaves[codes[entry]]
            inside[node] = counts[entry] / people
            touched[here] = node
            here += 1
        for level in range(1, height + 1):
            there = 0
            for i in range(here):
                node, parent = touched[i], parents[touched[i]]
                if inside[parent] == 0.0:
                    above[there] = parent
                    there += 1
                surplus = inside[node] - shares[node]
                plus[parent] += max(surplus, 0.0)
                minus[parent] += max(-surplus, 0.0)
                known[parent] += shares[node]
                inside[parent] += inside[node]
                inside[node] = 0.0
            for i in range(there):
                node = above[i]
                lacking = minus[node] + shares[node] - known[node]
                distances[number] += level / height * min(plus[node], max(lacking, 0.0))
                plus[node], minus[node], known[node] = 0.0, 0.0, 0.0
                touched[i] = node
            here = there
        for i in range(here):
            inside[touched[i]] = 0.0
    return distances


@compiled
def _lost(
    starts: np.ndarray, codes: np.ndarray, counts: np.ndarray, overall: np.ndarray, limit: float, violated: np.ndarray
) -> np.ndarray:
    """Share of each violating class beyond the largest m with sum(min(n_i, m p_i)) >= limit m.

    Both sides start at 0 and the left is concave: steps of Newton's method from the whole class down stay above that m.
    """
    lost = np.zeros(len(starts) - 1)
    for number in range(len(lost)):
        if not violated[number]:
            continue
        people = counts[starts[number] : starts[number + 1]].sum()
        kept, last = people, np.inf
        while kept < last and kept > 0.0:
            fixed, slope, last = 0.0, -limit, kept
            for entry in range(starts[number], starts[number + 1]):
                agreeing = kept * overall[codes[entry]]
                if counts[entry] < agreeing:
                    fixed += counts[entry]
                else:
                    slope += overall[codes[entry]]
            if fixed + slope * kept < 0.0:
                kept = max(fixed / -slope, 0.0)
        lost[number] = 1.0 - kept / people
    return lost
