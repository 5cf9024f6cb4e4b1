"""`kedro edge compare`: all targets of a model side by side, after a run."""

import io
import json
import shutil
import socket
import sqlite3
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.core.types import Validation
from edge_pipeline.datasets.kedro_io import ArtifactDataset, RecordDataset

pytestmark = pytest.mark.slow

TARGETS = [f"digits@host/{runtime}/{precision}" for runtime in ("onnx", "tflite") for precision in ("float", "w8a8")]
DISTURBED = 5


@pytest.fixture
def project(default_run, project_class, tmp_path):
    """The ready project with the results of its run and an MLflow store of its own."""
    root = tmp_path / "project"
    shutil.copytree(default_run.root, root, ignore=shutil.ignore_patterns("mlflow.db", "mlartifacts"))
    return project_class(root)


def comparison(project):
    (run,) = project.runs()
    folder = project.root / "mlartifacts" / run.info.run_id / "artifacts"
    tables = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("comparison", "differences")}
    frames = {name: pd.DataFrame(one["data"], columns=one["columns"]) for name, one in tables.items()}
    return run, frames, folder


def disturb(project, slug):
    """Let the stored outputs of a target differ on one sample; return its index in the dataset, and the SQNR."""
    dataset = ArtifactDataset(str(project.root / "data" / "08_reporting" / "digits" / slug / "predictions"))
    made = dataset.load()
    with np.load(io.BytesIO(made.files["outputs.npz"])) as archive:
        before = archive["0000"]
    after = before.copy()
    after[DISTURBED] = np.roll(before[DISTURBED], 1)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{"0000": after})
    dataset.save(type(made)(**{**vars(made), "files": {**made.files, "outputs.npz": buffer.getvalue()}}))
    return made.details["outputs"][DISTURBED], sqnr_db(before, after)


def worsen(project, slug, wrong):
    """Let a target have named so many more of its test images wrongly; return its accuracy before and now."""
    place = project.root / "data" / "08_reporting" / "digits" / slug
    predictions = ArtifactDataset(str(place / "predictions"))
    made = predictions.load()
    with np.load(io.BytesIO(made.files["outcomes.npz"])) as archive:
        columns = dict(archive)
    right = columns["named"] == columns["label"]
    fallen = np.flatnonzero(right)[:wrong]
    columns["named"][fallen] = (columns["label"][fallen] + 1) % 10
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **columns)
    predictions.save(type(made)(**{**vars(made), "files": {**made.files, "outcomes.npz": buffer.getvalue()}}))
    validation = RecordDataset(str(place / "validation.json"), f"{Validation.__module__}.Validation", optional=True)
    found = validation.load()
    now = float((columns["named"] == columns["label"]).mean())
    validation.save(type(found)(**{**vars(found), "metrics": {**found.metrics, "accuracy": now}}))
    return float(right.mean()), now


def changes_of(project):
    """Return the table of changes that the newest run logged, and the run."""
    run = project.runs()[-1]
    folder = project.root / "mlartifacts" / run.info.run_id / "artifacts"
    one = json.loads((folder / "changes.json").read_text())
    return pd.DataFrame(one["data"], columns=one["columns"]).set_index(["target", "metric"]), run


def line(output, start):
    return next(one for one in output.splitlines() if one.startswith(start))


def test_all_targets_are_shown_and_logged(project):
    output = project.kedro("edge", "compare", "digits").succeeded().output
    scorecard = pd.read_csv(project.root / "data/08_reporting/digits/scorecard.csv").set_index("target")
    for name in TARGETS:
        shown = line(output, f"{name.partition('@')[2]} ")
        assert f"{scorecard['accuracy'][name]:.2%}" in shown
        assert f"{scorecard['latency_p50_ms'][name]:.3g}" in shown
        assert shown.rstrip().endswith(" yes") == scorecard["pareto"][name]
    assert "all 2 pairs of targets of one exported model agree within tolerance" in " ".join(output.split())
    assert "MLflow: run digits/comparison in sqlite:///" in output

    run, tables, folder = comparison(project)
    assert (run.info.run_name, run.info.status) == ("digits/comparison", "FINISHED")
    assert run.data.params == {"model": "digits"}
    assert (run.data.tags["kind"], run.data.tags["model"]) == ("comparison", "digits")
    assert run.data.metrics["pairs"] == 2
    assert run.data.metrics["pairs_beyond_tolerance"] == 0
    logged = tables["comparison"].set_index("target")
    assert list(logged.index) == TARGETS
    for column in ("accuracy", "latency_p50_ms", "latency_p99_ms", "peak_memory_mb", "size_mb", "npu_layers_pct"):
        assert logged[column].tolist() == pytest.approx(scorecard[column].tolist())
    assert set(logged["device_kind"]) == {"host"}
    assert {frozenset((row["first"], row["second"])) for _, row in tables["differences"].iterrows()} == {
        frozenset((f"digits@host/onnx/{precision}", f"digits@host/tflite/{precision}"))
        for precision in ("float", "w8a8")
    }
    with Image.open(folder / "comparison.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 10


def test_the_two_runtimes_agree_as_their_kept_outputs_say(project):
    project.kedro("edge", "compare", "digits").succeeded()
    _, tables, _ = comparison(project)
    found = tables["differences"].set_index("first")
    for precision in ("float", "w8a8"):
        outputs = []
        for runtime in ("onnx", "tflite"):
            place = (
                project.root / "data/08_reporting/digits" / f"host-{runtime}-{precision}" / "predictions/outputs.npz"
            )
            with np.load(place) as archive:
                outputs.append(archive["0000"])
        assert outputs[0].shape == (64, 10)
        row = found.loc[f"digits@host/onnx/{precision}"]
        assert row["sqnr_db"] == pytest.approx(sqnr_db(*outputs))
        assert row["max_difference"] == pytest.approx(np.abs(outputs[0] - outputs[1]).max(), rel=1e-4)


def test_the_kept_outputs_are_not_among_the_files_of_a_run(default_run):
    assert list(default_run.root.rglob("data/**/outputs.npz"))
    assert not list((default_run.root / "mlartifacts").rglob("outputs.npz"))


def test_outputs_that_differ_beyond_tolerance_are_told_with_the_worst_sample(project):
    index, sqnr = disturb(project, "host-tflite-w8a8")
    output = project.kedro("edge", "compare", "digits").succeeded().output
    assert sqnr < 24
    assert "1 of 2 pairs of targets of one exported model differ:" in output
    assert "  host/onnx/w8a8 and host/tflite/w8a8" in output
    said = " ".join(output.split())
    assert f"{sqnr:.1f} dB (tolerance 24 dB) in the output 'logits'" in said
    assert f"64 images, the worst by their index in the dataset: {index} (" in said
    assert "top-1 agreement 98.44%" in said
    run, tables, _ = comparison(project)
    assert run.data.metrics["pairs_beyond_tolerance"] == 1
    worst = tables["differences"].iloc[0]
    assert worst["beyond_tolerance"]
    assert worst["worst"].startswith(f"{index} (")


def test_the_tolerance_can_be_chosen(project):
    output = project.kedro("edge", "compare", "digits", "--tolerance-db", "199").succeeded().output
    assert "2 of 2 pairs of targets of one exported model differ:" in output
    assert output.count("(tolerance 199 dB)") == 2


@pytest.mark.parametrize("width", [60, 100])
def test_a_narrow_terminal_gets_fewer_columns_and_whole_lines(project, width):
    output = project.kedro("edge", "compare", "digits", COLUMNS=str(width)).succeeded().output
    printed = output[: output.index("MLflow: ")].splitlines()
    assert max(map(len, printed)) <= width
    for name in TARGETS:
        shown = line(output, f"{name.partition('@')[2]} ")
        assert "%" in shown.split()[1]
        assert "…" not in shown
    assert ("Not shown, the terminal is too narrow:" in output) == (width == 60)


def test_the_table_goes_to_a_file(project, tmp_path):
    project.kedro("edge", "compare", "digits", "--output", str(tmp_path / "made" / "table.csv")).succeeded()
    table = pd.read_csv(tmp_path / "made" / "table.csv")
    assert table["target"].tolist() == TARGETS
    assert {"accuracy", "latency_p99_ms", "energy_mj", "status", "device_kind", "pareto"} <= set(table.columns)
    assert set(table["status"]) == {"ok"}


def test_targets_of_another_environment_are_compared_too(project):
    slug = "host-tflite-w8a8"
    models = project.root / "conf" / "base" / "models.yml"
    content = yaml.safe_load(models.read_text())
    content["digits"]["targets"]["runtimes"] = ["onnx"]
    models.write_text(yaml.safe_dump(content))
    failed = project.root / "data/08_reporting/digits" / slug / "profile.json"
    failed.unlink()
    output = project.kedro("edge", "compare", "digits").succeeded().output
    assert " 100.00% " in line(output, "host/tflite/float ")
    assert "host/tflite/w8a8: profile: not measured yet" in output
    assert "Targets that are not configured here are made again with the --env that has their device." in output
    assert "all 2 pairs" in output


def test_outdated_results_are_told_and_not_compared(project):
    dataset = ArtifactDataset(str(project.root / "data/06_models/digits/w8a8/exported"))
    made = dataset.load()
    dataset.save(type(made)(**{**vars(made), "details": {**made.details, "changed": True}}))
    output = project.kedro("edge", "compare", "digits").succeeded().output
    for runtime in ("onnx", "tflite"):
        told = f"host/{runtime}/w8a8: profile, validation, predictions: outdated, there is a newer exported artifact"
        assert told in output
        assert "%" not in line(output, f"host/{runtime}/w8a8 ")
    assert "`kedro run --pipelines digits --only-missing-outputs`" in output
    assert "all 1 pairs" in output


def test_an_unknown_model_is_told_with_the_closest(project):
    found = project.kedro("edge", "compare", "digist")
    assert found.status == 1
    assert "there is no model 'digist' in models.yml; did you mean 'digits'?" in found.output


def test_where_nothing_was_measured_the_command_to_run_is_told(ready_project, tmp_path):
    project = ready_project(tmp_path / "new")
    found = project.kedro("edge", "compare", "digits", "--env", "small")
    assert found.status == 1
    assert "there is nothing to compare of 'digits'; run `kedro run --env small --pipelines digits`:" in found.output
    assert "host/onnx/float: profile, validation, predictions: not measured yet" in found.output
    assert project.runs() == []


@pytest.mark.parametrize("arguments", [(), ("digits", "--tolerance-db", "nan"), ("digits", "--tolerance-db", "x")])
def test_wrong_usage_has_status_2(project, arguments):
    assert project.kedro("edge", "compare", *arguments).status == 2


def test_a_server_that_is_down_loses_nothing(project):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    found = project.kedro("edge", "compare", "digits", MLFLOW_TRACKING_URI=address)
    found.refused(f"MLflow at {address} cannot be used", "1 runs wait", "track --resend")
    assert "host/onnx/float" in found.output
    assert "logged digits/comparison" in project.kedro("edge", "track", "--resend").succeeded().output
    run, tables, folder = comparison(project)
    assert run.info.status == "FINISHED"
    assert len(tables["comparison"]) == 4
    assert (folder / "comparison.png").is_file()


def test_a_real_drop_from_the_champion_is_told_and_another_target_recommended(project, tmp_path):
    from edge_pipeline.fleet.keys import generate

    generate(project.root / "conf", "tests")
    project.kedro("edge", "release", "digits", "--promote").succeeded()
    before, now = worsen(project, "host-tflite-w8a8", 60)
    report = tmp_path / "made" / "report.html"
    wanted = "maximize accuracy subject to size <= 0.2 MB on host"
    arguments = ("--against", "champion", "--html", str(report), "--select", wanted)
    output = project.kedro("edge", "compare", "digits", *arguments, COLUMNS="250").succeeded().output

    assert "Compared with the champion, version 1:" in output
    table, run = changes_of(project)
    fallen = table.loc["digits@host/tflite/w8a8", "accuracy"]
    assert (fallen["before"], fallen["after"]) == pytest.approx((before, now))
    assert fallen["verdict"] == "worse"
    assert fallen["low"] < now - before < fallen["high"] < 0
    others = table.drop("digits@host/tflite/w8a8")
    assert set(others["verdict"]) == {"no difference shown", ""}
    shown = next(one for one in output.splitlines() if one.split()[:2] == ["host/tflite/w8a8", "accuracy"])
    assert f"{before:.2%}" in shown
    assert f"{now:.2%}" in shown
    assert "worse" in shown

    assert f"Wanted: {wanted}" in output
    assert "Recommended: host/onnx/w8a8: it has the largest accuracy" in output
    assert "host/onnx/float does not do: size_mb is" in output
    assert (run.data.tags["against"], run.data.tags["recommended"]) == (
        "the champion, version 1",
        "digits@host/onnx/w8a8",
    )
    assert run.data.tags["select"] == wanted
    page = report.read_text()
    assert f"Report: {report}" in output
    assert "Recommended: <b>host/onnx/w8a8</b>" in page
    assert '<td class="worse">worse</td>' in page
    assert "<tr class=chosen><td>host/onnx/w8a8</td>" in page


def test_a_folder_of_results_is_compared_and_where_none_meets_the_limits_it_is_told(project, tmp_path):
    shutil.copytree(project.root / "data" / "08_reporting" / "digits", tmp_path / "earlier")
    wanted = "minimize size subject to accuracy >= 90%, p99 <= 0.0001 ms"
    arguments = ("--against", str(tmp_path / "earlier"), "--select", wanted)
    output = project.kedro("edge", "compare", "digits", *arguments).succeeded().output
    assert "Recommended: none, no target meets every limit; nearest comes host/" in output
    assert output.count(" ms beyond the limit 0.0001 ms") == 5  # the nearest, and each target
    table, run = changes_of(project)
    assert run.data.tags["recommended"] == "none"
    assert {target for target, _ in table.index} == set(TARGETS)
    assert not {"worse", "better"} & set(table["verdict"])


def test_the_group_of_an_earlier_run_is_compared(default_run, project_class, tmp_path):
    root = tmp_path / "project"
    shutil.copytree(default_run.root, root)
    with closing(sqlite3.connect(root / "mlflow.db")) as store, store:
        for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
            store.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(default_run.root), str(root)))
    project = project_class(root)
    (group,) = {run.data.tags["run_group"] for run in project.runs()}
    worsen(project, "host-onnx-w8a8", 60)
    output = project.kedro("edge", "compare", "digits", "--against", group).succeeded().output
    assert f"Compared with the run group {group}:" in output
    assert "without an interval" not in output
    table, run = changes_of(project)
    assert run.data.tags["against"] == f"the run group {group}"
    verdicts = table["verdict"].xs("accuracy", level="metric").to_dict()
    assert verdicts == {name: "no difference shown" for name in TARGETS} | {"digits@host/onnx/w8a8": "worse"}


def test_nothing_to_compare_with_is_told(project):
    found = project.kedro("edge", "compare", "digits", "--against", "champion")
    assert found.status == 1
    assert found.output == "Error: digits has no release 'champion' in the registry yet: nothing to compare with\n"
