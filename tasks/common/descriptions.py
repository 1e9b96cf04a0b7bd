"""Descriptions that say what they are of: `{"kind": ...}` in JSON, read back as the record of that kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from tasks.common.errors import InputError
from tasks.common.values import Value

V = TypeVar("V", bound=Value)


def read(description: str | bytes | Mapping[str, Any], kinds: Mapping[str, type[V]], what: str) -> V:
    """The record of a description, from JSON or what JSON was read to. what: kinds are of, as in `job`.

    Raises:
        InputError: it is no JSON, names no kind that is known, or its fields are not those of its kind. The message
            names fields, never what stands in them.
    """
    if not isinstance(description, Mapping):
        try:
            description = json.loads(description)
        except ValueError:
            raise InputError(f"the description of the {what} is no JSON") from None
    kind = description.get("kind") if isinstance(description, Mapping) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise InputError(f"the {what}'s kind is {kind!r}; there are {', '.join(sorted(kinds))}")
    try:
        return kinds[kind].model_validate_json(json.dumps(description))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'all'}: {each['msg']}" for each in error.errors())
        raise InputError(f"this is no description of the {what} {kind}: {wrong}") from None
