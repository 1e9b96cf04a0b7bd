"""The knowledge base's server offers no language model a way to the data."""

import asyncio

import httpx
import pytest

from tasks.hub.server import create_app


def ask(app, method, path):
    async def answer():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path)

    return asyncio.run(answer())


@pytest.fixture(scope="module")
def app():
    return create_app()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ajax-api/3.0/mlflow/assistant/config"),
        ("POST", "/ajax-api/3.0/mlflow/assistant/message"),
        ("POST", "/gateway/any/mlflow/invocations"),
        ("POST", "/gateway/openai/v1/chat/completions"),
        ("GET", "/ajax-api/2.0/mlflow/gateway-proxy"),
        ("POST", "/api/3.0/mlflow/gateway/secrets/create"),
    ],
)
def test_no_way_leads_to_a_language_model(app, method, path):
    answer = ask(app, method, path)
    assert (answer.status_code, answer.text) == (404, "left out here")


def test_the_page_does_not_show_the_chat_and_the_rest_is_mlflows(app):
    page = ask(app, "GET", "/").text
    assert "data-assistant-ui" in page.split("</head>")[0]
    assert '<div id="root"' in page
    assert ask(app, "GET", "/health").text == "OK"


def test_mlflow_itself_would_offer_it():
    """Were this to fail, MLflow's assistant lies elsewhere now, and what is left out has to be looked up again."""
    from mlflow.server.fastapi_app import create_fastapi_app

    assert ask(create_fastapi_app(), "GET", "/ajax-api/3.0/mlflow/assistant/config").status_code != 404
