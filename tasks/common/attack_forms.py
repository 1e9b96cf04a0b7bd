"""What a policy may say about the adversaries beyond singling out, linkability and inference."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tasks.common.values import Value

Isolator = Literal["all", "some", "univariate", "multivariate"]
Linker = Literal["chosen", "random", "confident"]
Guesser = Literal["neighbour", "learned"]
Reader = Literal["distance", "density"]
Reidentifier = Literal["prosecutor", "journalist", "marketer"]
Discloser = Literal["homogeneity", "skewness", "background"]
Reconstructor = Literal["greedy", "partition"]


class Membership(Value):
    """Tell whether a person's row is behind the release. Needs a control."""

    by: tuple[Reader, ...] = Field(
        ("distance", "density"), description="How close released rows are, or how much denser than the population."
    )
    shadow: Annotated[int, Field(ge=0, le=1000, multiple_of=2)] = Field(
        0,
        description="Shadow releases to learn from; 0 for none. Each takes as long as making the release, and fewer "
        "than 16 teach little.",
    )


class FurtherAttacks(Value):
    """Adversaries that a policy can add or leave out."""

    singling_out: tuple[Isolator, ...] = Field(
        ("all", "some"),
        description="Knowing all facts of a person, or some; or by predicates of one or of several columns that are "
        "made from the release alone.",
    )
    membership: Membership = Membership()
    reidentification: tuple[Reidentifier, ...] = Field(
        ("prosecutor",), description="Whose risk of being found by their quasi-identifiers is measured."
    )
    disclosure: tuple[Discloser, ...] = Field(
        ("homogeneity",), description="How a group of look-alikes gives away a sensitive value that its members have."
    )
    reconstruction: tuple[Reconstructor, ...] = Field(
        (),
        description="For locally recoded tables: how they were recoded, `greedy` (ARX) or by `partition` (Mondrian); "
        "tables that are recoded by Mondrian here are attacked without being asked.",
    )
