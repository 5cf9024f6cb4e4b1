"""One line of a crontab."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from edge_pipeline.core.errors import ScheduleError
from edge_pipeline.scheduling.job import Job

LONGEST = 998
"""Characters that cron reads of a command; it cuts off the rest."""


def line(job: Job) -> str:
    """Return the line, without its end.

    Raises:
        ScheduleError: cron cannot say the schedule, or cuts the line off.
    """
    plain(job.cron, job.model)
    shell = job.shell.replace("%", r"\%")  # cron takes a bare one for a line break
    if len(shell) > LONGEST:
        raise ScheduleError(
            f"the line for '{job.model}' would have {len(shell)} characters, of which cron reads {LONGEST}: "
            f"{job.root} and {job.kedro} are too long. Use `kedro edge schedule systemd {job.model}`."
        )
    return f"{job.cron} {shell}"


def text(job: Job) -> str:
    """Return the line between comments that tell what it is.

    Raises:
        ScheduleError: cron cannot say the schedule, or would run it at other times.
    """
    if not in_local_time(job.spec.timezone):
        raise ScheduleError(
            f"schedule.yml: {job.model} is due by the clocks of {job.spec.timezone}, but cron goes by those of this "
            f"machine. Use `kedro edge schedule systemd {job.model}`, or give `timezone` and `cron` in this machine's "
            "time."
        )
    needs = f"; {', '.join(job.needed)} come from {job.variables}" if job.needed else ""
    begin, end = _marks(job)
    return f"{begin}{needs}\n{line(job)}\n{end}\n"


def in_local_time(timezone: str, local: ZoneInfo | None = None) -> bool:
    """Return whether clocks in `timezone` show what this machine's show, in every week of a year from now."""
    local = local or _machine_zone()
    now = datetime.now(UTC)
    moments = (now + timedelta(weeks=week) for week in range(53))
    return all(one.astimezone(ZoneInfo(timezone)).utcoffset() == one.astimezone(local).utcoffset() for one in moments)


def plain(cron: str, model: str) -> None:
    """Refuse what some schedulers know and cron does not.

    Raises:
        ScheduleError: the schedule names a last or an nth day.
    """
    _, _, day, _, weekday = cron.upper().split()
    if "L" in day or "#" in weekday or "L" in weekday:
        raise ScheduleError(
            f"schedule.yml: {model}: cron and systemd do not know the `L` and `#` of '{cron}'. Name days by their "
            f"number, or use `kedro edge schedule airflow {model}`."
        )


def install(job: Job) -> str:
    """Put the line into this user's crontab, in place of an earlier one of this job; return what was there before.

    Raises:
        ScheduleError: there is no `crontab`, or it does not take the line. The crontab is then as it was.
    """
    before = _crontab("-l")
    begin, end = _marks(job)
    kept, inside = [], False
    for one in before.splitlines():
        inside = inside or one.startswith(begin)
        if not inside:
            kept.append(one)
        inside = inside and one != end
    if inside:
        raise ScheduleError(f"the crontab has the line '{begin}' but no '{end}' after it: remove both, then try again")
    _crontab("-", given="\n".join([*kept, text(job)]))
    return before


def _marks(job: Job) -> tuple[str, str]:
    return f"# edge-pipeline: {job.name} in {job.root}", f"# edge-pipeline: end of {job.name}"


def _crontab(argument: str, given: str | None = None) -> str:
    try:
        done = subprocess.run(
            ["crontab", argument], input=given, capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError:
        raise ScheduleError("there is no program `crontab` here: install cron, or leave --install out") from None
    if done.returncode and not (argument == "-l" and "no crontab" in done.stderr):
        raise ScheduleError(f"`crontab {argument}` failed with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout if not done.returncode else ""


def _machine_zone() -> ZoneInfo:
    """Return the time zone that cron works in, whatever the variable TZ says here."""
    try:
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file)
    except OSError:
        return ZoneInfo("UTC")
