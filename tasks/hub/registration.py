"""Where the knowledge base has a run of any kind."""

from __future__ import annotations

from tasks.common.values import Value


class Registration(Value):
    """Where a run is found in the knowledge base. page: of MLflow's web pages, None where no server shows them."""

    run_id: str
    experiment_id: str
    tracking_uri: str
    page: str | None
