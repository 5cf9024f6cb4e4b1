"""The verdicts of a gate as JUnit XML, which continuous integration shows rule by rule."""

import re
from xml.etree import ElementTree

from edge_pipeline.pipelines.gate.judge import Judgement, Verdict

_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not have."""


def junit_xml(judgement: Judgement) -> bytes:
    """Return one suite with one test case a rule and target: a broken one is a failure, a tolerated one is skipped."""
    counts = {
        "tests": len(judgement.verdicts),
        "failures": len(judgement.broken),
        "errors": 0,
        "skipped": sum(one.outcome == "tolerated" for one in judgement.verdicts),
    }
    numbers = {key: str(value) for key, value in counts.items()}
    root = ElementTree.Element("testsuites", {"name": "kedro edge gate", **numbers, "time": "0"})
    suite = ElementTree.SubElement(root, "testsuite", {"name": f"{judgement.model} gate", **numbers, "time": "0"})
    for one in judgement.verdicts:
        place = _clean(one.target.replace("/", "."))
        case = ElementTree.SubElement(suite, "testcase", {"classname": place, "name": _clean(one.title), "time": "0"})
        said = _clean(described(one))
        if one.outcome == "broken":
            ElementTree.SubElement(case, "failure", {"message": said, "type": "broken"}).text = said
        elif one.outcome == "tolerated":
            ElementTree.SubElement(case, "skipped", {"message": said})
        elif one.outcome != "met":
            ElementTree.SubElement(case, "system-out").text = f"{one.outcome}: {said}"
    if judgement.notices:
        ElementTree.SubElement(suite, "system-out").text = _clean("\n".join(judgement.notices))
    ElementTree.indent(root)
    made: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return made + b"\n"


def described(verdict: Verdict) -> str:
    """Return value, limit and reason of a verdict in one line."""
    parts = []
    if verdict.value is not None:
        parts.append(f"value {shown(verdict, verdict.value)}")
    if verdict.limit is not None:
        parts.append(f"limit {shown(verdict, verdict.limit)}")
    return "; ".join([*([", ".join(parts)] if parts else []), *([verdict.reason] if verdict.reason else [])])


def shown(verdict: Verdict, value: float | None) -> str:
    """Return a number of a verdict with its unit."""
    if value is None:
        return "-"
    return verdict.measure.text(value) if verdict.measure else f"{value:g}"


def _clean(text: str) -> str:
    return _UNPRINTABLE.sub("?", text)
