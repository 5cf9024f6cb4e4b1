import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_pipeline.core.errors import ProjectBusyError, RetrainError
from edge_pipeline.datasets.joined import batches
from edge_pipeline.pipelines.retrain.job import Job, RefusedError, StepFailedError
from edge_pipeline.pipelines.retrain.schedule import FleetSpec

STEPS = ["train", "gate", "release", "promote", "deploy"]
Make = Callable[..., Job]
Calls = Callable[[], list[list[str]]]
fork = multiprocessing.get_context("fork")


@pytest.fixture
def delivered(tmp_path: Path, make_job: Make, picture: Callable[..., Path]) -> None:
    for index in range(3):
        picture(tmp_path / "arrivals" / "dog" / f"{index}.png", 1000 + index)


def in_process(job: Job) -> int:
    """Perform in a process of its own; return its exit status."""

    def perform() -> None:
        with job.journal.alone():
            job.perform()

    process = fork.Process(target=perform)
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


@pytest.mark.usefixtures("delivered")
def test_every_step_is_a_command_and_the_order_is_kept(make_job: Make, calls: Calls) -> None:
    job = make_job(
        "data/champion.pt",
        deploy="after_gate",
        fleet=FleetSpec(to=("production", "eu"), canary=1, waves=(25, 100)),
        parameters={"finetune.epochs": 2},
    )
    run = job.begin(["new_data: 3 of 2 samples: fires"], {"new_samples": 3}, 4)
    done = job.perform()
    found = calls()
    assert [one[0] for one in found] == STEPS
    given = "m.finetune.checkpoint=data/champion.pt,m.finetune.epochs=2"
    assert found[0][1:] == ["run", "--pipelines", "m", "--params", given]
    assert found[4][1:] == (
        ["edge", "deploy", "m", "--to", "production", "--to", "eu", "--canary", "1", "--waves", "25%,100%"]
    )
    assert list(done.done) == ["take", *STEPS]
    assert done.arrived and done.arrived["good"] == 3
    assert "release says something" in (job.scratch(run) / "release.log").read_text()


@pytest.mark.usefixtures("delivered")
def test_without_a_policy_nothing_is_deployed_and_without_champion_nothing_is_passed(
    make_job: Make, calls: Calls
) -> None:
    job = make_job()
    job.begin(["champion: none yet: fires"], {}, None)
    job.perform()
    assert [one[0] for one in calls()] == STEPS[:-1]
    assert calls()[0] == ["train", "run", "--pipelines", "m"]


@pytest.mark.usefixtures("delivered")
def test_all_steps_share_the_environment_and_one_group_of_mlflow_runs(make_job: Make, calls: Calls) -> None:
    job = replace(make_job(deploy="after_gate"), env="night")
    run = job.begin(["--force"], {}, None)
    job.perform()
    assert all(one[-2:] == ["--env", "night"] or "night" in one for one in calls()[:-1])
    groups = (job.root / "groups.txt").read_text().splitlines()
    assert groups == [f"{run.id} night"] * len(STEPS)


@pytest.mark.usefixtures("delivered")
@pytest.mark.parametrize("step", STEPS)
def test_a_job_killed_in_a_step_goes_on_with_that_step(
    make_job: Make, calls: Calls, plan: Callable[..., None], step: str, intake: object
) -> None:
    job = make_job(deploy="after_gate")
    run = job.begin(["--force"], {}, None)
    plan(**{step: "kill the parent"})
    assert in_process(job) == -signal.SIGKILL
    plan()
    before = len(calls())
    assert in_process(job) == 0
    assert [one[0] for one in calls()[before:]] == STEPS[STEPS.index(step) :]
    state = job.journal.read()
    assert state.open and state.open.id == run.id and state.open.arrived and state.open.arrived["good"] == 3
    assert len(batches(job.intake.incoming)) == 1  # type: ignore[union-attr]


@pytest.mark.usefixtures("delivered")
def test_a_job_killed_while_it_takes_samples_in_takes_each_once(
    make_job: Make, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job()
    job.begin(["--force"], {}, None)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        assert in_process(job) == -signal.SIGKILL
    assert not batches(job.intake.incoming)  # type: ignore[union-attr]
    assert in_process(job) == 0
    going = job.journal.read().open
    assert going
    forgotten = going.model_copy(update={"done": {}, "arrived": None})
    job.journal.write(job.journal.read().model_copy(update={"open": forgotten}))  # killed before it was noted
    assert in_process(job) == 0
    state = job.journal.read()
    assert state.open and state.open.arrived and state.open.arrived["good"] == 3
    assert len(batches(job.intake.incoming)) == 1  # type: ignore[union-attr]


@pytest.mark.usefixtures("delivered")
def test_a_gate_that_refuses_ends_the_training_and_nothing_is_promoted(
    make_job: Make, calls: Calls, plan: Callable[..., None]
) -> None:
    job = make_job(deploy="after_gate")
    run = job.begin(["--force"], {}, 1)
    plan(gate="refuse")
    with pytest.raises(
        RefusedError, match=r"1 rules of its gate are broken:\n.*accuracy >= 0\.9: value 0\.5"
    ) as raised:
        job.perform()
    assert [one[0] for one in calls()] == ["train", "gate"]
    report = job.report("refused", raised.value)
    assert report.failed and report.step == "gate" and "the champion stays" in report.line
    job.close(run, "refused")
    state = job.journal.read()
    assert state.open is None and state.last and state.last.outcome == "refused"
    assert state.used == tuple(job.intake.taken())  # type: ignore[union-attr]


@pytest.mark.usefixtures("delivered")
@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_is_told_and_tried_again(
    make_job: Make, calls: Calls, plan: Callable[..., None], step: str
) -> None:
    job = make_job(deploy="after_gate")
    job.begin(["--force"], {}, None)
    plan(**{step: "fail"})
    with pytest.raises(StepFailedError, match="ended with exit status 1: the disk is full") as raised:
        job.perform()
    assert not isinstance(raised.value, RefusedError)
    report = job.report("failed", raised.value)
    assert report.step == step and any("says something" in line for line in report.tail)
    plan()
    job.perform()
    assert [one[0] for one in calls()].count(step) == 2
    assert all([one[0] for one in calls()].count(name) == 1 for name in STEPS if name != step)


def test_too_many_broken_files_stop_it_before_anything_is_trained(
    make_job: Make, calls: Calls, tmp_path: Path, picture: Callable[..., Path]
) -> None:
    job = make_job()
    picture(tmp_path / "arrivals" / "dog" / "a.png", 2001)
    (tmp_path / "arrivals" / "dog" / "b.png").write_bytes(b"x")
    job.begin(["--force"], {}, None)
    with pytest.raises(StepFailedError, match="only 1 of 2 new files can be used"):
        job.perform()
    assert not calls() and not job.intake.folder.exists()  # type: ignore[union-attr]
    (tmp_path / "arrivals" / "dog" / "b.png").unlink()
    job.perform()
    assert calls()


def test_a_second_job_says_who_is_at_work(make_job: Make) -> None:
    job = make_job()
    with job.journal.alone():
        with (
            pytest.raises(
                ProjectBusyError, match=rf"'m' is being trained again already \(process {os.getpid()} on .* since"
            ),
            make_job().journal.alone(),
        ):
            raise AssertionError
        assert in_process(job) == 1
    with job.journal.alone():
        pass


def test_the_lock_of_a_killed_job_is_free(make_job: Make) -> None:
    job = make_job()

    def die() -> None:
        with job.journal.alone():
            os.kill(os.getpid(), signal.SIGKILL)

    process = fork.Process(target=die)
    process.start()
    process.join(30)
    with job.journal.alone():
        pass


def test_a_damaged_journal_is_named(make_job: Make) -> None:
    job = make_job()
    job.begin([], {}, None)
    job.journal.path.write_text('{"open": 3}')
    with pytest.raises(RetrainError, match=r"retrain\.json is damaged .*Delete it"):
        job.journal.read()


@pytest.mark.usefixtures("delivered")
def test_the_samples_of_a_forgotten_training_count_as_new(make_job: Make, plan: Callable[..., None]) -> None:
    job = make_job()
    job.begin([], {}, None)
    plan(train="fail")
    with pytest.raises(StepFailedError):
        job.perform()
    job.forget()
    state = job.journal.read()
    assert state.open is None and not set(job.intake.taken()) & set(state.used)  # type: ignore[union-attr]


@pytest.mark.usefixtures("delivered")
def test_a_report_is_written_for_people_and_for_machines(make_job: Make, tmp_path: Path) -> None:
    import json

    job = make_job()
    (tmp_path / "arrivals" / "dog" / "bad.png").write_bytes(b"x")
    object.__setattr__(job.spec.new_data, "min_good_fraction", 0.5)
    job.begin(["new_data: 3 of 2 samples: fires"], {}, None)
    job.perform()
    path = job.report("released").write(tmp_path / "reports")
    text, facts = path.read_text(), json.loads(path.with_suffix(".json").read_text())
    assert "# m was trained again and released" in text and "- trigger: new_data: 3 of 2 samples: fires" in text
    assert "| train |" in text and "`dog/bad.png`: cannot read the image" in text
    assert facts["outcome"] == "released" and facts["arrived"]["good"] == 3
