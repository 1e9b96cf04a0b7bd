"""The environment that orchestrator, cluster and hub see: silent, and telling nobody anything.

Has to be applied before prefect, dask, mlflow or great_expectations are imported; `flows/__init__.py` does so.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from tasks.common import settings

NO_TELEMETRY = {
    "DO_NOT_TRACK": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}

QUIET = {
    "DASK_LOGGING__DISTRIBUTED": "critical",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_CLI_PROMPT": "false",
}

# A worker process has one thread of its own; numerical libraries must not bring more (they would also make sums
# depend on the machine).
ONE_THREAD = {
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "OPENBLAS_NUM_THREADS": "1",
}


def apply(environment: MutableMapping[str, str] = os.environ) -> None:
    """Turn telemetry off for good; set the rest where the user has not chosen otherwise."""
    environment.update(NO_TELEMETRY)
    home = settings.home(environment)
    places = {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(home / "results"),
    }
    for name, value in (QUIET | ONE_THREAD | places).items():
        environment.setdefault(name, value)
