"""Prefect's and MLflow's pages and a worker that runs what is started from them; on loopback, ended together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from flows import runtime
from tasks.common import processes
from tasks.common.errors import MissingPart
from tasks.common.settings import Settings

CODE = Path(__file__).resolve().parent.parent
POOL = "secured"
_DEPLOY_SECONDS = 120


@dataclass
class Services:
    """The servers and the worker of `secured serve`. Use as a context; everything ends with it."""

    where: Settings
    prefect_port: int
    mlflow_port: int
    say: Callable[[str], None]
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _logs: list[IO[bytes]] = field(default_factory=list)

    @property
    def prefect_page(self) -> str:
        """Prefect's pages."""
        return f"http://127.0.0.1:{self.prefect_port}"

    @property
    def mlflow_page(self) -> str:
        """MLflow's pages."""
        return f"http://127.0.0.1:{self.mlflow_port}"

    def __enter__(self) -> Services:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._running):
            processes.end(process)
        for log in self._logs:
            log.close()
        processes.forget_children(self.where.processes)

    def wait(self) -> None:
        """Wait until somebody interrupts, or one of the services ends by itself.

        Raises:
            MissingPart: a service ended.
        """
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        while not stopped.wait(1.0):
            if any(process.poll() is not None for process in self._running):
                raise MissingPart(f"a service ended by itself; the logs are in {self.where.scratch}")

    def _start(self) -> None:
        environment = {
            **os.environ,
            "PREFECT_API_URL": f"{self.prefect_page}/api",
            "PREFECT_UI_API_URL": f"{self.prefect_page}/api",
            "PREFECT_LOGGING_LEVEL": "INFO",
            "MLFLOW_TRACKING_URI": self.mlflow_page,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # jobs of its own, all of them for language models
            "SECURED_CODE": str(CODE),
            "SECURED_HOME": str(self.where.home),
        }
        python = [sys.executable, "-m"]
        self.say("starting Prefect")
        prefect = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.prefect_port)]
        prefect_log = self._run("serve-prefect", [*python, *prefect], environment)
        self.say("starting MLflow")
        mlflow_log = self._run("serve-mlflow", [*python, "mlflow", "server", *self._mlflow()], environment)
        runtime.wait_until_up(f"{self.prefect_page}/api/health", self._running[0].poll, prefect_log)
        runtime.wait_until_up(f"{self.mlflow_page}/health", self._running[1].poll, mlflow_log)
        self.say("deploying the flows")
        self._once([*python, "prefect", "work-pool", "create", POOL, "--type", "process", "--overwrite"], environment)
        deploy = ["deploy", "--all", "--prefect-file", str(CODE / "deployments" / "prefect.yaml")]
        self._once([*python, "prefect", "--no-prompt", *deploy], environment)
        self.say("starting a worker")
        self._run(
            "serve-worker",
            [*python, "prefect", "worker", "start", "--pool", POOL, "--name", "local"],
            environment,
        )
        processes.note_children(self.where.processes)

    def _mlflow(self) -> list[str]:
        files = self.where.home / "mlflow"
        files.mkdir(parents=True, exist_ok=True)
        return [
            "--app-name", "secured",
            "--backend-store-uri", f"sqlite:///{files / 'mlflow.db'}",
            # Files are written where runs without a server write them, so that both kinds of run see each other's.
            "--default-artifact-root", (files / "artifacts").as_uri(), "--no-serve-artifacts",
            "--host", "127.0.0.1", "--port", str(self.mlflow_port), "--workers", "1",
        ]  # fmt: skip

    def _run(self, name: str, command: list[str], environment: dict[str, str]) -> Path:
        path = self.where.scratch / f"{name}.log"
        log = path.open("wb")
        self._logs.append(log)
        self._running.append(processes.start(command, environment, log))
        processes.note_children(self.where.processes)
        return path

    def _once(self, command: list[str], environment: dict[str, str]) -> None:
        done = subprocess.run(
            command,
            env=environment,
            cwd=CODE,
            capture_output=True,
            text=True,
            timeout=_DEPLOY_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise MissingPart(f"`{' '.join(command[2:5])} …` failed: {' '.join(last)}")
