"""What is installed, what runs, and what to do about what is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from enum import StrEnum
from importlib import metadata
from pathlib import Path

import httpx

from tasks.common import processes, settings
from tasks.common.errors import StorageError
from tasks.common.values import Value

_NEEDED = (
    "prefect", "prefect-dask", "distributed", "mlflow", "great-expectations", "ctgan", "torch", "sdmetrics",
    "scikit-learn", "pandas", "pyarrow", "numba", "pydicom",
)  # fmt: skip
_LITTLE_SPACE = 2 * 1024**3


class State(StrEnum):
    """How one part is."""

    GOOD = "good"
    OPTIONAL = "optional"  # missing, and only some work needs it
    BAD = "bad"  # missing, and nothing works without it


class Diagnosis(Value):
    """One part: how it is, in words, and what to do if it is not good."""

    part: str
    state: State
    found: str
    advice: str = ""


def examine() -> list[Diagnosis]:
    """Look at everything; ends orphaned processes of earlier runs, as it says."""
    checks: list[Callable[[], Diagnosis]] = [
        _python, _packages, _home, _orphans, _pyfhel, _privacy, _mp_spdz, _slurm, _prefect, _mlflow, _browser,
    ]  # fmt: skip
    return [check() for check in checks]


def _python() -> Diagnosis:
    version = ".".join(str(part) for part in sys.version_info[:3])
    cores = len(os.sched_getaffinity(0))
    return Diagnosis(part="Python", state=State.GOOD, found=f"{version}, {cores} cores, {_memory():.0f} GiB of memory")


def _memory() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3


def _packages() -> Diagnosis:
    versions, missing = [], []
    for name in _NEEDED:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Diagnosis(
            part="packages",
            state=State.BAD,
            found=f"missing: {', '.join(missing)}",
            advice="run `make env` again",
        )
    return Diagnosis(part="packages", state=State.GOOD, found=", ".join(versions))


def _home() -> Diagnosis:
    where = settings.load()
    try:
        where.ensure_writable()
    except StorageError as error:
        return Diagnosis(part="home", state=State.BAD, found=str(error), advice="set SECURED_HOME")
    free = shutil.disk_usage(where.home).free
    room = f"{where.home}, {free / 1024**3:.1f} GiB free"
    if free < _LITTLE_SPACE:
        return Diagnosis(part="home", state=State.BAD, found=room, advice="make room, or set SECURED_HOME elsewhere")
    return Diagnosis(part="home", state=State.GOOD, found=room)


def _orphans() -> Diagnosis:
    ended = processes.end_orphans(settings.load().processes)
    found = f"ended {ended} that an earlier run left behind" if ended else "none left behind"
    return Diagnosis(part="processes", state=State.GOOD, found=found)


def _pyfhel() -> Diagnosis:
    if importlib.util.find_spec("Pyfhel") is None:
        return Diagnosis(
            part="Pyfhel",
            state=State.OPTIONAL,
            found="not installed; only homomorphic encryption needs it",
            advice="`make env` builds it where a C++ compiler and Python's headers (python3-dev) are there",
        )
    return Diagnosis(part="Pyfhel", state=State.GOOD, found=f"{metadata.version('Pyfhel')} (SEAL)")


def _privacy() -> Diagnosis:
    needed = ("mbi", "opacus")
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        return Diagnosis(
            part="privacy",
            state=State.OPTIONAL,
            found=f"{' and '.join(missing)} not installed; only differentially private synthesis needs them",
            advice="pip install 'secured[privacy]'",
        )
    return Diagnosis(
        part="privacy", state=State.GOOD, found=", ".join(f"{name} {metadata.version(name)}" for name in needed)
    )


def _mp_spdz() -> Diagnosis:
    home = os.environ.get("MP_SPDZ_HOME")
    if home and (Path(home) / "compile.py").is_file():
        parties = sorted(p.name for p in Path(home).glob("*-party.x"))
        return Diagnosis(part="MP-SPDZ", state=State.GOOD, found=f"{home}, {len(parties)} protocols built")
    return Diagnosis(
        part="MP-SPDZ",
        state=State.OPTIONAL,
        found="MP_SPDZ_HOME points to no installation" if home else "not found; no flow uses it yet",
        advice="install its release and set MP_SPDZ_HOME to its folder",
    )


def _slurm() -> Diagnosis:
    place = shutil.which("sbatch")
    if place:
        return Diagnosis(part="Slurm", state=State.GOOD, found=place)
    return Diagnosis(
        part="Slurm",
        state=State.OPTIONAL,
        found="no sbatch here",
        advice="submit from a login node of your cluster",
    )


def _prefect() -> Diagnosis:
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return Diagnosis(part="Prefect server", state=State.GOOD, found="none set; each run brings a temporary one")
    return _server("Prefect server", f"{url.rstrip('/')}/health", "start it, or unset PREFECT_API_URL")


def _mlflow() -> Diagnosis:
    uri = settings.load().tracking_uri
    if not uri.startswith("http"):
        return Diagnosis(part="knowledge base", state=State.GOOD, found=uri)
    return _server("knowledge base", f"{uri.rstrip('/')}/health", "start it, or unset MLFLOW_TRACKING_URI")


def _server(part: str, url: str, advice: str) -> Diagnosis:
    try:
        answer = httpx.get(url, timeout=5, trust_env=False)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        return Diagnosis(part=part, state=State.BAD, found=f"{url}: {type(error).__name__}", advice=advice)
    state = State.GOOD if answer.is_success else State.BAD
    return Diagnosis(
        part=part,
        state=state,
        found=f"{url} answers {answer.status_code}",
        advice="" if answer.is_success else advice,
    )


def _browser() -> Diagnosis:
    place = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if place:
        return Diagnosis(part="browser", state=State.GOOD, found=place)
    return Diagnosis(
        part="browser", state=State.OPTIONAL, found="no Chromium; only the browser tests need it",
        advice="apt-get install chromium",
    )  # fmt: skip
