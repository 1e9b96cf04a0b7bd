"""MLflow's server without what a hospital must not have beside its tables; `mlflow server --app-name secured`.

MLflow ships an assistant, a chat beside every run that has a language model run commands on this machine with the
rights of whoever started the server, and a gateway that hands what it is sent on to providers of such models. No
setting leaves them out. Here they are not found, and the page does not show them.
"""

from __future__ import annotations

from pathlib import Path

from flask import Response
from mlflow.server import app as pages
from mlflow.server.fastapi_app import create_fastapi_app
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# Parts of paths: the assistant, the gateway, and what has models judge, rewrite or write to other machines.
LEFT_OUT = frozenset(
    ["assistant", "gateway", "gateway-proxy", "genai", "scorer", "invoke", "invocations", "prompt-optimization",
     "webhooks"]
)  # fmt: skip
_HIDDEN = "<style>[data-assistant-ui], a[href*='#/gateway'] { display: none !important }</style>"


class _Without:
    """Another application, but for what is left out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        left_out = not LEFT_OUT.isdisjoint(scope.get("path", "").split("/"))
        answer = PlainTextResponse("left out here", status_code=404) if left_out else self._app
        await answer(scope, receive, send)


def create_app() -> ASGIApp:
    """The server's application."""
    page = (Path(str(pages.static_folder)) / "index.html").read_text(encoding="utf-8")
    shown = page.replace("</head>", f"{_HIDDEN}</head>")
    # Within MLflow's own application, so that what it does for the page's safety is done.
    pages.view_functions["serve"] = lambda: Response(shown, headers={"Cache-Control": "no-cache"}, mimetype="text/html")
    return _Without(create_fastapi_app())
