"""Privacy criteria on equivalence classes, that is on merged tuples, and what they make of the classes of a node.

Most judge each class: a class that violates one is suppressed. Others judge all that remains together, and are met by
suppressing more, the least costly classes first.

A criterion is monotone where merging classes that satisfy it gives one that does. That alone does not make a node
better than those below it: a suppressed class may merge with one that was kept and spoil it. k-anonymity and distinct
diversity absorb what is merged, others do not. Each criterion therefore also says how many rows of a class are
suppressed in any node below, whatever it is like there; where that is more than may be suppressed, all nodes below are
ruled out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from tasks.anonymization import hierarchies
from tasks.anonymization.classes import ROUNDING, Tuples
from tasks.anonymization.closeness import (
    Distance,
    EqualDistance,
    HierarchicalDistance,
    OrderedDistance,
    TCloseness,
)
from tasks.anonymization.disclosure import BetaLikeness, DeltaDisclosure
from tasks.anonymization.diversity import DistinctDiversity, EntropyDiversity, RecursiveDiversity
from tasks.anonymization.hierarchies import Label, as_leaf
from tasks.anonymization.population import DeltaPresence, EstimatedKMap, KMap, enough_people
from tasks.anonymization.reidentification_risk import Average, AverageRisk
from tasks.anonymization.uniqueness import PopulationUniqueness
from tasks.common.criteria_forms import Closeness, Criteria, Ground, KMapping, RiskLimits
from tasks.common.errors import PolicyError
from tasks.common.policy import Column, Kind, Role

__all__ = [
    "ClassCriterion",
    "Criterion",
    "DistinctDiversity",
    "Judgement",
    "KAnonymity",
    "Secret",
    "TableCriterion",
    "build",
    "judge",
    "split",
    "violating",
]


@runtime_checkable
class ClassCriterion(Protocol):
    """A condition that each class of a release has to satisfy."""

    @property
    def monotone(self) -> bool:
        """Whether merging classes that satisfy it gives one that does."""
        ...

    def violated(self, classes: Tuples) -> np.ndarray:
        """bool (c,), true for classes that do not satisfy it."""
        ...

    def judged(self, classes: Tuples, settled: np.ndarray | None = None, /) -> tuple[np.ndarray, np.ndarray]:
        """The same, and float64 (c,): rows of each class that are suppressed in every node below, and in this one.

        settled: bool (c,), classes all of whose rows are anyway; what is said of these does not matter.
        """
        ...

    def describe(self) -> str:
        """The criterion in the field's terms."""
        ...


@runtime_checkable
class TableCriterion(Protocol):
    """A condition that all that remains has to satisfy together."""

    @property
    def monotone(self) -> bool:
        """Whether merging classes, none of them suppressed, keeps it satisfied."""
        ...

    def suppressed(self, classes: Tuples, bad: np.ndarray, place: Callable[[], np.ndarray]) -> np.ndarray:
        """bool (c,), the classes left out: those that are `bad` already, and enough others for it to hold.

        place: gives int (c,), an order of the classes that is the same however they were merged, to break ties.
        """
        ...

    def unavoidable(self, classes: Tuples) -> float:
        """Rows that are suppressed in every node below, and in this one, at least."""
        ...

    def describe(self) -> str:
        """The criterion in the field's terms."""
        ...


Criterion = ClassCriterion | TableCriterion


@dataclass(frozen=True)
class KAnonymity:
    """At least k people in a class (Sweeney 2002, IJUFKS 10(5), def. 3), counted as people and not as rows.

    Monotone and absorbing: merging adds people.
    """

    k: int
    monotone: ClassVar[bool] = True

    def violated(self, classes: Tuples) -> np.ndarray:
        """Classes of fewer than k people."""
        return classes.people < self.k - ROUNDING

    def judged(self, classes: Tuples, _settled: np.ndarray | None = None, /) -> tuple[np.ndarray, np.ndarray]:
        """See ClassCriterion; no part of a violating class can be kept."""
        violated = self.violated(classes)
        return violated, np.where(violated, classes.rows, 0)

    def describe(self) -> str:
        """As `5-anonymity`."""
        return f"{self.k}-anonymity"


def violating(criteria: Sequence[Criterion], classes: Tuples) -> np.ndarray:
    """bool (c,), true for classes that violate at least one criterion on classes."""
    bad = np.zeros(len(classes), dtype=bool)
    for criterion in criteria:
        if isinstance(criterion, ClassCriterion):
            bad |= criterion.violated(classes)
    return bad


@dataclass(frozen=True)
class Judgement:
    """What criteria make of the classes of a node.

    violating: bool (c,), classes left out, those without rows among them; only complete where it is satisfied.
    satisfied: whether few enough rows are left out. hopeless: neither this node nor any below satisfies the criteria.
    unavoidable: rows that are suppressed here and in every node below, at least.
    """

    violating: np.ndarray
    satisfied: bool
    hopeless: bool
    unavoidable: float


Split = tuple[list[ClassCriterion], list[TableCriterion]]


def split(criteria: Sequence[Criterion]) -> Split:
    """Criteria on classes, and those on all that remains."""
    by_class = [criterion for criterion in criteria if isinstance(criterion, ClassCriterion)]
    return by_class, [criterion for criterion in criteria if isinstance(criterion, TableCriterion)]


def judge(criteria: Split, classes: Tuples, most_suppressed: int, place: Callable[[], np.ndarray]) -> Judgement:
    """Judge classes, and no longer than until it is clear that they are hopeless.

    most_suppressed: rows. place: see TableCriterion.
    """
    by_class, by_table = criteria
    bad, unavoidable = classes.rows == 0, np.zeros(len(classes))
    for criterion in by_class:
        violated, rows = criterion.judged(classes, unavoidable >= classes.rows)
        bad, unavoidable = bad | violated, np.maximum(unavoidable, rows)
        least = float(unavoidable.sum())
        if least > most_suppressed:
            return Judgement(bad, False, True, least)
    least = max([float(unavoidable.sum()), *(criterion.unavoidable(classes) for criterion in by_table)])
    hopeless = least > most_suppressed
    suppressed = int(classes.rows[bad].sum())
    while by_table and not hopeless and suppressed <= most_suppressed:
        before = bad
        for whole in by_table:
            bad = whole.suppressed(classes, bad, place)
        suppressed = int(classes.rows[bad].sum())
        if np.array_equal(bad, before):
            break
    return Judgement(bad, not hopeless and suppressed <= most_suppressed, hopeless, least)


@dataclass(frozen=True)
class Secret:
    """A sensitive column as histograms know it: code j stands for values[j]; None is a missing value."""

    values: Sequence[Label]
    kind: Kind


def build(
    wanted: Criteria, tuples: Tuples, secrets: Mapping[str, Secret], dropped: Collection[str] = ()
) -> list[Criterion]:
    """The criteria of a policy, bound to a table; cheap ones first.

    wanted: the policy's, with k and l as a plan has tightened them. tuples: of the whole table, with a histogram of
    each of `wanted.secrets` that is not dropped, and with a population where `wanted.population` names one. secrets:
    by sensitive column its values in the order of the histograms' codes. dropped: columns that are not released;
    nothing protects them.

    Raises:
        PolicyError: values of a column are missing in its `order:`, or the population is smaller than the table.
        HierarchyError, InputError: a hierarchy of secrets does not fit their values, or cannot be read.
    """
    columns = {key: [name for name in names if name not in dropped] for key, names in wanted.by_column.items()}
    shares = {
        name: _shares(tuples, name, len(secrets[name].values))
        for name in dict.fromkeys(name for names in columns.values() for name in names)
    }
    found: list[Criterion] = [KAnonymity(wanted.k)]
    found += _of_people(wanted, tuples)
    found += [DistinctDiversity(name, wanted.l[name]) for name in columns["l"]]
    found += [EntropyDiversity(name, wanted.entropy_l[name]) for name in columns["entropy_l"]]
    found += [
        RecursiveDiversity(name, wanted.recursive_l[name].c, wanted.recursive_l[name].l)
        for name in columns["recursive_l"]
    ]
    found += [
        BetaLikeness(name, wanted.beta[name].beta, shares[name], wanted.beta[name].enhanced) for name in columns["beta"]
    ]
    found += [
        DeltaDisclosure(name, wanted.delta_disclosure[name], shares[name]) for name in columns["delta_disclosure"]
    ]
    found += [
        TCloseness(name, wanted.t[name].t, distance(name, wanted.t[name], secrets[name], shares[name]))
        for name in columns["t"]
    ]
    return found + _of_table(wanted)


def _shares(tuples: Tuples, column: str, values: int) -> np.ndarray:
    people = tuples.secrets[column].total(values)
    return people / people.sum()


def _of_people(wanted: Criteria, tuples: Tuples) -> list[Criterion]:
    found: list[Criterion] = []
    if wanted.risk and wanted.risk.prosecutor_max is not None:
        found.append(KAnonymity(_people_at(wanted.risk.prosecutor_max)))
    if wanted.risk and wanted.risk.journalist_max is not None:
        found.append(KMap(_people_at(wanted.risk.journalist_max)))
    if wanted.k_map:
        found.append(_k_map(wanted.k_map, float(tuples.people.sum())))
    if wanted.presence:
        found.append(DeltaPresence(wanted.presence.min, wanted.presence.max))
    if wanted.uniqueness and wanted.uniqueness.people < tuples.people.sum() - 0.5:
        raise PolicyError(
            f"criteria.uniqueness.people: a population of {wanted.uniqueness.people} is smaller than the table, "
            f"which holds {round(tuples.people.sum())} people"
        )
    return found


def _people_at(risk: float) -> int:
    """People among whom a guess is right with this probability at most."""
    return math.ceil(1 / risk - ROUNDING)


def _k_map(wanted: KMapping, people: float) -> Criterion:
    if wanted.people is None:
        return KMap(wanted.k)
    if wanted.people < people - 0.5:
        raise PolicyError(
            f"criteria.k_map.people: a population of {wanted.people} is smaller than the table, "
            f"which holds {round(people)} people"
        )
    enough = enough_people(wanted.k, people / wanted.people, wanted.significance, wanted.estimator)
    return EstimatedKMap(wanted.k, enough, wanted.estimator)


def _of_table(wanted: Criteria) -> list[Criterion]:
    risk = wanted.risk or RiskLimits()
    limits = [
        (Average.PROSECUTOR, risk.prosecutor_average),
        (Average.POPULATION, risk.journalist_average),
        (Average.MARKETER, risk.journalist_average),
        (Average.MARKETER, risk.marketer),
    ]
    found: list[Criterion] = [AverageRisk(average, most) for average, most in limits if most is not None]
    if wanted.uniqueness:
        found.append(PopulationUniqueness(wanted.uniqueness.people, wanted.uniqueness.most, wanted.uniqueness.model))
    return found


def distance(name: str, wanted: Closeness, secret: Secret, overall: np.ndarray) -> Distance:
    """The distance that a policy asks for between distributions of the column called `name`.

    Raises:
        PolicyError, HierarchyError, InputError: as `build`.
    """
    if wanted.distance is Ground.EQUAL:
        return EqualDistance(overall)
    if wanted.distance is Ground.ORDERED:
        return OrderedDistance(overall, _places(name, wanted, secret, overall))
    column = Column(role=Role.QUASI, kind=secret.kind, hierarchy=wanted.hierarchy)
    return HierarchicalDistance(overall, hierarchies.build(name, column, secret.values).codes)


def _value(value: Label) -> Any:
    return value


def _places(name: str, wanted: Closeness, secret: Secret, overall: np.ndarray) -> np.ndarray:
    """The place of each value among those that occur, int64 (m,); a missing one is last if the order has none."""
    known: list[Label] = (
        sorted((value for value in secret.values if value is not None), key=_value)
        if wanted.order is None
        else [as_leaf(value, secret.kind) for value in wanted.order]
    )
    rank: dict[Label, int] = {value: place for place, value in enumerate(known)}
    rank.setdefault(None, len(rank))
    if outside := sum(1 for value in secret.values if value not in rank):
        raise PolicyError(f"criteria.t.{name}.order: {outside} distinct values of the column are missing in it")
    ranks = np.array([rank[value] for value in secret.values])
    places = np.full(len(ranks), -1, dtype=np.int64)
    occurring = np.flatnonzero(overall > 0)
    places[occurring[np.argsort(ranks[occurring])]] = np.arange(len(occurring))
    return places
