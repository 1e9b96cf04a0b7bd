"""The privacy criteria that a policy can ask for, alone and combined; tasks.anonymization.criteria is what they do.

Those by column protect a sensitive column; the others protect people, whatever is known of them.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator

from tasks.common.hierarchy_forms import HierarchySpec, Leaf
from tasks.common.values import Value

Share = Annotated[float, Field(ge=0, le=1)]
Risk = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class Ground(StrEnum):
    """How far apart two secrets are."""

    EQUAL = "equal"  # all equally
    ORDERED = "ordered"  # by places between them: numbers and dates by value, others by `order`
    HIERARCHICAL = "hierarchical"  # by the level of `hierarchy` where they meet


class Estimator(StrEnum):
    """How many of k people a sample draws."""

    POISSON = "poisson"
    ZERO_TRUNCATED_POISSON = "zero-truncated-poisson"


class UniquenessModel(StrEnum):
    """Estimators of how many people are unique in a population."""

    PITMAN = "pitman"
    ZAYATZ = "zayatz"
    SNB = "snb"  # shifted negative binomial
    DANKAR = "dankar"  # Pitman for samples of at most a tenth, the smaller of Zayatz and SNB beyond


def _or_short(key: str, *types: str) -> ConfigDict:
    """A record that may be written as its most important value alone; both forms stand in the JSON Schema."""

    def both(schema: dict[str, Any]) -> None:
        record = {name: schema.pop(name) for name in list(schema) if name not in {"title", "description"}}
        schema["anyOf"] = [*({"type": name} for name in types), record]

    return ConfigDict(json_schema_extra=both, title=key)


class PopulationFile(Value):
    """A table of the population that the table is a part of, with the same quasi-identifiers. Written `people.csv`."""

    model_config = _or_short("Population", "string")

    path: Path
    count: str | None = Field(None, description="Column that says how many people a row stands for; one if not given.")
    sha256: str | None = Field(None, description="Of the file; filled in when the policy is read.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str | Path) else value


class Recursive(Value):
    """The most frequent secret less frequent than c times all from the l-th on."""

    c: Positive
    l: Annotated[int, Field(ge=2)]  # noqa: E741 - the field's own name


class Closeness(Value):
    """At most a distance of t from the table's distribution. Written `0.2` with equal distance."""

    model_config = _or_short("Closeness", "number")

    t: Annotated[float, Field(ge=0, lt=1)]
    distance: Ground = Ground.EQUAL
    order: tuple[Leaf, ...] | None = Field(
        None, description="Ordered distance of a categorical column: all its values."
    )
    hierarchy: HierarchySpec | None = Field(None, description="Hierarchical distance: where secrets meet.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"t": value} if isinstance(value, int | float) else value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.hierarchy is not None) != (self.distance is Ground.HIERARCHICAL):
            raise ValueError("`hierarchy:` and `distance: hierarchical` go together; give both or neither")
        if self.order is not None and self.distance is not Ground.ORDERED:
            raise ValueError("`order:` is for `distance: ordered`")
        if self.order is not None and len(set(self.order)) < len(self.order):
            raise ValueError("`order:` has a value twice")
        return self


class Likeness(Value):
    """No secret more frequent in a class than (1 + beta) times its share in the table. Written `1.0` where basic."""

    model_config = _or_short("Likeness", "number")

    beta: Positive
    enhanced: bool = Field(
        False, description="Also bounded by -ln of the share, so that no frequent secret is certain."
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"beta": value} if isinstance(value, int | float) else value


class Presence(Value):
    """The share of each class of the population that the table holds."""

    population: PopulationFile
    min: Share = 0.0
    max: Share

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.min > self.max:
            raise ValueError("`min` is above `max`")
        return self


class KMapping(Value):
    """At least k people of the population in each class, counted in a population table or concluded from its size."""

    k: Annotated[int, Field(ge=2)]
    population: PopulationFile | None = None
    people: Annotated[int, Field(ge=1)] | None = Field(None, description="Size of the population, where that is all.")
    estimator: Estimator = Estimator.ZERO_TRUNCATED_POISSON
    significance: Annotated[float, Field(gt=0, lt=1)] = Field(0.05, description="Of the conclusion.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.population is None) == (self.people is None):
            raise ValueError("give either `population:` (a table) or `people:` (its size)")
        return self


class Uniqueness(Value):
    """The largest share of the population that may be unique, as estimated from the release."""

    people: Annotated[int, Field(ge=1)] = Field(description="Size of the population.")
    most: Risk
    model: UniquenessModel = UniquenessModel.DANKAR


class RiskLimits(Value):
    """Largest acceptable risks of re-identification. Journalists and marketers need a population table."""

    prosecutor_max: Risk | None = None
    prosecutor_average: Risk | None = None
    journalist_max: Risk | None = None
    journalist_average: Risk | None = None
    marketer: Risk | None = None
    population: PopulationFile | None = None

    @model_validator(mode="after")
    def _has_a_population(self) -> Self:
        needs = [
            name for name in ("journalist_max", "journalist_average", "marketer") if getattr(self, name) is not None
        ]
        if needs and self.population is None:
            raise ValueError(f"`{needs[0]}` needs `population:`, a table of the population")
        return self


class Criteria(Value):
    """What holds for every equivalence class of the release, and how much may be suppressed to get there."""

    k: Annotated[int, Field(ge=2)] = Field(5, description="k-anonymity: least number of people in a class.")
    l: dict[str, Annotated[int, Field(ge=2)]] = Field(  # noqa: E741 - the field's own name
        default_factory=dict, description="Distinct l-diversity by sensitive column."
    )
    entropy_l: dict[str, Annotated[float, Field(gt=1)]] = Field(
        default_factory=dict, description="Entropy l-diversity by sensitive column; l need not be whole."
    )
    recursive_l: dict[str, Recursive] = Field(
        default_factory=dict, description="Recursive (c, l)-diversity by sensitive column."
    )
    t: dict[str, Closeness] = Field(default_factory=dict, description="t-closeness by sensitive column.")
    delta_disclosure: dict[str, Positive] = Field(
        default_factory=dict, description="delta-disclosure privacy by sensitive column, natural logarithms."
    )
    beta: dict[str, Likeness] = Field(default_factory=dict, description="beta-likeness by sensitive column.")
    presence: Presence | None = Field(None, description="delta-presence.")
    k_map: KMapping | None = Field(None, description="k-map.")
    uniqueness: Uniqueness | None = Field(None, description="Population uniqueness.")
    risk: RiskLimits | None = Field(None, description="Average and maximal risks of re-identification.")
    suppression: Share = Field(0.05, description="Largest share of rows that may be left out.")

    @property
    def by_column(self) -> dict[str, list[str]]:
        """Sensitive columns named by each key that protects columns."""
        keys = ("l", "entropy_l", "recursive_l", "t", "delta_disclosure", "beta")
        return {key: list(getattr(self, key)) for key in keys}

    @property
    def secrets(self) -> list[str]:
        """Sensitive columns that some criterion protects, each once; tuples need a histogram of each."""
        return list(dict.fromkeys(name for names in self.by_column.values() for name in names))

    @property
    def population(self) -> PopulationFile | None:
        """The population table, which all criteria that need one share."""
        return next(iter(self._populations()), None)

    def _populations(self) -> list[PopulationFile]:
        holders = (self.presence, self.k_map, self.risk)
        return [holder.population for holder in holders if holder is not None and holder.population is not None]

    @model_validator(mode="after")
    def _one_population(self) -> Self:
        if len(set(self._populations())) > 1:
            raise ValueError("`presence`, `k_map` and `risk` have to name the same population table")
        return self
