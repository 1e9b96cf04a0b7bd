"""How a plain function becomes a step of a flow: cached by content, silent about values.

A finished step is found again by what it was given and by the code that did it, not by when or where it ran: kill a run
anywhere, start it again, and only what is missing is done.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE, CacheKeyFnPolicy, CachePolicy

from tasks.common import settings
from tasks.common.code import TASKS, code_version
from tasks.common.errors import RunFailed, SecuredError
from tasks.common.identity import identity
from tasks.common.store import Store
from tasks.common.values import content_hash

P = ParamSpec("P")
R = TypeVar("R")


def _cache_key(context: Any, parameters: dict[str, Any]) -> str:
    return content_hash([context.task.name, code_version(), identity(parameters)])


BY_CONTENT = CacheKeyFnPolicy(cache_key_fn=_cache_key)
ALWAYS_RUN = NO_CACHE


def step(name: str, cache: CachePolicy = BY_CONTENT) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a Prefect task called `name`: cached by content, its result kept as JSON.

    A step that writes outside the store is always run (cache=ALWAYS_RUN) and has to be repeatable.
    The function takes and returns handles and small values only. Errors that are not meant for people are replaced by
    one that tells where it happened and nothing of the data; SECURED_DEBUG=1 lets them through, values and all.
    """

    def wrap(function: Callable[P, R]) -> Task[P, R]:
        made = task(name=name, cache_policy=cache, persist_result=True, result_serializer="json", retries=0)
        return made(silent(name, function))

    return wrap


def silent(name: str, function: Callable[P, R]) -> Callable[P, R]:
    """The same function, silent about values in the errors that it raises: those of `step`."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except SecuredError:
            raise
        except Exception as error:
            if os.environ.get("SECURED_DEBUG") == "1":
                raise
            raise RunFailed(f"step {name}: {_place(error)}") from None

    return guarded


def store() -> Store:
    """The content-addressed store of this home."""
    return Store(settings.load().store)


def _place(error: BaseException) -> str:
    """The kind of an error and the innermost line of our own that it came through, without its message."""
    place, trace = "", error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.is_relative_to(TASKS):
            place = f" at {path.relative_to(TASKS.parent)}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__}{place}; SECURED_DEBUG=1 shows the whole error, which may contain patients' data"
