"""The policy: what a table's columns mean, with whom it is shared, and what has to hold before it is.

One YAML file drives the data flow. `tasks.common.policy_file` reads it; this module says what it may contain.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from tasks.common.attack_forms import FurtherAttacks, Guesser, Linker
from tasks.common.criteria_forms import Criteria, Ground
from tasks.common.fairness_forms import Fairness
from tasks.common.hierarchy_forms import AllOrNothing, Dates, HierarchySpec, Intervals, Leaf
from tasks.common.recoding_forms import Recoding, RecodingSpec
from tasks.common.synthesis_forms import Synthesis
from tasks.common.transformation_forms import Limit, Shift, require_sense
from tasks.common.utility_forms import Downstream as Downstream
from tasks.common.utility_forms import Survival, Usefulness, Volume
from tasks.common.values import Value, content_hash

# Largest acceptable risk by sharing context, as the probability 1/n of a smallest group of n.
# public: European Medicines Agency, External guidance on Policy 0070 (2018), 5.4 (0.09, n = 11). controlled and
# enclave: El Emam, Guide to the De-Identification of Personal Health Information (2013), ch. 18 (n = 5 and n = 3).
THRESHOLDS = {"public": 0.09, "controlled": 0.20, "enclave": 0.33}

Share = Annotated[float, Field(ge=0, le=1)]


class Role(StrEnum):
    """What a column tells about a person."""

    DIRECT = "direct"  # names the person: removed
    QUASI = "quasi"  # known to others and narrowing in combination: generalized
    SENSITIVE = "sensitive"  # what must not be learned about a person: protected by diversity, attacked by inference
    OTHER = "other"  # neither; released, and attacked all the same
    DROP = "drop"  # not needed by anyone: removed


class Kind(StrEnum):
    """How a column's values are read."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    DATE = "date"
    TEXT = "text"  # free text; only for columns that are removed


class Column(Value):
    """One column of the table."""

    role: Role
    kind: Kind = Kind.CATEGORICAL
    hierarchy: HierarchySpec | None = Field(None, description="How a quasi-identifier is generalized.")
    weight: Annotated[float, Field(gt=0)] = Field(1.0, description="How much losing detail here matters.")
    round: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Numeric, not quasi: released as multiples of this."
    )
    range: tuple[float, float] | None = Field(None, description="Numeric: values outside are an input error.")
    bottom: Limit | None = Field(None, description="Numeric or date: values below are released as this.")
    top: Limit | None = Field(None, description="Numeric or date: values above are released as this.")
    pseudonym: bool | str = Field(
        False, description="Direct: released as a keyed pseudonym. A name, if columns of several names share theirs."
    )
    shift: Shift | None = Field(None, description="Date: moved by a secret number of days, one for each person.")
    missing: Share = Field(1.0, description="Largest share of missing values that is no input error.")

    @field_validator("hierarchy", mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        return AllOrNothing() if value == "all-or-nothing" else value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.role is Role.QUASI and self.hierarchy is None:
            raise ValueError(
                "a quasi-identifier without a hierarchy; add `hierarchy:` (`all-or-nothing` is the shortest), "
                "or let `secured policy draft` propose one"
            )
        if self.hierarchy is not None and self.role is not Role.QUASI:
            raise ValueError(f"only a quasi-identifier has a hierarchy, but the role is `{self.role}`")
        if self.kind is Kind.TEXT and self.role not in {Role.DIRECT, Role.DROP}:
            raise ValueError("free text is never released; give it the role `direct` or `drop`")
        needs = Kind.NUMERIC if isinstance(self.hierarchy, Intervals) else Kind.DATE
        if isinstance(self.hierarchy, Intervals | Dates) and self.kind is not needs:
            raise ValueError(f"this hierarchy needs `kind: {needs}`, but the kind is `{self.kind}`")
        for key in ("round", "range"):
            if getattr(self, key) is not None and self.kind is not Kind.NUMERIC:
                raise ValueError(f"`{key}` needs `kind: numeric`")
        if self.round is not None and self.role is Role.QUASI:
            raise ValueError("`round` is for columns that are not generalized; a quasi-identifier has its hierarchy")
        require_sense(self)
        return self

    def as_released_exactly(self) -> Column:
        """The same column without generalization, for comparing original rows with each other."""
        return Column(role=Role.OTHER, kind=self.kind) if self.kind is not Kind.TEXT else self


class Holdout(Value):
    """People the release never sees. Attacks on them show what is learned about anyone."""

    working: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    sealed: Annotated[float, Field(gt=0, lt=0.5)] = 0.2


class Inference(Value):
    """Guess a secret from everything else that is known of a person."""

    secrets: tuple[str, ...] | None = Field(None, description="Columns to guess; the sensitive ones if not given.")
    tolerance: Share = Field(
        0.05, description="Numeric secrets: a guess this close, as a share of the range, is right."
    )
    by: tuple[Guesser, ...] = Field(
        ("neighbour",),
        description="From the most similar rows, or by a model learned from the release (`learned`). The model says "
        "more about everybody and less about those released; its balanced guesses take many people to judge.",
    )


class Linkability(Value):
    """Join two sets of facts about one person through the release."""

    left: tuple[str, ...] | None = Field(None, description="Columns that one source knows.")
    right: tuple[str, ...] | None = Field(None, description="Columns that the other knows; no overlap with `left`.")
    by: tuple[Linker, ...] = Field(
        ("chosen", "random", "confident"),
        description="By `left` and `right`, by random halves of the columns, or only those people whose rows in both "
        "sources have the closest matches.",
    )

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if (self.left is None) != (self.right is None):
            raise ValueError("give both `left` and `right`, or neither")
        if both := set(self.left or ()) & set(self.right or ()):
            raise ValueError(f"{', '.join(sorted(both))} cannot be in both `left` and `right`")
        return self


class Attacks(FurtherAttacks):
    """How the release is attacked."""

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = Field(0.95, description="Of all intervals together.")
    trials: Annotated[int, Field(ge=100)] | None = Field(
        None,
        description="Most targets a side; fewer if there are fewer. If not given, as many as it takes to certify the "
        "threshold.",
    )
    holdout: Holdout = Holdout()
    inference: Inference = Inference()
    linkability: Linkability = Linkability()


class Adjust(Value):
    """How far the flow may go to reach the threshold."""

    rungs: Annotated[int, Field(ge=0, le=50)] = Field(12, description="Most adjustments.")
    margin: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.2,
        description="Share of the threshold kept in reserve while adjusting, since the sealed control decides afresh.",
    )


class Policy(Value):
    """Everything the data flow needs to know. Paths are absolute once read from a file."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=60)]
    description: str = ""
    table: Path | None = Field(None, description="The table, relative to this file; the command line may name another.")
    person: str | None = Field(None, description="Direct identifier of the person; rows of one person stay together.")
    rows_per_person: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Most rows of one person; more are left out at random, so that nobody stands out by their number.",
    )
    exclude: dict[str, tuple[Leaf, ...]] = Field(
        default_factory=dict, description="Rows with these values are left out."
    )
    context: str = Field("public", description="With whom it is shared; decides the threshold.")
    thresholds: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(
        default_factory=dict, description="More sharing contexts, or other thresholds."
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    columns: dict[str, Column] = Field(min_length=1)
    criteria: Criteria = Criteria()
    recoding: RecodingSpec = Recoding()
    attacks: Attacks = Attacks()
    adjust: Adjust = Adjust()
    downstream: Downstream | None = None
    survival: Survival | None = None
    volume: Volume = Volume()
    usefulness: Usefulness = Usefulness()
    synthesis: Synthesis = Synthesis()
    fairness: Fairness | None = None

    @property
    def threshold(self) -> float:
        """Largest acceptable risk in the policy's sharing context."""
        return (THRESHOLDS | self.thresholds)[self.context]

    @property
    def working_threshold(self) -> float:
        """What bounds have to stay below while the release is adjusted."""
        return self.threshold * (1 - self.adjust.margin)

    @property
    def verdict_confidence(self) -> float:
        """Confidence of each of the two final score cards, so that both together keep the policy's."""
        return 1 - (1 - self.attacks.confidence) / 2

    def fingerprint(self) -> str:
        """SHA-256 of what the policy says, wherever its files lie."""
        files: Any = {"hierarchy": {"csv"}}
        counted: Any = {"population": {"path"}}
        criteria: Any = {"t": {"__all__": files}, "presence": counted, "k_map": counted, "risk": counted}
        said = self.model_dump(
            mode="json", exclude={"table": True, "columns": {"__all__": files}, "criteria": criteria}
        )
        return content_hash(said)

    def named(self, *roles: Role) -> list[str]:
        """Columns with one of these roles, in the policy's order."""
        return [name for name, column in self.columns.items() if column.role in roles]

    @property
    def quasi(self) -> list[str]:
        """Quasi-identifiers."""
        return self.named(Role.QUASI)

    @property
    def sensitive(self) -> list[str]:
        """Sensitive columns."""
        return self.named(Role.SENSITIVE)

    @property
    def released(self) -> list[str]:
        """Columns that a release has, in the policy's order."""
        return self.named(Role.QUASI, Role.SENSITIVE, Role.OTHER)

    @property
    def pseudonymous(self) -> list[str]:
        """Direct identifiers that a release has as keyed pseudonyms, in the policy's order."""
        return [name for name, column in self.columns.items() if column.pseudonym]

    @property
    def needs_key(self) -> bool:
        """Whether something is derived from the owner's key: pseudonyms, or offsets of dates."""
        return any(column.pseudonym or column.shift for column in self.columns.values())

    @property
    def secrets(self) -> list[str]:
        """Columns that inference attacks guess."""
        return list(self.attacks.inference.secrets or self.sensitive)

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        if self.context not in THRESHOLDS | self.thresholds:
            known = ", ".join(THRESHOLDS | self.thresholds)
            raise ValueError(f"unknown context `{self.context}`; known are {known}, others go under `thresholds:`")
        if self.rows_per_person is not None and self.person is None:
            raise ValueError("`rows_per_person:` needs `person:`, which says whose rows they are")
        if not self.released:
            raise ValueError("no column would be released; at least one has to be quasi, sensitive or other")
        if not self.quasi:
            raise ValueError("no column is a quasi-identifier; without one there is nothing to generalize")
        for place, names, allowed in self._mentions():
            for name in names:
                if name not in self.columns:
                    raise ValueError(f"{place} names `{name}`, which is not under `columns:`")
                if name not in allowed:
                    raise ValueError(f"{place} names `{name}`, whose role `{self.columns[name].role}` does not fit")
        return self

    def _mentions(self) -> list[tuple[str, list[str], list[str]]]:
        """Where the policy names columns: (place, names there, names that may be there)."""
        released, everything = self.released, list(self.columns)
        link = self.attacks.linkability
        return [
            ("person", [self.person] if self.person else [], self.named(Role.DIRECT)),
            ("exclude", list(self.exclude), everything),
            *((f"criteria.{key}", names, self.sensitive) for key, names in self.criteria.by_column.items()),
            ("attacks.inference.secrets", list(self.attacks.inference.secrets or ()), released),
            ("attacks.linkability", [*(link.left or ()), *(link.right or ())], released),
            ("downstream.target", [self.downstream.target] if self.downstream else [], released),
            (
                "downstream.features",
                list(self.downstream.features or ()) if self.downstream else [],
                released,
            ),
            ("survival.time", [self.survival.time] if self.survival else [], released),
            ("survival", [self.survival.event, *self.survival.groups] if self.survival else [], released),
            ("fairness.protected", list(self.fairness.protected) if self.fairness else [], released),
            ("synthesis.conditions", list(self.synthesis.conditions), released),
            ("synthesis.constraints", self.synthesis.constraints.columns, released),
        ]

    @model_validator(mode="after")
    def _times_are_numbers(self) -> Self:
        if self.survival and self.columns[self.survival.time].kind is not Kind.NUMERIC:
            raise ValueError(f"survival.time names `{self.survival.time}`, which needs `kind: numeric`")
        return self

    @property
    def features(self) -> list[str]:
        """Columns that the downstream model learns from."""
        assert self.downstream is not None, "features are asked for only where there is a downstream model"
        wanted = self.downstream.features or self.named(Role.QUASI, Role.OTHER)
        return [name for name in wanted if name != self.downstream.target]

    @model_validator(mode="after")
    def _distances_fit(self) -> Self:
        for name, closeness in self.criteria.t.items():
            kind = self.columns[name].kind
            if closeness.distance is Ground.ORDERED and kind is Kind.CATEGORICAL and closeness.order is None:
                raise ValueError(
                    f"criteria.t.{name}: its values have no order of their own; "
                    "give `order:`, all of them from first to last"
                )
            if closeness.hierarchy is not None:
                Column(role=Role.QUASI, kind=kind, hierarchy=closeness.hierarchy)
        return self

    @model_validator(mode="after")
    def _privacy_is_for_people(self) -> Self:
        if self.synthesis.privacy and self.person is not None and self.rows_per_person is None:
            raise ValueError(
                "`synthesis: privacy:` protects people, and `person:` says that a person may have several rows; give "
                "`rows_per_person:`, by which the noise grows, or leave `person:` out to protect single rows"
            )
        return self

    @model_validator(mode="after")
    def _fairness_has_a_model(self) -> Self:
        if self.fairness and not self.downstream:
            raise ValueError("`fairness:` needs `downstream:`, whose model it measures")
        if self.fairness and self.downstream and self.downstream.target in self.fairness.protected:
            raise ValueError("the target of `downstream:` cannot be protected at the same time")
        return self
