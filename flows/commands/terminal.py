"""What commands share: options that mean the same everywhere, and how they talk."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from tasks.common.errors import InputError
from tasks.common.store import atomic, write_parquet, write_text

PolicyOption = Annotated[Path, typer.Option("--policy", "-p", help="The policy (YAML).", show_default=False)]
JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the result as JSON into this file.", show_default=False)
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress, and only what matters.")]
TableArgument = Annotated[Path, typer.Argument(help="A table, CSV or Parquet.", show_default=False)]

console = Console(highlight=False)
progress_console = Console(stderr=True, highlight=False)


def write_json(path: Path | None, result: dict[str, Any]) -> None:
    """Write a machine-readable result, if a file was asked for."""
    if path is not None:
        write_text(path, json.dumps(result, indent=2) + "\n")


def require_output(path: Path) -> Path:
    """An output path of a kind that can be written.

    Raises:
        InputError: it is neither .parquet nor .csv, or its folder is not there.
    """
    if path.suffix not in {".parquet", ".csv"}:
        raise InputError(f"--out {path}: the name has to end in .parquet or .csv")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--out {path}: there is no folder {path.absolute().parent}")
    return path


def write_table(table: pa.Table, out: Path) -> None:
    """Write a table in the format that the name says."""
    if out.suffix == ".parquet":
        write_parquet(table, out)
        return
    with atomic(out) as temporary:
        pa_csv.write_csv(table, temporary)


@contextlib.contextmanager
def bar(quiet: bool) -> Iterator[Bar]:
    """A progress bar on standard error, silent under --quiet and where nobody looks."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=progress_console,
        disable=quiet or not progress_console.is_terminal,
        transient=True,
    ) as progress:
        yield Bar(progress, progress.add_task("reading", total=None))


class Bar:
    """One bar whose text says what is being done."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def say(self, text: str) -> None:
        """Say what is being done now, for an unknown time."""
        self._progress.update(self._task, description=text, total=None)

    def at(self, done: int, total: int) -> None:
        """So many of so many are done."""
        self._progress.update(self._task, completed=done, total=total)
