"""`kedro edge gate`: rules on a real run, without a champion and against one, through the real command line."""

import shutil
from dataclasses import replace
from xml.etree import ElementTree

import pandas as pd
import pytest

from edge_pipeline.core.types import Profile
from edge_pipeline.datasets.kedro_io import RecordDataset

pytestmark = pytest.mark.slow

SLUGS = [f"host-{runtime}-{precision}" for runtime in ("onnx", "tflite") for precision in ("float", "w8a8")]
ABSOLUTE, RELATIVE, CLASSES = "latency_p99_ms <= 10 s", "size <= champion * 1.05", "recall >= champion - 2 points"
GATE = {"rules": [{"rule": ABSOLUTE, "on": "host"}, RELATIVE, {"per_class": CLASSES}], "first_release": "allow"}


@pytest.fixture(scope="module")
def project(default_run, project_class, tmp_path_factory):
    """The ready project after its run, with gates and an MLflow store of its own."""
    root = tmp_path_factory.mktemp("gated") / "project"
    shutil.copytree(default_run.root, root, ignore=shutil.ignore_patterns("mlflow.db", "mlartifacts"))
    made = project_class(root)
    made.write("conf/base/gates.yml", {"digits": GATE})
    return made


def alter(project, slug, **metrics):
    """Let a target of digits have been measured otherwise."""
    path = project.root / "data" / "08_reporting" / "digits" / slug / "profile.json"
    dataset = RecordDataset(str(path), f"{Profile.__module__}.{Profile.__name__}", optional=True)
    found = dataset.load()
    dataset.save(replace(found, metrics={**found.metrics, **metrics}))
    return found.metrics


def cases(path):
    root = ElementTree.parse(path).getroot()
    return root, [(one.get("classname"), one.get("name"), [child.tag for child in one]) for one in root[0]]


def logged(project):
    """Return the last run of the gate and its table."""
    run = [one for one in project.runs() if one.info.run_name == "digits/gate"][-1]
    folder = project.root / "mlartifacts" / run.info.run_id / "artifacts"
    table = pd.read_json(folder / "gate.json", orient="split")
    assert ElementTree.parse(folder / "gate.xml").getroot().tag == "testsuites"
    return run, table


def test_from_the_first_release_to_a_regression(project):
    output = project.kedro("edge", "gate", "digits", "--junit", "first.xml").succeeded().output
    assert "Champion of digits: none yet" in output
    assert "digits has no champion yet, so 2 of 3 rules compare with nothing and are let pass" in output
    assert "digits passes its gate." in output
    root, found = cases(project.root / "first.xml")
    assert (root.get("failures"), root.get("tests")) == ("0", str(4 * (1 + 1 + 1 + 10)))
    assert ("digits@host.onnx.w8a8", ABSOLUTE, []) in found, "YAML's `on` was read"
    assert ("digits@host.tflite.float", RELATIVE, ["system-out"]) in found
    assert ("digits@host.tflite.float", f"{CLASSES} (class 7)", ["system-out"]) in found
    run, table = logged(project)
    assert (run.info.status, run.data.tags["passed"], run.data.tags["kind"]) == ("FINISHED", "true", "gate")
    assert run.data.metrics == {"rules": 52, "rules_broken": 0, "rules_met": 8}
    assert set(table["verdict"]) == {"met", "first release"}

    project.kedro("edge", "bundle", "keygen").succeeded()
    project.kedro("edge", "release", "digits", "--promote").succeeded()

    before = alter(project, SLUGS[1], size_mb=1.0)["size_mb"]
    shutil.rmtree(project.root / "data" / "06_models" / "digits" / SLUGS[2] / "compiled")
    refused = project.kedro("edge", "gate", "digits", "--junit", "second.xml")
    refused.refused(
        "digits does not pass its gate",
        f"digits@host/onnx/w8a8: {RELATIVE}: value 1 MB, limit {1.05 * before:.4g} MB",
        "digits@host/tflite/float: measured as it is now: ",
        "outdated, the compiled artifact it was made from is not on disk any more",
    )
    assert "Champion of digits: version 1" in refused.output
    assert "digits@host/onnx/float" not in refused.output.split("\nError: ")[1], "it is what it was"
    root, found = cases(project.root / "second.xml")
    broken = [one for one in found if one[2] == ["failure"]]
    assert root.get("failures") == str(len(broken))
    assert ("digits@host.onnx.w8a8", RELATIVE, ["failure"]) in broken
    assert {one[0] for one in broken} == {"digits@host.onnx.w8a8", "digits@host.tflite.float"}
    assert ("digits@host.onnx.float", f"{CLASSES} (class 7)", []) in found, "equal to the champion"
    run, table = logged(project)
    assert (run.info.status, run.data.tags["passed"], run.data.tags["champion"]) == ("FAILED", "false", "1")
    assert run.data.metrics["rules_broken"] == len(broken) == (table["verdict"] == "broken").sum()


def test_what_is_wrong_with_gates_yml_is_told_at_once(project):
    kept = (project.root / "conf" / "base" / "gates.yml").read_text()
    wrong = {"digits": {"rules": ["acuracy >= 1", {"rule": "p99 <= 3", "on": "hots"}]}, "digit": {}}
    project.write("conf/base/gates.yml", wrong)
    runs = len(project.runs())
    try:
        refused = project.kedro("edge", "gate", "digits").refused(
            "no metric 'acuracy' of the task classification; did you mean 'accuracy'?",
            "kind 'hots'; did you mean 'host'?",
            "no model 'digit' in models.yml; did you mean 'digits'?",
        )
    finally:
        project.write("conf/base/gates.yml", kept)
    assert "3 problems" in refused.output
    assert len(project.runs()) == runs
