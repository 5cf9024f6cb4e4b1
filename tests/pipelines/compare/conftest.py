"""Real outputs of the digits, saved as the results of devices; and results that were written by hand."""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import (
    Artifact,
    Layer,
    Precision,
    Profile,
    Repeat,
    RuntimeName,
    Split,
    Target,
    Validation,
)
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.compare.results import TargetResults
from edge_pipeline.pipelines.validate import nodes, outputs
from edge_pipeline.pipelines.validate.parameters import ValidateParameters
from edge_pipeline.tasks.outcomes import pack, recorder, unpack


@pytest.fixture(scope="session")
def validated(
    spec: ModelSpec,
    small_split: Split,
    exported: dict[Precision, Artifact],
    onnx_compiled: dict[Precision, Artifact],
) -> dict[Precision, tuple[Validation, Artifact]]:
    """What validation on this machine gives with ONNX Runtime, for each precision."""
    found = {}
    for precision in (Precision.FLOAT, Precision.W8A8):
        target = Target("digits", "host", RuntimeName.ONNX, precision)
        fixed = {"spec": spec, "device": DeviceSpec(kind="host"), "target": target, "subject": target.name}
        result = nodes.validate(
            small_split, exported[precision], onnx_compiled[precision], ValidateParameters(), **fixed
        )
        assert isinstance(result[0], Validation), result[0]
        found[precision] = result
    return found


@pytest.fixture
def changed() -> Callable[[Artifact, Callable[[Any], Any]], Artifact]:
    """Return a function that changes the outputs that a `predictions` artifact keeps."""

    def make(predictions: Artifact, change: Callable[[Any], Any]) -> Artifact:
        (tensor,) = outputs.kept(predictions)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{"0000": change(tensor.copy())})
        return replace(predictions, files={**predictions.files, "outputs.npz": buffer.getvalue()})

    return make


@pytest.fixture
def results(
    validated: dict[Precision, tuple[Validation, Artifact]], make_profile: Callable[..., Profile]
) -> Callable[..., TargetResults]:
    """Return a function that makes the results of a device, of those of this machine."""

    def make(
        device: str = "host",
        precision: Precision = Precision.W8A8,
        kind: str = "host",
        predictions: Artifact | None = None,
        **metrics: float,
    ) -> TargetResults:
        target = Target("digits", device, RuntimeName.ONNX, precision)
        validation, real = validated[precision]
        validation = replace(validation, target=target.name, metrics={**validation.metrics, **metrics})
        profile = replace(make_profile(target, **metrics), lineage=validation.lineage)
        return TargetResults(target, kind, (profile, validation), predictions or real, ())

    return make


@pytest.fixture(scope="session")
def by_hand() -> Callable[..., TargetResults]:
    """Return a function that makes the results of a target of pairs of prediction and truth, and of times.

    The metrics of the task are measured on the pairs, which have the indices 0, 1, ... of the dataset, unless `images`
    says otherwise; those of latency on the times, one sequence a repeat.
    """

    def make(
        device: str = "host",
        pairs: Sequence[tuple[Any, Any]] = (),
        times: Sequence[Sequence[float]] = ((1.0, 1.0, 2.0),) * 2,
        *,
        task: str = "classification",
        classes: tuple[str, ...] = ("a", "b"),
        images: Sequence[int] | None = None,
        dataset: str = "d",
        kind: str = "host",
        layers: tuple[Layer, ...] = (),
        **metrics: float,
    ) -> TargetResults:
        target = Target("digits", device, RuntimeName.ONNX, Precision.W8A8)
        lineage = {"compiled": "c", "dataset": dataset}
        predictions, measured = None, {}
        if pairs:
            kept = recorder(task, classes)
            assert kept
            for index, pair in zip(images or range(len(pairs)), pairs, strict=True):
                kept.add(index, *pair)
            content = pack(kept)
            measured = unpack(content, task, classes).metrics(np.ones(len(pairs), np.int64))
            predictions = Artifact("predictions", {outputs.OUTCOMES: content}, lineage)
        validation = Validation(
            target.name, "c", lineage, {**measured, **metrics}, len(pairs), task, classes, {"samples": len(pairs)}
        )
        every = np.asarray([time for one in times for time in one])
        found = {f"latency_p{p}_ms": float(np.percentile(every, p)) for p in (50, 99)} if every.size else {}
        repeats = tuple(Repeat(1.0, 1.0, tuple(one), 50.0, 40.0, 0.0) for one in times)
        found = {"peak_memory_mb": 50.0, "size_mb": 1.0, **found, **metrics}
        profile = Profile(target.name, "c", lineage, found, repeats, layers, 1, {"kind": kind}, "engine 1")
        return TargetResults(target, kind, (profile, validation), predictions, ())

    return make
