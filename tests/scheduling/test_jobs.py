"""What a scheduler runs: the command works in an empty environment; what cannot be scheduled is refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from edge_pipeline.core.errors import ConfigError, ScheduleError
from edge_pipeline.pipelines.config import parse
from edge_pipeline.scheduling.job import BUSY, job, program, unset
from edge_pipeline.scheduling.listing import rows


@pytest.fixture
def project(default_configuration, tmp_path):
    def make(schedule=None, root=tmp_path):
        return parse(root, **default_configuration, schedule=schedule)

    return make


@pytest.fixture
def run(bare_environment):
    def start(job, **more):
        words = ["sh", "-c", job.shell]
        return subprocess.run(words, env={**bare_environment, **more}, cwd="/", capture_output=True, text=True)

    return start


def test_a_job_has_absolute_paths(project, tmp_path):
    found = job(project({"digits": {"cron": "0 3 * * 1"}}), "digits", tmp_path / "conf", "npu")
    assert found.kedro == Path(sys.executable).with_name("kedro")
    assert found.root == tmp_path
    assert found.arguments == ("edge", "retrain", "digits", "--env", "npu")
    assert found.name == f"{tmp_path.name}_digits_npu"


@pytest.mark.parametrize(
    ("schedule", "model", "said"),
    [
        (None, "digits", "schedule.yml has no entry 'digits'. Add one"),
        ({}, "digts", "no model 'digts' in models.yml; did you mean 'digits'?"),
        ({"digits": {"max_age_days": 3}}, "digits", "digits has no `cron`, so it is never due"),
    ],
)
def test_a_model_that_is_never_due_is_refused(project, tmp_path, schedule, model, said):
    with pytest.raises(ScheduleError, match=said.replace(".", r"\.").replace("?", r"\?")):
        job(project(schedule), model, tmp_path)


def test_a_wrong_schedule_is_refused_with_all_other_mistakes(project):
    with pytest.raises(ConfigError) as refused:
        project({"digits": {"cron": "0 33 * * 1", "timezone": "Europe/Berln"}, "digts": {"cron": "0 3 * * 1"}})
    text = str(refused.value)
    assert "schedule.yml: digits.cron" in text
    assert "schedule.yml: digits.timezone" in text
    assert "no model 'digts'" in text


def test_a_missing_program_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ScheduleError, match=r"there is no program .*/kedro, .*pip install kedro"):
        program()


@pytest.mark.parametrize("name", ["line\nbreak", "{{ braces }}"])
def test_a_path_that_schedulers_would_misread_is_refused(project, tmp_path, name):
    root = tmp_path / name
    root.mkdir()
    with pytest.raises(ScheduleError, match="schedulers cannot take"):
        job(project({"digits": {"cron": "0 3 * * 1"}}, root), "digits", root / "conf")


def test_the_command_runs_with_nothing_of_its_environment(make_job, run):
    job = make_job('echo "$@"; pwd; echo "$KEDRO_DISABLE_TELEMETRY $TOKEN"; exit 3', env="npu")
    job.variables.write_text("TOKEN='of 100% the file'\n")
    done = run(job)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
    assert job.log.read_text().splitlines() == ["edge retrain digits --env npu", str(job.root), "1 of 100% the file"]


def test_the_log_is_added_to(make_job, run):
    job = make_job("echo once")
    assert [run(job).returncode, run(job).returncode] == [0, 0]
    assert job.log.read_text() == "once\nonce\n"


def test_a_failed_run_is_tried_again_as_often_as_configured(make_job, run):
    job = make_job("echo tried; exit 7", retries=2, retry_delay_minutes=1e-9)
    assert run(job).returncode == 7
    assert job.log.read_text() == "tried\n" * 3


def test_a_run_that_succeeds_is_not_tried_again(make_job, run):
    job = make_job("echo tried; test -e there || { touch there; exit 7; }", retries=2, retry_delay_minutes=1e-9)
    assert run(job).returncode == 0
    assert job.log.read_text() == "tried\n" * 2


def test_two_runs_do_not_overlap(make_job, run, bare_environment, eventually):
    job = make_job("echo begun; cat fifo >/dev/null")
    subprocess.run(["mkfifo", str(job.root / "fifo")], check=True)
    first = subprocess.Popen(["sh", "-c", job.shell], env=bare_environment)
    eventually(lambda: job.log.is_file() and "begun" in job.log.read_text())
    assert run(job).returncode == BUSY
    (job.root / "fifo").write_text("")
    assert first.wait(timeout=30) == 0
    assert job.log.read_text() == "begun\n"


def test_a_missing_project_folder_fails(make_job, run):
    job = make_job("true")
    job.root.rename(job.root.with_name("moved"))
    done = run(job)
    assert done.returncode != 0
    assert "cd" in done.stderr


def test_variables_that_a_scheduled_run_will_not_see_are_told(tmp_path):
    file = tmp_path / "schedule.env"
    environment = {"MLFLOW_TRACKING_URI": "x", "KEDRO_ENV": "npu"}
    assert unset(file, environment) == ["MLFLOW_TRACKING_URI", "KEDRO_ENV"]
    file.write_text("KEDRO_ENV=npu\n")
    assert unset(file, environment) == ["MLFLOW_TRACKING_URI"]


def test_secrets_that_the_schedule_names_are_listed(make_job):
    email = {"host": "h", "sender": "a@b", "to": ["c@d"], "user": "a", "password": "SMTP_PASSWORD"}
    assert make_job(notify={"webhook": "HOOK", "email": email}).needed == ("HOOK", "SMTP_PASSWORD")
    assert make_job(notify={"webhook": "https://example.org/x"}).needed == ()


def test_the_list_tells_the_next_time_in_the_zone_of_the_schedule_and_the_last_run(project, tmp_path):
    from datetime import UTC, datetime

    from edge_pipeline.pipelines.retrain.journal import Journal, LastRun, OpenRun, State

    found = project({"digits": {"cron": "0 3 * * 1", "timezone": "Europe/Berlin"}})
    now = datetime(2026, 7, 1, tzinfo=UTC)
    (row,) = rows(found, now)
    assert (row.due, row.last) == ("Mon 2026-07-06 03:00 Europe/Berlin", "none")
    journal = Journal(tmp_path, "digits")
    journal.write(State(last=LastRun(id="a", ended="2026-06-29 01:10:00 UTC", outcome="refused")))
    assert rows(found, now)[0].last == "refused 2026-06-29 01:10:00 UTC"
    journal.write(State(open=OpenRun(id="b", started="2026-06-30", reasons=(), done={"take": 0.0, "train": 9.0})))
    assert "stopped after take, train; the next run goes on" in rows(found, now)[0].last
    journal.path.write_text("{")
    assert rows(found, now)[0].last.startswith("unknown: ")
