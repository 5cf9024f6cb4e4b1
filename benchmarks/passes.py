"""What the graph passes bring on this CPU: ONNX Runtime with and without them, and the float model, in one run.

    kedro run --env npu --pipelines efficientnet_lite0 --tags export    # the exported models, once
    python benchmarks/passes.py efficientnet_lite0 yolov8_det ffnet_40s

Printed are ratios of median latencies, one thread, the three models taken in turn.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from edge_pipeline.core.types import Artifact, Precision, RuntimeName, Target
from edge_pipeline.datasets.kedro_io import ArtifactDataset
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.pipelines.compile.nodes import compile
from edge_pipeline.pipelines.compile.parameters import CompileParameters
from edge_pipeline.pipelines.references import references
from edge_pipeline.runtimes.session import open_session

ROUNDS, RUNS = 20, 10


def main() -> None:
    """Compare the models that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    root = Path(__file__).parents[1] / "data" / "06_models"
    for model in parser.parse_args().models:
        exported = {
            precision: ArtifactDataset(str(root / model / precision / "exported")).load()
            for precision in (Precision.FLOAT, Precision.W8A8)
        }
        sessions = {
            "float": _compiled(model, exported[Precision.FLOAT], Precision.FLOAT, "auto"),
            "w8a8 without passes": _compiled(model, exported[Precision.W8A8], Precision.W8A8, ()),
            "w8a8": _compiled(model, exported[Precision.W8A8], Precision.W8A8, "auto"),
        }
        inputs = [one[:1] for one in references(exported[Precision.W8A8]).inputs]
        times: dict[str, list[float]] = {name: [] for name in sessions}
        opened = {name: open_session("onnx", data, threads=1) for name, data in sessions.items()}
        for _ in range(ROUNDS):
            for name, session in opened.items():
                for _ in range(RUNS):
                    start = time.perf_counter()
                    session.invoke(inputs)
                    times[name].append(time.perf_counter() - start)
        median = {name: float(np.median(found)) for name, found in times.items()}
        plain, passed = (median["float"] / median[name] for name in ("w8a8 without passes", "w8a8"))
        print(
            f"{model}: w8a8 is {plain:.2f} times as fast as float without passes, {passed:.2f} times with", flush=True
        )


def _compiled(model: str, exported: Artifact, precision: Precision, passes: "str | tuple[str, ...]") -> bytes:
    target = Target(model, "host", RuntimeName.ONNX, precision)
    parameters = CompileParameters.model_validate({"optimizations": passes})
    host = DeviceSpec(kind="host")
    found = compile(exported, Path("unused"), parameters, target=target, device=host, subject=target.name)
    assert isinstance(found, Artifact), found
    return found.files["model.onnx"]


if __name__ == "__main__":
    main()
