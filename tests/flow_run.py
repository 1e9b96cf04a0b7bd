"""One whole run of the data flow that many tests look at: with canary patients, without a network, watched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.functional.running import Watched, quick_policy, start
from tests.security.canaries import plant

LOOPBACK_UP = (
    "import fcntl, socket, struct;s = socket.socket();fcntl.ioctl(s, 0x8914, struct.pack('16sh', b'lo', 0x1 | 0x40))"
)


@dataclass
class FlowRun:
    """A finished run: where its things are, and what was seen of it."""

    folder: Path
    home: Path
    temporary: Path
    table: Path
    policy: Path
    connections: Path
    offline: bool
    watched: Watched
    output: str
    result: dict[str, Any]

    @property
    def published(self) -> Path:
        """The folder with release, evidence and report."""
        return Path(self.result["folder"])

    @property
    def evidence(self) -> dict[str, Any]:
        """All numbers of the run."""
        return json.loads((self.published / "evidence.json").read_text())


def whole_run(folder: Path) -> FlowRun:
    """Run the flow on canary patients, in a network namespace that has nothing but loopback where that is permitted."""
    home, temporary, connections = folder / "home", folder / "tmp", folder / "connections.log"
    temporary.mkdir()
    table = plant(folder / "patients.parquet")
    # Every adversary: what one of them leaves behind is looked for here and nowhere else.
    policy = quick_policy(folder, table, attacks={})
    offline = may_unshare()
    prefix = (
        ("unshare", "-n", "sh", "-c", f'{shutil.which("python3")} -c "{LOOPBACK_UP}" && exec "$0" "$@"')
        if offline
        else ()
    )
    watched = start(
        "run", "data-flow", "-p", policy, "--json", folder / "result.json", home=home, prefix=prefix,
        TMPDIR=str(temporary), SECURED_TEST_CONNECTIONS=str(connections),
        PYTHONPATH=os.pathsep.join([str(ROOT / "tests" / "security" / "audit"), str(ROOT)]),
    )  # fmt: skip
    code, out, err = watched.finish()
    assert code == 0, err
    result = json.loads((folder / "result.json").read_text())
    return FlowRun(folder, home, temporary, table, policy, connections, offline, watched, out + err, result)


def may_unshare() -> bool:
    """Whether this machine lets us make a network namespace with a working loopback."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    probe = ["unshare", "-n", "python3", "-c", LOOPBACK_UP + "; socket.create_server(('127.0.0.1', 0))"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0
