"""The DAG: its tasks are the parts of a training, and nobody's DAG is overwritten."""

import re

import pytest

from edge_pipeline.core.errors import ScheduleError
from edge_pipeline.pipelines.assemble import pipelines
from edge_pipeline.pipelines.config import parse
from edge_pipeline.scheduling.airflow import check, groups, values
from edge_pipeline.scheduling.stages import stages


def test_every_stage_of_the_pipeline_is_in_one_task(default_configuration, tmp_path, make_job):
    pipeline = pipelines(parse(tmp_path, **default_configuration))["digits"]
    parts = [pipeline.only_nodes_with_tags(*one.tags) for one in stages(make_job().spec) if one.tags]
    names = [node.name for part in parts for node in part.nodes]
    assert sorted(names) == sorted(node.name for node in pipeline.nodes)


def test_no_task_needs_what_a_later_one_makes(default_configuration, tmp_path, make_job):
    pipeline = pipelines(parse(tmp_path, **default_configuration))["digits"]
    parts = [pipeline.only_nodes_with_tags(*one.tags) for one in stages(make_job().spec) if one.tags]
    for index, part in enumerate(parts):
        for later in parts[index + 1 :]:
            assert not part.inputs() & later.all_outputs()


def test_the_fleet_is_only_touched_if_the_schedule_says_so(make_job):
    names = [one.name for one in groups(make_job())]
    assert names == ["begin", "train", "quantize", "measure", "gate", "release"]
    assert [one.name for one in groups(make_job(deploy="after_gate"))] == [*names, "deploy"]


def test_tasks_run_the_kedro_of_the_project_with_its_environment(make_job):
    for one in groups(make_job(env="npu")):
        assert one.command.startswith(f"'{make_job().kedro}'".replace("'odd'", "'\"'\"'odd'\"'\"'"))
        assert f" edge schedule stage digits {one.name} --env npu --tries-left " in one.command


def test_a_refusal_is_not_tried_again(make_job):
    assert [one.name for one in groups(make_job()) if not one.again] == ["gate"]


@pytest.mark.parametrize("name", ["with space", "ä", "", "x" * 201])
def test_a_name_that_airflow_does_not_take_is_refused(make_job, name):
    job = make_job()
    if name:
        with pytest.raises(ScheduleError, match="is no name for a DAG"):
            values(job, name)
    else:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+", values(job, name)["dag_id"])  # the folder's name, made fit


def test_the_dag_of_another_project_is_not_overwritten(make_job, tmp_path):
    job, path = make_job(), tmp_path / "dag.py"
    code = f"PROJECT = {str(job.root)!r}\n"
    check(path, code, job)
    path.write_text(code)
    check(path, code, job)
    path.write_text("PROJECT = '/elsewhere'\n")
    with pytest.raises(ScheduleError, match=r"belongs to the project /elsewhere; nothing was changed.*--dag-id"):
        check(path, code, job)
    for text in ("x = 1\n", "PROJECT = os.getcwd()\n"):
        path.write_text(text)
        with pytest.raises(ScheduleError, match="was not made by this command"):
            check(path, code, job)


def test_a_dag_that_is_no_python_is_refused(make_job, tmp_path):
    with pytest.raises(ScheduleError, match=r"airflow\.yml has a value that makes no valid DAG"):
        check(tmp_path / "dag.py", "x = (", make_job())
