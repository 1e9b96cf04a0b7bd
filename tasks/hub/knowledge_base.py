"""MLflow as every kind of run uses it: an experiment for each kind, and each run once, by its fingerprint."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tasks.common import settings
from tasks.common.errors import StorageError
from tasks.hub.registration import Registration

FINGERPRINT = "secured.fingerprint"


def register_once(kind: str, fingerprint: str, log: Callable[[str], str]) -> Registration:
    """The finished run with this fingerprint among those of a kind, or the one that `log` makes.

    log: given the experiment's id, it logs a run, tagged with the fingerprint, and gives its id.

    Raises:
        StorageError: the knowledge base cannot be reached or written.
    """
    uri = settings.load().tracking_uri
    with _reachable(uri):
        mlflow.set_tracking_uri(uri)
        experiment = _experiment(uri, kind)
        run_id = _known(experiment, fingerprint) or log(experiment)
    return Registration(run_id=run_id, experiment_id=experiment, tracking_uri=uri, page=_page(uri, experiment, run_id))


@contextlib.contextmanager
def _reachable(uri: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, OSError) as error:
        raise StorageError(
            f"the knowledge base at {uri} cannot be used ({_first_line(error)}); `secured doctor` says more"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]


def _experiment(uri: str, kind: str) -> str:
    """The experiment's id, made on first use; beside a local database its files lie in the home."""
    client = MlflowClient()
    found = client.get_experiment_by_name(kind)
    if found is not None:
        return str(found.experiment_id)
    local = uri.startswith("sqlite:")
    place = (settings.load().home / "mlflow" / "artifacts").as_uri() if local else None
    return str(client.create_experiment(kind, artifact_location=place))


def _known(experiment: str, fingerprint: str) -> str | None:
    runs = MlflowClient().search_runs(
        [experiment],
        f"tags.`{FINGERPRINT}` = '{fingerprint}' and attributes.status = 'FINISHED'",
        max_results=1,
    )
    return str(runs[0].info.run_id) if runs else None


def _page(uri: str, experiment: str, run_id: str) -> str | None:
    if urlsplit(uri).scheme not in {"http", "https"}:
        return None
    return f"{uri.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}?workflowType=machine_learning"
