"""The units: systemd takes them, and the timer is due when cron would be."""

import re
import shutil
import subprocess
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from edge_pipeline.core.errors import ScheduleError
from edge_pipeline.scheduling.systemd import calendar, units


@pytest.fixture
def analyze(lacking):
    """Run `systemd-analyze`."""
    if not shutil.which("systemd-analyze"):
        lacking("there is no `systemd-analyze` here")

    def run(*words):
        command = ["systemd-analyze", *map(str, words)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env={"TZ": "UTC", "PATH": "/usr/bin:/bin"}
        )

    return run


@pytest.mark.parametrize("retries", [0, 2])
def test_systemd_takes_the_units(make_job, analyze, tmp_path, retries):
    found = units(make_job("true", retries=retries))
    for name, content in ((found.service_name, found.service), (found.timer_name, found.timer)):
        (tmp_path / name).write_text(content)
    done = analyze("verify", tmp_path / found.timer_name, tmp_path / found.service_name)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_timer_catches_up_on_what_was_missed(make_job):
    assert "Persistent=true\n" in units(make_job()).timer


def test_the_command_is_the_one_that_cron_runs(make_job):
    job = make_job(retries=1)
    found = re.search(r'^ExecStart=/bin/sh -c "(.*)"$', units(job).service, re.MULTILINE)
    assert found
    read = re.sub(r"\\\\|\\\"|\$\$|%%", lambda pair: pair[0][1], found[1])
    bare = re.sub(r"\\\\|\\\"|\$\$|%%", "", found[1])
    assert not set(bare) & set('\\"$%')  # systemd would put something in their place
    assert read == job.shell


@pytest.mark.parametrize(
    ("cron", "timezone"),
    [
        ("0 3 * * 1", "Europe/Berlin"),
        ("*/20 8-18/5 * * *", "UTC"),
        ("30 6 1,15 * *", "America/New_York"),
        ("0 0 13 * 5", "UTC"),  # on the 13th and on every Friday
        ("5 4 * 2-12/3 0", "Asia/Kolkata"),
        ("0 12 */10 * 1-5", "UTC"),  # a tenth day that is a weekday
        ("0 12 * * 7", "UTC"),
    ],
)
def test_the_timer_is_due_when_the_schedule_is(make_job, analyze, cron, timezone):
    spec = make_job(cron=cron, timezone=timezone).spec
    moment = datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)
    expected = []
    while len(expected) < 12:
        moment = spec.next_due(moment)
        expected.append(moment.astimezone(UTC))
    found = set()
    for event in calendar(cron, timezone, "digits"):
        done = analyze("calendar", "--iterations=12", "--base-time=2026-01-01 00:00:30 UTC", event)
        assert done.returncode == 0, done.stderr
        texts = re.findall(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", done.stdout)
        found |= {datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("UTC")) for text in texts}
    assert sorted(found)[:12] == expected


def test_a_schedule_that_systemd_does_not_know_is_refused():
    with pytest.raises(ScheduleError, match="do not know the `L`"):
        calendar("0 3 L * *", "UTC", "digits")
