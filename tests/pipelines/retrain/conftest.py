"""Small deliveries of new samples, and a job whose steps are a script instead of Kedro."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_pipeline.datasets.image_folder import ImageFolder
from edge_pipeline.pipelines.retrain.formats import FOLDER, Head
from edge_pipeline.pipelines.retrain.incoming import Found, Intake
from edge_pipeline.pipelines.retrain.job import Job
from edge_pipeline.pipelines.retrain.journal import Journal
from edge_pipeline.pipelines.retrain.schedule import NewDataSpec, ScheduleSpec

CLASSES = ("cat", "dog")
FAKE_KEDRO = """
import json, os, signal, sys, xml.etree.ElementTree as tree
from pathlib import Path

root, name = Path.cwd(), sys.argv[1] if sys.argv[1] == "run" else sys.argv[2]
name = {"run": "train"}.get(name, name)
with (root / "calls.txt").open("a") as file:
    file.write(json.dumps([name, *sys.argv[1:]]) + "\\n")
with (root / "groups.txt").open("a") as file:
    file.write(f"{os.environ['EDGE_PIPELINE_RUN_GROUP']} {os.environ.get('KEDRO_ENV')}\\n")
print(f"{name} says something")
plan = json.loads((root / "plan.json").read_text()) if (root / "plan.json").exists() else {}
todo = plan.get(name)
if name == "gate":
    broken = "<failure message='value 0.5; limit 0.9'/>" if todo == "refuse" else ""
    place = root / sys.argv[sys.argv.index("--junit") + 1]
    place.write_text(f"<testsuites><testsuite><testcase classname='m@host' name='accuracy &gt;= 0.9'>{broken}"
                     "</testcase></testsuite></testsuites>")
if todo == "kill the parent":
    os.kill(os.getppid(), signal.SIGKILL)
if todo in ("fail", "refuse"):
    sys.exit("\\nError: the disk is full")
"""


@pytest.fixture
def picture() -> Callable[..., Path]:
    """Return a function that writes a random picture; equal seeds give equal files."""

    def write(path: Path, seed: int, size: tuple[int, int] = (8, 8), add: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 100, (*size, 3)) + add
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        return path

    return write


@pytest.fixture
def own(tmp_path: Path, picture: Callable[..., Path]) -> ImageFolder:
    """The dataset of a model: 6 pictures of each of two classes."""
    for label, name in enumerate(CLASSES):
        for index in range(6):
            picture(tmp_path / "own" / name / f"{index}.png", 100 * label + index)
    return ImageFolder(tmp_path / "own", 3)


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    return Intake("m", tmp_path / "data" / "01_raw" / "m", FOLDER, Head(CLASSES, False), 3)


@pytest.fixture
def arrivals(tmp_path: Path) -> NewDataSpec:
    (tmp_path / "arrivals").mkdir()
    return NewDataSpec(path=str(tmp_path / "arrivals"), min_samples=2)


@pytest.fixture
def make_job(tmp_path: Path, own: ImageFolder, intake: Intake, arrivals: NewDataSpec) -> Callable[..., Job]:
    """Return a function that makes a job; its steps are written to calls.txt, `plan` says what goes wrong in which."""
    script = tmp_path / "kedro.py"
    script.write_text(FAKE_KEDRO)

    def make(start: str | None = None, **schedule: Any) -> Job:
        spec = ScheduleSpec(new_data=arrivals, **schedule)

        def look() -> Found:
            return intake.inspect(arrivals, own)

        return Job(
            tmp_path, "m", spec, None, Journal(tmp_path, "m"), intake, look, lambda _: start, print,
            (sys.executable, str(script)),
        )  # fmt: skip

    return make


@pytest.fixture
def calls(tmp_path: Path) -> Callable[[], list[list[str]]]:
    """Return a function that returns the steps that were run: name, then arguments."""

    def read() -> list[list[str]]:
        path = tmp_path / "calls.txt"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    return read


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., None]:
    """Return a function that says what goes wrong: `fail`, `refuse` or `kill the parent` for a step."""

    def write(**steps: str) -> None:
        (tmp_path / "plan.json").write_text(json.dumps(steps))

    return write
