"""A network of the user's: from a Python function, a `.pt2` exported program or an `.onnx` file."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge_pipeline.core.errors import ModelError, TrainingError
from edge_pipeline.core.interface import ClassMap, Interface, Logits, Postprocessing, Preprocessing, Raw
from edge_pipeline.core.plugins import load_callable, place_of
from edge_pipeline.core.types import TensorSpec
from edge_pipeline.models.spec import CustomSpec

Shape = tuple[int, ...]


def interface(spec: CustomSpec) -> Interface:
    """Return inputs and outputs of the network, learnt from its file or by running it once.

    Pictures are divided by 255 and otherwise left as they are, unless the spec changes the preprocessing.

    Raises:
        ModelError: as `build`, or the outputs are not what the task's postprocessing takes.
    """
    if spec.file is None:
        inputs = _wanted_inputs(spec)
        outputs = _run_once(_from_factory(spec), spec)
    else:
        inputs, outputs = _file_tensors(spec)
    postprocessing = spec.postprocessing or _usual_postprocessing(spec)
    _check_outputs(postprocessing, outputs, spec)
    channels, height, width = spec.image_shape
    pictures = Preprocessing(
        size=(height, width), channels=channels, mean=(0.0,) * channels, std=(1.0,) * channels, layout=spec.layout
    )
    return Interface(
        inputs=inputs,
        outputs=outputs,
        preprocessing=None if spec.inputs else pictures,
        postprocessing=postprocessing,
    )


def build(spec: CustomSpec) -> nn.Module:
    """Return the network.

    Raises:
        ModelError: the factory cannot be imported, fails or returns no `nn.Module`; the file cannot be used or
            converted; or the network does not take the inputs.
    """
    if spec.file is not None:
        from edge_pipeline.models.onnx_module import to_module

        _file_tensors(spec)
        return to_module(file_model(spec))
    net = _from_factory(spec)
    _run_once(net, spec)
    return net.train()


def criterion(net: nn.Module, spec: CustomSpec) -> Callable[[tuple[torch.Tensor, ...], Sequence[Any]], torch.Tensor]:
    """Return the user's loss, whose results are checked.

    Args:
        net: unused, the loss gets the outputs.
        spec: names the loss.

    Raises:
        ModelError: there is no loss, or it cannot be imported.
    """
    if spec.loss is None:
        raise ModelError("the custom model has no `loss`, so it cannot be trained; name yours: `loss: my_package:loss`")
    name = spec.loss
    function = load_callable(name, "loss", ModelError)

    def loss(outputs: tuple[torch.Tensor, ...], truths: Sequence[Any]) -> torch.Tensor:
        try:
            value = function(outputs, truths)
        except Exception as error:
            raise TrainingError(f"the loss '{name}' failed: {_said(error)}{place_of(error)}") from error
        return _checked_loss(value, name)

    return loss


def file_model(spec: CustomSpec) -> bytes:
    """Return the spec's file as a self-contained ONNX model with batch 1.

    Raises:
        ModelError: the spec has no file, it cannot be read, or its inputs are not the configured ones.
    """
    if spec.file is None:
        raise ModelError("the custom model comes from a factory, not from a file")
    status = spec.file.stat() if spec.file.is_file() else None
    stamp = (status.st_mtime_ns, status.st_size) if status else (0, 0)
    wanted = tuple((tensor.name, tensor.shape) for tensor in spec.inputs)
    return _read(spec.file, stamp, wanted, None if wanted else _picture_shape(spec))


@functools.lru_cache(maxsize=2)
def _read(path: Path, stamp: tuple[int, int], shapes: tuple[tuple[str, Shape], ...], single: Shape | None) -> bytes:
    """Read a file once for as long as its `stamp`, time and size, stays."""
    if path.suffix == ".pt2":
        from edge_pipeline.models.program_file import load_program

        return load_program(path, dict(shapes), single=single)
    from edge_pipeline.models.onnx_file import load_onnx

    return load_onnx(path, dict(shapes), single=single)


def _file_tensors(spec: CustomSpec) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    from edge_pipeline.models.onnx_file import tensors

    inputs, outputs = tensors(file_model(spec))
    names = tuple(tensor.name for tensor in inputs)
    listed_names = tuple(tensor.name for tensor in spec.inputs)
    if spec.inputs and listed_names != names:
        raise ModelError(
            f"{spec.file} takes the inputs {', '.join(names)}, but `inputs` lists {', '.join(listed_names)}; list all "
            "of them in the file's order"
        )
    if not spec.inputs and len(inputs) != 1:
        listed = ", ".join(f"{tensor.name} {tensor.shape}" for tensor in inputs)
        raise ModelError(
            f"{spec.file} takes {len(inputs)} inputs ({listed}); pictures fill only one. List them in `inputs` and "
            "give a dataset of type `factory` that returns a tensor for each."
        )
    return inputs, tuple(
        TensorSpec(name, tensor.shape, tensor.dtype)
        for name, tensor in zip(_output_names(spec, [tensor.name for tensor in outputs]), outputs, strict=True)
    )


def _picture_shape(spec: CustomSpec) -> Shape:
    channels, height, width = spec.image_shape
    return (1, channels, height, width) if spec.layout == "nchw" else (1, height, width, channels)


def _wanted_inputs(spec: CustomSpec) -> tuple[TensorSpec, ...]:
    if spec.inputs:
        return tuple(TensorSpec(tensor.name, tensor.shape, "float32") for tensor in spec.inputs)
    return (TensorSpec("image", _picture_shape(spec), "float32"),)


def _from_factory(spec: CustomSpec) -> nn.Module:
    name = str(spec.factory)
    factory = load_callable(name, "factory", ModelError)
    try:
        net = factory(**spec.options)
    except Exception as error:
        raise ModelError(
            f"the factory '{name}' failed with the options {dict(spec.options)}: {_said(error)}{place_of(error)}"
        ) from error
    if not isinstance(net, nn.Module):
        raise ModelError(f"the factory '{name}' returned {_kind(net)}, not a torch.nn.Module")
    return net


def _run_once(net: nn.Module, spec: CustomSpec) -> tuple[TensorSpec, ...]:
    """Run the network on zeros and return what comes out."""
    inputs, where = _wanted_inputs(spec), f"the network of the factory '{spec.factory}'"
    training = net.training
    try:
        with torch.no_grad():
            results = net.eval()(*(torch.zeros(tensor.shape) for tensor in inputs))
    except Exception as error:
        listed = ", ".join(f"{tensor.name} {tensor.shape}" for tensor in inputs)
        raise ModelError(
            f"{where} does not take {listed}: {_said(error)}{place_of(error)}. Correct `image_shape`, `layout` or "
            "`inputs`."
        ) from error
    finally:
        net.train(training)
    found = tuple(results) if isinstance(results, tuple | list) else (results,)
    for value in found:
        if not isinstance(value, torch.Tensor):
            raise ModelError(f"{where} returned {_kind(value)}; it must return a tensor or a tuple of tensors")
        if value.ndim == 0 or value.shape[0] != 1:
            raise ModelError(
                f"{where} returned a tensor of shape {tuple(value.shape)} for one sample; its first dimension must be "
                "the batch, 1"
            )
    names = _output_names(spec, [f"output_{index}" for index in range(len(found))])
    return tuple(
        TensorSpec(name, tuple(value.shape), str(value.dtype).removeprefix("torch."))
        for name, value in zip(names, found, strict=True)
    )


def _output_names(spec: CustomSpec, usual: Sequence[str]) -> Sequence[str]:
    if not spec.outputs:
        return usual
    if len(spec.outputs) != len(usual):
        raise ModelError(f"`outputs` names {len(spec.outputs)} tensors, but the network gives {len(usual)}")
    return spec.outputs


def _usual_postprocessing(spec: CustomSpec) -> Postprocessing:
    if spec.task == "classification":
        return Logits()
    if spec.task == "semantic_segmentation":
        return ClassMap()
    if spec.task == "custom":
        return Raw()
    raise ModelError(
        f"a custom network for the task '{spec.task}' needs `postprocessing`, which says what its outputs mean: "
        "`kind: yolo_maps` or `kind: yolo_boxes`"
    )


def _check_outputs(postprocessing: Postprocessing, outputs: tuple[TensorSpec, ...], spec: CustomSpec) -> None:
    found = ", ".join(f"{tensor.name} {tensor.shape}" for tensor in outputs)
    shapes = [tensor.shape for tensor in outputs]
    if isinstance(postprocessing, Logits) and shapes != [(1, spec.classes)]:
        raise ModelError(
            f"a classifier of {spec.classes} classes must have one output of shape (1, {spec.classes}), this network "
            f"has {found}. Correct `classes` or the network."
        )
    right = len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][1] == spec.classes
    if isinstance(postprocessing, ClassMap) and not right:
        raise ModelError(
            f"a segmentation network of {spec.classes} classes must have one output of shape (1, {spec.classes}, "
            f"height, width), this network has {found}. Correct `classes` or the network."
        )


def _checked_loss(value: Any, name: str) -> torch.Tensor:
    if not isinstance(value, torch.Tensor):
        raise TrainingError(f"the loss '{name}' returned {_kind(value)}; it must return a scalar tensor")
    if value.numel() != 1:
        raise TrainingError(
            f"the loss '{name}' returned a tensor of shape {tuple(value.shape)}; it must return one number, such as "
            "the mean over the batch"
        )
    if torch.is_grad_enabled() and not value.requires_grad:
        raise TrainingError(
            f"the loss '{name}' does not depend on the network: compute it from `outputs` with PyTorch operations "
            "only, without `detach()`, `item()` or NumPy"
        )
    return value.reshape(())


def _kind(value: Any) -> str:
    name = "None" if value is None else type(value).__name__
    return name if value is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _said(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
