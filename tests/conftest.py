"""What the unit tests share; costly things are made once."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from edge_pipeline.core.types import (
    Artifact,
    Failure,
    Precision,
    Profile,
    Repeat,
    RuntimeName,
    Split,
    Target,
    TensorSpec,
    Validation,
)
from edge_pipeline.datasets.digits import Digits
from edge_pipeline.datasets.split import balanced_subset, split_samples
from edge_pipeline.models.spec import ClassifierSpec, ModelSpec

REPOSITORY = Path(__file__).parents[1]

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers share the cores, also with what they start


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the models' whole jobs, each of which takes minutes."""
    items.sort(key=lambda item: item.path.stem != "test_models")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let workers share the tests by file, whose fixtures are then made once; of the models' jobs one model each."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            return f"{file} {test[test.find('[') :]}" if file.endswith("test_models.py") else file

    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def absl_leaves_the_captured_stream_open() -> None:
    """Give absl's handler the real standard error.

    It keeps the stream it found when it was imported, here pytest's, and closes it when logging is configured while
    another stands in its place: every test after that one would fail.
    """
    if importlib.util.find_spec("absl") is not None:
        import absl.logging

        absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__


def made(result: Any) -> Any:
    """Return what a stage made; a `Failure` fails the test with its own words."""
    assert not isinstance(result, Failure), f"{result.message}\n{result.traceback}"
    return result


@pytest.fixture(scope="session")
def one_thread() -> None:
    """Run PyTorch on one thread: small tensors are slower on two, and results depend on their number."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    return ClassifierSpec(recipe="classifier")


@pytest.fixture(scope="session")
def digits() -> Digits:
    return Digits(1)


@pytest.fixture(scope="session")
def small_split(digits: Digits) -> Split:
    """400 digits to train on, 100 to validate, 100 to test."""
    whole = split_samples(digits, seed=0, validation=0.15, test=0.2)
    parts = [balanced_subset(digits, part, n, 0) for part, n in ((whole.train, 400), (whole.validation, 100))]
    return Split(whole.dataset_hash, 0, whole.classes, *parts, balanced_subset(digits, whole.test, 100, 0))


@pytest.fixture(scope="session")
def weights(
    one_thread: None, spec: ModelSpec, small_split: Split, tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    """A network that was really trained, to well above 90% on the digits."""
    from edge_pipeline.pipelines.finetune.nodes import finetune
    from edge_pipeline.pipelines.finetune.parameters import FinetuneParameters

    folder = tmp_path_factory.mktemp("checkpoints")
    return made(finetune(small_split, folder, FinetuneParameters(epochs=8), spec=spec, subject="digits"))


@pytest.fixture
def net(weights: Artifact, spec: ModelSpec) -> Any:
    """The trained network as a module of its own for each test."""
    from edge_pipeline.models import recipes

    return recipes.restore(spec, weights)


@pytest.fixture(scope="session")
def simulation(
    weights: Artifact, spec: ModelSpec, small_split: Split, tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    """A calibrated AIMET simulation, as the quantize stage keeps it."""
    from edge_pipeline.pipelines.quantize.nodes import quantize
    from edge_pipeline.pipelines.quantize.parameters import QuantizeParameters

    folder = tmp_path_factory.mktemp("ladder")
    fixed = {"spec": spec, "precision": Precision.W8A8, "hexagon": "v73", "high": "float", "subject": "digits/w8a8"}
    return made(quantize(small_split, weights, folder, QuantizeParameters(), **fixed))


@pytest.fixture(scope="session")
def sim(simulation: Artifact, weights: Artifact, spec: ModelSpec) -> Any:
    """The same simulation, alive, as the export stage takes it; not to be changed."""
    from edge_pipeline.pipelines.quantize.nodes import restored_simulation

    return restored_simulation(spec, weights, simulation)


@pytest.fixture(scope="session")
def exported(weights: Artifact, simulation: Artifact, spec: ModelSpec, small_split: Split) -> dict[Precision, Artifact]:
    """What the export stage makes, for each precision."""
    from edge_pipeline.pipelines.export.nodes import export
    from edge_pipeline.pipelines.export.parameters import ExportParameters

    sources = {Precision.FLOAT: weights, Precision.W8A8: simulation}
    return {
        precision: made(
            export(small_split, weights, source, ExportParameters(), spec=spec, precision=precision, subject="digits")
        )
        for precision, source in sources.items()
    }


@pytest.fixture(scope="session")
def onnx_compiled(exported: dict[Precision, Artifact]) -> dict[Precision, Artifact]:
    """What ONNX Runtime's compiler makes, for each precision."""
    return {
        precision: _compiled(exported, RuntimeName.ONNX, precision) for precision in (Precision.FLOAT, Precision.W8A8)
    }


@pytest.fixture(scope="session")
def litert_compiled(exported: dict[Precision, Artifact]) -> dict[Precision, Artifact]:
    """What LiteRT's converter makes, for each precision. Takes 10 seconds each: mark tests that use it `slow`."""
    return {
        precision: _compiled(exported, RuntimeName.TFLITE, precision) for precision in (Precision.FLOAT, Precision.W8A8)
    }


@pytest.fixture(scope="session")
def exported_float16(weights: Artifact, spec: ModelSpec, small_split: Split) -> Artifact:
    """What the export stage makes for an NPU that computes in float16."""
    from edge_pipeline.pipelines.export.nodes import export
    from edge_pipeline.pipelines.export.parameters import ExportParameters

    fixed = {"spec": spec, "precision": Precision.FLOAT16, "subject": "digits"}
    return made(export(small_split, weights, weights, ExportParameters(), **fixed))


@pytest.fixture(scope="session")
def compile_qnn(exported: dict[Precision, Artifact], needs: Callable[[str], Any]) -> Callable[..., Artifact]:
    """Return a function that compiles for the NPU of a chip; unless told otherwise, the w8a8 model for QCS8550."""
    needs("onnxruntime_qnn")
    from edge_pipeline.runtimes.base import CompileSettings, runtime
    from edge_pipeline.runtimes.chips import chip
    from edge_pipeline.runtimes.qnn_options import QnnOptions

    def make(
        name: str | None = "QCS8550",
        engine: RuntimeName = RuntimeName.QNN_CONTEXT_BINARY,
        source: Artifact = exported[Precision.W8A8],
        options: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Artifact:
        target = Target("digits", "npu", engine, Precision(source.details["precision"]))
        more = {"time_limit_s": 120, **settings, "chip": chip(name) if name else None}
        return runtime(engine).compile(source, target, CompileSettings(**more, qnn=QnnOptions(**options or {})))

    return make


@pytest.fixture(scope="session")
def qnn_compiled(compile_qnn: Callable[..., Artifact]) -> Artifact:
    """The context binary of the w8a8 model for QCS8550."""
    return compile_qnn()


@pytest.fixture(scope="session")
def with_operator(exported: dict[Precision, Artifact]) -> Callable[..., Artifact]:
    """Return a function that puts an operator behind the first one of a type in the w8a8 model, or at its end."""
    import onnx

    source = exported[Precision.W8A8]

    def make(kind: str, behind: str | None = None) -> Artifact:
        model = onnx.load_from_string(source.files["model.onnx"])
        nodes, last = model.graph.node, model.graph.output[0].name
        position = next(i for i, one in enumerate(nodes) if (one.op_type == behind if behind else last in one.output))
        tensor = nodes[position].output[0]
        nodes[position].output[0] = f"{tensor}_before"
        nodes.insert(position + 1, onnx.helper.make_node(kind, [f"{tensor}_before"], [tensor], name="inserted"))
        return replace(source, files={**source.files, "model.onnx": model.SerializeToString()})

    return make


def _compiled(exported: dict[Precision, Artifact], name: RuntimeName, precision: Precision) -> Artifact:
    from edge_pipeline.runtimes.base import CompileSettings, runtime

    target = Target("digits", "host", name, precision)
    return runtime(name).compile(exported[precision], target, CompileSettings(300))


@pytest.fixture(scope="session")
def images(exported: dict[Precision, Artifact]) -> Any:
    """The 64 validation images that were recorded at export, (64, 1, 8, 8)."""
    from edge_pipeline.pipelines.references import references

    return references(exported[Precision.FLOAT]).inputs[0]


@pytest.fixture
def target() -> Target:
    return Target("digits", "host", RuntimeName.ONNX, Precision.FLOAT)


@pytest.fixture
def artifact() -> Artifact:
    """A small artifact of every kind of field."""
    return Artifact(
        "compiled",
        {"model.onnx": b"model", "extra.bin": bytes(range(256))},
        {"dataset": "d" * 64, "weights": "w" * 64},
        (TensorSpec("image", (1, 1, 8, 8), "float32"),),
        (TensorSpec("logits", (1, 10), "float32"),),
        {"torch": "2"},
        {"model": "model.onnx", "numbers": [1, 2.5]},
    )


@pytest.fixture
def make_profile() -> Callable[..., Profile]:
    def make(target: Target, weights: str = "w", artifact: str = "a", **metrics: float) -> Profile:
        metrics = {"latency_p50_ms": 1.0, "latency_p99_ms": 2.0, "peak_memory_mb": 50.0, **metrics}
        repeat = Repeat(1.0, 1.0, (1.0, 1.0, 2.0), 50.0, 40.0, 0.0)
        lineage = {"weights": weights, "compiled": artifact}
        device = {"kind": "host", "cpu": "x"}
        return Profile(target.name, artifact, lineage, metrics, (repeat, repeat), (), 1, device, "engine 1")

    return make


@pytest.fixture
def make_validation() -> Callable[..., Validation]:
    def make(target: Target, weights: str = "w", artifact: str = "a", **metrics: float) -> Validation:
        metrics = {"accuracy": 0.9, "sqnr_float_db": 30.0, "sqnr_sim_db": 40.0, **metrics}
        lineage = {"weights": weights, "compiled": artifact}
        details = {"confusion": [[1, 0], [1, 1]], "samples": 3}
        return Validation(target.name, artifact, lineage, metrics, 3, "classification", ("a", "b"), details)

    return make


@pytest.fixture(scope="session")
def default_configuration() -> dict[str, Any]:
    """The arguments of `parse`, but for the root, read from the files of the ready project."""
    base = REPOSITORY / "conf" / "base"
    names = {"models": "models", "devices": "devices", "parameters": "parameters/digits", "tracking": "mlflow"}
    found = {key: yaml.safe_load((base / f"{name}.yml").read_text()) or {} for key, name in names.items()}
    return {**found, "models": {"digits": found["models"]["digits"]}}


@pytest.fixture
def default_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The catalog of the ready project, with its data below `tmp_path`, which becomes the current folder."""
    from kedro.io import DataCatalog

    monkeypatch.chdir(tmp_path)
    return DataCatalog.from_config(yaml.safe_load((REPOSITORY / "conf" / "base" / "catalog.yml").read_text()))


@pytest.fixture(scope="session")
def lacking() -> Callable[[str], None]:
    """Skip a test that needs something this machine does not offer; in CI, where it must be there, fail."""
    return pytest.fail if os.environ.get("CI") else pytest.skip


@pytest.fixture(scope="session")
def needs(lacking: Callable[[str], None]) -> Callable[[str], Any]:
    """Return a function that imports a module of an extra, without which the test is skipped; in CI it fails."""

    def load(name: str) -> Any:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            lacking(f"{name} is not installed")

    return load


@pytest.fixture
def mount_disk(lacking: Callable[[str], None]) -> Iterator[Callable[[Path, str], Path]]:
    """Return a function that mounts a file system of a given size; all are unmounted at the end."""
    mounted: list[Path] = []

    def mount(folder: Path, size: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        if not shutil.which("mount"):
            lacking("there is no `mount` here")
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lacking(f"only root may mount a file system of its own: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path, mount_disk: Callable[[Path, str], Path]) -> Path:
    """A file system of 64 KiB."""
    return mount_disk(tmp_path / "small_disk", "64k")


@pytest.fixture
def start_python(tmp_path: Path) -> "Iterator[Callable[[str], subprocess.Popen[str]]]":
    """Return a function that runs Python code in a process of its own, which does not outlive the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(code: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Return a function that waits until a condition holds."""

    def wait(condition: Callable[[], Any], seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it never happened"
            time.sleep(0.01)

    return wait


@pytest.fixture
def alive() -> Callable[[int], bool]:
    """Return a function that tells whether a process runs; one that is dead but not waited for does not."""

    def check(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    return check


@pytest.fixture
def write_image() -> Callable[..., Path]:
    """Return a function that writes an image file of random pixels, or of those given."""
    from PIL import Image

    generator = np.random.default_rng(0)

    def write(path: Path, pixels: Any = None, size: tuple[int, int] = (8, 8)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = generator.integers(0, 256, (size[1], size[0]), np.uint8) if pixels is None else pixels
        Image.fromarray(np.asarray(content, np.uint8)).save(path)
        return path

    return write
