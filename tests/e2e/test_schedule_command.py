"""`kedro edge schedule`: what it writes, and what it refuses."""

import ast

import pytest

ENTRY = {"cron": "0 3 * * 1", "timezone": "UTC", "retries": 2}


def refused(result, *texts):
    """Check for exit status 1 and one message that holds `texts`."""
    assert result.status == 1, result.output
    assert "Traceback" not in result.output
    assert result.output.count("Error: ") == 1
    for text in texts:
        assert text in result.output


@pytest.fixture
def scheduled(project):
    """A project of which one model is due on Mondays, and the path of its DAGs."""
    project.write("conf/base/schedule.yml", {"digits": ENTRY})
    return project


@pytest.mark.slow
def test_airflow_yml_is_read_by_kedro_airflow(scheduled, needs):
    needs("kedro_airflow")
    own = {"default": {"owner": "the 'vision' team", "pool": "boards", "start_date": [2025, 2, 3]}}
    scheduled.write("conf/base/airflow.yml", own)
    result = scheduled.kedro("edge", "schedule", "airflow", "digits", "--output", "dags").succeeded()
    assert "written  dags/project_digits.py: the DAG project_digits, 0 3 * * 1 UTC" in result.output
    code = (scheduled.root / "dags" / "project_digits.py").read_text()
    constants = {node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)}
    assert {str(scheduled.root), "the 'vision' team", "boards", "0 3 * * 1", 2025} <= constants
    assert not [one.name for one in (scheduled.root / "dags").iterdir() if one.name != "project_digits.py"]


@pytest.mark.slow
def test_the_dag_of_another_project_is_kept(scheduled, needs):
    needs("kedro_airflow")
    path = scheduled.write("dags/project_digits.py", 'PROJECT = "/elsewhere"\n')
    refused(scheduled.kedro("edge", "schedule", "airflow", "digits", "-o", "dags"), "belongs to the project /elsewhere")
    assert path.read_text() == 'PROJECT = "/elsewhere"\n'


@pytest.mark.slow
def test_nothing_is_scheduled_unless_an_entry_says_so(project):
    result = project.kedro("edge", "schedule", "list").succeeded()
    assert "nothing is due" in result.output
    refused(project.kedro("edge", "schedule", "cron", "digits"), "schedule.yml has no entry 'digits'")


@pytest.mark.slow
def test_mistakes_are_told_in_one_message(scheduled):
    refused(scheduled.kedro("edge", "schedule", "systemd", "digts"), "no model 'digts'", "did you mean 'digits'?")
    refused(
        scheduled.kedro("edge", "schedule", "stage", "digits", "mesure"), "no part 'mesure'", "did you mean 'measure'?"
    )
    scheduled.write("conf/base/schedule.yml", {"digits": {**ENTRY, "cron": "0 3 * * 8"}})
    refused(scheduled.kedro("edge", "schedule", "cron", "digits"), "schedule.yml: digits.cron", "no schedule")


@pytest.mark.slow
def test_units_are_written_where_asked_for(scheduled):
    result = scheduled.kedro("edge", "schedule", "systemd", "digits", "--output", "units").succeeded()
    names = ["edge-pipeline-project_digits.service", "edge-pipeline-project_digits.timer"]
    assert sorted(one.name for one in (scheduled.root / "units").iterdir()) == names
    assert result.output.count("written  units/") == 2
    home = scheduled.root / "home"
    result = scheduled.kedro(
        "edge", "schedule", "systemd", "digits", "--install", XDG_CONFIG_HOME=str(home)
    ).succeeded()
    assert sorted(one.name for one in (home / "systemd" / "user").iterdir()) == names
    assert "systemctl --user enable --now edge-pipeline-project_digits.timer" in result.output


@pytest.mark.slow
def test_a_variable_that_a_scheduled_run_will_not_see_is_told(scheduled):
    result = scheduled.kedro("edge", "schedule", "cron", "digits", MLFLOW_TRACKING_URI="http://127.0.0.1:1")
    assert "Note: MLFLOW_TRACKING_URI is set here" in result.succeeded().output
    assert "\n0 3 * * 1 cd " in result.output


@pytest.mark.slow
def test_people_are_told_of_a_failure_when_no_tries_are_left(scheduled):
    reports = scheduled.root / "data" / "08_reporting" / "digits" / "retrain"
    words = ("edge", "schedule", "stage", "digits", "train", "--tries-left")
    refused(scheduled.kedro(*words, "1"), "no training of 'digits' is going on: the part 'begin' begins one")
    assert not reports.exists()
    refused(scheduled.kedro(*words, "0"), "no training of 'digits' is going on: the part 'begin' begins one")
    assert "no training of 'digits' is going on" in (reports / "not-begun.md").read_text()
