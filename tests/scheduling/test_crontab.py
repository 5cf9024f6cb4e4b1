"""The line of a crontab: cron itself takes it, and it runs."""

import shutil
import subprocess
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from edge_pipeline.core.errors import ScheduleError
from edge_pipeline.scheduling import crontab

MACHINE = crontab._machine_zone


@pytest.fixture
def check(lacking):
    """The words of a command by which cron checks a file."""
    if not shutil.which("crontab"):
        lacking("there is no `crontab` here")
    usage = subprocess.run(["crontab", "-?"], capture_output=True, text=True, check=False).stderr
    return [shutil.which("crontab"), "-n" if "dry run" in usage else "-T"]


@pytest.fixture
def accepted(check, tmp_path):
    def try_(text):
        file = tmp_path / "crontab"
        file.write_text(text)
        return subprocess.run([*check, str(file)], capture_output=True, check=False).returncode == 0

    return try_


@pytest.fixture
def own_crontab(monkeypatch, tmp_path, check):
    """A crontab that is no user's: a program `crontab` that keeps it in a file, once the real one has checked it."""
    kept, program = tmp_path / "kept", tmp_path / "bin" / "crontab"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = -l ]; then [ -f {kept} ] && exec cat {kept}; echo "no crontab for you" >&2; exit 1; fi\n'
        f"cat > {kept}.new && {' '.join(check)} {kept}.new >&2 && mv {kept}.new {kept}\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(crontab, "_machine_zone", lambda: ZoneInfo("UTC"))
    return kept


@pytest.mark.parametrize("cron", ["0 3 * * 1", "*/15 8-18/2 1,15 * *", "5 4 * jan-mar mon,fri", "0 0 13 * 5"])
def test_cron_takes_the_line(make_job, accepted, cron):
    job = make_job(cron=cron, retries=2)
    assert accepted(f"{crontab.line(job)}\n")


def test_cron_refuses_what_is_no_line(accepted):
    assert not accepted("0 33 * * 1 true\n")


def test_the_line_runs_as_cron_reads_it(make_job, bare_environment):
    job = make_job('echo "$@"', cron="0 3 * * 1")
    command = crontab.line(job).removeprefix("0 3 * * 1 ")
    assert "%" not in command.replace(r"\%", "")  # the rest would be the command's input
    subprocess.run(["sh", "-c", command.replace(r"\%", "%")], env=bare_environment, check=True)
    assert job.log.read_text() == "edge retrain digits\n"


def test_a_schedule_that_cron_does_not_know_is_refused(make_job):
    for cron in ("0 3 L * *", "0 3 * * 5#1", "0 3 * * 5L"):
        with pytest.raises(ScheduleError, match=r"cron and systemd do not know .*schedule airflow digits"):
            crontab.line(make_job(cron=cron))


def test_a_line_that_cron_would_cut_off_is_refused(make_job):
    job = make_job()
    object.__setattr__(job, "root", job.root / ("x" * 200) / ("y" * 200) / ("z" * 200) / ("w" * 200))
    with pytest.raises(ScheduleError, match=r"of which cron reads 998.*schedule systemd digits"):
        crontab.line(job)


def test_clocks_of_another_zone_are_refused(make_job, monkeypatch):
    monkeypatch.setattr(crontab, "_machine_zone", lambda: ZoneInfo("UTC"))
    with pytest.raises(ScheduleError, match="by the clocks of Europe/London, but cron goes by those of this machine"):
        crontab.text(make_job(timezone="Europe/London"))  # the same in winter
    assert crontab.text(make_job(timezone="Etc/UTC"))


def test_the_zone_of_this_machine_is_read():
    assert MACHINE().utcoffset(datetime(2026, 1, 1)) is not None
    assert crontab.in_local_time("Europe/Berlin", ZoneInfo("Europe/Paris"))


def test_installing_keeps_all_other_lines_and_replaces_its_own(make_job, own_crontab):
    own_crontab.write_text("# mine\n7 7 * * * true\n")
    crontab.install(make_job(cron="0 3 * * 1"))
    crontab.install(make_job(cron="0 4 * * 2", env="npu"))
    crontab.install(make_job(cron="0 5 * * 3"))
    lines = own_crontab.read_text().splitlines()
    assert lines[:2] == ["# mine", "7 7 * * * true"]
    assert [one.split(" cd ")[0] for one in lines if " cd " in one] == ["0 4 * * 2", "0 5 * * 3"]


def test_installing_begins_a_crontab(make_job, own_crontab):
    crontab.install(make_job())
    assert own_crontab.read_text() == crontab.text(make_job())


def test_what_cron_refuses_changes_nothing(make_job, own_crontab):
    own_crontab.write_text("7 7 * * * true\n0 99 * * * true\n")
    with pytest.raises(ScheduleError, match=r"`crontab -` failed with status 1"):
        crontab.install(make_job())
    assert own_crontab.read_text() == "7 7 * * * true\n0 99 * * * true\n"


def test_a_crontab_that_was_cut_short_is_left_alone(make_job, own_crontab):
    crontab.install(make_job())
    whole = own_crontab.read_text().splitlines()
    own_crontab.write_text(damaged := "\n".join([*whole[:-1], "7 7 * * * true", ""]))
    with pytest.raises(ScheduleError, match="but no '# edge-pipeline: end of"):
        crontab.install(make_job())
    assert own_crontab.read_text() == damaged


def test_a_missing_crontab_is_told(make_job, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ScheduleError, match="no program `crontab` here"):
        crontab.install(make_job())
