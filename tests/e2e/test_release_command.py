"""From measured targets to a champion, and back, through the real command line and MLflow's registry."""

import shutil
from dataclasses import replace

import pytest

from edge_pipeline.core.types import Profile, Validation
from edge_pipeline.datasets.kedro_io import RecordDataset

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def released(default_run, project_class, tmp_path_factory):
    """The ready project after its run, with keys; its first release is the champion. Not to be changed."""
    root = tmp_path_factory.mktemp("released") / "project"
    shutil.copytree(default_run.root, root, ignore=shutil.ignore_patterns("mlflow.db", "mlartifacts"))
    project = project_class(root)
    refused = project.kedro("edge", "release", "digits").refused("no key to sign with", "kedro edge bundle keygen")
    assert "Champion" not in refused.output
    project.kedro("edge", "bundle", "keygen").succeeded()
    project.output = project.kedro("edge", "release", "digits", "--promote").succeeded().output
    return project


@pytest.fixture
def project(released, project_class, tmp_path):
    """The same, to be changed; its store is still that of `released`, put back afterwards."""
    kept = shutil.copy(released.root / "mlflow.db", tmp_path / "mlflow.db")
    shutil.copytree(released.root / "data", tmp_path / "data")
    yield released
    shutil.copy(kept, released.root / "mlflow.db")
    shutil.rmtree(released.root / "data")
    shutil.copytree(tmp_path / "data", released.root / "data")
    (released.root / "conf" / "base" / "gates.yml").write_text("")


def alter(project, kind, slug="host-onnx-w8a8", **metrics):
    """Let a target of digits have been measured otherwise."""
    name = "profile" if kind is Profile else "validation"
    path = project.root / "data" / "08_reporting" / "digits" / slug / f"{name}.json"
    dataset = RecordDataset(str(path), f"edge_pipeline.core.types.{kind.__name__}", optional=True)
    found = dataset.load()
    dataset.save(replace(found, metrics={**found.metrics, **metrics}))


def aliases(project):
    found = project.mlflow().get_registered_model("edge-pipeline.digits").aliases
    return {key: int(value) for key, value in found.items()}


def test_the_first_release_becomes_the_champion(released, tmp_path):
    assert "Released digits version 1, the challenger: host/onnx/float, host/onnx/w8a8, host/tflite/" in released.output
    assert "digits version 1 is the champion now, the first; its bundle holds 4 targets." in released.output
    assert "Downloading" not in released.output
    assert aliases(released) == {"challenger": 1, "champion": 1}
    client = released.mlflow()
    version = client.get_model_version("edge-pipeline.digits", "1")
    assert version.description.startswith("# digits\n\nA network of the recipe `classifier` for classification.\n")
    assert "host/onnx/w8a8" in version.tags["targets"]
    assert "75,370 parameters" in version.description
    files = client.download_artifacts(version.run_id, "release", str(tmp_path))
    bundle = f"{files}/bundle.edge"
    told = released.kedro("edge", "bundle", "verify", bundle).succeeded().output
    assert "digits 1 of" in told
    assert "whole" in told
    listed = released.kedro("edge", "releases", "digits").succeeded().output
    assert "challenger, champion" in listed


def test_the_same_figures_are_released_once(project):
    output = project.kedro("edge", "release", "digits", "--promote").succeeded().output
    assert "This was released before: digits version 1 is the challenger." in output
    assert "digits version 1 is the champion already." in output
    assert aliases(project) == {"challenger": 1, "champion": 1}


def test_a_new_release_replaces_the_champion_and_gives_way_again(project):
    alter(project, Profile, load_ms=1.5)
    output = project.kedro("edge", "release", "digits", "--target", "host/onnx/w8a8").succeeded().output
    assert "Released digits version 2, the challenger: host/onnx/w8a8." in output
    assert aliases(project) == {"challenger": 2, "champion": 1}
    project.kedro("edge", "rollback", "digits").refused("first champion")
    output = project.kedro("edge", "promote", "digits").succeeded().output
    assert "digits version 2 is the champion now instead of version 1; its bundle holds 1 targets." in output
    output = project.kedro("edge", "rollback", "digits").succeeded().output
    assert "The champion of digits is version 1 again, instead of version 2." in output
    assert aliases(project) == {"challenger": 2, "champion": 1}
    assert "rolled back" in project.kedro("edge", "releases", "digits").succeeded().output


def test_what_does_not_pass_its_gate_is_neither_released_nor_promoted(project):
    alter(project, Profile, load_ms=1.5)
    project.kedro("edge", "release", "digits").succeeded()
    project.write("conf/base/gates.yml", {"digits": {"rules": ["load_ms <= 0.001"]}})
    project.kedro("edge", "promote", "digits").refused("does not pass its gate", "load_ms <= 0.001")
    project.kedro("edge", "release", "digits").refused("nothing was changed", "load_ms <= 0.001")
    assert aliases(project) == {"challenger": 2, "champion": 1}


def test_outdated_results_are_not_released(project):
    shutil.rmtree(project.root / "data" / "06_models" / "digits" / "host-onnx-w8a8" / "compiled")
    project.kedro("edge", "release", "digits").refused("host/onnx/w8a8", "outdated")
    assert aliases(project) == {"challenger": 1, "champion": 1}


def test_a_version_that_is_not_there_and_a_misspelt_model(project):
    project.kedro("edge", "promote", "digits", "7").refused("no release '7'", "versions: 1")
    unknown = project.kedro("edge", "releases", "digit")
    assert unknown.status == 1
    assert "Error: there is no model 'digit' in models.yml; did you mean 'digits'?" in unknown.output
    project.kedro("edge", "release", "digits", "--target", "host/onnx/w8a9").refused("did you mean 'host/onnx/w8a8'?")


def test_a_server_that_is_down_leaves_the_champion(project):
    down = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    project.kedro("edge", "promote", "digits", **down).refused("MLflow at http://127.0.0.1:9 cannot be used")
    project.kedro("edge", "rollback", "digits", **down).refused("MLflow at http://127.0.0.1:9 cannot be used")
    assert aliases(project) == {"challenger": 1, "champion": 1}


def test_promotions_at_once_are_one_after_the_other(project, started):
    alter(project, Profile, load_ms=1.5)
    project.kedro("edge", "release", "digits").succeeded()
    both = [started(project.start("edge", "promote", "digits")) for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0] for process in both]
    for process, output in zip(both, outputs, strict=True):
        busy = "another run" in output
        assert process.returncode == (1 if busy else 0), output
        assert busy or "is the champion" in output
    assert aliases(project) == {"challenger": 2, "champion": 2}


def test_a_bundle_that_was_changed_is_not_promoted(project):
    alter(project, Validation, ece=0.25)
    project.kedro("edge", "release", "digits").succeeded()
    version = project.mlflow().get_model_version("edge-pipeline.digits", "2")
    path = project.root / "mlartifacts" / version.run_id / "artifacts" / "release" / "bundle.edge"
    path.write_bytes(path.read_bytes()[:-100])
    project.kedro("edge", "promote", "digits").refused("not what was released")
    assert aliases(project) == {"challenger": 2, "champion": 1}
