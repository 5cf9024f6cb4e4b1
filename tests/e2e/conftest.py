"""A project on disk, used through the real command line."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

REPOSITORY = Path(__file__).parents[2]
QUICK_MODEL = {
    "recipe": "classifier",
    "task": "classification",
    "dataset": {"type": "digits"},
    "image_shape": [1, 8, 8],
    "classes": 10,
    "default": True,
    "targets": {"devices": ["host"], "runtimes": ["onnx"], "precisions": ["float"]},
}
QUICK_PARAMETERS = {"finetune": {"epochs": 2}}


class Project:
    """The ready project, copied to a folder of its own with one small model of one target."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.output = ""
        self.temporary = root.with_name(f"{root.name}-tmp")

    def write(self, name: str, content: Any) -> Path:
        """Write a file of the project; anything but text becomes YAML."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    def configure(self, model: dict[str, Any] | None = None, **parameters: Any) -> None:
        """Write models.yml and the parameters of `digits`, starting from the quick ones."""
        self.write("conf/base/models.yml", {"digits": QUICK_MODEL | (model or {})})
        stages = {
            name: QUICK_PARAMETERS.get(name, {}) | more if isinstance(more, dict) else more
            for name, more in parameters.items()
        }
        self.write("conf/base/parameters/digits.yml", {"digits": QUICK_PARAMETERS | stages})

    def environment(self, **extra: str) -> dict[str, str]:
        self.temporary.mkdir(exist_ok=True)
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "KEDRO_"))}
        return {**clean, "KEDRO_DISABLE_TELEMETRY": "1", "COLUMNS": "200", "TMPDIR": str(self.temporary), **extra}

    def start(self, *arguments: str, output: Any = subprocess.PIPE, **environment: str) -> "subprocess.Popen[str]":
        """Start `kedro ...` in the project."""
        return subprocess.Popen(
            [sys.executable, "-m", "kedro", *arguments],
            cwd=self.root,
            env=self.environment(**environment),
            text=True,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def kedro(self, *arguments: str, **environment: str) -> "Result":
        """Run `kedro ...` to its end."""
        process = self.start(*arguments, **environment)
        try:
            output, _ = process.communicate(timeout=900)
        finally:
            kill_session(process)
        return Result(process.returncode, output)

    def until(self, process: "subprocess.Popen[str]", text: str) -> str:
        """Read the output of `process` until it holds `text`."""
        seen = ""
        assert process.stdout
        for line in process.stdout:
            seen += line
            if text in line:
                return seen
        raise AssertionError(f"{text!r} was never printed:\n{seen}")

    def mlflow(self) -> Any:
        """Return a client of the project's store."""
        from mlflow import MlflowClient

        return MlflowClient(f"sqlite:///{self.root / 'mlflow.db'}")

    def runs(self) -> list[Any]:
        """Return all MLflow runs of the project, the oldest first."""
        client = self.mlflow()
        ids = [e.experiment_id for e in client.search_experiments() if e.name == "edge-pipeline"]
        return list(client.search_runs(ids, order_by=["attributes.start_time ASC"])) if ids else []

    def statuses(self) -> dict[str, str]:
        """Return the status of every run by name; of two runs of one name the later."""
        return {run.info.run_name: run.info.status for run in self.runs()}

    def copy_to(self, root: Path) -> None:
        """Make a new project at `root` with the same configuration and no results."""
        new_project(root)
        shutil.copytree(self.root / "conf", root / "conf", dirs_exist_ok=True)

    def data(self) -> list[str]:
        """Return every file below data."""
        return sorted(str(p.relative_to(self.root / "data")) for p in (self.root / "data").rglob("*") if p.is_file())


class Result:
    """Exit status and everything that was printed."""

    def __init__(self, status: int, output: str) -> None:
        self.status, self.output = status, output

    def succeeded(self) -> "Result":
        assert self.status == 0, self.output
        return self

    def refused(self, *texts: str) -> "Result":
        """Check for exit status 1 and one plain message that holds `texts`."""
        assert self.status == 1, f"exit status {self.status}\n{self.output}"
        assert "Traceback" not in self.output, self.output
        assert self.output.count("\nError: ") == 1, self.output
        message = self.output.split("\nError: ")[1]
        for text in texts:
            assert text in message, f"{text!r} is missing in:\n{message}"
        return self


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A new project."""
    return new_project(tmp_path / "project")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after its first run; not to be changed."""
    return run_once(tmp_path_factory, "finished", new_project).root


@pytest.fixture(scope="session")
def default_run(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The ready project as it is, after `kedro run`; `output` is what that printed. Not to be changed."""
    return run_once(tmp_path_factory, "default", copy_repository)


def run_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Project]) -> Project:
    """Return a project after `kedro run`, which all workers share: the first that needs it makes it."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    printed = folder / "printed.txt"
    with FileLock(folder / "lock"):
        if not printed.exists():
            made = make(folder / "project")
            printed.write_text(made.kedro("run").succeeded().output)
    project = Project(folder / "project")
    project.output = printed.read_text()
    return project


@pytest.fixture(scope="session")
def ready_project() -> Callable[[Path], Project]:
    """Return a function that copies the ready project as it is."""
    return copy_repository


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's folder."""
    return REPOSITORY


@pytest.fixture(scope="session")
def project_class() -> type[Project]:
    """Return `Project`, for projects of another layout."""
    return Project


@pytest.fixture
def trained(finished: Path, tmp_path: Path) -> Project:
    """A project that holds the results of a first run, with an MLflow store of its own."""
    shutil.copytree(finished, tmp_path / "project", ignore=shutil.ignore_patterns("mlflow.db", "mlartifacts"))
    return Project(tmp_path / "project")


@pytest.fixture
def started() -> Iterator[Callable[["subprocess.Popen[str]"], "subprocess.Popen[str]"]]:
    """Register a process that must not outlive the test; it leads a session of its own."""
    processes: list[subprocess.Popen[str]] = []

    def register(process: "subprocess.Popen[str]") -> "subprocess.Popen[str]":
        processes.append(process)
        return process

    yield register
    for process in processes:
        kill_session(process)
        if process.stdout:
            process.stdout.close()


def kill_session(process: "subprocess.Popen[str]") -> None:
    """Kill `process` and all that it started in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def new_project(root: Path) -> Project:
    """Copy the ready project's configuration to `root` and make its model small."""
    project = copy_repository(root)
    project.configure()
    return project


def copy_repository(root: Path) -> Project:
    """Copy the ready project's configuration to `root`."""
    shutil.copytree(REPOSITORY / "conf", root / "conf", ignore=shutil.ignore_patterns("local"))
    shutil.copy(REPOSITORY / "pyproject.toml", root)
    for folder in ("src", "conf/local", "data"):
        (root / folder).mkdir()
    return Project(root)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


@pytest.fixture
def end() -> Callable[["subprocess.Popen[str]"], None]:
    """Return `kill_session`."""
    return kill_session


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Return `wait_for`."""
    return wait_for
