"""Validation without a project, for notebooks and scripts."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.errors import ModelError
from edge_pipeline.core.interface import Interface, Preprocessing, Raw
from edge_pipeline.core.types import Artifact, Precision, RuntimeName, Target, TensorSpec

if TYPE_CHECKING:
    from edge_pipeline.devices.inventory import Device

_SUFFIXES = {".onnx": RuntimeName.ONNX, ".tflite": RuntimeName.TFLITE}


def validate(
    model: Any,
    dataset: Any,
    metric_fn: Callable[[Any, Any], float | Mapping[str, float]] | str,
    device: "Device | str" = "host",
    *,
    runtime: str = "onnx",
    threads: int = 1,
    time_limit_s: float = 600.0,
) -> dict[str, float]:
    """Run `model` over all of `dataset` on `device` and return what `metric_fn` says.

    Args:
        model: an `nn.Module`; the path of an .onnx or .tflite file; or the path of a folder `compiled` that a pipeline
            made, whose pre- and postprocessing are then done too.
        dataset: has `len()`, and `[i]` gives (input, truth). Inputs are uint8 pictures (h, w, c), which are divided by
            255 and laid out (c, h, w), or float arrays without a batch axis, one or a tuple of them.
        metric_fn: `(predictions, ground_truth) -> float | dict[str, float]`, or its name `module:function`.
        device: `host` is this machine.
        runtime: what an `nn.Module` is compiled for, `onnx` or `tflite`.
        threads: of the engine.
        time_limit_s: for up to 128 MiB of inputs and outputs.

    Raises:
        ModelError: the model cannot be loaded or compiled.
        DatasetError: a sample cannot be used.
        DeviceError: the device cannot run the model.
        MetricError: the metric raised, or returned something else than finite numbers.
    """
    from edge_pipeline.datasets.factory import FactorySamples
    from edge_pipeline.devices.inventory import DeviceSpec, connect
    from edge_pipeline.pipelines.validate.inference import batch_size, predictions
    from edge_pipeline.tasks.user_metric import UserMetric

    samples = dataset if hasattr(dataset, "has_pictures") else FactorySamples(dataset)
    artifact = compiled(model, samples, RuntimeName(runtime), time_limit_s)
    interface = Interface.model_validate(artifact.details["interface"])
    found = connect(DeviceSpec(kind="host")) if device == "host" else device
    infer = functools.partial(
        found.infer,  # type: ignore[union-attr]
        artifact,
        threads=threads,
        time_limit_s=time_limit_s,
        target=f"model@{device}",
    )
    metric = UserMetric(metric_fn)
    size = batch_size(interface)
    for index, prediction in predictions(infer, samples, interface, range(len(samples)), "validate", size):
        metric.add(prediction, samples.truth(index))
    return metric.metrics()


def compiled(model: Any, samples: Any, runtime: RuntimeName, time_limit_s: float) -> Artifact:
    """Return `model`, an `nn.Module` or a path as `validate` takes it, as what a device runs; float.

    Raises:
        ModelError: it cannot be loaded or compiled.
    """
    if isinstance(model, str | Path):
        return _from_disk(Path(model), samples)
    import torch

    if not isinstance(model, torch.nn.Module):
        raise ModelError(f"`model` must be an nn.Module or a path, not a {type(model).__name__}")
    if runtime.npu:
        raise ModelError(
            f"a module is not compiled for '{runtime}' here; run a pipeline, and give the folder of the compiled model"
        )
    return _from_module(model, samples, runtime, time_limit_s)


def _from_disk(path: Path, samples: Any) -> Artifact:
    if path.is_dir():
        from edge_pipeline.datasets.kedro_io import ArtifactDataset

        found = ArtifactDataset(str(path)).load()
        if not isinstance(found, Artifact) or found.kind != "compiled":
            raise ModelError(f"{path} holds no compiled model")
        return found
    if not path.is_file() or path.suffix not in _SUFFIXES:
        raise ModelError(f"{path} is no .onnx or .tflite file, and no folder of a compiled model")
    from edge_pipeline.runtimes.session import open_session, run

    runtime, content = _SUFFIXES[path.suffix], path.read_bytes()
    inputs, preprocessing = _first(samples)
    try:
        outputs = run(open_session(runtime.value, content, threads=1), [one[None] for one in inputs])
    except Exception as error:
        raise ModelError(f"{path} cannot be run on the first sample: {str(error)[:300]}") from error
    return _artifact(path.name, content, runtime, inputs, outputs, preprocessing)


def _from_module(module: Any, samples: Any, runtime: RuntimeName, time_limit_s: float) -> Artifact:
    import torch

    from edge_pipeline.pipelines.export.sources import TorchSource
    from edge_pipeline.runtimes import base

    inputs, preprocessing = _first(samples)
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            found = module(*[torch.from_numpy(one[None]) for one in inputs])
        outputs = [one.numpy() for one in (found if isinstance(found, tuple | list) else (found,))]
        described = _artifact("model.onnx", b"", runtime, inputs, outputs, preprocessing)
        source = TorchSource(module, Interface.model_validate(described.details["interface"]))
        files = {"model.onnx": source.onnx(17)}
        if runtime is RuntimeName.TFLITE:
            files["model.pt2"] = source.program()
    finally:
        module.train(was_training)
    exported = Artifact("exported", files, {}, described.inputs, described.outputs, {}, described.details)
    target = Target("model", "host", runtime, Precision.FLOAT)
    return base.runtime(runtime).compile(exported, target, base.CompileSettings(time_limit_s))


def _first(samples: Any) -> tuple[list[Any], Preprocessing | None]:
    """Return the inputs of the first sample, and what is done with its picture if it is one."""
    import numpy as np

    from edge_pipeline.core.preprocessing import normalise

    if not samples.has_pictures:
        return [np.asarray(one, np.float32) for one in samples.inputs(0)], None
    picture = samples.picture(0)
    preprocessing = Preprocessing(size=picture.shape[:2], channels=picture.shape[2], fit="exact")
    return [normalise(picture, preprocessing)], preprocessing


def _artifact(
    name: str, content: bytes, runtime: RuntimeName, inputs: Any, outputs: Any, preprocessing: Preprocessing | None
) -> Artifact:
    def specs(kind: str, tensors: Any, batch: bool) -> tuple[TensorSpec, ...]:
        shapes = [(1, *one.shape) if batch else tuple(one.shape) for one in tensors]
        return tuple(TensorSpec(f"{kind}_{i}", shape, "float32") for i, shape in enumerate(shapes))

    interface = Interface(
        inputs=specs("input", inputs, True),
        outputs=specs("output", outputs, False),
        preprocessing=preprocessing,
        postprocessing=Raw(),
    )
    details = {"model": name, "runtime": runtime.value, "interface": interface.model_dump(mode="json")}
    return Artifact("compiled", {name: content}, {}, interface.inputs, interface.outputs, {}, details)
