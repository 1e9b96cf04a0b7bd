"""A party of the embedded engine, as a process: `python -m tasks.mpc.embedded_party FOLDER`.

The folder is its own. It finds there what is public of the job, its input, its key and everybody's certificate, and
leaves its result. It reads the input once and removes it, so that a crash of the machine leaves none behind. What it
says when it fails names no values.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.common.errors import SecuredError
from tasks.common.store import atomic
from tasks.common.values import Value
from tasks.mpc.program import Program

if TYPE_CHECKING:
    from tasks.mpc.embedded_runtime import Runtime

JOB, INPUT, OUTPUT, WAITING = "job.json", "input.npz", "output.npz", "waiting.json"
# Between two reports of whom a party waits for.
REPORT_SECONDS = 0.25


class Job(Value):
    """What is public. first_port: of party 0; others have those that follow. module, program: where its class is."""

    party: int
    parties: int
    first_port: int
    module: str
    program: str
    fields: dict[str, Any]

    def described(self) -> Program:
        """The program."""
        found: type[Program] = getattr(importlib.import_module(self.module), self.program)
        return found.model_validate(self.fields)


def main() -> None:
    """Take part in the job of a folder, and say in one line what went wrong if it does."""
    logging.basicConfig(level=logging.WARNING)  # before MPyC does
    warnings.simplefilter("ignore")  # the last line in the log is the reason
    try:
        _take_part(Path(sys.argv[1]))
    except Exception as error:
        print(_said(error), file=sys.stderr)  # noqa: T201 - to the party's log
        sys.exit(1)


def _take_part(folder: Path) -> None:
    from tasks.mpc.embedded_runtime import Runtime

    job = Job.model_validate_json((folder / JOB).read_text())
    program = job.described()
    with np.load(folder / INPUT, allow_pickle=False) as content:
        own = program.checked_of(job.party, dict(content))
    (folder / INPUT).unlink()
    mpc = Runtime(job.party, job.parties, job.first_port, folder, program.format)
    numbers, seconds = mpc.until_done(_computed(mpc, program, own))
    with atomic(folder / OUTPUT) as temporary, temporary.open("wb") as file:
        np.savez(file, numbers=numbers, online=seconds, sent=mpc.sent)


async def _computed(mpc: Runtime, program: Program, own: dict[str, np.ndarray]) -> tuple[np.ndarray, float]:
    """All numbers of all outputs one after the other, and the seconds that they took once everybody was there."""
    await mpc.start()
    start = time.perf_counter()
    made = await program.jointly(mpc, own)
    numbers = [await mpc.opened(made[name], shape) for name, shape in program.outputs().items()]
    seconds = time.perf_counter() - start
    await mpc.shutdown()
    return np.concatenate(numbers), seconds


def _said(error: BaseException) -> str:
    """What went wrong. Messages of our own and of the system name no values; of others, only the place is told."""
    if isinstance(error, (SecuredError, OSError, asyncio.CancelledError)):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


if __name__ == "__main__":
    main()
