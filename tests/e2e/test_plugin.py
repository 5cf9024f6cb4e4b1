"""The wheel in another Kedro project: its hook, its commands, and `kedro edge init`."""

import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

REGISTRY = """
from kedro.framework.project import find_pipelines


def register_pipelines():
    pipelines = find_pipelines(raise_errors=True)
    pipelines["__default__"] = sum(pipelines.values())
    return pipelines
"""
PIPELINE = """
from kedro.pipeline import Node, Pipeline


def create_pipeline(**kwargs):
    return Pipeline([Node(lambda: "done", None, "greeting", name="greet")])
"""

GREETING = {"greeting": {"type": "json.JSONDataset", "filepath": "data/greeting.json"}}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, repository):
    """The wheel of the repository, unpacked as `pip install --target` does it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / name, source)
    for name in ("src", "conf"):
        ignored = shutil.ignore_patterns("*.egg-info", "__pycache__", "local")
        shutil.copytree(repository / name, source / name, symlinks=True, ignore=ignored)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source], check=True)
    (built,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", built], check=True)
    return folder / "site"


@pytest.fixture
def other(tmp_path, wheel, project_class):
    """A project that knows nothing of the plugin, with a pipeline of its own."""
    root = tmp_path / "other"

    class Other(project_class):
        def environment(self, **extra):
            path = os.pathsep.join([str(wheel), str(root / "src")])
            return super().environment(PYTHONPATH=path, **extra)

    project = Other(root)
    project.write(
        "pyproject.toml",
        '[project]\nname = "other"\nversion = "1"\n[tool.kedro]\npackage_name = "other"\nproject_name = "Other"\n'
        'kedro_init_version = "1.7.0"\nsource_dir = "src"\n',
    )
    for name in ("src/other/__init__.py", "src/other/settings.py", "src/other/pipelines/__init__.py"):
        project.write(name, "")
    project.write("src/other/pipeline_registry.py", REGISTRY)
    project.write("src/other/pipelines/hello/__init__.py", "from .pipeline import create_pipeline\n")
    project.write("src/other/pipelines/hello/pipeline.py", PIPELINE)
    project.write("conf/base/catalog.yml", GREETING)
    (root / "conf" / "local").mkdir()
    return project


def test_the_package_comes_from_the_wheel(other, wheel):
    code = "import edge_pipeline; print(edge_pipeline.__file__)"
    shown = subprocess.run([sys.executable, "-c", code], env=other.environment(), capture_output=True, text=True)
    assert shown.stdout.startswith(str(wheel))


def test_a_project_without_models_is_left_alone(other):
    assert "greet" in other.kedro("run").succeeded().output
    assert other.data() == ["greeting.json"]
    assert "init" in other.kedro("edge", "--help").succeeded().output


def test_init_then_run(other):
    first = other.kedro("edge", "init").succeeded().output
    for name in ("models.yml", "devices.yml", "mlflow.yml", "catalog_edge.yml", "parameters/digits.yml"):
        assert f"written  conf/base/{name}" in first
        assert (other.root / "conf/base" / name).is_file()
    assert "extended src/other/pipeline_registry.py" in first

    listed = other.kedro("registry", "list").succeeded().output
    assert "- digits\n" in listed
    assert "- hello\n" in listed

    other.configure()
    result = other.kedro("run", "--pipelines", "digits").succeeded()
    assert "digits@host/onnx/float" in result.output
    assert other.statuses() == {"digits/training": "FINISHED", "digits@host/onnx/float": "FINISHED"}

    again = other.kedro("edge", "init").succeeded().output
    assert "written" not in again
    assert "extended" not in again

    default = other.kedro("run", "--only-missing-outputs").succeeded().output
    assert "greet" in default
    assert "digits@host/onnx/float" in default


def test_a_misspelt_model_beside_other_pipelines(other):
    other.kedro("edge", "init").succeeded()
    other.configure()
    other.kedro("run", "--pipelines", "digts").refused("'digts'", "did you mean 'digits'?")
    assert "greet" in other.kedro("run", "--pipelines", "hello").succeeded().output


def test_a_model_with_the_name_of_a_pipeline_is_refused(other):
    other.kedro("edge", "init").succeeded()
    other.configure()
    other.write("src/other/pipelines/digits/__init__.py", "from ..hello.pipeline import create_pipeline\n")
    other.kedro("run").refused("the project already has a pipeline named 'digits'")


def test_init_outside_a_project_is_refused_by_kedro(tmp_path, project_class):
    project = project_class(tmp_path)
    assert project.kedro("edge", "init").status != 0


def test_the_table_of_chips_comes_with_the_wheel(other):
    other.kedro("edge", "init").succeeded()
    other.write("conf/base/devices.yml", {"host": {"kind": "host", "chip": "QCS8560"}})
    other.kedro("run").refused("host.chip: the chip 'QCS8560' is not known; did you mean 'QCS8550'?")
