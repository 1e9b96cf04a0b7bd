"""What a flow needs around it: one Prefect server, one Dask cluster, and that neither outlives the run."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import prefect
from prefect import State, Task
from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectFuture
from prefect.settings import temporary_settings
from prefect_dask import DaskTaskRunner

from tasks.common import processes, settings
from tasks.common.errors import InputError, Interrupted, MissingPart
from tasks.common.settings import Settings

T = TypeVar("T")

_SERVER_SECONDS = 120


@contextlib.contextmanager
def prefect_server(where: Settings, meanwhile: Callable[[], object] = lambda: None) -> Iterator[str]:
    """The Prefect API to talk to: the one of PREFECT_API_URL, or a temporary one on loopback that ends with the block.

    meanwhile: what to do while the server starts.

    Raises:
        MissingPart: the temporary server does not come up.
    """
    if given := os.environ.get("PREFECT_API_URL"):
        yield given
        return
    port = free_port()
    log = where.scratch / f"prefect-server-{os.getpid()}.log"
    with log.open("wb") as output:
        server = processes.start(_server_command(port), {**os.environ, "PREFECT_UI_ENABLED": "0"}, output)
        url = f"http://127.0.0.1:{port}/api"
        try:
            processes.note_children(where.processes)
            meanwhile()
            wait_until_up(f"{url}/health", server.poll, log)
            # Workers of the cluster read the variable, this process has read its settings already.
            os.environ["PREFECT_API_URL"] = url
            with temporary_settings({prefect.settings.PREFECT_API_URL: url}):
                yield url
        finally:
            os.environ.pop("PREFECT_API_URL", None)
            processes.end(server)
            processes.forget_children(where.processes)
    log.unlink(missing_ok=True)


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Ctrl-C and a scheduler's SIGTERM end the block in order, and as what they are, whatever else they broke.

    Yields what to call once somebody else handles SIGTERM, as Prefect does while a flow runs: it is then heard first.

    Raises:
        Interrupted: somebody interrupted.
    """
    asked = False

    def interrupt(_number: int, _frame: Any) -> None:
        nonlocal asked
        if not asked:  # once is enough: a second one would interrupt the cleaning up
            asked = True
            raise KeyboardInterrupt

    def listen() -> None:
        theirs = signal.getsignal(signal.SIGTERM)

        def hear(number: int, frame: Any) -> None:
            nonlocal asked
            asked = True
            if callable(theirs):
                theirs(number, frame)

        if theirs is not interrupt:
            signal.signal(signal.SIGTERM, hear)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield listen
    except BaseException as error:
        # The orchestrator has a handler of its own while a flow runs, and stumbles over what it raises.
        if asked or _comes_from(error, (KeyboardInterrupt, TerminationSignal)):
            raise Interrupted("interrupted; run the same again, and what was finished is reused") from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _comes_from(error: BaseException | None, kinds: tuple[type[BaseException], ...]) -> bool:
    """Whether an error is, or was raised while handling, one of these kinds."""
    while error is not None:
        if isinstance(error, kinds):
            return True
        error = error.__context__
    return False


@contextlib.contextmanager
def fresh_results(wanted: bool) -> Iterator[None]:
    """Have every step done again, if that is wanted, in this process and in the workers it starts."""
    if not wanted:
        yield
        return
    os.environ["PREFECT_TASKS_REFRESH_CACHE"] = "true"
    try:
        with temporary_settings({prefect.settings.PREFECT_TASKS_REFRESH_CACHE: True}):
            yield
    finally:
        os.environ.pop("PREFECT_TASKS_REFRESH_CACHE")


def _server_command(port: int) -> list[str]:
    return [
        sys.executable, "-m", "uvicorn", "--app-dir", str(Path(prefect.__file__).parent),
        "--factory", "prefect.server.api.server:create_app",
        "--host", "127.0.0.1", "--port", str(port), "--log-level", "error", "--lifespan", "on",
    ]  # fmt: skip


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_up(url: str, ended: Any, log: Path, seconds: float = _SERVER_SECONDS) -> None:
    """Wait for a server of ours to answer; `ended` tells its exit code once it has one.

    Raises:
        MissingPart: it ends, or does not answer in time.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ended() is not None:
            break
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=5, trust_env=False).is_success:
                return
        time.sleep(0.1)
    raise MissingPart(f"the server at {url} does not come up; its log is {log}")


def submit(step: Task[..., T], *inputs: Any, after: Sequence[State[Any] | PrefectFuture[Any]] = ()) -> PrefectFuture[T]:
    """Start a step on the cluster; its inputs may be futures of other steps. after: steps that have to end before."""
    return step.submit(*inputs, return_state=False, wait_for=list(after))


def task_runner(where: Settings | None = None) -> DaskTaskRunner:
    """Dask on this machine, or on Slurm where SECURED_CLUSTER says so."""
    where = where or settings.load()
    if where.cluster == "slurm":
        return DaskTaskRunner(cluster_class="dask_jobqueue.SLURMCluster", cluster_kwargs=_slurm(where))
    return DaskTaskRunner(
        cluster_class="distributed.LocalCluster",
        cluster_kwargs={
            "n_workers": where.workers,
            "threads_per_worker": 1,
            "processes": True,
            "host": "127.0.0.1",
            "dashboard_address": None,
            "local_directory": str(where.scratch),
        },
    )


def _slurm(where: Settings) -> dict[str, Any]:
    """Each Dask worker is a Slurm job of one core, connected back to this process."""
    queue = os.environ.get("SECURED_SLURM_QUEUE")
    if "PREFECT_API_URL" not in os.environ:
        raise InputError("on Slurm the workers need to find the Prefect server: set PREFECT_API_URL")
    passed = (
        "SECURED_HOME",
        "SECURED_CONCRETE",
        "PREFECT_API_URL",
        "MLFLOW_TRACKING_URI",
        "PREFECT_HOME",
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH",
    )
    return {
        **({"queue": queue} if queue else {}),
        "cores": 1,
        "processes": 1,
        "memory": os.environ.get("SECURED_SLURM_MEMORY", "4GB"),
        "walltime": os.environ.get("SECURED_SLURM_WALLTIME", "01:00:00"),
        "interface": os.environ.get("SECURED_SLURM_INTERFACE"),
        "n_workers": where.workers,
        "death_timeout": 120,
        "local_directory": str(where.scratch),
        "log_directory": str(where.scratch),
        "job_script_prologue": [f"export {name}={os.environ[name]}" for name in passed if name in os.environ],
    }
