"""The forms in which a policy can ask for synthetic rows; tasks.synthesis carries them out.

synthesis:
  engine: ctgan                                  # the champion; challengers replace it where they do better
  challengers: [tvae, copula, trees]
  conditions:
    sex: F                                       # a value
    ward: [A, B]                                 # any of these
    age: {least: 0, most: 12}                    # a range, both ends included
    result: {shares: {positive: 0.3}}            # 30 %; the other values share the rest
  constraints:
    together: [[city, district]]                 # only combinations that occur
    order: [[admission, discharge]]              # never the second before the first
    unique: [visit]                              # keys, made anew
"""

from __future__ import annotations

import datetime as dt
import math
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from tasks.common.hierarchy_forms import Leaf
from tasks.common.privacy_forms import Privacy, PrivateEngine
from tasks.common.values import Value

Share = Annotated[float, Field(ge=0, le=1)]


class Engine(StrEnum):
    """What rows are learned and drawn by."""

    CTGAN = "ctgan"  # generative adversarial network (Xu et al. 2019)
    TVAE = "tvae"  # variational autoencoder (Xu et al. 2019)
    COPULA = "copula"  # Gaussian copula (Patki et al. 2016)
    TREES = "trees"  # column after column by decision trees (Reiter 2005)


AnyEngine = Engine | PrivateEngine


class Span(Value):
    """Values between two ends, both included; numbers or dates. One end may be left open."""

    least: float | dt.date | None = None
    most: float | dt.date | None = None

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if self.least is None and self.most is None:
            raise ValueError("a range needs `least` or `most`")
        if self.least is not None and self.most is not None:
            if isinstance(self.least, dt.date) != isinstance(self.most, dt.date):
                raise ValueError("`least` and `most` have to be both numbers or both dates")
            if self.least > self.most:  # type: ignore[operator]
                raise ValueError(f"no value lies between {self.least} and {self.most}")
        return self


class Shares(Value):
    """How often values shall occur. What is left to 1 goes to all other values, as often as they come."""

    shares: dict[str, Share] = Field(min_length=1)

    @field_validator("shares", mode="before")
    @classmethod
    def _words(cls, given: object) -> object:
        return {_word(value): share for value, share in given.items()} if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        if (total := sum(self.shares.values())) > 1 + 1e-9:
            raise ValueError(f"the shares add up to {total:g}, which is more than 1")
        return self

    @property
    def rest(self) -> float:
        """The share of all other values."""
        left = 1 - sum(self.shares.values())
        return 0.0 if math.isclose(left, 0, abs_tol=1e-9) else left


Condition = Span | Shares | tuple[Leaf, ...] | Leaf


class Constraints(Value):
    """What no synthetic row may break. Types, decimal places and the range of numbers are kept without being asked."""

    together: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...] = Field(
        (), description="Columns of which only those combinations may come that occur in the rows learned from."
    )
    order: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...] = Field(
        (), description="Numeric or date columns that never decrease from one to the next."
    )
    unique: tuple[str, ...] = Field((), description="Keys: not learned, but numbered anew.")

    @model_validator(mode="after")
    def _one_place_each(self) -> Self:
        named = [name for group in (*self.together, *self.order) for name in group] + list(self.unique)
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} can be in one constraint only")
        return self

    @property
    def columns(self) -> list[str]:
        """Every column that a constraint names."""
        return [name for group in (*self.together, *self.order, self.unique) for name in group]


class Synthesis(Value):
    """Synthetic rows, learned from the anonymized release.

    CTGAN's defaults differ from the paper's (500 rows a batch, packs of 10, log frequencies), which suit large tables
    with strong relations: on hospital tables of some thousand rows with a rare outcome small batches, no packing and
    true frequencies keep the outcome's rate and its relation to the other columns.
    """

    engine: Engine = Field(Engine.CTGAN, description="The champion.")
    challengers: tuple[Engine, ...] = Field(
        (Engine.TVAE, Engine.COPULA, Engine.TREES),
        description="Learned from the same rows; the best that passes the gate is taken, the champion if none is "
        "better. Empty: the champion alone.",
    )
    epochs: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Passes of a network over the release; if not given, as many as make 1,800 batches by CTGAN or "
        "6,000 by TVAE, and at least 10 or 30.",
    )
    early_stopping: bool = Field(
        True,
        description="Whether networks are taken from where a model trained on their rows answered the downstream "
        "question best for an eighth of the release, kept apart for that. Needs `downstream:`.",
    )
    batch: Annotated[int, Field(ge=20, multiple_of=20)] = 200
    pack: Annotated[int, Field(ge=1)] = Field(1, description="Rows that CTGAN's discriminator judges together.")
    log_frequency: bool = Field(False, description="Whether rare categories are trained more often than they occur.")
    rows: Annotated[int, Field(ge=0)] | None = Field(None, description="Rows to add; by learning curve if not given.")
    conditions: dict[str, Condition] = Field(default_factory=dict, description="What the rows have to be like.")
    constraints: Constraints = Constraints()
    privacy: Privacy | None = Field(None, description="Differential privacy, by an engine of its own and no other.")

    @model_validator(mode="after")
    def _private_engines_learn_single_columns(self) -> Self:
        if self.privacy and (self.constraints.together or self.constraints.unique):
            raise ValueError("`constraints: together` and `unique` are not kept by the engines of `privacy:`")
        return self

    @model_validator(mode="after")
    def _packs_fill_batches(self) -> Self:
        if self.batch % self.pack:
            raise ValueError(f"`batch` has to be a multiple of `pack`, but {self.batch} is none of {self.pack}")
        return self

    @property
    def engines(self) -> tuple[AnyEngine, ...]:
        """The champion and its challengers, each once; under a privacy budget the one that keeps to it."""
        if self.privacy:
            return (self.privacy.engine,)
        return tuple(dict.fromkeys((self.engine, *self.challengers)))


def _word(value: object) -> str:
    """A value as YAML gives it, as a table's text has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
