"""Verdicts as JUnit XML, read again as continuous integration does."""

from typing import Any
from xml.etree import ElementTree

from edge_pipeline.pipelines.gate.judge import Judgement, Verdict, judge
from edge_pipeline.pipelines.gate.junit import described, junit_xml
from edge_pipeline.pipelines.gate.measures import Measure

LATENCY = Measure("latency_p99_ms", "ms")
VERDICTS = (
    Verdict("p99 <= 33 ms", "digits@host/onnx/w8a8", "met", 2.0, 33.0, measure=LATENCY),
    Verdict("p99 <= 33 ms", "digits@rb3/onnx/w8a8", "broken", 40.0, 33.0, measure=LATENCY),
    Verdict('a "b" & <c>', "digits@pi/onnx/w8a8", "tolerated", reason="bell \x07 and \ud800; é stays"),
    Verdict("map50 >= champion", "digits@pi/onnx/w8a8", "first release", 0.5, measure=Measure("map50", "share")),
    Verdict("recall >= champion", "digits@pi/onnx/w8a8", "within noise", 0.9, 0.95, "noise", of_class="cat"),
)


def read(judgement: Judgement) -> tuple[ElementTree.Element, list[ElementTree.Element]]:
    root = ElementTree.fromstring(junit_xml(judgement))
    (suite,) = root
    return root, [one for one in suite if one.tag == "testcase"]


def test_one_case_a_verdict_and_numbers_that_agree() -> None:
    root, cases = read(Judgement("digits", VERDICTS, ("first",), 7))
    assert root.tag == "testsuites"
    for one in (root, root[0]):
        assert {key: one.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
            "tests": str(len(cases)),
            "failures": str(len(root.findall(".//failure"))),
            "errors": str(len(root.findall(".//error"))),
            "skipped": str(len(root.findall(".//skipped"))),
        }
        float(one.get("time", ""))
    assert root[0].get("tests") == "5"
    assert root[0].get("failures") == root[0].get("skipped") == "1"
    assert root[0].get("name") == "digits gate"
    assert [(one.get("classname"), one.get("name")) for one in cases] == [
        ("digits@host.onnx.w8a8", "p99 <= 33 ms"),
        ("digits@rb3.onnx.w8a8", "p99 <= 33 ms"),
        ("digits@pi.onnx.w8a8", 'a "b" & <c>'),
        ("digits@pi.onnx.w8a8", "map50 >= champion"),
        ("digits@pi.onnx.w8a8", "recall >= champion (class cat)"),
    ]
    assert [[child.tag for child in one] for one in cases] == [
        [],
        ["failure"],
        ["skipped"],
        ["system-out"],
        ["system-out"],
    ]
    assert root[0].findtext("system-out") == "first"


def test_what_is_said_of_each() -> None:
    _, cases = read(Judgement("digits", VERDICTS))
    failure, skipped = cases[1][0], cases[2][0]
    assert (failure.get("message"), failure.get("type")) == ("value 40 ms, limit 33 ms", "broken")
    assert failure.text == "value 40 ms, limit 33 ms"
    assert skipped.get("message") == "bell ? and ?; é stays", "characters that XML does not have are replaced"
    assert cases[3][0].text == "first release: value 50.00%"
    assert cases[4][0].text == "within noise: value 0.9, limit 0.95; noise"
    assert described(VERDICTS[0]) == "value 2 ms, limit 33 ms"
    assert described(Verdict("a", "b", "broken", reason="why")) == "why"


def test_it_says_what_it_is_encoded_in() -> None:
    content = junit_xml(Judgement("digits", VERDICTS))
    assert content.startswith(b"<?xml version='1.0' encoding='utf-8'?>\n<testsuites ")
    assert content.endswith(b"</testsuites>\n")
    assert "é stays".encode() in content


def test_a_real_judgement_fails_where_the_command_does(make_project: Any, measured: Any) -> None:
    project = make_project({"rules": ["p50 <= 2 ms", "accuracy >= 90%"]})
    for found, failures in (([measured()], 0), ([measured(wrong=range(100))], 1), ([], 3)):
        judgement = judge("digits", project, found, [], None)
        root, cases = read(judgement)
        assert root.get("failures") == str(failures)
        assert judgement.passed == (failures == 0)
        assert len(cases) == len(judgement.verdicts) == 3
