"""Running the `secured` command as its users do: as a program, in a home of its own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from flows import cli
from tests.conftest import CHOP_POLICY, ROOT

SERVER = "prefect.server.api.server:create_app"
RUN_SECONDS = 600


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a fresh user, with this home."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW", "SECURED", "DASK", "GX_"))}
    return {**kept, "SECURED_HOME": str(home), "SECURED_WORKERS": "2", **more}


def command(*arguments: str | Path) -> list[str]:
    """The command line of `secured` with these arguments."""
    return [sys.executable, "-m", "flows.cli", *(str(argument) for argument in arguments)]


def secured(*arguments: str | Path, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        command(*arguments), env=environment(home, **more), cwd=ROOT, capture_output=True, text=True,
        timeout=RUN_SECONDS, check=False,
    )  # fmt: skip


def secured_here(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command in this process, which is faster where no home is asked for; it must not start another process."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["secured", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
        code: object = 0
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        sys.argv = before
    assert isinstance(code, int), f"ended with {code}"
    return subprocess.CompletedProcess(sys.argv, code, out.getvalue(), err.getvalue())


def quick_policy(folder: Path, table: Path | None = None, **changes: object) -> Path:
    """The example policy in `folder`, and with changes.

    A run of it takes a minute: few epochs, one adversary of each kind, and a threshold that takes few adjustments.
    """
    document = yaml.safe_load(CHOP_POLICY.read_text(encoding="utf-8"))
    document["synthesis"] = {"epochs": 2, "rows": 4000}
    document["thresholds"] = {"public": 0.15}
    document["attacks"] = {
        "linkability": {"by": ["chosen"]}, "inference": {"secrets": ["result"]}, "membership": {"by": ["distance"]}
    }  # fmt: skip
    document["table"] = str(table or (CHOP_POLICY.parent / document["table"]).resolve())
    document["columns"]["clinic_name"]["hierarchy"]["csv"] = str(CHOP_POLICY.parent / "chop_clinics.csv")
    document.update(changes)
    path = folder / "policy.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


@dataclass
class Watched:
    """A running command and what was seen of its family."""

    process: subprocess.Popen[str]
    family: dict[int, psutil.Process] = field(default_factory=dict)
    most_servers: int = 0

    def look(self) -> None:
        """Take note of all living descendants."""
        try:
            children = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return
        servers = 0
        for child in children:
            self.family[child.pid] = child
            try:
                servers += SERVER in " ".join(child.cmdline())
            except psutil.Error:
                continue
        self.most_servers = max(self.most_servers, servers)

    def until(self, condition: Callable[[], bool], seconds: float = RUN_SECONDS) -> None:
        """Watch until something happens; the command must not end before."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"ended early: {self.process.communicate()}"
            assert time.monotonic() < deadline, "took too long"
            self.look()
            time.sleep(0.1)

    def finish(self) -> tuple[int, str, str]:
        """Watch to the end: exit code, standard output, standard error."""
        while self.process.poll() is None:
            self.look()
            time.sleep(0.1)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err

    def kill(self) -> None:
        """End the command the hard way, without a chance to clean up."""
        self.process.kill()
        self.process.communicate()

    def survivors(self, seconds: float = 20) -> list[psutil.Process]:
        """Members of the family that still live after a while."""
        living: list[psutil.Process] = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            living = [p for p in self.family.values() if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
            if not living:
                break
            time.sleep(0.2)
        return living


def start(*arguments: str | Path, home: Path, prefix: tuple[str, ...] = (), **more: str) -> Watched:
    """Start the command and watch it; `prefix` is put before it, as in `unshare -n`."""
    process = subprocess.Popen(
        [*prefix, *command(*arguments)], env=environment(home, **more), cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    return Watched(process)
