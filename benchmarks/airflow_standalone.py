"""Let Airflow's scheduler train a model when it is due, and tell how long that took.

A copy of the ready project gets a schedule of every minute and its DAG; `airflow standalone` runs on loopback until the
first scheduled run is over. Needs `make airflow`.

Run: python benchmarks/airflow_standalone.py [SCREENSHOT.png]
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PROGRAM = REPOSITORY / "build" / "airflow" / "bin" / "airflow"
MODEL = {
    "recipe": "classifier",
    "task": "classification",
    "dataset": {"type": "digits"},
    "image_shape": [1, 8, 8],
    "classes": 10,
    "targets": {"devices": ["host"], "runtimes": ["onnx"], "precisions": ["float"]},
}
SCHEDULE = {"cron": "* * * * *", "timezone": "UTC", "retries": 1, "retry_delay_minutes": 0.1}
LIMIT_S = 1800


def main() -> int:
    """Return the exit status: 0 if the run that was due succeeded."""
    if not PROGRAM.is_file():
        sys.exit("Airflow is not installed; `make airflow` does it")
    with tempfile.TemporaryDirectory() as folder:
        project, home = Path(folder) / "project", Path(folder) / "airflow"
        make(project, home)
        environment = {**os.environ, **settings(home)}
        subprocess.run([PROGRAM, "db", "migrate"], env=environment, check=True, capture_output=True)
        log = home / "standalone.log"
        started = time.monotonic()
        with log.open("w") as output:
            process = subprocess.Popen(
                [PROGRAM, "standalone"], env=environment, stdout=output, stderr=output, start_new_session=True
            )
        try:
            run = wait(process, home, started)
            print(json.dumps({**run, "over_after_s": round(time.monotonic() - started, 1)}, indent=1))
            if run["state"] != "success":
                print("\n".join(log.read_text().splitlines()[-40:]))
            if len(sys.argv) > 1:
                screenshot(environment["AIRFLOW__API__BASE_URL"], run["run_id"], Path(sys.argv[1]))
        finally:
            end(process)
    return 0 if run["state"] == "success" else 1


def make(project: Path, home: Path) -> None:
    """Make a project with one small model that is due every minute, and its DAG."""
    shutil.copytree(REPOSITORY / "conf", project / "conf", ignore=shutil.ignore_patterns("local"))
    shutil.copy(REPOSITORY / "pyproject.toml", project)
    for name in ("src", "data", "conf/local"):
        (project / name).mkdir()
    for name, content in {
        "models": {"digits": MODEL},
        "parameters/digits": {"digits": {"finetune": {"epochs": 2}}},
        "schedule": {"digits": SCHEDULE},
    }.items():
        (project / "conf" / "base" / f"{name}.yml").write_text(json.dumps(content))
    kedro = [Path(sys.executable).with_name("kedro"), "edge"]
    for words in (["bundle", "keygen"], ["schedule", "airflow", "digits", "-o", str(home / "dags")]):
        quiet = {**os.environ, "KEDRO_DISABLE_TELEMETRY": "1"}
        subprocess.run([*kedro, *words], cwd=project, check=True, env=quiet, stdout=subprocess.DEVNULL)


def settings(home: Path) -> dict[str, str]:
    """Return the variables of an Airflow on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return {
        "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    }


def wait(process: "subprocess.Popen[bytes]", home: Path, started: float) -> dict[str, object]:
    """Return the first run that the scheduler began, once it is over."""
    found: dict[str, object] = {"state": "none began"}
    began: float | None = None
    while process.poll() is None and time.monotonic() - started < LIMIT_S:
        time.sleep(1)
        with contextlib.suppress(sqlite3.OperationalError), sqlite3.connect(home / "airflow.db", timeout=5) as database:
            query = "SELECT run_id, run_type, state FROM dag_run WHERE run_type = 'scheduled' ORDER BY id LIMIT 1"
            row = database.execute(query).fetchone()
            if row is None:
                continue
            began = began or round(time.monotonic() - started, 1)
            found = {**dict(zip(("run_id", "run_type", "state"), row, strict=True)), "began_after_s": began}
            if found["state"] in ("success", "failed"):
                query = "SELECT task_id, state, try_number FROM task_instance WHERE run_id = ? ORDER BY start_date"
                found["tasks"] = database.execute(query, (found["run_id"],)).fetchall()
                break
    return found


def screenshot(address: str, run: object, path: Path) -> None:
    """Save a picture of the page of the run."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(f"{address}/dags/project_digits/runs/{run}")
        page.wait_for_selector("text=measure", timeout=120_000)
        page.wait_for_timeout(5_000)
        page.screenshot(path=str(path))
        browser.close()


def end(process: "subprocess.Popen[bytes]") -> None:
    """End Airflow and all that it started in its session."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)


if __name__ == "__main__":
    sys.exit(main())
