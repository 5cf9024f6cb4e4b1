"""Targets that were measured, made by hand: what every test image came to is real, so its metrics follow from it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, Precision, Profile, Repeat, RuntimeName, Target, Validation
from edge_pipeline.pipelines.compare.results import TargetResults
from edge_pipeline.pipelines.config import Project, parse
from edge_pipeline.pipelines.validate.outputs import OUTCOMES
from edge_pipeline.tasks.outcomes import pack, recorder, unpack

CLASSES = ("cat", "dog", "elk")
"""Image i is of class i modulo 3, but elks are rare: only every tenth of their images is one, the others are cats."""
IMAGES = 300

DEVICES: dict[str, Any] = {
    "host": {"kind": "host"},
    "rb3": {"kind": "ssh", "address": "edge@192.0.2.7", "labels": ["lab"]},
    "pi": {"kind": "ssh", "address": "edge@192.0.2.8", "labels": ["lab"]},
    "npu": {"kind": "htp_emulator", "chip": "QCS8550"},
}


def label(image: int) -> int:
    """Return the true class of an image."""
    kind = image % 3
    return 0 if kind == 2 and image % 30 != 2 else kind


@pytest.fixture
def make_project() -> Callable[..., Project]:
    """Return a function that reads a configuration with the model `digits` and its gate."""

    def make(
        gate: Mapping[str, Any] | None = None,
        devices: Sequence[str] = ("host",),
        runtimes: Sequence[str] = ("onnx",),
        precisions: Sequence[str] = ("w8a8",),
        model: Mapping[str, Any] | None = None,
        gates: Mapping[str, Any] | None = None,
        **targets: Any,
    ) -> Project:
        asked = {"devices": [*devices], "runtimes": [*runtimes], "precisions": [*precisions], **targets}
        entry = {"recipe": "classifier", "targets": asked, **(model or {})}
        content = gates if gates is not None else {"digits": gate} if gate is not None else {}
        return parse(Path("/project"), {"digits": entry}, DEVICES, {}, {}, gates=content)

    return make


@pytest.fixture
def measured(make_profile: Callable[..., Profile]) -> Callable[..., TargetResults]:
    """Return a function that makes the results of one target, of the images that came out wrong."""

    def make(
        device: str = "host",
        wrong: Collection[int] = (),
        times: Sequence[Sequence[float]] = (),
        runtime: RuntimeName = RuntimeName.ONNX,
        precision: Precision = Precision.W8A8,
        **metrics: float | None,
    ) -> TargetResults:
        target = Target("digits", device, runtime, precision)
        kept = recorder("classification", CLASSES)
        assert kept
        for image in range(IMAGES):
            named = (label(image) + (image in wrong)) % 3
            kept.add(image, np.eye(3)[named], label(image))
        content = pack(kept)
        found = unpack(content, "classification", CLASSES).metrics(np.ones(IMAGES, np.int64))
        lineage = {"compiled": "a", "dataset": "d"}
        profile = replace(make_profile(target), lineage=lineage)
        if times:
            repeats = tuple(Repeat(1.0, 1.0, tuple(one), 50.0, 40.0, 0.0) for one in times)
            median = float(np.median(np.concatenate([*map(np.asarray, times)])))
            profile = replace(profile, repeats=repeats, metrics={**profile.metrics, "latency_p50_ms": median})
        kind = DEVICES[device]["kind"]
        if kind == "htp_emulator":
            profile = replace(profile, metrics={"size_mb": 0.1, "npu_layers_pct": 100.0}, repeats=())
        sides = [profile.metrics, found]
        for name, value in metrics.items():
            side = 0 if name in profile.metrics or name not in found else 1
            sides[side] = {key: one for key, one in {**sides[side], name: value}.items() if one is not None}
        results = (
            replace(profile, metrics=sides[0]),
            Validation(target.name, "a", lineage, sides[1], IMAGES, "classification", CLASSES),
        )
        return TargetResults(target, kind, results, Artifact("predictions", {OUTCOMES: content}, lineage), ())

    return make
