"""A job under encryption on canary patients, run by the owner and the evaluator, which many tests look at."""

from __future__ import annotations

import base64
import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from tasks.encryption import keys
from tests.conftest import ROOT
from tests.functional.running import Watched, command, environment, secured, start
from tests.security import canaries, memory

PASSPHRASE = "zwitserloot horse battery staple"  # noqa: S105 - of keys that tests make
DECIMALS = 5  # what the canaries' ages and days have
OTHERS = 2960
JOB = {
    "kind": "statistics",
    "rows": OTHERS + canaries.COUNT,
    "columns": [
        {"name": "age", "lowest": 0, "highest": 120, "decimals": DECIMALS, "edges": list(range(121))},
        {"name": "pan_day", "lowest": 0, "highest": 120, "decimals": DECIMALS, "edges": list(range(121))},
    ],
}
# Runs a command and holds it where its work is done and all of it still is in memory: once the record is written, and
# before keys are closed. Writes down what Python opened.
HOLDING = """
import json, sys
opened = []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
from flows import cli
from tasks.encryption import exchange
log, *sys.argv = sys.argv[1:]
write_record = exchange.write_record
def holding(folder, record, *name):
    write_record(folder, record, *name)
    if folder.name in {exchange.TO_EVALUATOR, exchange.FROM_EVALUATOR}:
        with open(log, "w") as file:
            json.dump(opened, file)
        print("held", flush=True)
        sys.stdin.readline()
exchange.write_record = holding
cli.main()
"""


@dataclass
class Place:
    """Where owner and evaluator have their things. The evaluator's keys are a copy elsewhere, as if handed over."""

    folder: Path
    home: Path
    temporary: Path

    @property
    def keys(self) -> Path:
        """The owner's folder of keys."""
        return self.folder / "owner" / "keys"

    @property
    def table(self) -> Path:
        """The owner's table, with canary patients in it."""
        return self.folder / "owner" / "patients.csv"

    @property
    def passphrase(self) -> Path:
        """The owner's passphrase."""
        return self.folder / "owner" / "passphrase"

    @property
    def job(self) -> Path:
        """The description, which both have."""
        return self.folder / "job.json"

    @property
    def shared(self) -> Path:
        """The folder that both sides share."""
        return self.folder / "shared"

    @property
    def result(self) -> Path:
        """What the owner decrypts."""
        return self.folder / "owner" / "result.json"

    def secret(self) -> bytes:
        """The secret key as the native library holds it: what its serialization has after the head."""
        return keys.open_owner(self.keys / "owner", PASSPHRASE).native.to_bytes_secret_key("none")[512:]

    def needles(self) -> list[tuple[str, bytes]]:
        """What is looked for in memory: key and passphrase, the canaries as texts, doubles and scaled integers."""
        secret, values = self.secret(), (canaries.AGE, canaries.DAY)
        units = [round(value * 10**DECIMALS) for value in values]
        return [
            *((f"secret key at {at}", secret[at : at + 48]) for at in (0, 8_000, 20_000)),
            ("passphrase", PASSPHRASE.encode()),
            *((word, word.encode()) for word in canaries.WORDS),
            *((f"{value} as a double", struct.pack("<d", value)) for value in values),
            *((f"{unit} twice as an integer", struct.pack("<qq", unit, unit)) for unit in units),
        ]

    def disguised(self) -> list[tuple[str, bytes]]:
        """What is looked for in files beside that: the same, as texts might have it."""
        keys_ = [(name, needle) for name, needle in self.needles() if name.startswith("secret key")]
        return [
            *self.needles(),
            *((f"{name} in hexadecimal", part.hex().encode()) for name, part in keys_),
            *((f"{name} in base64", base64.b64encode(part[k:])[:-4]) for name, part in keys_ for k in range(3)),
            ("passphrase in UTF-16", PASSPHRASE.encode("utf-16-le")),
        ]


def prepared(folder: Path) -> Place:
    """A place with table, job, passphrase and keys."""
    place = Place(folder, folder / "home", folder / "tmp")
    for each in (place.temporary, folder / "owner"):
        each.mkdir()
    frame = pd.read_parquet(canaries.plant(folder / "owner" / "all.parquet"))
    (folder / "owner" / "all.parquet").unlink()
    planted = frame["fake_first_name"] == canaries.FIRST_NAME
    others = frame[~planted].query("0 <= age <= 120 and 0 <= pan_day <= 120").sample(OTHERS, random_state=3)
    half = OTHERS // 2
    pd.concat([others[:half], frame[planted], others[half:]]).round({"age": 5}).to_csv(place.table, index=False)
    place.job.write_text(json.dumps(JOB))
    place.passphrase.write_text(PASSPHRASE + "\n")
    place.passphrase.chmod(0o600)
    lock = ("--passphrase-file", place.passphrase)
    made = secured("he", "keys", "make", place.keys, "--job", place.job, *lock, home=place.home)
    assert made.returncode == 0, made.stderr
    return place


@dataclass
class EncryptedRun:
    """A finished run of the flow `encrypted-job`: what was seen of it, and found in memory once there was an answer.

    in_memory: the needles that were found, by the process that had them: the flow's, servers' and workers'.
    """

    place: Place
    watched: Watched
    output: str
    result: dict[str, Any]
    in_memory: dict[str, set[str]]


def encrypted_run(folder: Path) -> EncryptedRun:
    """Run the flow; stop it once the evaluator's answer is there, and look into every memory but the owner's."""
    place = prepared(folder)
    watched = start(
        "run", "encrypted-job", "--job", place.job, "--table", place.table, "--keys", place.keys,
        "--folder", place.shared, "--out", place.result, "--passphrase-file", place.passphrase,
        "--json", folder / "run.json", home=place.home, TMPDIR=str(place.temporary),
    )  # fmt: skip
    watched.until((place.shared / "from-evaluator" / "record.json").exists)
    watched.process.send_signal(signal.SIGSTOP)
    try:
        needles = place.needles()
        in_memory = {name: memory.found(pid, needles) for name, pid in processes_of(watched).items()}
    finally:
        watched.process.send_signal(signal.SIGCONT)
    code, out, err = watched.finish()
    assert code == 0, err
    return EncryptedRun(place, watched, out + err, json.loads((folder / "run.json").read_text()), in_memory)


def processes_of(watched: Watched) -> dict[str, int]:
    """The command's process and all that it started but for the owner's, with what each is."""
    family = {f"flow {watched.process.pid}": watched.process.pid}
    for child in psutil.Process(watched.process.pid).children(recursive=True):
        try:
            line = " ".join(child.cmdline())
        except psutil.NoSuchProcess:
            continue
        if " he decrypt " not in line and child.status() != psutil.STATUS_ZOMBIE:
            kind = "worker" if "spawn_main" in line else "server" if "uvicorn" in line else line[-40:]
            family[f"{kind} {child.pid}"] = child.pid
    return family


@contextmanager
def held(place: Place, *arguments: str | Path) -> Iterator[tuple[int, list[str]]]:
    """Run a side's command and hold it at the end of its work: the id of its process, and the files that it opened."""
    log = place.folder / "opened.json"
    line = [sys.executable, "-c", HOLDING, str(log), *command(*arguments)[2:]]
    environ = environment(place.home, PYTHONPATH=str(ROOT), TMPDIR=str(place.temporary))
    process = subprocess.Popen(
        line, env=environ, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        shown = process.stdout.readline()
        assert shown == "held\n", f"ended early: {shown}{process.communicate()}"
        yield process.pid, json.loads(log.read_text())
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.communicate()
