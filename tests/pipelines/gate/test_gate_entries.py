"""Entries of gates.yml: what they say, and what is told of a wrong one before anything runs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_pipeline.core.errors import ConfigError
from edge_pipeline.pipelines.gate.spec import GateSpec, RuleSpec

Make = Any
TWO = {"devices": ("host", "rb3", "npu"), "runtimes": ("onnx", "qnn_context_binary")}


def problems(make_project: Make, gate: Any, **more: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        make_project(**more, **({} if "gates" in more else {"gate": gate}))
    return tuple(raised.value.problems)


def test_a_model_without_an_entry_has_no_rules(make_project: Make) -> None:
    assert make_project().gates == {}


def test_the_example_in_the_ready_project_is_right_and_off(repository_file: Any, make_project: Make) -> None:
    text = repository_file("conf/base/gates.yml")
    assert yaml.safe_load(text) is None, "nothing is asked until somebody asks"
    example = yaml.safe_load("\n".join(line.removeprefix("# ") for line in text.splitlines()[3:]))
    gate = {**example["yolov8_det"]}
    model = {"recipe": "yolov8_det", "dataset": {"type": "aerial_scenes", "count": 10, "size": [64, 64]}, "classes": 5}
    found = make_project(gate, devices=("rb3", "host"), model=model)
    assert len(found.gates["digits"].rules) == 4
    assert found.gates["digits"].rules[2].on == ("rb3",)


@pytest.fixture
def repository_file() -> Any:
    return lambda name: (Path(__file__).parents[3] / name).read_text()


def test_short_and_full_rules(make_project: Make) -> None:
    rules = ["accuracy >= 0.9", {"per_class": "recall >= champion - 2 points", "classes": ["7"], "on": "lab"}]
    gate = make_project({"rules": rules}, devices=("rb3",)).gates["digits"]
    assert gate.rules[0] == RuleSpec(rule="accuracy >= 0.9")
    assert (gate.rules[1].classes, gate.rules[1].on) == (("7",), ("lab",))
    assert (gate.first_release, gate.noise, gate.at_least, gate.required) == ("allow", "forgive", None, ())


def test_yaml_takes_the_word_on_for_true(make_project: Make) -> None:
    rules = yaml.safe_load("[{rule: p99 <= 33 ms, on: rb3}]")
    assert True in rules[0], "that is what YAML does"
    assert make_project({"rules": rules}, devices=("rb3",)).gates["digits"].rules[0].on == ("rb3",)


def test_all_problems_are_told_at_once_with_the_closest_names(make_project: Make) -> None:
    gate = {
        "rules": ["acuracy >= 0.9", "p50 <= 3 MB", {"rule": "p99 <= 3", "on": "rb4"}, "accuracy >= 95"],
        "required": ["hots"],
        "select": "maximise acuracy",
    }
    found = problems(make_project, None, gates={"digits": gate, "digit": {}}, devices=("host", "rb3"))
    expected = (
        "gates.yml: no model 'digit' in models.yml; did you mean 'digits'?",
        "gates.yml: digits.rules.0: there is no metric 'acuracy' of the task classification; did you mean 'accuracy'?",
        "gates.yml: digits.rules.1: 'MB' is no unit of latency_p50_ms; valid names: ms, s, us",
        "gates.yml: digits.rules.2.on: no target of the model is on a device, label or kind 'rb4'; did you mean 'rb3'?",
        "gates.yml: digits.rules.3: accuracy lies between 0 and 1: write 95% or 0.95",
        "gates.yml: digits.required: no target of the model is on a device, label or kind 'hots'; did you mean 'host'?",
        "gates.yml: digits.select: there is no metric 'acuracy' of the task classification; did you mean 'accuracy'?",
    )
    assert found == expected


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        ({"rule": []}, "digits: unknown key 'rule'; did you mean 'rules'?"),
        ({"rules": [{"rul": "p50 <= 3"}]}, "digits.rules.0: unknown key 'rul'; did you mean 'rule'?"),
        ({"rules": [{"on": ["host"]}]}, "digits.rules.0: either `rule` or `per_class` is expected"),
        ({"rules": [{"rule": "p50 <= 3", "per_class": "recall > 0"}]}, "either `rule` or `per_class` is expected"),
        ({"rules": [{"rule": "p50 <= 3", "classes": ["7"]}]}, "`classes` limits a rule `per_class` only"),
        ({"rules": [3]}, "digits.rules.0: "),
        ({"rules": "p50 <= 3"}, "digits.rules: "),
        ({"rules": [{"per_class": "p50 <= 3"}]}, "there is no metric 'p50' of single classes"),
        ({"runtimes": ["onx"]}, "digits.runtimes.0: 'onx' is not known; did you mean 'onnx'?"),
        ({"precisions": ["w8a9"]}, "digits.precisions.0: 'w8a9' is not known; did you mean 'w8a8'?"),
        ({"precisions": ["float"]}, "digits: runtimes and precisions leave no target of the model to judge"),
        ({"first_release": "alow"}, "digits.first_release: 'alow' is not known; did you mean 'allow'?"),
        ({"noise": "forgve"}, "digits.noise: 'forgve' is not known; did you mean 'forgive'?"),
        ({"at_least": -1}, "digits.at_least: "),
        ({"at_least": 2}, "digits.at_least: 2 of the devices that are not required, but there are 1"),
        ({"at_least": 1, "required": ["host"]}, "digits.at_least: 1 of the devices that are not required, but there"),
        ({"at_least": 0}, "digits.at_least: 0, and no device is required: nothing would ever be refused"),
        ({"select": "fastest"}, "digits.select: 'fastest' does not say what to select"),
        (
            {"select": "minimise p50 on rb3"},
            "digits.select: no target of the model is on a device, label or",
        ),
        (None, "digits: "),
        ([], "digits: "),
    ],
)
def test_a_wrong_entry_is_one_problem_that_says_where(make_project: Make, gate: Any, told: str) -> None:
    (found,) = problems(make_project, None, gates={"digits": gate})
    assert found.startswith("gates.yml: digits")
    assert told in found


def test_a_file_that_is_no_mapping_is_told(make_project: Make) -> None:
    assert problems(make_project, None, gates=["digits"])[0].startswith("gates.yml: one entry per name is expected")


def test_metrics_of_a_user_are_not_known_before_they_were_measured(make_project: Make) -> None:
    gate = {"rules": ["my_metric >= 0.5"]}
    assert problems(make_project, gate)
    assert make_project(gate, model={"metric": "my.module:function"}).gates["digits"].rules


def test_which_targets_are_judged_and_which_devices_must_pass(make_project: Make) -> None:
    project = make_project(devices=("host", "rb3", "pi"), precisions=("float", "w8a8"))
    targets = project.targets("digits")
    assert [one.device for one in GateSpec(precisions=("w8a8",)).judged(targets)] == ["host", "rb3", "pi"]
    assert GateSpec(runtimes=("tflite",)).judged(targets) == []

    def must(**gate: Any) -> list[str]:
        return GateSpec(**gate).must(targets, project.devices)

    assert must() == ["host", "rb3", "pi"], "all, where nothing is said"
    assert must(required=("rb3",)) == ["rb3"]
    assert must(required=("lab",)) == ["rb3", "pi"], "a label"
    assert must(required=("ssh", "host")) == ["host", "rb3", "pi"], "a kind and a name"
    assert must(at_least=1) == []


def test_devices_that_do_not_exist_are_told_without_stumbling_over_the_gate(make_project: Make) -> None:
    found = problems(make_project, {"rules": ["p50 <= 3"]}, devices=("hots",))
    assert any("no device 'hots' in devices.yml" in one for one in found)


def test_names_of_devices_labels_and_kinds_are_all_taken(make_project: Make) -> None:
    rules = [{"rule": "p50 <= 3", "on": word} for word in ("rb3", "lab", "htp_emulator", ["host", "npu"])]
    assert len(make_project({"rules": rules}, **TWO).gates["digits"].rules) == 4
