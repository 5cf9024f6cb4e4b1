"""Parts of a training: in their order, each done once, whoever did it."""

import sys

import pytest

from edge_pipeline.core.errors import RetrainError
from edge_pipeline.pipelines.retrain.job import Job, RefusedError, StepFailedError
from edge_pipeline.pipelines.retrain.journal import Journal
from edge_pipeline.pipelines.retrain.schedule import ScheduleSpec
from edge_pipeline.scheduling.stages import StagedJob, stages

COMMAND = """
import os, pathlib, sys
with open("ran", "a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
failing = pathlib.Path("failing")
words = failing.read_text() if failing.exists() else ""
if words and words in " ".join(sys.argv[1:]):
    if words == "edge gate":
        case = '<testcase name="r"><failure message="9 > 8"/></testcase>'
        pathlib.Path(sys.argv[-1]).write_text(f"<testsuite>{case}</testsuite>")
    sys.exit(3)
"""


@pytest.fixture
def training(tmp_path):
    """A training of two calls: one that performs parts by their names, and what ran."""

    class Training:
        spec = ScheduleSpec()
        journal = Journal(tmp_path, "digits")

        def job(self):
            start = "models:/the champion"
            kedro = (sys.executable, "-c", COMMAND)
            return StagedJob(
                tmp_path,
                "digits",
                self.spec,
                None,
                self.journal,
                None,
                lambda: None,
                lambda _: start,
                lambda _: None,
                kedro,
            )

        def perform(self, *names):
            order = {one.name: one for one in stages(self.spec)}
            for name in names:
                self.job().perform_stage(order[name])

        def ran(self):
            file = tmp_path / "ran"
            return file.read_text().splitlines() if file.exists() else []

        def fail(self, words):
            (tmp_path / "failing").write_text(words)

    found = Training()
    found.job().begin(["because"], {}, 1)
    return found


def test_the_parts_are_the_steps_of_the_command(training):
    training.perform("begin", "train", "quantize", "measure", "gate", "release")
    train, quantize, measure, gate, release, promote = training.ran()
    tags = ("split,finetune", "quantize,export", "compile,profile,validate,scorecard")
    for line, tag in zip((train, quantize, measure), tags, strict=True):
        assert line.startswith("run --pipelines digits --params digits.finetune.checkpoint=models:/the champion")
        assert line.endswith(f"--tags {tag}")
    assert gate.startswith("edge gate digits --junit data/")
    assert [release, promote] == ["edge release digits", "edge promote digits"]
    assert set(training.journal.read().open.done) == {"take", "train", "gate", "release", "promote"}


def test_what_is_done_is_not_done_again(training):
    training.perform("begin", "begin", "train", "train", "quantize", "measure", "train", "quantize", "measure")
    assert len(training.ran()) == 3


def test_a_part_comes_after_those_before_it(training):
    with pytest.raises(RetrainError, match="'quantize' comes after 'begin', which is not done"):
        training.perform("quantize")
    with pytest.raises(RetrainError, match="'gate' comes after 'quantize', which is not done"):
        training.perform("begin", "train", "gate")
    assert len(training.ran()) == 1


def test_a_part_that_failed_is_done_by_the_next_try(training):
    training.fail("quantize")
    with pytest.raises(StepFailedError, match="ended with exit status 3"):
        training.perform("begin", "train", "quantize")
    training.fail("")
    training.perform("quantize")
    assert [line.rpartition(" ")[2] for line in training.ran()] == ["split,finetune", *["quantize,export"] * 2]


def test_half_of_a_part_that_is_done_is_not_done_again(training):
    training.perform("begin", "train", "quantize", "measure", "gate")
    training.fail("edge promote")
    with pytest.raises(StepFailedError):
        training.perform("release")
    training.fail("")
    training.perform("release")
    assert training.ran()[-3:] == ["edge release digits", "edge promote digits", "edge promote digits"]


def test_the_whole_command_goes_on_where_the_parts_stopped(training):
    training.perform("begin", "train", "quantize", "measure")
    Job.perform(training.job())
    assert [line.split()[1] for line in training.ran()[3:]] == ["gate", "release", "promote"]


def test_the_whole_command_trains_again_what_was_not_measured(training):
    training.perform("begin", "train")
    Job.perform(training.job())
    lines = training.ran()
    assert "--tags" not in lines[1]
    assert [line.split()[1] for line in lines[2:]] == ["gate", "release", "promote"]


def test_a_refusal_is_told_from_a_failure(training):
    training.fail("edge gate")
    with pytest.raises(RefusedError, match="9 > 8"):
        training.perform("begin", "train", "quantize", "measure", "gate")


def test_without_a_training_there_is_nothing_to_do_a_part_of(training):
    training.job().forget()
    with pytest.raises(RetrainError, match="the part 'begin' begins one"):
        training.perform("train")
