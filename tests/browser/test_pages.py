"""What people see: the report, Prefect's own form, its graph and artifacts, and the run in MLflow's pages."""

from __future__ import annotations

import shutil
import signal
import time

import httpx
import pytest
from playwright.sync_api import Page, sync_playwright

from flows import runtime
from tests.functional.running import quick_policy, start

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
RUN_SECONDS = 400

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "light")])
def test_the_report_can_be_read(browser, flow_run, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((flow_run.published / "report.html").as_uri())
    assert page.get_by_text("May be shared publicly").first.is_visible()
    # Nothing is fetched, nothing is wider than the page, every picture has a size and says in words what it shows.
    assert len(requests) == 1
    assert errors == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    pictures = page.locator("svg").all()
    assert len(pictures) > 10
    for picture in pictures:
        box = picture.bounding_box()
        assert box["width"] > 50
        assert box["height"] > 5
        assert picture.get_attribute("aria-label")
    assert contrast(page, "p") > 4.5  # WCAG 2.1, AA
    page.close()


def contrast(page: Page, selector: str) -> float:
    """The contrast ratio of a text with the page behind it, by WCAG 2.1."""
    return page.evaluate(
        """selector => {
            const light = colour => {
                const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
                    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const ink = light(getComputedStyle(document.querySelector(selector)).color);
            const paper = light(getComputedStyle(document.body).backgroundColor);
            return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
        }""",
        selector,
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """`secured serve` on ports of its own: (Prefect's address, MLflow's, the watched command)."""
    prefect, mlflow = runtime.free_port(), runtime.free_port()
    home = tmp_path_factory.mktemp("served") / "home"
    watched = start("serve", "--prefect-port", str(prefect), "--mlflow-port", str(mlflow), home=home)
    deployment = f"http://127.0.0.1:{prefect}/api/deployments/name/data-flow/hospital"
    watched.until(lambda: answers(deployment) and has_worker(prefect), seconds=180)
    yield f"http://127.0.0.1:{prefect}", f"http://127.0.0.1:{mlflow}", watched
    watched.process.send_signal(signal.SIGINT)
    code, _, err = watched.finish()
    assert code == 0, err
    assert watched.survivors() == []


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def has_worker(port: int) -> bool:
    url = f"http://127.0.0.1:{port}/api/work_pools/secured/workers/filter"
    return bool(httpx.post(url, json={}, timeout=5, trust_env=False).json())


@pytest.mark.long
def test_a_run_started_from_prefects_form_ends_in_mlflow(browser, served, tmp_path, flow_run):
    prefect, mlflow, _ = served
    policy = quick_policy(tmp_path)
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.goto(f"{prefect}/deployments")
    page.get_by_role("link", name="hospital").first.click()
    page.get_by_text("Run", exact=True).last.click()
    page.get_by_text("Custom run").click()
    fields = page.locator("textarea")
    fields.nth(1).wait_for()
    assert page.get_by_text("Path of the policy (YAML)").is_visible()
    fields.nth(0).fill(str(policy))
    fields.nth(1).fill(str(flow_run.table))
    page.get_by_role("button", name="Submit").click()

    run = wait_for_run(prefect)
    assert run["state_name"] == "Completed", run["state"]["message"]
    assert run["parameters"]["table"] == str(flow_run.table)
    graph = httpx.get(f"{prefect}/api/flow_runs/{run['id']}/graph-v2", trust_env=False).json()
    assert len(graph["nodes"]) > 30
    roots = [node["label"] for _, node in graph["nodes"] if not node["parents"]]
    assert len(roots) < 10, f"steps without an edge to what they build on: {roots}"

    page.goto(f"{prefect}/runs/flow-run/{run['id']}")
    page.get_by_text("Artifacts", exact=True).last.click()
    page.get_by_text("release", exact=True).click()
    link = page.locator(f"a[href^='{mlflow}']").first
    link.wait_for()
    page.goto(link.get_attribute("href"))
    page.get_by_text("gate passes").first.wait_for(timeout=30_000)
    page.wait_for_timeout(2_000)  # the chat opens a moment after the page
    assert page.locator("[data-assistant-ui]:visible").count() == 0, "no chat with a language model beside a table"
    page.get_by_text("Artifacts", exact=True).first.click()
    page.get_by_text("report.html").first.click()
    frame = page.frame_locator("iframe").first
    frame.get_by_text("May be shared publicly").first.wait_for(timeout=30_000)
    page.close()


def wait_for_run(prefect: str) -> dict:
    """The newest flow run, once it has ended."""
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        query = {"sort": "EXPECTED_START_TIME_DESC", "limit": 1, "flows": {"name": {"any_": ["data-flow"]}}}
        runs = httpx.post(f"{prefect}/api/flow_runs/filter", json=query, timeout=30, trust_env=False).json()
        if runs and runs[0]["state_type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}:
            return runs[0]
        time.sleep(1)
    raise AssertionError("the run did not end in time")
