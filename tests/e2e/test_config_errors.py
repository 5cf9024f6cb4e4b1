"""Mistakes in the configuration are all reported at once, and nothing is run."""

import tempfile

import pytest


def nothing_was_run(project):
    return project.data() == [] and not (project.root / "mlflow.db").exists()


def test_a_misspelt_key_is_refused_with_the_closest_name(project):
    project.configure(finetune={"epoch": 3})
    project.kedro("run").refused("parameters: digits.finetune: unknown key 'epoch'; did you mean 'epochs'?")
    assert nothing_was_run(project)


def test_all_problems_are_reported_at_once(project):
    project.configure({"targets": {"devices": ["hots"], "precisions": ["w8a9"]}, "classes": "ten"})
    project.write("conf/base/devices.yml", {"host": {"kind": "hosst"}})
    project.write("conf/base/mlflow.yml", {"experimnt": "x"})
    result = project.kedro("run")
    result.refused(
        "5 problems in the configuration; nothing was run",
        "'w8a9' is not known; did you mean 'w8a8'?",
        "models.yml: digits.classes",
        "no device 'hots' in devices.yml; did you mean 'host'?",
        "devices.yml: host.kind: 'hosst' is not known; did you mean 'host'?",
        "mlflow.yml: unknown key 'experimnt'; did you mean 'experiment'?",
    )
    assert nothing_was_run(project)


def test_a_device_that_is_not_listed_is_refused(project):
    project.configure({"targets": {"devices": ["hots"]}})
    project.kedro("run").refused("no device 'hots' in devices.yml; did you mean 'host'?")


def test_parameters_of_a_misspelt_model_are_refused(project):
    project.write("conf/base/parameters/other.yml", {"digts": {"finetune": {"epochs": 1}}})
    project.kedro("run").refused("parameters: no model 'digts' in models.yml; did you mean 'digits'?")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("digits.finetune.epochs=0", "parameters: digits.finetune.epochs"),
        ("digits.finetune.epoch=3", "did you mean 'epochs'?"),
        ("digits.quantize.calibration_images=0", "parameters: digits.quantize.calibration_images"),
    ],
)
def test_a_bad_value_on_the_command_line_is_refused(project, given, message):
    project.kedro("run", "--params", given).refused(message)
    assert nothing_was_run(project)


def test_a_model_that_does_not_exist_is_refused_with_the_closest_name(project):
    project.kedro("run", "--pipelines", "digts").refused("'digts'", "did you mean 'digits'?")
    assert nothing_was_run(project)


def test_tags_that_match_nothing_are_refused(project):
    project.kedro("run", "--tags", "w4a4").refused("nothing to run", "Tags of this project: classification, compile")
    assert nothing_was_run(project)


def test_yaml_that_cannot_be_read_names_the_file(project):
    project.write("conf/base/models.yml", "digits: [unclosed")
    project.kedro("run").refused("models.yml")


def test_an_environment_that_does_not_exist_is_refused(project):
    project.kedro("run", "--env", "nightly").refused("the environment 'nightly' has no folder")


def test_a_runner_that_loses_the_hooks_is_refused(project):
    short = tempfile.gettempdir()  # the runner's sockets do not take a long path
    project.kedro("run", "--runner", "ParallelRunner", TMPDIR=short).refused(
        "ParallelRunner cannot be used", "ThreadRunner"
    )
    assert nothing_was_run(project)
