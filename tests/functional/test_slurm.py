"""The data flow as a batch job, and its workers as jobs of their own, on a real Slurm of one node."""

import json
import os
import shlex
from pathlib import Path

import pytest

from flows import runtime
from tasks.common import settings
from tasks.common.table import file_hash
from tests.conftest import ROOT
from tests.functional.running import command, environment
from tests.functional.slurm import one_node, why_not

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "Slurm is here"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with one_node(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture
def program(tmp_path):
    """`secured` of this checkout as one program, as an installation has it."""
    path = tmp_path / "secured"
    path.write_text(f'#!/bin/sh\ncd {shlex.quote(str(ROOT))} && exec {shlex.join(command())} "$@"\n')
    path.chmod(0o755)
    return path


def test_the_batch_job_ends_with_the_same_release(cluster, program, flow_run, tmp_path):
    result = tmp_path / "result.json"
    log = tmp_path / "job.log"
    job = cluster.run(
        "sbatch", "--wait", f"--output={log}", str(ROOT / "infra" / "slurm" / "data-flow.sbatch"), str(flow_run.policy),
        "--json", str(result), cwd=ROOT, SECURED_BIN=str(program), SECURED_HOME=str(tmp_path / "home"),
    )  # fmt: skip
    said = log.read_text() if log.exists() else ""
    assert job.returncode == 0, job.stderr + said
    assert "May be shared publicly" in said
    folder = Path(json.loads(result.read_text())["folder"])
    for name in ("anonymized.parquet", "evidence.json"):
        assert file_hash(folder / name) == file_hash(flow_run.published / name)


def test_a_job_without_a_policy_says_how_to_use_it(cluster, tmp_path):
    log = tmp_path / "job.log"
    job = cluster.run(
        "sbatch", "--wait", f"--output={log}", str(ROOT / "infra" / "slurm" / "data-flow.sbatch"), cwd=ROOT
    )
    assert job.returncode == 2
    assert "usage: sbatch" in log.read_text()


def test_workers_can_be_jobs_of_their_own(cluster, flow_run, tmp_path, monkeypatch):
    monkeypatch.setenv("SECURED_HOME", str(tmp_path / "server"))
    where = settings.load()
    where.ensure_writable()
    with runtime.prefect_server(where) as api_url:
        run = cluster.run(
            *command("run", "data-flow", "-p", flow_run.policy, "--json", tmp_path / "result.json"), cwd=ROOT,
            **{
                **environment(tmp_path / "home"),
                "SLURM_CONF": cluster.environment["SLURM_CONF"], "PREFECT_API_URL": api_url, "PYTHONPATH": str(ROOT),
                "SECURED_CLUSTER": "slurm", "SECURED_WORKERS": str(min(os.cpu_count() or 1, 2)),
                "SECURED_SLURM_INTERFACE": "lo", "SECURED_SLURM_MEMORY": "4GB", "SECURED_SLURM_QUEUE": "main",
            },
        )  # fmt: skip
    assert run.returncode == 0, run.stderr
    jobs = cluster.run("scontrol", "show", "job", "-o").stdout
    assert jobs.count("JobName=dask-worker") >= 1
    assert "JobState=RUNNING" not in jobs
    folder = Path(json.loads((tmp_path / "result.json").read_text())["folder"])
    assert file_hash(folder / "anonymized.parquet") == file_hash(flow_run.published / "anonymized.parquet")
