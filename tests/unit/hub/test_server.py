"""The knowledge base's server offers no language model a way to the data."""

import asyncio
import re

import httpx
import pytest
from mlflow.server import app as flask

from tasks.hub.server import create_app


def ask(app, method, path, host="127.0.0.1"):
    async def answer():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
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


def test_of_mlflows_own_routes_none_to_a_model_is_left(app):
    """By what they are called, so that one that comes with another version of MLflow is seen."""
    to_models = re.compile(r"assistant|gateway|genai|invo[ck]|scorer/|judge|prompt-optim|webhook|llm|chat")
    rules = [rule for rule in flask.url_map.iter_rules() if to_models.search(rule.rule)]
    assert len(rules) > 50
    for rule in rules:
        path = re.sub("<[^>]*>", "x", rule.rule)
        method = next(iter(rule.methods - {"HEAD", "OPTIONS"}))
        assert ask(app, method, path).text == "left out here", rule.rule


def test_the_page_does_not_show_the_chat_and_the_rest_is_mlflows(app):
    page = ask(app, "GET", "/").text
    assert "data-assistant-ui" in page.split("</head>")[0]
    assert '<div id="root"' in page
    assert ask(app, "GET", "/health").text == "OK"
    assert ask(app, "GET", "/").headers["x-frame-options"] == "SAMEORIGIN"
    assert ask(app, "GET", "/", host="elsewhere.example").status_code == 403


def test_mlflow_itself_would_offer_it():
    """Were this to fail, MLflow's assistant lies elsewhere now, and what is left out has to be looked up again."""
    from mlflow.server.fastapi_app import create_fastapi_app

    assert ask(create_fastapi_app(), "GET", "/ajax-api/3.0/mlflow/assistant/config").status_code != 404
