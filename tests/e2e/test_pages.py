"""What a user sees in a browser: the MLflow page and Kedro-Viz."""

import contextlib
import json
import random
import shutil
import socket
import urllib.request

import pytest

pytestmark = pytest.mark.slow

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = [f"digits@host/{runtime}/{precision}" for runtime in ("onnx", "tflite") for precision in ("float", "w8a8")]


def free_port():
    """Return a free port below those that the system hands out; Kedro-Viz takes none above 49,151."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 50):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("none of 50 ports is free")


def get(address):
    try:
        with urllib.request.urlopen(address, timeout=10) as reply:
            return reply.read()
    except OSError:
        return None


@pytest.fixture
def served(default_run, started, eventually, tmp_path):
    """Start a command of the default project that serves a page, and return the page's address."""
    log = tmp_path / "log"

    def serve(*arguments):
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        with log.open("w") as output:
            process = started(default_run.start(*arguments, "--port", str(port), output=output))
        eventually(lambda: get(address) is not None or process.poll() is not None, 120)
        assert process.poll() is None, log.read_text()
        return address

    return serve


@pytest.fixture
def page(lacking):
    """A page of headless Chromium."""
    chromium = shutil.which("chromium")
    if not chromium:
        lacking("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser.new_page(viewport={"width": 1600, "height": 1000})
        browser.close()


def test_the_mlflow_page_shows_runs_charts_and_comparison(default_run, served, page):
    address = served("edge", "ui")
    experiment = default_run.mlflow().get_experiment_by_name("edge-pipeline").experiment_id
    page.goto(f"{address}/#/experiments/{experiment}/runs")
    for name in [*NAMES, "digits/training"]:
        page.get_by_text(name, exact=True).first.wait_for(timeout=30_000)

    page.goto(f"{address}/#/experiments/{experiment}/runs?compareRunsMode=CHART")
    for metric in ("accuracy", "export_max_difference"):
        page.get_by_text(metric[:9]).first.wait_for(timeout=30_000)

    runs = json.dumps([run.info.run_id for run in default_run.runs() if run.data.tags["kind"] == "target"])
    page.goto(f'{address}/#/compare-runs?runs={runs}&experiments=["{experiment}"]')
    page.get_by_text("Parallel Coordinates Plot").wait_for(timeout=30_000)
    plot = page.locator(".js-plotly-plot").first
    plot.wait_for(timeout=30_000)
    axes = plot.text_content()
    assert "precision" in axes
    assert "tflite" in axes


def test_a_port_in_use_is_told(project):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = project.kedro("edge", "ui", "--port", str(port))
    assert result.status == 1
    assert f"Error: port {port} is in use. Choose another: kedro edge ui --port {port + 1}" in result.output
    assert "Traceback" not in result.output


def test_kedro_viz_shows_the_pipeline_with_previews(served, needs):
    needs("kedro_viz")
    address = served("viz", "run", "--no-browser")
    nodes = {node["name"]: node for node in json.loads(get(f"{address}/api/main"))["nodes"]}
    assert {"digits", "digits.host-onnx-w8a8", "digits.scorecard"} <= set(nodes)
    table = json.loads(get(f"{address}/api/nodes/{nodes['digits.scorecard']['id']}"))["preview"]
    assert [row[0] for row in table["data"]] == NAMES
    for figure in ("digits.quality", "digits.latency"):
        assert len(json.loads(get(f"{address}/api/nodes/{nodes[figure]['id']}"))["preview"]) > 10_000
