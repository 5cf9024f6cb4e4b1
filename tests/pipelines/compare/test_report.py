"""The comparison as one HTML file: what it says, and that a browser needs nothing else to show it."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Failure, Layer
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.compare.changes import Change, changes
from edge_pipeline.pipelines.compare.report import Facts, change_text, html_report
from edge_pipeline.pipelines.compare.results import TargetResults
from edge_pipeline.pipelines.compare.selection import Selection, recommend
from edge_pipeline.pipelines.compare.table import comparison_table

Make = Callable[..., TargetResults]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


class Page(HTMLParser):
    """The cells of the tables, the text, and the addresses that a browser would load."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.text, self.scripts = "", ""
        self.addresses: list[str] = []
        self._in = ""
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._in = tag
        self.addresses += [value for name, value in attrs if name in ("src", "href", "data", "poster", "action")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self._in in ("script", "style"):
            self.scripts += data
            return
        self.text += data
        if self._in in ("td", "th"):
            self.rows[-1][-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._in = ""


@pytest.fixture(scope="module")
def facts(by_hand: Make, spec: ModelSpec) -> Facts:
    """Three targets, of which one failed, compared with earlier results that were better."""
    sure = np.eye(2)

    def pairs(wrong: int) -> list[tuple[Any, Any]]:
        return [(sure[1 - i % 2 if i < wrong else i % 2], i % 2) for i in range(200)]

    layers = (Layer("conv", "Conv", "npu"), Layer("softmax", "Softmax", "cpu"))
    found = [
        by_hand("fast", pairs(30), [[1.0, 1.1, 1.2] * 20] * 2, layers=layers),
        by_hand("good", pairs(4), [[9.0, 9.1, 9.2] * 20] * 2, layers=layers[:1]),
        by_hand("gone"),
    ]
    found[2] = replace(found[2], results=(Failure("compile", "x", "it <burned> & more"),))
    other = by_hand("fast", pairs(4), [[1.0, 1.1, 1.2] * 20] * 2)
    wish = Selection.parse("maximize accuracy subject to p99 <= 5 ms", "classification")
    moved = {found[0].target.name: changes(found[0], other, ["accuracy", "latency_p50_ms", "size_mb"])}
    moved[found[1].target.name] = changes(found[1], found[1], ["recall_a", "recall_b"])
    table = comparison_table(found, spec)
    chosen = recommend(found, wish, {})
    made = ("digits <1>", "classification", "made by a test", found, table, chosen, "the champion & more", moved)
    return Facts(*made, ["Accuracy on generated images."])


@pytest.fixture(scope="module")
def content(facts: Facts) -> bytes:
    return html_report(facts)


def test_every_target_has_a_line_with_its_numbers(content: bytes) -> None:
    page = Page(content)
    head = page.rows[0]
    assert head == ["target", "accuracy", "p50", "p99", "memory", "size", "Pareto"]
    fast, good, gone = page.rows[1:4]
    assert [row[0] for row in (fast, good, gone)] == [f"{one}/onnx/w8a8" for one in ("fast", "good", "gone")]
    shown = dict(zip(head, fast, strict=True))
    assert shown["accuracy"].startswith("85.00% (79.4 to 89.3%)")
    assert (shown["p50"], shown["p99"], shown["memory"], shown["size"]) == ("1.1 ms", "1.2 ms", "50 MB", "1 MB")
    assert shown["Pareto"] == "yes"
    assert gone[1:4] == ["-"] * 3
    assert "gone/onnx/w8a8: compile failed: it <burned> & more" in page.text


def test_what_people_wrote_is_escaped(content: bytes) -> None:
    for text in (b"<burned>", b"digits <1>", b"champion & more"):
        assert text not in content


def test_the_target_to_ship_and_why_the_others_are_not(content: bytes) -> None:
    text = Page(content).text
    assert "Recommended: fast/onnx/w8a8: the only target that meets every limit (p99 <= 5 ms)" in text
    assert "good/onnx/w8a8: latency_p99_ms is 9.2 ms, 4.2 ms beyond the limit 5 ms" in text
    assert "gone/onnx/w8a8: compile failed: it <burned> & more" in text
    assert b"<tr class=chosen><td>fast/onnx/w8a8</td>" in content


def test_changes_have_their_interval_and_verdict(content: bytes) -> None:
    page = Page(content)
    assert "Compared with the champion & more" in page.text
    lines = {row[1]: row for row in page.rows[5:]}
    _, _, before, now, change, interval, verdict, basis = lines["accuracy"]
    assert (before, now, change, verdict, basis) == ("98.00%", "85.00%", "-13.00 points", "worse", "(1)")
    assert re.fullmatch(r"-1\d\.\d\d points to -\d\.\d\d points", interval)
    assert lines["latency_p50_ms"][6] == "no difference shown"
    assert lines["size_mb"][5:7] == ["-", "not known"]
    assert "<details><summary>2 metrics of single classes without a difference</summary>" in content.decode()
    assert lines["recall_a"][6] == "no difference shown"
    assert "(1) 400 resamples of the same 200 test images; (2) " in page.text


def test_where_nobody_asks_nothing_is_said(facts: Facts) -> None:
    page = Page(html_report(replace(facts, recommendation=None, against="", changes={})))
    assert "to ship" not in page.text
    assert "Compared with" not in page.text
    assert "No target has been measured in both." in Page(html_report(replace(facts, changes={}))).text


def test_without_any_number_there_is_still_a_page(facts: Facts, spec: ModelSpec) -> None:
    found = [facts.found[2]]
    page = Page(html_report(replace(facts, found=found, table=comparison_table(found, spec), recommendation=None)))
    assert "gone/onnx/w8a8" in page.text


def test_no_verdict_has_no_interval_and_nothing_is_divided_by_0() -> None:
    unknown = Change("latency_p50_ms", 0.0, 1.0, None, None, True, "", "no times")
    assert change_text(unknown, "classification") == ("0 ms", "1 ms", "+1 ms", "")
    known = Change("latency_p50_ms", 1.0, 1.5, 1.25, 2.0, True, "worse", "x")
    assert change_text(known, "classification") == ("1 ms", "1.5 ms", "+50.0%", "+25.0% to +100.0%")


def test_nothing_is_loaded_from_elsewhere(content: bytes) -> None:
    page = Page(content)
    assert page.addresses == []
    assert not re.search(r"@import|url\(\s*['\"]?https?:", page.scripts[:3000])
    assert len(page.scripts) > 1_000_000  # plotly itself


def test_a_browser_without_a_network_draws_it(
    content: bytes, tmp_path: Path, needs: Callable[[str], Any], lacking: Callable[[str], None]
) -> None:
    playwright = needs("playwright.sync_api")
    chromium = shutil.which("chromium")
    if not chromium:
        lacking("Chromium is not installed")
    (tmp_path / "report.html").write_bytes(content)
    asked, errors = [], []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.context.set_offline(True)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((tmp_path / "report.html").as_uri())
        page.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=30_000)
        plots = page.locator(".js-plotly-plot")
        titles = [plots.nth(i).locator(".gtitle").text_content() for i in range(plots.count())]
        points = plots.nth(0).locator(".scatterlayer .point").count()
        bars = plots.nth(2).locator(".barlayer .point").count()
        wide = page.evaluate("document.documentElement.scrollWidth")
        browser.close()
    assert [one.partition(" ")[0] for one in titles] == ["Accuracy", "Accuracy", "Placement:"]
    assert (points, bars) == (2, 4)
    assert wide <= 1200
    assert asked == [(tmp_path / "report.html").as_uri()]
    assert errors == []
