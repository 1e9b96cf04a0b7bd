"""The forms in which a policy can ask how quasi-identifiers are recoded; tasks.anonymization carries them out.

| `recoding:`          | what is released                                                                              |
|----------------------|-----------------------------------------------------------------------------------------------|
| `full-domain`        | each value of a column at the same level of its hierarchy (the default)                       |
| `mondrian`           | intervals and groups that differ from region to region; equal tuples stay together            |
| `mondrian-relaxed`   | the same, but rows of equal tuples may be divided between regions, if each row is a person    |
| `microaggregation`   | means, medians and modes of small groups of people: values, not generalizations               |

`full-domain` may be written out as `{method: full-domain, cell_suppression: true}`: rows that would have to be left out
then lose single cells where that is enough.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from tasks.common.values import Value


class Method(StrEnum):
    """How quasi-identifiers are recoded."""

    FULL_DOMAIN = "full-domain"
    MONDRIAN = "mondrian"
    MONDRIAN_RELAXED = "mondrian-relaxed"
    MICROAGGREGATION = "microaggregation"


class Recoding(Value):
    """How quasi-identifiers are recoded. Written as the name of the method where that says it all."""

    method: Method = Field(Method.FULL_DOMAIN, description="How quasi-identifiers are recoded.")
    cell_suppression: bool = Field(
        False, description="Full-domain only: rows lose cells rather than being left out, where that is enough."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.cell_suppression and self.method is not Method.FULL_DOMAIN:
            raise ValueError(
                f"`cell_suppression` goes with `method: full-domain`; `{self.method}` leaves no rows to take cells from"
            )
        return self


def _written_out(value: Any) -> Any:
    return {"method": value} if isinstance(value, str) else value


RecodingSpec = Annotated[Recoding, BeforeValidator(_written_out, json_schema_input_type=Method | Recoding)]
