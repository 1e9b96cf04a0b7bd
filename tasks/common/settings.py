"""Where things are kept and how much of the machine is used. Every variable that SECURED reads is named here.

| variable            | who sets it, and what for                                                       |
|---------------------|---------------------------------------------------------------------------------|
| SECURED_HOME        | anyone; the folder for results, runs and the local knowledge base (~/.secured)   |
| SECURED_WORKERS     | anyone; Dask worker processes of a run (one per core, at most 8)                 |
| SECURED_CLUSTER     | HPC operators; `local` (default) or `slurm`                                      |
| SECURED_CONCRETE    | anyone; the environment of Concrete for trees under TFHE (SECURED_HOME/concrete)   |
| SECURED_SLURM_*     | HPC operators; QUEUE, MEMORY, WALLTIME, INTERFACE of the Dask jobs               |
| PREFECT_API_URL     | who runs a Prefect server; without it each run brings a temporary one            |
| MLFLOW_TRACKING_URI | who runs an MLflow server; without it the knowledge base is SQLite under the home |
| SECURED_DEBUG       | developers, on data that is not secret; 1 shows errors with the values that caused them |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.common.errors import InputError, StorageError


@dataclass(frozen=True)
class Settings:
    """A snapshot of the environment. Paths are absolute."""

    home: Path
    workers: int
    cluster: str
    tracking_uri: str

    @property
    def store(self) -> Path:
        """Tables and row selections, by their content."""
        return self.home / "store"

    @property
    def results(self) -> Path:
        """What finished steps returned, by code version, input and parameters."""
        return self.home / "results"

    @property
    def runs(self) -> Path:
        """A folder per data-flow run with the release, its evidence and the report."""
        return self.home / "runs"

    @property
    def scratch(self) -> Path:
        """Dask's spill files and logs, and for as long as it takes what workers counted of a table."""
        return self.home / "scratch"

    @property
    def processes(self) -> Path:
        """Notes of the servers that a run started, so that orphans can be found."""
        return self.home / "processes"

    def ensure_writable(self) -> None:
        """Make the home folder, and fail early where it cannot be written.

        Raises:
            StorageError: the folder cannot be made or written.
        """
        try:
            for folder in (self.store, self.results, self.runs, self.scratch, self.processes):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.home / f".probe-{os.getpid()}"
            probe.write_bytes(b"\0" * 4096)
            probe.unlink()
        except OSError as error:
            raise StorageError(
                f"{self.home} cannot be written ({error.strerror}); set SECURED_HOME to a folder of yours that has room"
            ) from error


def home(environment: Mapping[str, str]) -> Path:
    """Where everything is kept, as an absolute path."""
    return Path(environment.get("SECURED_HOME", "~/.secured")).expanduser().absolute()


def load() -> Settings:
    """Read the settings from the environment.

    Raises:
        InputError: a variable has a value that makes no sense.
    """
    place = home(os.environ)
    cluster = os.environ.get("SECURED_CLUSTER", "local")
    if cluster not in {"local", "slurm"}:
        raise InputError(f"SECURED_CLUSTER is {cluster!r}; it can be `local` or `slurm`")
    return Settings(
        home=place,
        workers=_workers(),
        cluster=cluster,
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{place / 'mlflow' / 'mlflow.db'}",
    )


def _workers() -> int:
    given = os.environ.get("SECURED_WORKERS")
    if given is None:
        return min(len(os.sched_getaffinity(0)), 8)
    if not given.isdigit() or int(given) < 1:
        raise InputError(f"SECURED_WORKERS is {given!r}; it is the number of worker processes, 1 or more")
    return int(given)
