import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_pipeline.core.errors import ConfigError, DatasetError
from edge_pipeline.core.plugins import load_callable, load_object


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty project that is the current folder; what it imports is forgotten at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(project: Path, name: str, code: str) -> Path:
    path = project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code)
    return path


def refused(reference: str, *texts: str) -> DatasetError:
    with pytest.raises(DatasetError) as raised:
        load_object(reference, "thing", DatasetError)
    for text in (f"the thing '{reference}'", *texts):
        assert text in str(raised.value)
    return raised.value


@pytest.mark.parametrize("name", ["mine.py", "src/mine.py"])
def test_modules_of_the_project_and_the_current_folder_are_found(project: Path, name: str) -> None:
    write(project, name, "value = 5")
    assert load_object("mine:value", "thing", DatasetError) == 5


def test_modules_in_packages_and_installed_ones_are_found(project: Path) -> None:
    write(project, "src/package/__init__.py", "")
    write(project, "src/package/inner.py", "def make(): return 7")
    assert load_object("package.inner:make", "thing", DatasetError)() == 7
    assert load_object("math:pi", "thing", DatasetError) == pytest.approx(3.14159, abs=1e-5)


def test_a_file_of_the_project_hides_no_installed_module(project: Path) -> None:
    write(project, "zipapp.py", "value = 5")
    write(project, "src/zipapp.py", "value = 5")
    error = refused("zipapp:value", "zipapp.py) has no 'value'")
    assert str(project) not in str(error)


@pytest.mark.parametrize(
    "reference", ["", "mine", "mine:", ":make", "mine.py.:make", "a/b.py:make", "mine:a.b", "mine:a:b"]
)
def test_another_form_is_refused_with_the_right_one(reference: str) -> None:
    refused(reference, "is not of the form `module:name`")


def test_a_missing_module_is_refused_with_the_places_and_the_closest_one(project: Path) -> None:
    write(project, "src/metrics.py", "")
    refused("metrisc:f1", "there is no module 'metrisc'", f"{project}/src and {project}", "did you mean 'metrics'?")


def test_a_missing_module_of_a_package_is_refused_with_the_closest_one(project: Path) -> None:
    write(project, "src/package/__init__.py", "")
    write(project, "src/package/metrics.py", "")
    refused("package.metric:f1", "there is no module 'package.metric'", "did you mean 'package.metrics'?")
    refused("pakage.metrics:f1", "there is no module 'pakage'", "did you mean 'package'?")


def test_a_missing_name_is_refused_with_the_closest_one(project: Path) -> None:
    path = write(project, "mine.py", "import os\ndef make_data(): ...")
    refused("mine:make_date", f"mine ({path}) has no 'make_date'", "did you mean 'make_data'?")


def test_an_error_in_the_module_is_told_with_its_place_and_kept_as_cause(project: Path) -> None:
    path = write(project, "mine.py", "def work():\n    return {}['key']\nwork()\n")
    error = refused("mine:make", "importing mine raised KeyError: 'key'", f"({path}, line 2, in work)")
    assert isinstance(error.__cause__, KeyError)


def test_a_module_that_imports_what_is_not_installed_is_told_from_a_missing_one(project: Path) -> None:
    path = write(project, "mine.py", "\nimport not_installed")
    refused("mine:make", "importing mine raised ModuleNotFoundError", "not_installed", f"({path}, line 2")


def test_an_error_in_a_library_is_told_with_the_line_that_called_it(project: Path) -> None:
    path = write(project, "mine.py", "import json\n\njson.loads('{')\n")
    refused("mine:make", "JSONDecodeError", f"({path}, line 3")


def test_a_syntax_error_is_told_with_its_place(project: Path) -> None:
    path = write(project, "mine.py", "\n\ndef make(:\n")
    refused("mine:make", "SyntaxError", f"({path}, line 3)")


def test_a_script_that_leaves_does_not_end_the_run(project: Path) -> None:
    write(project, "mine.py", "import sys\nsys.exit(0)")
    refused("mine:make", "importing mine raised SystemExit")


def test_something_that_cannot_be_called_is_refused(project: Path) -> None:
    write(project, "mine.py", "make = 5\ndef good(): return 6")
    assert load_callable("mine:good", "thing", DatasetError)() == 6
    with pytest.raises(DatasetError, match="the thing 'mine:make' is of the type int, not a function or class"):
        load_callable("mine:make", "thing", DatasetError)


def test_the_error_is_of_the_kind_asked_for() -> None:
    with pytest.raises(ConfigError, match="there is no module 'nowhere'"):
        load_object("nowhere:x", "metric", lambda message: ConfigError([message]))
