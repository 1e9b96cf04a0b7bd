"""A real Slurm of one node on loopback, without systemd, for the time of a test."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.runtime import free_port

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "sinfo")
# Daemons lie where a user's PATH does not always look.
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def why_not() -> str:
    """What keeps a Slurm from being started here; empty if nothing does."""
    if os.geteuid() != 0:
        return "starting a Slurm needs root"
    missing = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    return f"no {', '.join(missing)} here (apt-get install slurm-wlm munge)" if missing else ""


@dataclass
class Cluster:
    """A running Slurm and the environment in which its commands find it."""

    folder: Path
    environment: dict[str, str]

    def run(
        self, *command: str, cwd: Path | None = None, seconds: float = 600, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command that talks to this Slurm."""
        return subprocess.run(
            command,
            env={**self.environment, **more},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


@contextlib.contextmanager
def one_node(folder: Path) -> Iterator[Cluster]:
    """Start munge, controller and node; end them with the block, by their process ids."""
    name = socket.gethostname().split(".")[0]
    for part in ("state", "spool", "munge"):
        (folder / part).mkdir(mode=0o755, parents=True, exist_ok=True)
    (folder / "slurm.conf").write_text(_configuration(folder, name))
    environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}
    with contextlib.ExitStack() as running:
        start = running.enter_context(_starter(folder, environment))
        start(*_munged(folder))
        _wait(lambda: (folder / "munge" / "socket").exists())
        start("slurmctld", "-D", "-c", "-f", str(folder / "slurm.conf"))
        start("slurmd", "-D", "-N", name, "-c", "-f", str(folder / "slurm.conf"))
        cluster = Cluster(folder, environment)
        _wait(lambda: "idle" in cluster.run("sinfo", "-h", "-o", "%t").stdout)
        yield cluster


def _configuration(folder: Path, name: str) -> str:
    controller, node = free_port(), free_port()
    return f"""\
ClusterName=test
SlurmctldHost={name}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
KillWait=20
ReturnToService=2
NodeName={name} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} RealMemory=10000
PartitionName=main Nodes={name} Default=YES MaxTime=60 State=UP
"""


def _munged(folder: Path) -> list[str]:
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    return [
        "munged",
        "--foreground",
        "--force",
        *(f"--{option}={folder / 'munge' / name}" for option, name in files.items()),
    ]


@contextlib.contextmanager
def _starter(folder: Path, environment: dict[str, str]):
    started: list[subprocess.Popen[bytes]] = []
    with contextlib.ExitStack() as logs:

        def start(*command: str) -> None:
            log = logs.enter_context((folder / f"{command[0]}.out").open("wb"))
            started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))

        try:
            yield start
        finally:
            for process in reversed(started):
                process.terminate()
            for process in started:
                process.wait(timeout=60)


def _wait(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "Slurm does not come up"
        time.sleep(0.2)
