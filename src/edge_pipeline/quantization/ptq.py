"""AIMET post-training quantization: prepare, fold or equalize, simulate, calibrate."""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import fx, nn

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.quiet import quiet
from edge_pipeline.quantization.rewrite import without_identities, without_transposed_convolutions
from edge_pipeline.quantization.structure import settle


def prepare(net: nn.Module, inputs: tuple[torch.Tensor, ...], *, equalize: bool) -> fx.GraphModule:
    """Return a traced copy with batch norms folded, and channel ranges equalized if asked.

    Cross-layer equalization: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias
    Correction, 2019. The structure depends on the network alone, so weights saved from one prepared copy load
    into another. Modules of a class with the attribute `stays_float` are kept whole, and are not quantized later.

    Raises:
        QuantizationError: the network cannot be traced.
    """
    with quiet():
        from aimet_torch.batch_norm_fold import fold_all_batch_norms
        from aimet_torch.cross_layer_equalization import equalize_model
        from aimet_torch.model_preparer import prepare_model

        copied = copy.deepcopy(net).eval()
        without_transposed_convolutions(copied)
        try:
            traced = prepare_model(copied, module_classes_to_exclude=_leave_float(copied)).eval()
        except Exception as error:
            raise QuantizationError(
                f"the network cannot be traced for quantization: {str(error)[:300]}. Use modules instead of "
                "data-dependent Python control flow in its forward()."
            ) from error
        if equalize:
            equalize_model(traced, dummy_input=inputs)
        else:
            fold_all_batch_norms(traced, None, dummy_input=inputs)
    return without_identities(traced)


def simulate(prepared: fx.GraphModule, inputs: tuple[torch.Tensor, ...], *, scheme: str, config: str) -> Any:
    """Return an uncalibrated `QuantizationSimModel` with 8-bit weights and activations, its structure settled.

    The same network gives the same structure, so that the state of a calibrated simulation loads into it.
    """
    with quiet():
        from aimet_torch.common.defs import QuantScheme
        from aimet_torch.v2.quantsim import QuantizationSimModel

        _leave_float(prepared)
        schemes = {"min_max": QuantScheme.min_max, "tf_enhanced": QuantScheme.post_training_tf_enhanced}
        sim = QuantizationSimModel(
            prepared,
            inputs,
            quant_scheme=schemes[scheme],
            default_output_bw=8,
            default_param_bw=8,
            config_file=config,
        )
        settle(sim.model)
    return sim


def calibrate(sim: Any, batches: Iterable[tuple[torch.Tensor, ...]]) -> None:
    """Compute all encodings from batches of the network's inputs.

    Raises:
        QuantizationError: an input or an output is NaN or infinite, or there is no sample.
    """
    seen = 0

    def forward(model: nn.Module) -> None:
        nonlocal seen
        with torch.no_grad():
            for inputs in batches:
                if not _finite(inputs):
                    raise QuantizationError("a calibration sample holds NaN or infinite values")
                outputs = model(*inputs)
                if not _finite(outputs if isinstance(outputs, tuple | list) else (outputs,)):
                    raise QuantizationError("the network's output is NaN or infinite on a calibration sample")
                seen += len(inputs[0])

    with quiet():
        sim.compute_encodings(forward)
    if not seen:
        raise QuantizationError("the calibration set has no samples; raise `quantize.calibration_images`")


def encodings(sim: Any) -> dict[str, Any]:
    """Return scale, offset and bit width of every quantizer by its module's name."""
    with quiet():
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


def _leave_float(net: nn.Module) -> list[type[nn.Module]]:
    """Tell AIMET which classes of modules stay whole and float, and return them."""
    from aimet_torch.nn import QuantizationMixin

    kinds = list({type(module) for module in net.modules() if getattr(module, "stays_float", False)})
    for kind in kinds:
        QuantizationMixin.ignore(kind)
    return kinds


def _finite(tensors: Iterable[torch.Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
