"""A service and a timer of systemd."""

from dataclasses import dataclass
from datetime import datetime

from edge_pipeline.scheduling.crontab import plain
from edge_pipeline.scheduling.job import Job

_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


@dataclass(frozen=True)
class Units:
    """Two files by their names and contents."""

    service_name: str
    service: str
    timer_name: str
    timer: str


def units(job: Job) -> Units:
    """Return the service and the timer of a job.

    Raises:
        ScheduleError: systemd cannot say the schedule.
    """
    name = f"edge-pipeline-{job.name}"
    return Units(f"{name}.service", _service(job), f"{name}.timer", _timer(job))


def calendar(cron: str, timezone: str, model: str) -> tuple[str, ...]:
    """Return a schedule as systemd's calendar events, of which any is due.

    cron takes a day that fits either of two restricted fields, systemd one that fits both.

    Raises:
        ScheduleError: systemd cannot say the schedule.
    """
    from cronsim import CronSim

    plain(cron, model)
    found = CronSim(cron, datetime(2024, 1, 1))
    weekdays = sorted({day % 7 for day in found.weekdays if isinstance(day, int)})
    any_weekday, any_day = len(weekdays) == 7, len(found.days) == 31
    names = "" if any_weekday else f"{','.join(_WEEKDAYS[day] for day in weekdays)} "
    days = "*" if any_day else _numbers(found.days)
    months = "*" if len(found.months) == 12 else _numbers(found.months)
    clock = f"{_numbers(found.hours, 24)}:{_numbers(found.minutes, 60)}:00 {timezone}"
    if found.day_and:
        return (f"{names}*-{months}-{days} {clock}",)
    return f"*-{months}-{days} {clock}", f"{names}*-{months}-* {clock}"


def _numbers(values: set[int], count: int = 0) -> str:
    return "*" if len(values) == count else ",".join(f"{one:02d}" for one in sorted(values))


def _service(job: Job) -> str:
    shell = job.shell.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    lines = [
        "[Unit]",
        f"Description=Train {job.model} of {_specifiers(str(job.root))} again when it is due",
        "",
        "[Service]",
        "Type=oneshot",
        f'ExecStart=/bin/sh -c "{_specifiers(shell)}"',
    ]
    return "\n".join(lines) + "\n"


def _timer(job: Job) -> str:
    lines = [
        "[Unit]",
        f"Description=When {job.model} of {_specifiers(str(job.root))} is due ({job.cron} {job.spec.timezone})",
        "",
        "[Timer]",
        *(f"OnCalendar={one}" for one in calendar(job.cron, job.spec.timezone, job.model)),
        "Persistent=true",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return "\n".join(lines) + "\n"


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")
