"""Median latency as Edge Pipeline measures it, as a ratio to LiteRT's own `litert-benchmark` on the same file.

Run: python benchmarks/latency.py [ROUNDS]
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from edge_pipeline.core.types import Artifact, Precision, RuntimeName, Target
from edge_pipeline.devices.host import Host
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.models.classifier import SmallCNN
from edge_pipeline.quantization.export import to_program
from edge_pipeline.runtimes import litert

SHAPE = (3, 224, 224)
TARGET = Target("benchmark", "host", RuntimeName.TFLITE, Precision.FLOAT)


def peer(model: Path, folder: Path) -> float:
    """Return the median latency (ms) that `litert-benchmark` reports."""
    result = folder / "result.json"
    options = ["--num_runs", "200", "--warmup_runs", "50", "--num_threads", "1", "--result_json", result]
    command = [Path(sys.executable).with_name("litert-benchmark"), "--model", model, *options]
    subprocess.run(command, check=True, capture_output=True)
    return float(json.loads(result.read_text())["latency"]["median_ms"])


def main(rounds: int) -> None:
    """Measure in turn and print the ratio of the medians."""
    torch.manual_seed(0)
    net = SmallCNN(SHAPE[0], 10).eval()
    program = to_program(net, (torch.zeros(1, *SHAPE),), quantized=False)
    exported = Artifact("exported", {"model.pt2": program}, details={"interface": {}})
    artifact = litert.compile(exported, TARGET, time_limit_s=300)
    images = np.random.default_rng(0).random((8, *SHAPE), np.float32)
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (model,) = artifact.unpack(folder)
        for _ in range(rounds):
            profile = Host().profile(artifact, (images,), ProfileSettings(), TARGET.name)
            ours.append(profile.metrics["latency_p50_ms"])
            theirs.append(peer(model, folder))
    mine, other = statistics.median(ours), statistics.median(theirs)
    ratio = f"{mine / other:.2f} times litert-benchmark"
    print(f"latency_p50_ms: {ratio} ({mine:.2f} ms / {other:.2f} ms, median of {rounds})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
