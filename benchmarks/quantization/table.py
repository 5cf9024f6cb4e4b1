"""Automatic quantization beside ONNX Runtime's static quantization and a plain AIMET calibration.

    kedro run --env small --pipelines yolov8_det --tags split,finetune      # the float networks, once
    python benchmarks/quantization/table.py --env small digits yolov8_det   # 8-bit weights and activations
    python benchmarks/quantization/table.py photographs                     # EfficientNet-Lite0 on real photographs

Everything is measured through ONNX Runtime on the test part: the metric, the SQNR against the float network, the size
of the file, and the seconds that quantization took.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from photographs import photographs
from rich.console import Console
from rich.table import Table

from edge_pipeline.core.types import Artifact, Precision, Split
from edge_pipeline.datasets.split import balanced_subset
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.finetune.evaluation import evaluate
from edge_pipeline.pipelines.finetune.nodes import open_samples
from edge_pipeline.pipelines.quantize.auto import PLAIN, automatic
from edge_pipeline.pipelines.quantize.calibration import Inputs
from edge_pipeline.pipelines.quantize.parameters import QuantizeParameters
from edge_pipeline.pipelines.quantize.techniques import Asked, Subject, layout_of, quantized
from edge_pipeline.quantization.export import to_onnx
from edge_pipeline.quantization.sensitivity import outputs_sqnr
from edge_pipeline.runtimes.session import open_session, run

TEST_IMAGES, COMPARED = 400, 64


class OnOnnxRuntime(torch.nn.Module):
    """An ONNX file as a module: one sample at a time, as devices run it."""

    def __init__(self, model: bytes) -> None:
        super().__init__()
        self._session = open_session("onnx", model, threads=1)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs, each (n, ...)."""
        rows = [run(self._session, [one[i : i + 1].numpy() for one in inputs]) for i in range(len(inputs[0]))]
        return tuple(torch.from_numpy(np.concatenate(one)) for one in zip(*rows, strict=True))


def static_quantization(model: bytes, calibration: Inputs, names: list[str]) -> bytes:
    """Quantize with ONNX Runtime's own tool: QDQ, ranges by minimum and maximum, weights by channel."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._samples: Iterator[Any] = iter(calibration.one_by_one())

        def get_next(self) -> Any:
            found = next(self._samples, None)
            return None if found is None else {n: t.numpy() for n, t in zip(names, found, strict=True)}

    with tempfile.TemporaryDirectory() as folder:
        plain, ready, result = (Path(folder) / name for name in ("plain.onnx", "ready.onnx", "result.onnx"))
        plain.write_bytes(model)
        quant_pre_process(str(plain), str(ready))
        quantize_static(
            str(ready),
            str(result),
            Reader(),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return result.read_bytes()


def measure(
    name: str,
    spec: ModelSpec,
    samples: Any,
    split: Split,
    weights: Artifact,
    parameters: QuantizeParameters,
    precision: Precision,
) -> list[tuple[str, ...]]:
    """Return one row for each way of quantizing one model."""
    interface = recipes.interface(spec)
    chosen = balanced_subset(samples, split.train, parameters.calibration_images, parameters.seed)
    subject = Subject(spec, weights, Inputs(samples, interface, chosen, parameters.batch_size), split.train)
    tested = balanced_subset(samples, split.test, TEST_IMAGES, 0)
    compare = outputs_sqnr(subject.network, Inputs(samples, interface, tested[:COMPARED], 16))
    names = [[tensor.name for tensor in side] for side in (interface.inputs, interface.outputs)]
    opset = 17 if precision is Precision.W8A8 else 21
    rows = []

    def file(network: Any, quantized_: bool) -> bytes:
        return to_onnx(network, subject.inputs, *names, opset=opset, quantized=quantized_)

    def add(way: str, model: bytes, seconds: float, note: str = "") -> None:
        net = OnOnnxRuntime(model)
        found = evaluate(net, spec, samples, tested, None, 16, 0, torch.device("cpu"))
        sqnr = "" if way == "float" else f"{compare(net):.1f}"
        size = f"{len(model) / 1e6:.2f}"
        rows.append((name, way, f"{found['validation_accuracy']:.4f}", sqnr, f"{seconds:.0f}", size, note))
        print(*rows[-1], sep="  ", flush=True)

    original = file(subject.network, False)
    add("float", original, 0)
    if precision is Precision.W8A8:
        started = time.monotonic()
        model = static_quantization(original, subject.calibration, names[0])
        add("ONNX Runtime static", model, time.monotonic() - started)
    started = time.monotonic()
    plain = QuantizeParameters.model_validate({**parameters.model_dump(), **PLAIN, "scheme": "min_max"})
    asked = Asked(precision, "v73", "w8a16", False, name)
    sim = quantized(subject, plain, layout_of(plain, asked, {}))
    seconds = time.monotonic() - started
    add("AIMET, calibration only", file(sim.model, True), seconds)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        sim, layout, used, attempts = automatic(subject, split, weights, Path(folder), parameters, asked)
    for one in attempts:
        print("   ", one.rung, one.metric, one.sqnr_db, f"{one.seconds:.0f} s", "kept" if one.kept else "", one.note)
    if layout.overrides:
        opset = 21
    note = ", ".join([f"ranges by {used.scheme}", *used.techniques, *(["mixed"] if layout.overrides else [])])
    add("auto", file(sim.model, True), time.monotonic() - started, note)
    return rows


def main() -> None:
    """Measure the models that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--env", default="local")
    parser.add_argument("--precision", default="w8a8", choices=[one.value for one in Precision if one.bits])
    parser.add_argument("--min-sqnr-db", type=float)
    parser.add_argument("--max-drop", type=float, default=0.005)
    parser.add_argument("--adaround-iterations", type=int, default=1000)
    parser.add_argument("--qat-steps", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=60)
    options = parser.parse_args()
    precision = Precision(options.precision)
    auto = {
        "min_sqnr_db": options.min_sqnr_db,
        "max_drop": options.max_drop,
        "minutes": options.minutes,
        "adaround": {"iterations": options.adaround_iterations},
        "qat": {"steps": options.qat_steps},
    }
    rows = []
    for name in options.models:
        if name == "photographs":
            spec, samples, split, weights = photographs()
            settings: dict[str, Any] = {"calibration_images": 128, "batch_size": 32}
        else:
            spec, split, weights, settings = _of_project(name, options.env)
            samples = open_samples(spec)
        parameters = QuantizeParameters.model_validate({**settings, "auto": auto})
        rows += measure(name, spec, samples, split, weights, parameters, precision)
    table = Table(box=None, header_style="bold")
    for title in ("model", "way", "accuracy", "SQNR dB", "seconds", "MB", "chosen"):
        table.add_column(title)
    for row in rows:
        table.add_row(*row)
    Console(width=160).print(table)


def _of_project(name: str, env: str) -> tuple[ModelSpec, Split, Artifact, dict[str, Any]]:
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    from edge_pipeline.pipeline_registry import load_project

    root = Path(__file__).parents[2]
    bootstrap_project(root)
    with KedroSession.create(project_path=root, env=env) as session:
        context: Any = session.load_context()
        spec = load_project().models[name]
        settings = context.params.get(name, {}).get("quantize", {})
        found: tuple[Split, Artifact] = tuple(context.catalog.load(f"{name}.{one}") for one in ("split", "weights"))
    return spec, *found, settings if isinstance(settings, dict) else settings.model_dump()


if __name__ == "__main__":
    main()
