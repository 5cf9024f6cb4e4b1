"""A training by Airflow, for real: its tasks, their retries, what they leave, and the same by cron's line."""

import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "build" / "airflow" / "bin" / "airflow"
SCHEDULE = {"cron": "0 3 * * 1", "timezone": "UTC", "retries": 1, "retry_delay_minutes": 0.01}
pytestmark = pytest.mark.slow


class Airflow:
    """An Airflow of its own, in a folder of its own."""

    def __init__(self, home):
        self.home = home
        self.dags = home / "dags"
        self.dags.mkdir(parents=True)

    def __call__(self, *words):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "MLFLOW_", "KEDRO_", "EDGE_"))}
        settings = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": str(self.home / "what tasks must not see"),
        }
        command = [str(PROGRAM), *words]
        return subprocess.run(command, env=clean | settings, capture_output=True, text=True, timeout=600, check=False)

    def test(self, dag):
        """Run a DAG to its end; return its state, and the state and number of tries of each task."""
        done = self("dags", "test", dag)
        with sqlite3.connect(self.home / "airflow.db") as database:
            query = "SELECT run_id, state FROM dag_run WHERE dag_id = ? ORDER BY id DESC"
            run, state = database.execute(query, (dag,)).fetchone()
            query = "SELECT task_id, state, try_number FROM task_instance WHERE dag_id = ? AND run_id = ?"
            tasks = {name: (state, tries) for name, state, tries in database.execute(query, (dag, run))}
        return done, state, tasks


@pytest.fixture(scope="module")
def airflow(tmp_path_factory, lacking):
    if not PROGRAM.is_file():
        lacking("Airflow is not installed; `make airflow` does it")
    found = Airflow(tmp_path_factory.mktemp("airflow"))
    done = found("db", "migrate")
    assert done.returncode == 0, done.stderr
    return found


@pytest.fixture(scope="module")
def trained(airflow, tmp_path_factory, ready_project, needs):
    """A project with a space in its path after a training by Airflow, and how that went."""
    needs("kedro_airflow")
    project = ready_project(tmp_path_factory.mktemp("project") / "my project")
    project.configure()
    project.write("conf/base/schedule.yml", {"digits": SCHEDULE})
    project.write("conf/local/schedule.env", "EDGE_TEST_VARIABLE='seen by tasks'\n")
    project.kedro("edge", "bundle", "keygen").succeeded()
    project.kedro("edge", "schedule", "airflow", "digits", "-o", str(airflow.dags)).succeeded()
    done = airflow.test("my_project_digits")
    project.output = done[0].stdout + done[0].stderr
    return project, done


def test_the_whole_dag_runs(trained):
    project, (done, state, tasks) = trained
    assert done.returncode == 0, project.output
    assert state == "success"
    assert tasks == {one: ("success", 1) for one in ("begin", "train", "quantize", "measure", "gate", "release")}


def test_all_its_tasks_share_one_group_of_runs(trained):
    project, _ = trained
    groups = {run.data.tags["kind"]: run.data.tags["run_group"] for run in project.runs()}
    assert {"training", "target", "gate", "release", "retrain"} <= set(groups)
    assert len(set(groups.values())) == 1, groups


def test_it_ends_with_a_champion_and_a_report(trained):
    project, _ = trained
    assert "champion" in project.mlflow().get_registered_model("edge-pipeline.digits").aliases
    assert list((project.root / "data" / "08_reporting" / "digits" / "retrain").glob("*.md"))
    listed = project.kedro("edge", "schedule", "list").succeeded().output
    assert " released 20" in listed


def test_the_tasks_are_skipped_if_there_is_nothing_to_do(trained, airflow):
    project, _ = trained
    before = len(project.runs())
    project.write("conf/base/schedule.yml", {"digits": {**SCHEDULE, "max_age_days": 30}})
    _, state, tasks = airflow.test("my_project_digits")
    assert state == "success"
    assert {task for task, _ in tasks.values()} == {"skipped"}
    assert len(project.runs()) == before


def test_the_line_for_cron_runs_in_an_empty_environment(trained):
    project, _ = trained
    project.write("conf/base/schedule.yml", {"digits": {**SCHEDULE, "max_age_days": 30}})
    printed = project.kedro("edge", "schedule", "cron", "digits").succeeded().output
    (line,) = (one for one in printed.splitlines() if one.startswith("0 3 * * 1 "))
    command = line.removeprefix("0 3 * * 1 ").replace(r"\%", "%")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(project.root)}
    done = subprocess.run(
        ["/bin/sh", "-c", command], env=environment, cwd="/", capture_output=True, text=True, check=False
    )
    log = (project.root / "data" / "08_reporting" / "digits" / "schedule.log").read_text()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), log
    assert "Nothing to do." in log


def test_a_task_that_fails_is_tried_again_and_stops_the_rest(trained, airflow):
    project, _ = trained
    project.write("conf/base/parameters/digits.yml", {"digits": {"split": {"test": 2}}})
    before = len(project.runs())
    done, state, tasks = airflow.test("my_project_digits")
    assert done.returncode != 0
    assert state == "failed"
    assert tasks.pop("begin") == ("failed", 2)
    assert {task for task, _ in tasks.values()} == {"upstream_failed"}
    assert (done.stdout + done.stderr).count("digits.split.test: input should be less than 1") == 2
    assert len(project.runs()) == before


def test_the_log_tells_what_a_task_ran(trained):
    project, _ = trained
    assert "edge schedule stage digits measure --tries-left 1" in project.output
    assert "edge schedule stage digits gate --tries-left 0" in project.output
