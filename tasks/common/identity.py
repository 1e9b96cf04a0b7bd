"""What a value stands for, wherever its files lie: equal content gives equal identity."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from tasks.common.policy import Policy
from tasks.common.table import Table


def identity(value: Any) -> Any:
    """A JSON-able stand-in: a table by its hashes, a policy by its fingerprint, other values by their parts."""
    if isinstance(value, Table):
        return value.identity
    if isinstance(value, Policy):
        return value.fingerprint()
    if isinstance(value, BaseModel):
        return {name: identity(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {str(key): identity(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [identity(item) for item in value]
    return value
