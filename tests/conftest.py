"""What all tests share: a home of their own, the CHOP table, and policies made of dictionaries."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

# Before anything reads it: no test touches the home of whoever runs them.
os.environ["SECURED_HOME"] = tempfile.mkdtemp(prefix="secured-test-")
os.environ.pop("PREFECT_API_URL", None)
os.environ.pop("MLFLOW_TRACKING_URI", None)

import pytest

import flows  # noqa: F401 - applies the quiet environment
from tasks.anonymization.plan import Plan
from tasks.common import policy_file
from tasks.common.criteria_forms import Criteria
from tasks.common.policy import Policy

ROOT = Path(__file__).resolve().parent.parent
CHOP_TABLE = ROOT / "tests" / "data" / "chop_covid_testing.parquet"
CHOP_POLICY = ROOT / "deployments" / "examples" / "chop.yaml"


# The files whose tests look at one whole run of the data flow.
WHOLE_RUN = ("test_pages.py", "test_data_flow.py", "test_canaries.py", "test_network.py")
# And those whose tests look at one whole job under encryption.
ENCRYPTED_RUN = ("test_encrypted_job.py", "test_encryption_canaries.py")


@pytest.fixture(scope="session")
def chop() -> Policy:
    """The example policy."""
    return policy_file.read(CHOP_POLICY)


def make_policy(columns: dict[str, Any], **rest: Any) -> Policy:
    """A policy from plain values, as YAML would give them."""
    return Policy.model_validate({"name": "test", "columns": columns, **rest})


def make_plan(k: int, l: dict[str, int] | None = None, suppression: float = 0.0, **rest: Any) -> Plan:  # noqa: E741
    """A plan by the criteria that most tests are about."""
    return Plan(criteria=Criteria(k=k, l=l or {}, suppression=suppression), **rest)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files stay together, and one process has all that look at the same run, which is then made once."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            if file.endswith(ENCRYPTED_RUN):
                return "encrypted run"
            return "whole run" if file.endswith(WHOLE_RUN) else file

    return ByFile(config, log)


@pytest.fixture(scope="session")
def flow_run(tmp_path_factory):
    """A whole run of the data flow; see tests/flow_run.py."""
    from tests.flow_run import whole_run

    return whole_run(tmp_path_factory.mktemp("flow"))


@pytest.fixture(scope="session")
def encrypted_run(tmp_path_factory):
    """A whole job under encryption; see tests/encrypted_run.py."""
    from tests.encrypted_run import encrypted_run

    return encrypted_run(tmp_path_factory.mktemp("encrypted"))
