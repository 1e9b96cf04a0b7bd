"""MLflow's server without what a hospital must not have beside its tables; `mlflow server --app-name secured`.

MLflow ships an assistant, a chat beside every run that has a language model run commands on this machine with the
rights of whoever started the server, and a gateway that hands what it is sent on to providers of such models. No
setting leaves them out. Here they are not found, and the page does not show them.
"""

from __future__ import annotations

from pathlib import Path

from mlflow.server import app as pages
from mlflow.server.fastapi_app import create_fastapi_app
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_LEFT_OUT = ("assistant", "gateway")
_HIDDEN = "<style>[data-assistant-ui], a[href*='#/gateway'] { display: none !important }</style>"


class _Without:
    """Another application, but for what is left out."""

    def __init__(self, app: ASGIApp, page: str) -> None:
        self._app, self._page = app, page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        answer: ASGIApp = self._app
        path = scope.get("path", "")
        if any(part.startswith(_LEFT_OUT) for part in path.split("/")):
            answer = PlainTextResponse("left out here", status_code=404)
        elif path in {"", "/"} and scope.get("method") == "GET":
            answer = HTMLResponse(self._page)
        await answer(scope, receive, send)


def create_app() -> ASGIApp:
    """The server's application."""
    page = (Path(str(pages.static_folder)) / "index.html").read_text(encoding="utf-8")
    return _Without(create_fastapi_app(), page.replace("</head>", f"{_HIDDEN}</head>"))
