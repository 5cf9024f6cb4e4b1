"""AIMET post-training quantization: prepare, fold or equalize, simulate, calibrate."""

import contextlib
import copy
import io
import logging
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from edge_pipeline.core.errors import QuantizationError


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """AIMET prints its own progress and warnings that mean nothing to a user."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(previous)


def prepare(net: nn.Module, dummy: torch.Tensor, *, equalize: bool) -> nn.Module:
    """Return a traced copy with batch norms folded, and channel ranges equalized if asked.

    Cross-layer equalization: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias
    Correction, 2019. The structure depends on the network alone, so weights saved from one prepared copy load
    into another.

    Raises:
        QuantizationError: the network cannot be traced.
    """
    with _quiet():
        from aimet_torch.batch_norm_fold import fold_all_batch_norms
        from aimet_torch.cross_layer_equalization import equalize_model
        from aimet_torch.model_preparer import prepare_model

        try:
            traced = prepare_model(copy.deepcopy(net).eval()).eval()
        except Exception as error:
            raise QuantizationError(
                f"the network cannot be traced for quantization: {str(error)[:300]}. Use modules instead of "
                "data-dependent Python control flow in its forward()."
            ) from error
        if equalize:
            equalize_model(traced, dummy_input=dummy)
        else:
            fold_all_batch_norms(traced, None, dummy_input=dummy)
    return _without_identities(traced)


def simulate(prepared: nn.Module, dummy: torch.Tensor, *, scheme: str, config: str) -> Any:
    """Return an uncalibrated `QuantizationSimModel` with 8-bit weights and activations."""
    with _quiet():
        from aimet_torch.common.defs import QuantScheme
        from aimet_torch.v2.quantsim import QuantizationSimModel

        schemes = {"min_max": QuantScheme.min_max, "tf_enhanced": QuantScheme.post_training_tf_enhanced}
        return QuantizationSimModel(
            prepared,
            dummy,
            quant_scheme=schemes[scheme],
            default_output_bw=8,
            default_param_bw=8,
            config_file=config,
        )


def calibrate(sim: Any, images: Iterator[torch.Tensor]) -> None:
    """Compute all encodings from batches (n, c, h, w).

    Raises:
        QuantizationError: an image or an output is NaN or infinite, or there is no image.
    """
    seen = 0

    def forward(model: nn.Module) -> None:
        nonlocal seen
        with torch.no_grad():
            for batch in images:
                if not torch.isfinite(batch).all():
                    raise QuantizationError("a calibration image holds NaN or infinite values")
                if not torch.isfinite(model(batch)).all():
                    raise QuantizationError("the network's output is NaN or infinite on a calibration image")
                seen += len(batch)

    with _quiet():
        sim.compute_encodings(forward)
    if not seen:
        raise QuantizationError("the calibration set has no images; raise `quantize.calibration_images`")


def share_through_pooling(sim: Any) -> None:
    """Give each max pooling of a calibrated simulation the output quantizer of what it pools.

    Its outputs are some of its inputs, so no number changes. But AIMET takes the scale of a bias from the quantizer
    right before its layer; without one it estimates a scale that ONNX Runtime cannot fuse and the NPU misreads.
    """
    modules: dict[str, Any] = dict(sim.model.named_modules())
    for node in sim.model.graph.nodes:
        pooling = modules.get(node.target) if node.op == "call_module" else None
        if isinstance(pooling, nn.MaxPool2d):
            quantizers: Any = pooling.output_quantizers
            source = modules.get(node.args[0].target)
            if quantizers[0] is None and source is not None:
                quantizers[0] = source.output_quantizers[0]


def encodings(sim: Any) -> dict[str, Any]:
    """Return scale, offset and bit width of every quantizer by its module's name."""
    with _quiet():
        found: dict[str, Any] = {}
        for name, quantizer in sim.model.named_modules():
            get = getattr(quantizer, "get_encodings", None)
            encoding = get() if get else None
            if encoding is not None:
                found[name] = {
                    "scale": encoding.scale.detach().flatten().tolist(),
                    "offset": encoding.offset.detach().flatten().tolist(),
                    "bitwidth": encoding.bitwidth,
                }
    return found


def _without_identities(traced: Any) -> nn.Module:
    """Erase the `nn.Identity` that folding leaves behind: it breaks AIMET's Conv + ReLU groups."""
    for node in list(traced.graph.nodes):
        if node.op == "call_module" and isinstance(traced.get_submodule(node.target), nn.Identity):
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)
    traced.graph.lint()
    traced.recompile()
    traced.delete_all_unused_submodules()
    module: nn.Module = traced
    return module
