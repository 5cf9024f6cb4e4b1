"""Every model on every chip's NPU: compiled or why not, and how its emulated numbers agree.

    kedro run --env npu --pipelines yolov8_det --tags export        # the exported models, once
    python benchmarks/npu/table.py digits efficientnet_lite0 yolov8_det yolov8_seg ffnet_40s

The peer is ONNX Runtime on the same exported file: its SQNR against AIMET's simulation stands beside the emulator's.
"""

import argparse
from pathlib import Path
from typing import Any

from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from rich.console import Console
from rich.table import Table

from edge_pipeline.core.types import Failure, Precision, RuntimeName, Target, Validation
from edge_pipeline.devices.inventory import DeviceSpec, connect
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.pipeline_registry import load_project
from edge_pipeline.pipelines.compile.nodes import compile
from edge_pipeline.pipelines.compile.parameters import CompileParameters
from edge_pipeline.pipelines.references import references
from edge_pipeline.pipelines.validate.nodes import validate
from edge_pipeline.pipelines.validate.parameters import ValidateParameters

CHIPS = ("QCS8550", "QCS6490", "QCS5430", "SA8775P", "SM8550", "SM8650", "SM8750", "SC8380XP")
COLUMNS = (
    "model",
    "precision",
    "chip",
    "compiled",
    "s",
    "MB",
    "on NPU",
    "fused",
    "sim dB",
    "ORT sim dB",
    "float dB",
    "accuracy (95%)",
    "on ORT",
)


def row(model: str, precision: Precision, chip: str, catalog: Any, spec: Any, images: int) -> tuple[str, ...]:
    """Return one line of the table."""
    head = (model, precision.value, chip)
    exported, split = catalog.load(f"{model}.{precision}.exported"), catalog.load(f"{model}.split")
    device = DeviceSpec(kind="htp_emulator", chip=chip)
    target = Target(model, chip, RuntimeName.QNN_CONTEXT_BINARY, precision)
    cache = Path(f"data/06_models/{model}/compilations")
    made = compile(exported, cache, CompileParameters(), target=target, device=device, subject=target.name)
    if isinstance(made, Failure):
        return (*head, made.message[:120], *[""] * 9)
    profile = connect(device).profile(made, references(exported).inputs, ProfileSettings(), target.name)
    settings = ValidateParameters(emulated_images=images)
    found, _ = validate(split, exported, made, settings, spec=spec, device=device, target=target, subject=target.name)
    if isinstance(found, Failure):
        return (*head, f"not run: {found.message[:100]}", *[""] * 9)
    assert isinstance(found, Validation)
    host = catalog.load(f"{model}.host-onnx-{precision}.validation")
    metrics = found.metrics
    accuracy = f"{metrics['accuracy']:.3f}" if "accuracy" in metrics else "unverified"
    if "accuracy_low" in metrics:
        accuracy += f" ({metrics['accuracy_low']:.3f} to {metrics['accuracy_high']:.3f})"
    return (
        *head,
        "yes",
        f"{made.details['compile_s']:.1f}",
        f"{made.size_bytes / 1e6:.2f}",
        f"{profile.metrics['npu_layers_pct']:.0f}%",
        f"{profile.metrics['fused_layers']:.0f} of {len(profile.layers)}",
        f"{metrics['sqnr_sim_db']:.1f}",
        f"{host.metrics['sqnr_sim_db']:.1f}",
        f"{metrics['sqnr_float_db']:.1f}",
        accuracy,
        f"{host.metrics['accuracy']:.3f}",
    )


def main() -> None:
    """Print the table of the models that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--env", default="npu")
    parser.add_argument("--chips", nargs="+", default=list(CHIPS))
    parser.add_argument("--precisions", nargs="+", default=["w8a8"])
    parser.add_argument("--images", type=int, default=16)
    options = parser.parse_args()
    root = Path(__file__).parents[2]
    bootstrap_project(root)
    table = Table(*COLUMNS, box=None, header_style="bold")
    with KedroSession.create(project_path=root, env=options.env) as session:
        catalog = session.load_context().catalog
        for model in options.models:
            spec = load_project().models[model]
            for precision in map(Precision, options.precisions):
                for chip in options.chips:
                    cells = row(model, precision, chip, catalog, spec, options.images)
                    print(*cells, sep=" | ", flush=True)
                    table.add_row(*cells)
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
